"""What a recorded stream says of itself: whether it came to a proper end, and what speaks against it.

Chunks are known by their attributes or keys, as answers are: OpenAI's chat and text completions, the events
of its Responses, Anthropic's events. Others have no end of their own: who read the last one saw it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cachepolicy.llm.answers import end, findings, get, has_text, of_items, of_response
from cachepolicy.telemetry.names import Reason

_LAST: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})
_SAYS: Final = ("content", "tool_calls", "function_call", "audio", "images")


def has_ended(chunks: Sequence[object]) -> bool:
    """Tell whether a stream came to the end that its provider gives to each; all of its choices did."""
    chunks, kinds = _unwrapped(chunks), _kinds(chunks)
    if any(map(_is_completion, chunks)):
        ended: dict[object, bool] = {}
        for choice in _choices(chunks):
            index = get(choice, "index")
            ended[index] = ended.get(index, False) or bool(get(choice, "finish_reason"))
        return bool(ended) and all(ended.values())
    if _is_responses(kinds):
        return not kinds.isdisjoint(_LAST)
    return "message_start" not in kinds or "message_stop" in kinds


def stream_findings(chunks: Sequence[object]) -> Iterator[Reason]:
    """Say all that speaks against what a stream gave, from its first chunk to its last."""
    chunks, kinds = _unwrapped(chunks), _kinds(chunks)
    if any(map(_is_error, chunks)):
        yield Reason.FAILED
    if any(map(_is_completion, chunks)):
        yield from _of_completion(chunks)
    elif _is_responses(kinds):
        for event in chunks:
            yield from findings(get(event, "response")) if get(event, "type") in _LAST else ()
    elif "message_start" in kinds:
        yield from _of_message(chunks)
    else:
        for chunk in chunks:
            yield from (found for found in of_response(chunk) or () if found is not Reason.EMPTY)
        if not any(map(_says_something, chunks)):
            yield Reason.EMPTY


def _unwrapped(chunks: Sequence[object]) -> Sequence[object]:
    """Return the chunks that an SDK's helper makes events of, or the chunks as they are."""
    inner = [get(chunk, "chunk") for chunk in chunks if get(chunk, "type") == "chunk"]
    return inner or chunks


def _kinds(chunks: Iterable[object]) -> set[str]:
    return {kind for kind in (get(chunk, "type") for chunk in chunks) if isinstance(kind, str)}


def _is_responses(kinds: Iterable[str]) -> bool:
    return any(kind.startswith("response.") for kind in kinds)


def _choices(chunks: Iterable[object]) -> Iterator[object]:
    for chunk in chunks:
        yield from get(chunk, "choices") or ()


def _is_error(chunk: object) -> bool:
    """Tell whether a chunk is how a provider breaks off: an event, or a body that holds nothing else."""
    return get(chunk, "type") == "error" or bool(get(get(chunk, "error"), "message"))


def _is_completion(chunk: object) -> bool:
    kind = get(chunk, "object")
    if isinstance(kind, str) and kind in {"chat.completion.chunk", "text_completion"}:
        return True
    choices = get(chunk, "choices")
    return isinstance(choices, list) and any(get(choice, "delta") is not None for choice in choices)


def _of_completion(chunks: Iterable[object]) -> Iterator[Reason]:
    """Say what speaks against any of the choices, each of which must have said something."""
    spoke: dict[object, bool] = {}
    for choice in _choices(chunks):
        index, delta = get(choice, "index"), get(choice, "delta")
        yield from end(get(choice, "finish_reason"))
        if get(choice, "error"):
            yield Reason.FAILED
        if get(delta, "refusal"):
            yield Reason.REFUSED
        spoke[index] = spoke.get(index, False) or _speaks(choice, delta)
    if not all(spoke.values()):
        yield Reason.EMPTY


def _speaks(choice: object, delta: object) -> bool:
    text = get(choice, "text")
    return (text is not None and has_text(text)) or any(
        has_text(get(delta, name)) if name == "content" else bool(get(delta, name)) for name in _SAYS
    )


def _of_message(events: Iterable[object]) -> Iterator[Reason]:
    blocks: dict[object, object] = {}
    for event in events:
        kind, index = get(event, "type"), get(event, "index")
        if kind == "message_delta":
            yield from end(get(get(event, "delta"), "stop_reason"))
        elif kind == "content_block_start":
            blocks[index] = get(event, "content_block")
        elif kind == "content_block_delta" and has_text(get(get(event, "delta"), "text")):
            blocks[index] = {"type": "text", "text": get(get(event, "delta"), "text")}
    yield from of_items(blocks.values())


def _says_something(chunk: object) -> bool:
    """Tell whether a chunk of a stream of one's own is more than nothing."""
    if isinstance(chunk, str | bytes):
        return bool(chunk.strip())
    return chunk is not None and (bool(chunk) if isinstance(chunk, dict | list | tuple) else True)
