"""What is remembered of a server between two looks: how quick it was, how often it failed, its counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cachepolicy.flow.health import SILENT, Look
from cachepolicy.tiers.health import Info

if TYPE_CHECKING:
    from cachepolicy.policy.rules.observing import HealthRule

Counting = Callable[[Info], float | None]
_WEIGHT: Final = 0.3  # of the last PING in the average


@dataclass(slots=True)
class Past:
    """Of one server, before the look that is judged.

    Attributes:
        failures: looks in a row that it did not answer.
        answered: whether it ever did.
        ping: the average of its PINGs, the later ones weighing more, in seconds.
        info: what it told last.
        at: when that was, on the monotonic clock.
    """

    failures: int = 0
    answered: bool = False
    ping: float | None = None
    info: Info | None = None
    at: float = 0.0

    def note(self, look: Look) -> None:
        """Remember how a look went, before it is judged: all but what the server told."""
        if look.fault in SILENT:
            self.failures += 1
            return
        self.failures, self.answered = 0, True
        if look.ping is not None:
            self.ping = look.ping if self.ping is None else self.ping + _WEIGHT * (look.ping - self.ping)

    def keep(self, look: Look) -> None:
        """Remember what the server told, once that was judged."""
        if look.info is not None:
            self.info, self.at = look.info, look.at


@dataclass(frozen=True, slots=True)
class Terms:
    """What a server is judged by.

    Attributes:
        rule: the thresholds.
        server: its address.
        protected: the namespaces there that must not be evicted.
        caches: those that may be.
        required: those whose policy says ``guarantee: required``.
        evicting: what caches there expect it to evict by, as ``eviction.redis`` has it.
        keepers: of each namespace under which words of ``maxmemory-policy`` it loses nothing; none: it may.
    """

    rule: HealthRule
    server: str
    protected: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    evicting: frozenset[str] = frozenset()
    keepers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at_risk(self, word: str | None) -> tuple[str, ...]:
        """Name the namespaces that must lose nothing, and may on a server that evicts so; None: unknown."""
        return tuple(name for name, kept_by in self.keepers.items() if kept_by and word not in kept_by)


@dataclass(frozen=True, slots=True)
class Case:
    """One server to be judged: what it told, what it told before, and by what."""

    look: Look
    past: Past
    terms: Terms
    info: Info

    def number(self, name: str) -> float | None:
        """Return a number that it told; None: it did not."""
        return self.info.number(name)

    def growth(self, name: str) -> float | None:
        """Return by how much a counter has grown since the last look; None: that is not known."""
        return self._grown(lambda info: info.number(name))

    def growth_of(self, names: Iterable[str], part: str) -> float:
        """Return by how much parts of several fields have grown in all; those that are not told have not."""
        told = list(names)
        return self._grown(lambda info: sum(info.part(name, part) or 0.0 for name in told)) or 0.0

    @property
    def seconds(self) -> float | None:
        """Seconds since the last look; None: there was none."""
        if self.past.info is None:
            return None
        return self._uptime() if self._restarted() else max(0.001, self.look.at - self.past.at)

    def _grown(self, count: Counting) -> float | None:
        now = count(self.info)
        if now is None or self.past.info is None:
            return None
        before = 0.0 if self._restarted() else count(self.past.info)
        return None if before is None else max(0.0, now - before)

    def _restarted(self) -> bool:
        """Whether its counters began anew."""
        before, now = self.past.info, self.info
        if before is None:
            return False
        run, was = now.word("run_id"), before.word("run_id")
        if run is not None and was is not None:
            return run != was
        return (now.number("uptime_in_seconds") or 0.0) < (before.number("uptime_in_seconds") or 0.0)

    def _uptime(self) -> float | None:
        uptime = self.number("uptime_in_seconds")
        return None if uptime is None else max(1.0, uptime)
