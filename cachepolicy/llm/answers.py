"""What an answer of a language model says of itself: cut off, filtered, refused, empty, failed.

Answers are known by their attributes or keys, never by their classes: what OpenAI's and Anthropic's SDKs
return, the same as dicts, and what litellm, LangChain and pydantic-ai make of them. Words for the end of an
answer that are not listed mean nothing bad: vendors have their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard

from cachepolicy.telemetry.names import Reason

ENDS: Final[Mapping[str, Reason]] = {
    "length": Reason.TRUNCATED,
    "max_tokens": Reason.TRUNCATED,
    "max_output_tokens": Reason.TRUNCATED,
    "model_length": Reason.TRUNCATED,
    "model_context_window_exceeded": Reason.TRUNCATED,
    "pause_turn": Reason.TRUNCATED,
    "incomplete": Reason.TRUNCATED,
    "in_progress": Reason.TRUNCATED,
    "queued": Reason.TRUNCATED,
    "content_filter": Reason.FILTERED,
    "content_filtered": Reason.FILTERED,
    "guardrail_intervened": Reason.FILTERED,
    "safety": Reason.FILTERED,
    "recitation": Reason.FILTERED,
    "blocklist": Reason.FILTERED,
    "prohibited_content": Reason.FILTERED,
    "refusal": Reason.REFUSED,
    "error": Reason.FAILED,
    "failed": Reason.FAILED,
    "cancelled": Reason.FAILED,
    "insufficient_system_resource": Reason.FAILED,
}
"""How providers call the ends of answers, in lower case."""

_BESIDES_TEXT: Final = ("tool_calls", "function_call", "audio", "images")
_ASIDE: Final = frozenset({"reasoning", "thinking", "redacted_thinking"})
"""Parts that say nothing to the one who asked."""
_FAILED: Final = ("failed", "error")
_PLAIN: Final = (str, bytes, int, float, bool, type(None))


def findings(answer: object) -> Iterator[Reason]:
    """Say all that speaks against an answer; one that holds others, one level deep, by these too."""
    if answer is None or _is_empty(answer):
        yield Reason.EMPTY
    found = of_response(answer)
    if found is not None:
        yield from found
        return
    for part in _parts(answer):
        yield from of_response(part) or ()


def get(answer: object, name: str) -> Any:
    """Return what an object or a dict has under a name; None where it has nothing."""
    return answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)


def end(word: object) -> Iterator[Reason]:
    """Say what a provider's word for the end of an answer means, if it means anything bad."""
    reason = ENDS.get(word.lower()) if isinstance(word, str) else None
    if reason is not None:
        yield reason


def of_response(answer: object) -> Iterator[Reason] | None:
    """Say what speaks against what a provider returned; None where it is not such a thing."""
    if isinstance(answer, _PLAIN):
        return None
    if get(answer, "error") and not isinstance(get(answer, "error"), _PLAIN[2:]) and _is_response(answer):
        return iter((Reason.FAILED,))
    if _is_list(get(answer, "choices")) and _is_completion(answer):
        return _of_choices(answer)
    if _is_list(get(answer, "output")) and get(answer, "object") == "response":
        return _of_output(answer)
    if isinstance(get(answer, "response_metadata"), Mapping):
        return _of_langchain(answer)
    if get(answer, "kind") == "response" and _is_list(get(answer, "parts")):
        return _of_pydantic_ai(answer)
    if callable(get(answer, "all_messages")):  # of an agent's run
        return of_response(get(answer, "response"))
    if get(answer, "type") == "message" and get(answer, "role") == "assistant":
        return _of_message(answer)
    if get(answer, "object") == "list" and _is_list(get(answer, "data")):
        return iter(() if get(answer, "data") else (Reason.EMPTY,))
    return None


def has_text(content: object) -> bool:
    """Tell whether text, or any of several parts, says something."""
    if isinstance(content, str):
        return bool(content.strip())
    return any(map(_says_something, content)) if _is_list(content) else content is not None


def _is_empty(answer: object) -> bool:
    if isinstance(answer, str | bytes):
        return not answer.strip()
    return isinstance(answer, list | tuple | set | frozenset | Mapping) and not answer


