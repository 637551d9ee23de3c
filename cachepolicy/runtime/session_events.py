"""What happens to sessions, told to whoever counts them."""

from __future__ import annotations

from typing import Final, Protocol


class SessionEvents(Protocol):
    """Hears of the sessions of a namespace; nothing that it does may fail, or wait for anything.

    Times are seconds since the epoch, on the server's clock; ``tag`` and ``session_id`` name a session.
    """

    def began(self, tag: str, session_id: str, created: float, expires_at: float) -> None:
        """Hear of one that was made."""
        ...

    def touched(self, tag: str, session_id: str, expires_at: float) -> None:
        """Hear of one that was renewed."""
        ...

    def ended(self, tag: str, session_id: str, created: float | None) -> None:
        """Hear of one that was ended; ``created``: where that is known."""
        ...

    def all_ended(self, tag: str, but: str | None) -> None:
        """Hear that all of a user were ended; ``but``: one that was not."""
        ...


class _Nobody:
    def began(self, tag: str, session_id: str, created: float, expires_at: float) -> None: ...
    def touched(self, tag: str, session_id: str, expires_at: float) -> None: ...
    def ended(self, tag: str, session_id: str, created: float | None) -> None: ...
    def all_ended(self, tag: str, but: str | None) -> None: ...


NO_EVENTS: Final[SessionEvents] = _Nobody()
"""Tells nobody."""
