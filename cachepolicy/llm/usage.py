"""What a result says of the tokens it took, whoever's class it is: read by its attributes or keys.

========================  ==========================================================================
OpenAI chat, completions  ``usage.prompt_tokens``, ``completion_tokens``, ``prompt_tokens_details``
OpenAI responses          ``usage.input_tokens``, ``output_tokens``, ``input_tokens_details``
OpenAI embeddings         ``usage.prompt_tokens``
Anthropic                 ``usage.input_tokens`` beside ``cache_read_…`` and ``cache_creation_input_tokens``
LangChain                 ``usage_metadata``
pydantic-ai               ``usage``
========================  ==========================================================================

Each may be a mapping instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from cachepolicy.telemetry.usage import Usage

_MOST: Final = 2**40  # tokens; what is more is no count
_CACHE_READ: Final = "cache_read_input_tokens"
_CACHE_WRITE: Final = "cache_creation_input_tokens"


def usage_of(result: object, model: str = "") -> Usage | None:
    """Return what a result took; None where it does not say, and no model is known either.

    Args:
        result: what the function returned.
        model: that the call named, for a result that names none.
    """
    named = _model(result) or model
    for raw in (_get(result, "usage"), _get(result, "usage_metadata")):
        counts = _counts(raw, named)
        if counts is None and callable(raw) and type(result).__module__.startswith("pydantic_ai"):
            counts = _counts(raw(), named)  # a method before its version 2; another's may do anything
        if counts is not None:
            return counts
    return Usage(named) if named else None


def usage_of_stream(chunks: Iterable[object], model: str = "") -> Usage | None:
    """Return what a stream took, by its chunks from the first to the last; otherwise as ``usage_of``.

    OpenAI's last chunk has it (``stream_options={"include_usage": True}``), the last event of its responses,
    the first and the last of Anthropic's messages; the parts of LangChain's add up.
    """
    named, last, parts = "", None, Usage("")
    message: dict[str, object] = {}
    for chunk in chunks:
        kind = _get(chunk, "type")
        if kind == "message_start":
            whole = _get(chunk, "message")
            named = _model(whole) or named
            message |= _told(_get(whole, "usage"))
        elif kind == "message_delta":
            message |= _told(_get(chunk, "usage"))
        else:
            whole = _get(chunk, "response") if isinstance(kind, str) else chunk
            named = _model(whole) or named
            last = _counts(_get(whole, "usage"), "") or last
            part = _counts(_get(chunk, "usage_metadata"), "")
            if part is not None:
                parts = Usage("", *(one + other for one, other in zip(parts[1:], part[1:], strict=True)))
    named = named or model
    found = _counts(message, "") or last or (parts if any(parts[1:]) else None)
    if found is not None:
        return found._replace(model=named)
    return Usage(named) if named else None


def _counts(raw: object, model: str) -> Usage | None:
    """Read counts in any of the shapes; None where there are none."""
    prompt = _count(raw, "prompt_tokens")
    if prompt is not None:
        details = _get(raw, "prompt_tokens_details")
        cached = _first(details, "cached_tokens")
        written = _first(details, "cache_write_tokens", "cache_creation_tokens")
        return _usage(model, prompt, _first(raw, "completion_tokens"), cached, written)
    sent, made = _count(raw, "input_tokens"), _first(raw, "output_tokens")
    if sent is None:
        total = _count(raw, "total_tokens")
        return None if total is None else _usage(model, total, 0, 0, 0)
    cached, written = _first(raw, _CACHE_READ), _first(raw, _CACHE_WRITE)
    if cached or written:  # Anthropic's input_tokens are those beside the cache
        return _usage(model, sent + cached + written, made, cached, written)
    details = _get(raw, "input_tokens_details") or _get(raw, "input_token_details")
    cached = _first(details, "cached_tokens", "cache_read") or _first(raw, "cache_read_tokens")
    written = _first(details, "cache_write_tokens", "cache_creation") or _first(raw, "cache_write_tokens")
    return _usage(model, sent, made, cached, written)


def _usage(model: str, sent: int, made: int, cached: int, written: int) -> Usage:
    """Return usage in which no more is cached or written than was sent."""
    cached = min(cached, sent)
    return Usage(model, sent, made, cached, min(written, sent - cached))


def _told(usage: object) -> dict[str, object]:
    """Return those of Anthropic's counts that are given: later ones stand for the whole message."""
    names = ("input_tokens", "output_tokens", _CACHE_READ, _CACHE_WRITE)
    return {name: count for name in names if (count := _count(usage, name)) is not None}


def _model(result: object) -> str:
    for holder, name in (
        (result, "model"),
        (_get(result, "response_metadata"), "model_name"),
        (_get(result, "response"), "model_name"),
    ):
        model = _get(holder, name)
        if isinstance(model, str) and model:
            return model
    return ""


def _first(holder: object, *names: str) -> int:
    return next((count for name in names if (count := _count(holder, name)) is not None), 0)


def _count(holder: object, name: str) -> int | None:
    count = _get(holder, name)
    return count if type(count) is int and 0 <= count <= _MOST else None


def _get(holder: object, name: str) -> object:
    """Return an attribute, or what a mapping has under that name; None where there is none."""
    if isinstance(holder, Mapping):
        found: object = holder.get(name)
        return found
    return None if holder is None or isinstance(holder, str | bytes) else getattr(holder, name, None)