def _parts(answer: object) -> Iterable[object]:
    if isinstance(answer, list | tuple):
        return answer
    if isinstance(answer, Mapping):
        return answer.values()
    if isinstance(answer, type):
        return ()
    if dataclasses.is_dataclass(answer) or hasattr(type(answer), "model_fields"):
        return vars(answer).values() if hasattr(answer, "__dict__") else ()
    return ()


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _is_response(answer: object) -> bool:
    """Tell whether this is what a provider sends, by what only it would say."""
    kind = get(answer, "object")
    if isinstance(kind, str) and kind.startswith(("chat.completion", "text_completion", "response")):
        return True
    told = get(answer, "error")
    return get(answer, "type") == "error" or (
        isinstance(answer, Mapping) and set(answer) <= {"error", "request_id"} and bool(get(told, "message"))
    )


def _is_completion(answer: object) -> bool:
    choices = get(answer, "choices")
    shaped = any(get(each, name) is not None for each in choices for name in ("message", "finish_reason"))
    return shaped or _is_response(answer)


def _of_choices(answer: object) -> Iterator[Reason]:
    choices = get(answer, "choices")
    if not choices:
        yield Reason.EMPTY
    for choice in choices:
        message = get(choice, "message")
        yield from end(get(choice, "finish_reason"))
        if get(choice, "error"):
            yield Reason.FAILED
        if get(message, "refusal"):
            yield Reason.REFUSED
        content = get(choice, "text") if message is None else get(message, "content")
        if not has_text(content) and not any(get(message, name) for name in _BESIDES_TEXT):
            yield Reason.EMPTY


def _of_output(answer: object) -> Iterator[Reason]:
    why = list(end(get(get(answer, "incomplete_details"), "reason")))
    yield from why or end(get(answer, "status"))
    yield from of_items(get(answer, "output"))


def of_items(items: Iterable[object]) -> Iterator[Reason]:
    """Say what speaks against what an answer is made of: content blocks, output items."""
    says = False
    for item in items:
        if _has_failed(item):
            yield Reason.FAILED
        for part in get(item, "content") if _is_list(get(item, "content")) else ():
            if get(part, "type") == "refusal":
                yield Reason.REFUSED
        says = says or _says_something(item)
    if not says:
        yield Reason.EMPTY


def _has_failed(item: object) -> bool:
    """Tell whether a tool that the provider ran says that it failed."""
    kind, content = get(item, "type"), get(item, "content")
    if get(item, "is_error") is True or get(item, "status") in _FAILED:
        return True
    if isinstance(kind, str) and kind.startswith("mcp_") and get(item, "error"):
        return True
    inner = (
        None if content is None or isinstance(content, _PLAIN) or _is_list(content) else get(content, "type")
    )
    return isinstance(inner, str) and inner.endswith("_tool_result_error")


def _says_something(item: object) -> bool:
    if isinstance(item, str):
        return bool(item.strip())
    kind = get(item, "type") or get(item, "part_kind")
    if kind in _ASIDE:
        return False
    if kind == "message":
        return has_text(get(item, "content"))
    text = get(item, "content" if get(item, "part_kind") == "text" else "text")
    return bool(text.strip()) if isinstance(text, str) else True


def _of_message(answer: object) -> Iterator[Reason]:
    yield from end(get(answer, "stop_reason"))
    content = get(answer, "content")
    yield from of_items(content if _is_list(content) else ())


def _of_langchain(answer: object) -> Iterator[Reason]:
    told = get(answer, "response_metadata")
    for name in ("finish_reason", "stop_reason", "status"):
        yield from end(get(told, name))
    yield from end(get(get(told, "incomplete_details"), "reason"))
    if get(answer, "status") in _FAILED:  # of a tool's message
        yield Reason.FAILED
    more = get(answer, "additional_kwargs")
    if get(more, "refusal"):
        yield Reason.REFUSED
    if not has_text(get(answer, "content")) and not any(
        get(holder, name) for holder in (answer, more) for name in _BESIDES_TEXT
    ):
        yield Reason.EMPTY


def _of_pydantic_ai(answer: object) -> Iterator[Reason]:
    yield from end(get(answer, "finish_reason"))
    yield from of_items(get(answer, "parts"))
