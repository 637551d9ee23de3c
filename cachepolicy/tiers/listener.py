"""Who is told of changes in Redis, what is counted of it, and the watch where there is nothing to hear."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Listener(Protocol):
    """Who is told. Called from the thread that listens, except where it says otherwise; must not wait."""

    def changed(self, key: str) -> bool:
        """Hear that a key changed; tell whether this process wrote what it holds, and wants it verified."""
        ...

    def verified(self, key: str, tail: bytes | None) -> None:
        """Hear how the value ends that Redis holds; nothing where there is none, or it cannot be asked."""
        ...

    def renewed(self, key: str) -> None:
        """Hear that the lease of a key was renewed."""
        ...

    def released(self, key: str) -> None:
        """Hear that the lease of a key ended without a value."""
        ...

    def lost(self) -> None:
        """Hear that any number of changes may have been missed."""
        ...


@dataclass(slots=True)
class Tally:
    """What was heard, and what was not.

    Attributes:
        losses: connections that were lost after they had been sound.
        gaps: messages that were missed while one was.
        pushes: how often the server pushed something.
        errors: bugs, here or in the listener; each ends a connection.
        lag: seconds that the last canary took; None before the first.
    """

    losses: int = 0
    gaps: int = 0
    pushes: int = 0
    errors: int = 0
    lag: float | None = None


class NullWatch(Tally):
    """Where nothing is heard; ``live``: because nobody else can change what is stored."""

    running = False

    def __init__(self, *, live: bool = True) -> None:
        super().__init__()
        self.live = live

    def start(self) -> None:
        """Do nothing."""

    def verify(self, key: str) -> None:
        """Do nothing: what was put is what is there."""

    def notice(self, key: str, tail: bytes = b"") -> bytes:  # noqa: ARG002 - there is nobody to tell
        """Return nothing to publish."""
        return b""

    def unsaid(self, notice: bytes) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def after_fork(self) -> None:
        """Do nothing."""
