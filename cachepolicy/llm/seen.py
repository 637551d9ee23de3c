"""What a stream has given so far, in tokens: by what it says itself, else by the text that passed."""

from __future__ import annotations

from typing import Final

from cachepolicy.llm.answers import get
from cachepolicy.llm.estimate import tokens_in
from cachepolicy.llm.usage import usage_of_stream
from cachepolicy.telemetry.usage import Usage

_TELLS: Final = ("usage", "usage_metadata", "message", "response")


class Seen:
    """Reads the chunks of one stream; of those that say nothing of tokens, only the text is measured.

    Args:
        estimated: what the call was expected to take.
    """

    def __init__(self, estimated: Usage) -> None:
        self._estimated = estimated
        self._telling: list[object] = []
        self._written = 0
        self._told_all = False

    def add(self, chunk: object) -> None:
        """Take note of a chunk."""
        if any(get(chunk, name) is not None for name in _TELLS) and not isinstance(chunk, str | bytes):
            self._telling.append(chunk)
            told = chunk if get(chunk, "usage") is not None else get(chunk, "response")
            self._told_all = self._told_all or get(told, "usage") is not None
        self._written += _written(chunk)

    def usage(self) -> Usage:
        """Return what was used up to now."""
        told = usage_of_stream(self._telling, self._estimated.model)
        if told is not None and self._told_all:
            return told
        model, sent = self._estimated.model, self._estimated.input
        if told is not None:
            model, sent = told.model or model, told.input or sent
        return Usage(model, sent, max(self._written, told.output if told is not None else 0))


def _written(chunk: object) -> int:
    """Return the tokens of the text in a chunk; a chunk holds at least one, if it says anything."""
    text: list[object] = [chunk] if isinstance(chunk, str | bytes) else []
    for choice in get(chunk, "choices") or ():
        delta = get(choice, "delta")
        text += [
            get(choice, "text"),
            get(delta, "content"),
            get(delta, "refusal"),
            get(delta, "reasoning_content"),
        ]
        text += [get(get(call, "function"), "arguments") for call in get(delta, "tool_calls") or ()]
    delta = get(chunk, "delta")
    text += [
        delta,
        get(delta, "text"),
        get(delta, "thinking"),
        get(delta, "partial_json"),
        get(chunk, "content"),
    ]
    said = [each.decode(errors="replace") if isinstance(each, bytes) else each for each in text]
    return sum(tokens_in(each) for each in said if isinstance(each, str) and each)
