"""What a provider's stand-in says, whatever its wire format: replies, their tokens and pieces, and faults."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn, TypeAlias

_KINDS = {429: "rate_limit_error", 500: "server_error"}
# Roughly what a byte-pair tokenizer makes of English: a token for four letters, one for each sign.
_TOKEN = re.compile(r"\w{1,4}|[^\w\s]")
_TOKENS_AROUND_MESSAGE = 4  # its role and its separators
_TOKENS_BEFORE_REPLY = 3


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool that the model asks for.

    Args:
        name: the function's name.
        arguments: its arguments as JSON text, well-formed or not.
        identity: what the answer to it refers to; one is made up when not given.
    """

    name: str
    arguments: str = "{}"
    identity: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer, said in more detail than a text can.

    Args:
        text: what the model says.
        finish: why it ended, in the provider's own word; when not given, the one that fits the rest.
        tool_calls: the tools it asks for.
        refusal: why it does not answer.
        reasoning: what it thinks first.
        cached_tokens: how many tokens of the prompt the provider says it had cached.
        chunks: into how many deltas a stream cuts each of its texts; when not given, one a token.
        pace: seconds between the chunks of a stream; when not given, the server's.
        hold_after: how many chunks a stream gives before it waits for the server's ``release()``.
    """

    text: str = ""
    finish: str | None = None
    tool_calls: Sequence[ToolCall] = ()
    refusal: str | None = None
    reasoning: str | None = None
    cached_tokens: int = 0
    chunks: int | None = None
    pace: float | None = None
    hold_after: int | None = None


# A text, a reply, or several of them: given one after another, the last of them from then on.
Answer: TypeAlias = str | Reply | Sequence[str | Reply]


@dataclass(frozen=True, slots=True)
class Fault:
    """A failure to come: a status, or None to hang up; at once, or after so many chunks of a stream."""

    status: int | None
    after: int | None = None
    code: str | None = None
    retry_after: float | None = None

    def strike(self) -> NoReturn:
        """Fail.

        Raises:
            WireError: it has a status.
            ConnectionAbortedError: it has none; the server hangs up.
        """
        if self.status is None:
            raise ConnectionAbortedError
        kind = _KINDS.get(min(self.status, 500), "invalid_request_error")
        text = f"The server was told to fail with {self.status}."
        raise WireError(self.status, text, kind=kind, code=self.code, retry_after=self.retry_after)


class WireError(Exception):
    """A refusal, of which each wire format makes a body of its own; perhaps with a ``retry-after``."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after = retry_after


def count_tokens(text: str) -> int:
    """How many tokens ``text`` counts for: the same text always counts the same."""
    return len(_TOKEN.findall(text))


def prompt_tokens(texts: Iterable[str]) -> int:
    """Count the tokens of a conversation."""
    return sum(count_tokens(text) + _TOKENS_AROUND_MESSAGE for text in texts) + _TOKENS_BEFORE_REPLY


def reply_tokens(reply: Reply) -> int:
    """Count the tokens of what is said, thoughts and calls of tools included."""
    said = (reply.text, reply.refusal or "", reply.reasoning or "")
    called = (word for call in reply.tool_calls for word in (call.name, call.arguments))
    return sum(map(count_tokens, itertools.chain(said, called)))


def shortened(reply: Reply, most: int | None, finish: str) -> Reply:
    """Cut the text of a reply to so many tokens; it then ends for the reason ``finish``, if it had none."""
    ends = [match.end() for match in _TOKEN.finditer(reply.text)]
    if most is None or len(ends) <= most:
        return reply
    return replace(reply, text=reply.text[: ends[most - 1]], finish=reply.finish or finish)


def pieces(text: str, chunks: int | None = None) -> list[str]:
    """Cut ``text`` into its tokens, or into so many pieces of one length, some empty if it is short."""
    if chunks is None:
        ends = [match.end() for match in _TOKEN.finditer(text)]
        ends[-1:] = [len(text)] if text else []
    else:
        ends = [len(text) * number // chunks for number in range(1, chunks + 1)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
