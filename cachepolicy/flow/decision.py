"""What came of asking whether a call keeps to its limits."""

from __future__ import annotations

from typing import NamedTuple


class LimitState(NamedTuple):
    """One limit after a decision.

    Attributes:
        name: for people: ``requests 100/hour``.
        unit: what it counts.
        limit: how much in its window.
        window: its length in seconds.
        remaining: how much is left at once.
        retry_after: seconds until as much could be charged; 0: now; None: never.
        reset_after: seconds until nothing is used any more.
    """

    name: str
    unit: str
    limit: int
    window: float
    remaining: int
    retry_after: float | None
    reset_after: float


class Decision(NamedTuple):
    """Whether a call may go on; charged to every limit, or to none.

    Attributes:
        allowed: whether it may; always, under a rule in shadow.
        rule: the name of the rule.
        states: of its limits, in their order.
        binding: which of them decided: the one that lets the call wait longest, else the one nearest its end;
            None where there is no limit.
        now: wall clock of who decided, seconds since the epoch.
        wait: seconds until its turn, where it was booked ahead; else 0.
        degraded: it was decided without Redis, as ``on_fault`` says.
        denied_in_shadow: it would not have been allowed, were the rule not in shadow.
        reservation: what ``settle`` and ``refund`` need; empty: nothing is reserved.
    """

    allowed: bool
    rule: str
    states: tuple[LimitState, ...]
    binding: LimitState | None
    now: float
    wait: float = 0.0
    degraded: bool = False
    denied_in_shadow: bool = False
    reservation: str = ""

    @property
    def limit(self) -> int | None:
        """How much the binding limit allows in its window; None: there is no limit."""
        return None if self.binding is None else self.binding.limit

    @property
    def remaining(self) -> int | None:
        """How much of it is left."""
        return None if self.binding is None else self.binding.remaining

    @property
    def retry_after(self) -> float | None:
        """Seconds until as much could be charged; 0.0: now; None: never."""
        return 0.0 if self.binding is None else self.binding.retry_after

    @property
    def reset_at(self) -> float:
        """When nothing of the binding limit is used any more, seconds since the epoch."""
        return self.now + (0.0 if self.binding is None else self.binding.reset_after)
