"""Ten thousand random histories, each call of which Redis must answer as exact fractions and dates do."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.limits import (
    Algorithm,
    Limit,
    Part,
    Unit,
    charge,
    give_back,
    peek,
    refund,
    reset,
    settle,
)
from tests.support.limit_model import Subject
from tests.support.limit_store import ScriptedClock, Store
from tests.tiers.store_contract import PATIENCE
from tests.tiers.test_stores import Sync

HISTORIES = 10_000
STEPS = 12
LARGEST = 2**53 - 1
PERIODS = (1, 7, 1_000, 1_500, 10_000, 60_000, 3_600_000, 86_400_000, 604_800_000)
LENGTHS = {"hour": 3_600_000, "day": 86_400_000, "month": 31 * 86_400_000}


def _amount(rng: random.Random, period: int) -> int:
    largest = LARGEST // period
    return rng.choice([1, 2, 3, 7, 100, rng.randint(1, 1000), rng.randint(1, largest), largest])


def _limit(rng: random.Random, unit: Unit, algorithm: Algorithm) -> Limit:
    currency = "EUR" if unit is Unit.MONEY else ""
    if algorithm is Algorithm.CALENDAR:
        kind = rng.choice(list(LENGTHS))
        amount = _amount(rng, LENGTHS[kind])
        return Limit(unit, algorithm, amount, LENGTHS[kind], calendar=kind, currency=currency)
    period = rng.choice(PERIODS)
    amount = _amount(rng, max(period, 1_000) if algorithm is Algorithm.WINDOW else period)
    if algorithm is Algorithm.WINDOW:
        return Limit(unit, algorithm, amount, period, buckets=rng.choice([2, 3, 6, 20]), currency=currency)
    return Limit(unit, algorithm, amount, period, rng.randint(1, amount), currency=currency)


def _limits(rng: random.Random, algorithm: Algorithm) -> list[Limit]:
    named = {limit.name: limit for limit in (_limit(rng, rng.choice(list(Unit)), algorithm) for _ in "123")}
    return list(named.values())[: rng.randint(1, 3)]


def _cost(rng: random.Random, limit: Limit) -> int:
    most = limit.burst or limit.amount
    return rng.choice([0, 1, 1, rng.randint(0, most), most, rng.randint(0, max(1, most // 3)), most + 1])


def _pause(rng: random.Random, limits: list[Limit]) -> int:
    period = rng.choice(limits).period
    kind = rng.random()
    if kind < 0.05:
        return -rng.randint(1, period)  # the clock is set back
    if kind < 0.3:
        return 0
    return rng.choice(
        [1, rng.randint(0, period // 20 + 1), rng.randint(0, period), rng.randint(0, 3 * period)]
    )


class _History:
    """What is asked of Redis, and what the model says to it."""

    def __init__(self, number: int, clock: ScriptedClock) -> None:
        rng = self.rng = random.Random(number)
        self.key = f"app:limits:rate_limit:{{rule:{number}}}"
        self.model = Subject()
        self.asked: list[Command[Any]] = []
        self.told: list[Any] = []
        self.clock = clock
        self.now = rng.randint(0, 2 * 10**12)
        self.algorithm = list(Algorithm)[number % 3]
        self.limits = _limits(rng, self.algorithm)
        self.reserved: list[str] = []
        self.made = 0
        for _ in range(STEPS):
            self._step()

    def _ask(self, command: Command[Any], told: Any) -> None:
        self.asked += (self.clock.at(self.now), command)
        self.told += (None, told)

    def _step(self) -> None:
        rng, key, now = self.rng, self.key, self.now
        limits = self.limits
        costs = [_cost(rng, limit) for limit in limits]
        part = [Part(key, limits, costs)]
        kind = rng.random()
        if kind < 0.4:
            self.made = max(self.made, now)
            self._ask(charge(part), self.model.charge(now, limits, costs))
        elif kind < 0.55:
            wait = rng.randint(1, 3 * max(limit.period for limit in limits))
            self._ask(charge(part, most_wait=wait), self.model.charge(now, limits, costs, wait))
        elif kind < 0.65:
            self._ask(peek(part), self.model.peek(now, limits, costs))
        elif kind < 0.75:
            name = str(len(self.told))
            self.reserved.append(name)
            wait = rng.choice([0, limits[0].period])
            told = self.model.charge(now, limits, costs, wait, reservation=name)
            self._ask(charge(part, most_wait=wait, reservation=name, held=3_600_000), told)
        elif kind < 0.85 and self.reserved:
            name = rng.choice(self.reserved)
            if rng.random() < 0.3:
                costs = [0] * len(limits)
                self._ask(refund(key, limits, name), self.model.settle(now, limits, name, costs))
            else:
                self._ask(settle(key, limits, name, costs), self.model.settle(now, limits, name, costs))
        elif kind < 0.93:
            made = rng.choice([0, self.made])
            self.model.give_back(now, limits, costs, made)
            self._ask(give_back(key, limits, costs, made=made), None)
        elif kind < 0.98:
            self.limits = _limits(rng, self.algorithm)
        else:
            self._ask(reset(key), self.model.reset())
        self.now = max(0, now + _pause(rng, self.limits))


def _compare(store: Store, clock: ScriptedClock, numbers: range) -> None:
    known = Limit(Unit.REQUESTS, Algorithm.GCRA, 1, 1000, 1)
    store.do(charge([Part("known", [known], [1])]))
    store.do(settle("known", [known], "none", [0]))
    store.do(give_back("unknown", [known], [0]))
    for first in range(numbers.start, numbers.stop, 50):
        histories = [_History(number, clock) for number in range(first, first + 50)]
        replies = iter(store.all(*[command for history in histories for command in history.asked]))
        for number, history in enumerate(histories, first):
            for at, told in enumerate(history.told):
                reply = next(replies)
                assert told == reply, f"history {number}, step {at}: {history.limits}"


def test_q2_ten_thousand_histories_are_exact(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Q2: no reply differs from exact arithmetic by a unit or a ms, whatever is asked and the clock does."""
    leaf = redis_sync.connect(Place(Endpoint(redis_url, deadline=PATIENCE, connect_timeout=PATIENCE), 0))
    store = Store(Sync(leaf))
    _compare(store, ScriptedClock(monkeypatch, store), range(HISTORIES))
    leaf.close()


def test_q2_every_store_reckons_alike(store: Store, clock: ScriptedClock) -> None:
    """Q2: Redis, Valkey and the server in memory answer the same, though they come with Luas of their own."""
    _compare(store, clock, range(HISTORIES, HISTORIES + 150))
