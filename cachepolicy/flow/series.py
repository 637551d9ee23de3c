"""One metric: what is kept of it, where, and by which numbers its series are known."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from cachepolicy.errors import Fault, StoreError, StoreUnavailable
from cachepolicy.flow.cells import HOUR, Kind, Labels
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.listing import REFUSED, Listing
from cachepolicy.flow.resilience import Budget, ask, ask_all
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import MetricKeys
from cachepolicy.keys.periods import Period, Resolution
from cachepolicy.keys.series import spell
from cachepolicy.telemetry.spans import NO_SPAN, Witness
from cachepolicy.tiers import analytics as steps
from cachepolicy.tiers.analytics import Bucket
from cachepolicy.tiers.commands import Command

T = TypeVar("T")

NOT_KEPT: Final = -1
"""The life of a bucket whose time is over."""

ATTEMPTS: Final = 5
"""So often the numbers of series may be lost while something is counted."""

_AT_ONCE: Final = 500  # series
_IN_ONE_TRIP: Final = 200  # hashes, however full: well within a deadline
_REFUSED_KNOWN: Final = 10_000  # series that are remembered to have no number
_SHARDS: Final = {Kind.HISTOGRAM: 1, Kind.MONEY: 32}
_SERIES_IN_ONE: Final = 128
"""Series in one hash: so many Redis keeps as a list, which takes an eighth of the memory. Money has a number
for each currency, and a histogram for each bucket."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the policy says of one metric.

    Attributes:
        kind: what its values mean.
        labels: the names that it may have; None: any, it is not declared.
        lives: for how long each resolution is kept after its end, in seconds; None: for ever.
        most: how many series it may have.
        accuracy: of percentiles.
    """

    kind: Kind
    labels: tuple[str, ...] | None
    lives: dict[Resolution, float | None]
    most: int
    accuracy: float = 0.02


@dataclass(slots=True, eq=False)
class Numbers:
    """Which numbers this process knows series by, and their spellings.

    Attributes:
        epoch: of the numbers.
        known: the spelling and the number of each.
        refused: series that have none.
    """

    epoch: str = field(default_factory=lambda: secrets.token_urlsafe(6))
    known: dict[Labels, tuple[bytes, int]] = field(default_factory=dict)
    refused: dict[Labels, tuple[bytes, int]] = field(default_factory=dict)

    def of(self, labels: Labels) -> tuple[bytes, int] | None:
        """Return the spelling and the number of a series, if they are known."""
        return self.known.get(labels) or self.refused.get(labels)

    def learn(self, labels: Labels, spelling: bytes, number: int) -> tuple[bytes, int]:
        """Take note of a number; return it with its spelling."""
        kept = self.known if number != REFUSED else self.refused
        if len(self.refused) >= _REFUSED_KNOWN:
            self.refused.clear()
        kept[labels] = spelling, number
        return kept[labels]


class Named(NamedTuple):
    """Some series by their numbers.

    Attributes:
        epoch: of the numbers.
        series: the spelling and the number of each; REFUSED: it is counted together with others.
    """

    epoch: str
    series: Mapping[Labels, tuple[bytes, int]]


@dataclass(slots=True, eq=False)
class Metric:
    """One metric of a namespace, as long as its policy is in use.

    Attributes:
        namespace: its namespace.
        name: its name.
        terms: what the policy says of it.
        keys: where its counts stand.
        site: where they are.
        deadline: the most that Redis may take for one step, in seconds.
        witness: hears what its commands meet.
        numbers: of its series.
        listing: of them, as it was last read.
    """

    namespace: str
    name: str
    terms: Terms
    keys: MetricKeys
    site: Site
    deadline: float
    witness: Witness = NO_SPAN
    numbers: Numbers = field(default_factory=Numbers)
    listing: Listing | None = None

    def ask(self, command: Command[T]) -> Flow[T]:
        """Ask Redis, within the deadline. Raises StoreError."""
        return ask(self.site.guard, command, Budget(self.site.clock, self.deadline, self.witness))

    def ask_all(self, commands: Sequence[Command[T]]) -> Flow[list[T]]:
        """Ask many things, each round trip within the deadline.

        Raises:
            StoreError: one of them could not be answered.
        """
        answers: list[Any] = []
        for some in in_parts(commands, _IN_ONE_TRIP):
            budget = Budget(self.site.clock, self.deadline, self.witness)
            results = yield from ask_all(self.site.guard, some, budget)
            for result in results:
                if isinstance(result, StoreError):
                    raise result
            answers += results
        return answers

    def intern(self, series: Collection[Labels]) -> Flow[Named]:
        """Return the numbers of series, which none of them had to have before.

        Raises:
            StoreError: Redis cannot be asked, or forgets them again and again.
        """
        for _ in range(ATTEMPTS):
            numbers = self.numbers
            found = {labels: numbers.of(labels) for labels in series}
            for some in in_parts([labels for labels, known in found.items() if known is None], _AT_ONCE):
                spelled = [spell(labels) for labels in some]
                told = yield from self.ask(
                    steps.intern(self.keys.series, spelled, epoch=numbers.epoch, most=self.terms.most)
                )
                if told.epoch != numbers.epoch:  # what was known of another one is known no more
                    self.numbers = Numbers(told.epoch)
                for labels, spelling, number in zip(some, spelled, told.numbers, strict=True):
                    found[labels] = self.numbers.learn(labels, spelling, number)
                if told.epoch != numbers.epoch and len(some) < len(found):
                    break
            else:
                return Named(self.numbers.epoch, {labels: known for labels, known in found.items() if known})
        raise lost()

    def forget(self) -> None:
        """Ask for all numbers anew: some were taken away."""
        self.numbers = Numbers()

    def shard(self, number: int) -> int:
        """Return which hash a series is in."""
        return number // self.series_in_one

    @property
    def series_in_one(self) -> int:
        """How many series are in one hash."""
        return _SHARDS.get(self.terms.kind, _SERIES_IN_ONE)

    def bucket(self, epoch: str, period: Period, shard: int, now: float) -> Bucket:
        """Return a hash, and for how long it is kept from now on, in seconds since the epoch."""
        key = self.keys.bucket(epoch, period.resolution, period.id, shard)
        return Bucket(key, self.life(period, now))

    def life(self, period: Period, now: float) -> int:
        """Return for how long a period is kept from now on, in ms; 0: for ever; NOT_KEPT: no more."""
        lasts = self.terms.lives[period.resolution]
        if lasts is None:
            return 0
        left = round((period.end * HOUR + lasts - now) * 1000)
        return left if left > 0 else NOT_KEPT

    @property
    def series_life(self) -> int:
        """For how long the series are kept after the last count, in ms; 0: for ever."""
        lives = list(self.terms.lives.values())
        most = max((life for life in lives if life is not None), default=0.0)
        return 0 if None in lives else round((most + 32 * 24 * HOUR) * 1000)


def lost() -> StoreUnavailable:
    """Return the fault of a Redis that does not keep the numbers of series."""
    return StoreUnavailable("the numbers of a metric's series are lost again and again", Fault.TRYAGAIN)


def in_parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Cut a sequence into parts."""
    return (items[at : at + size] for at in range(0, len(items), size))
