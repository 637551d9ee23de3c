"""The server's clock, as far as this process knows it: invalidations are dated by it."""

from __future__ import annotations

from cachepolicy.clock import Clock


class ServerTime:
    """How far the server's clock is ahead of this process's, learned from its replies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead: float | None = None  # of the monotonic clock: the other one may be set meanwhile

    def learn(self, now: float) -> None:
        """Take note of what the server says the time is, in seconds since the epoch."""
        self._ahead = now - self._clock.monotonic()

    @property
    def is_known(self) -> bool:
        """Tell whether a reply has told it."""
        return self._ahead is not None

    def now(self) -> float:
        """Return the server's time, in seconds since the epoch; this process's own until a reply told it."""
        return self._clock.wall() if self._ahead is None else self._clock.monotonic() + self._ahead
