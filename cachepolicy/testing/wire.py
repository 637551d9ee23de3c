"""What the wire formats of all providers share: how a request is answered, and how events are framed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from cachepolicy.testing.replies import Reply


class Asked(Protocol):
    """What every request for an answer says."""

    @property
    def model(self) -> str:
        """Who is asked."""
        ...

    @property
    def question(self) -> str:
        """What is asked: the user's last text."""
        ...

    @property
    def stream(self) -> bool:
        """Whether the answer shall come in events."""
        ...


AskedT = TypeVar("AskedT", bound=Asked)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What an answer says about itself: its identity, the dated model, and when it was made, in Unix time."""

    identity: str
    model: str
    created: int


@dataclass(frozen=True, slots=True)
class Wire(Generic[AskedT]):
    """A wire format for answers.

    Args:
        prefix: how the identity of an answer begins.
        parse: reads a request, or raises WireError.
        whole: makes the answer in one piece.
        events: makes the answer in server-sent events.
    """

    prefix: str
    parse: Callable[[Mapping[str, Any]], AskedT]
    whole: Callable[[AskedT, Reply, Stamp], dict[str, Any]]
    events: Callable[[AskedT, Reply, Stamp], Iterator[bytes]]


def event(data: Mapping[str, Any] | str, name: str | None = None) -> bytes:
    """Frame one server-sent event; ``data`` that is not text leaves as JSON."""
    line = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {line}\n\n".encode()


def named_events(data: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Frame events that are named by their ``type``, as OpenAI's responses and Anthropic's messages are."""
    return (event(each, each["type"]) for each in data)
