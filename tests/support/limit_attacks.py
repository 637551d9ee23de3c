"""Ways to get more out of a limit than it says, and the most that any window of time then held."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol


class Limited(Protocol):
    """One subject under one limit, and a clock."""

    def now(self) -> float:
        """Return the time in ms."""
        ...

    def wait(self, ms: float) -> None:
        """Let time pass."""
        ...

    def hit(self) -> bool:
        """Make a call; tell whether it was allowed."""
        ...


@dataclass
class Attacker:
    """Calls, and writes down when it was allowed to."""

    subject: Limited
    amount: int
    period: int
    admitted: list[float] = field(default_factory=list)

    def hit(self) -> bool:
        """Make one call."""
        at = self.subject.now()
        allowed = self.subject.hit()
        if allowed:
            self.admitted.append(at)
        return allowed

    def burst(self) -> None:
        """Call until it is refused."""
        for _ in range(3 * self.amount):
            if not self.hit():
                return

    def wait(self, share: float) -> None:
        """Let a share of the period pass."""
        self.subject.wait(share * self.period)

    def until(self, share: float) -> None:
        """Wait until so much of a period of the clock has gone by."""
        left = (share * self.period - self.subject.now()) % self.period
        self.subject.wait(left)

    def most(self) -> int:
        """Return the most calls that any window of the period's length holds, its end not included."""
        times, first, most = self.admitted, 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - self.period:
                first += 1
            most = max(most, last - first + 1)
        return most


Attack = Callable[[Attacker], None]


def greedy(attacker: Attacker) -> None:
    """Call all the time, four times as often as the limit allows."""
    for _ in range(8 * attacker.amount):
        attacker.hit()
        attacker.wait(0.25 / attacker.amount)


def around_the_edge(attacker: Attacker) -> None:
    """Call as often as possible just before the clock's period ends, and just after."""
    attacker.until(0.0)
    attacker.wait(0.94)
    attacker.burst()
    attacker.until(0.001)
    attacker.burst()


def around_the_first_call(attacker: Attacker) -> None:
    """The same for periods that begin with the first call."""
    attacker.hit()
    attacker.wait(0.94)
    attacker.burst()
    attacker.wait(0.07)
    attacker.burst()


def burst_and_follow(attacker: Attacker) -> None:
    """Use everything at once, then whatever comes free."""
    attacker.burst()
    for _ in range(3 * attacker.amount):
        attacker.wait(0.33 / attacker.amount)
        attacker.burst()


def late_burst(attacker: Attacker) -> None:
    """Use everything at the end of one period, and of the next one what a weighted count forgets."""
    attacker.until(0.0)
    attacker.wait(0.97)
    attacker.burst()
    for share in range(1, 40):
        attacker.wait(0.025 if share > 1 else 0.04)
        attacker.burst()


def late_burst_after_a_call(attacker: Attacker) -> None:
    """The same for periods that begin with the first call."""
    attacker.hit()
    attacker.wait(0.97)
    attacker.burst()
    for share in range(1, 40):
        attacker.wait(0.025 if share > 1 else 0.04)
        attacker.burst()


ATTACKS: Final[Mapping[str, Attack]] = MappingProxyType(
    {
        "greedy": greedy,
        "around the clock's edge": around_the_edge,
        "around the first call's edge": around_the_first_call,
        "a burst, then what comes free": burst_and_follow,
        "a late burst": late_burst,
        "a late burst after a call": late_burst_after_a_call,
    }
)


def at_random(seed: int) -> Attack:
    """Return an attack of bursts, single calls and pauses, made up."""
    dice = random.Random(seed)

    def attack(attacker: Attacker) -> None:
        for _ in range(60):
            match dice.randrange(3):
                case 0:
                    attacker.burst()
                case 1:
                    for _ in range(dice.randrange(attacker.amount)):
                        attacker.hit()
                case _:
                    attacker.wait(dice.choice((0.01, 0.1, 0.5, 0.94, 1.0)) * dice.random())

    return attack


def worst(subjects: Iterator[Limited], amount: int, period: int, *, randoms: int = 0) -> tuple[float, str]:
    """Return the most that any window held, over what it should hold, and by which attack.

    Args:
        subjects: fresh ones, one for each attack.
        amount: of the limit.
        period: its length in ms.
        randoms: how many attacks are made up besides.
    """
    found = []
    attacks = dict(ATTACKS) | {f"made up, {seed}": at_random(seed) for seed in range(randoms)}
    for name, attack in attacks.items():
        attacker = Attacker(next(subjects), amount, period)
        attack(attacker)
        found.append((attacker.most() / amount, name))
    return max(found, key=lambda each: each[0])


def sustained(subject: Limited, amount: int, period: int) -> float:
    """Return how much of its limit a caller gets that never stops calling, after the first periods."""
    attacker = Attacker(subject, amount, period)
    while subject.now() >= 0 and len(attacker.admitted) < 3 * amount:
        attacker.hit()
        attacker.wait(0.25 / amount)
    begin, before = subject.now(), len(attacker.admitted)
    while subject.now() < begin + 20 * period:
        attacker.hit()
        attacker.wait(0.25 / amount)
    return (len(attacker.admitted) - before) / (20 * amount)
