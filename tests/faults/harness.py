"""One fault, one colour: a decorated function is called before, during and after, and every call is measured.

A value names its key, so that a wrong one is seen on whichever call it comes.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

from cachepolicy import Clock, aclose, cached, close, configure, observe
from cachepolicy.flow import drive
from cachepolicy.flow.breaker import HOPELESS
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.plan import Plan
from cachepolicy.runtime import current
from cachepolicy.testing.background import Background
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisSentinel
from tests.support.colour import Colour
from tests.support.policies import PATIENT, cache_policy
from tests.support.stalls import Stalls
from tests.support.tls import TlsServer
from tests.support.waiting import block, rest

T = TypeVar("T")

DEADLINE: Final = 0.1
SLACK: Final = 0.9  # seconds that a busy machine may add to any call, beside those that it stands still
RECOVERY: Final = 2.0
OPEN: Final = "breaker_open"
OVERTAKEN: Final = "overtaken"  # another process was quicker, or the server forgot the lease: no fault
FIGURES: Final = "FAULTS_FIGURES"
"""The environment variable that names the file for the figures; without it nothing is written."""

KNOWN: Final = 12  # questions whose answers are in Redis before the fault
PAYING: Final = 12  # calls under the fault that reach for Redis
REFUSED: Final = 200  # calls under the fault that the breaker answers
MENDING: Final = 37.0  # seconds after which the breaker looks whether an operator has mended it

SHIPPED: Final[Mapping[str, Any]] = {"deadline": "100ms", "connect_timeout": "250ms"}
"""What a policy has that says nothing of it: of the figures, and of rows whose fault is one of time."""

QUICK: Final[Mapping[str, Any]] = {"breaker": {"open_for": "250ms"}}
"""The figures are those of the shipped policy; a test need not wait as long."""


class Told(NamedTuple):
    """One call: how it went, when it began, and how long it took."""

    right: bool
    began: float
    took: float
    fault: str | None


@dataclass(slots=True)
class Jumping:
    """A clock that runs, and that a test can make jump; each reading by itself."""

    monotonic: float = 0.0
    wall: float = 0.0
    clock: Clock = field(init=False)
    _now: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.clock = Clock(lambda: self._now() + self.monotonic, lambda: time.time() + self.wall)

    def stand_still(self) -> None:
        """Have the monotonic reading run no more; it may still jump."""
        now = self._now()
        self._now = lambda: now


class Rig:
    """A decorated function under a policy, called in one colour; ``async def`` has one loop throughout."""

    def __init__(self, colour: Colour, url: str, redis: Mapping[str, Any] | None = None, **rule: Any) -> None:
        self.time = Jumping()
        self.stalls = Stalls()
        self.size = 40  # times that an answer is repeated
        self._numbers = count()
        self._colour = colour
        self._loop = Background("faults") if colour.is_async else None
        usual = SHIPPED if FIGURES in os.environ else {**PATIENT, **QUICK}
        policy = cache_policy(
            url,
            redis={**usual, **(redis or {})},
            **{"local": {"enabled": False}} | rule,
        )
        configure(policy, clock=self.time.clock)

        @colour.decorate(cached("answers"))
        def answer(question: str) -> str:
            return self.right(question)

        self.answer: Any = answer

    def right(self, question: str) -> str:
        """Return what the function answers."""
        return f"answer to {question}; " * self.size

    def ask(self, question: str) -> Told:
        """Call once."""
        if self._loop is not None:
            return self._loop.run(self._aask(question))
        with observe() as seen:
            began = time.perf_counter()
            value = self.answer(question)
            took = time.perf_counter() - began
        return Told(value == self.right(question), began, took, seen[0].fault)

    def new(self) -> Told:
        """Ask what was never asked before."""
        return self.ask(f"new {next(self._numbers)}")

    def known(self) -> Told:
        """Ask what was asked before the fault."""
        return self.ask(f"known {next(self._numbers) % KNOWN}")

    def fill(self) -> list[Told]:
        """Have answers in Redis; a busy machine may let a call run out of time, and then it is made again."""
        asking = [partial(self.ask, f"known {number}") for number in range(KNOWN)]
        return [one for ask in asking for one in self.until_well(ask)]

    def all_known(self) -> list[Told]:
        """Ask all that was asked before the fault."""
        return [self.ask(f"known {number}") for number in range(KNOWN)]

    def until_well(self, ask: Callable[[], Told]) -> list[Told]:
        """Call until nothing is wrong with a call; return all, that one included."""
        told = [ask()]
        began = time.perf_counter()
        while told[-1].fault is not None:
            assert time.perf_counter() - began < 20, f"never well: {told[-1]}"
            block(0.002)
            told.append(ask())
        return told

    @contextmanager
    def load(self, told: list[Told], workers: int = 8) -> Iterator[None]:
        """Have threads, or tasks, call all the time."""
        ended = threading.Event()
        if self._loop is not None:
            done = ThreadPoolExecutor(1)
            work = done.submit(self._loop.run, self._aload(told, workers, ended))
            running = [work]
        else:
            done = ThreadPoolExecutor(workers)
            running = [done.submit(self._load, told, ended) for _ in range(workers)]
        with done:
            try:
                yield
            finally:
                ended.set()
            for each in running:
                each.result()

    def flow(self, flow: Flow[T]) -> T:
        """Drive a flow against the function's Redis, as a decorated call of this colour does."""
        stores, site = current.current().stores, self.plan.site
        if self._loop is None:
            return drive.run(flow, stores.sync_io(site))

        async def driven() -> T:
            return await drive.arun(flow, stores.async_io(site))

        return self._loop.run(driven())

    @property
    def plan(self) -> Plan:
        """The function's plan; it is there after the first call."""
        (plan,) = current.current()._plans
        return plan

    @property
    def counted(self) -> Counter[str]:
        """The errors that were counted so far."""
        return Counter(self.plan.counters.errors) if len(current.current()._plans) else Counter()

    def took(self, told: Sequence[Told]) -> list[float]:
        """Return how long calls took; for the figures, all of it."""
        if FIGURES in os.environ:
            return [one.took for one in told]
        return [one.took - self.stalls.within(one.began, one.began + one.took) for one in told]

    def close(self) -> None:
        """Close the connections, and the loop."""
        self.stalls.close()
        if self._loop is None:
            close()
        else:
            self._loop.run(aclose())
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _load(self, told: list[Told], ended: threading.Event) -> None:
        while not ended.is_set():
            told += self.known(), self.new()
            block(0.001)

    async def _aload(self, told: list[Told], workers: int, ended: threading.Event) -> None:
        import asyncio

        async def work() -> None:
            while not ended.is_set():
                told.append(await self._aask(f"known {next(self._numbers) % KNOWN}"))
                told.append(await self._aask(f"new {next(self._numbers)}"))
                await rest(0.001)

        await asyncio.gather(*(work() for _ in range(workers)))

    async def _aask(self, question: str) -> Told:
        with observe() as seen:
            began = time.perf_counter()
            value = await self.answer(question)
            took = time.perf_counter() - began
        return Told(value == self.right(question), began, took, seen[0].fault)


@dataclass(slots=True)
class Scene:
    """Where a row plays: an address, and what begins and ends the fault.

    Attributes:
        url: for the policy.
        begin: the fault is there when it returns.
        end: all is well again when it returns.
        redis: for the policy's ``redis``.
        rule: for the namespace.
    """

    url: str
    begin: Callable[[Rig], object]
    end: Callable[[Rig], object]
    redis: Mapping[str, Any] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)


class Servers(NamedTuple):
    """The servers that the whole run shares, those of them that a group of rows needs."""

    redis: RedisServer
    tls: TlsServer | None = None
    sentinel: RedisSentinel | None = None

    @property
    def url(self) -> str:
        """The address of the Redis, emptied."""
        self.redis.command("FLUSHALL")
        return self.redis.url


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the fault matrix.

    Attributes:
        name: as in the table.
        scene: makes its servers, and ends them.
        counted: the names that errors may be counted under; at least one is.
        heals: nothing need be counted: the fault may go unnoticed, or a call mends it.
        at_start: it is there before the first call.
        hopeless: only an operator mends it, so the breaker looks after half a minute.
        busy: threads or tasks call while it begins and ends.
    """

    name: str
    scene: Callable[[Servers], AbstractContextManager[Scene]]
    counted: frozenset[str]
    heals: bool = False
    at_start: bool = False
    hopeless: bool = False
    busy: bool = False


@dataclass(slots=True)
class Figures:
    """What was measured; times in seconds."""

    group: str
    row: str
    colour: str
    calls: int = 0
    unchanged: bool = False
    wrong: int = 0
    paid: list[float] = field(default_factory=list)  # p50 and max of calls that reached for Redis
    refused: list[float] = field(default_factory=list)  # of calls that the breaker kept from it
    counted: list[str] = field(default_factory=list)
    recovery: float | None = None
    note: str = ""

    def publish(self) -> None:
        """Append to the file of figures, where one is asked for."""
        if FIGURES in os.environ:
            with Path(os.environ[FIGURES]).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self)) + "\n")


def measure(group: str, row: Row, colour: Colour, servers: Servers) -> Figures:
    """Play a row in one colour; measure."""
    figures = Figures(group, row.name, colour_name(colour))
    of_time = SHIPPED if "timeout" in row.counted else {}
    with (
        row.scene(servers) as scene,
        Rig(colour, scene.url, {**of_time, **scene.redis}, **scene.rule) as rig,
    ):
        told: list[Told] = []
        if not row.at_start:
            told += rig.fill()
        before = rig.counted
        start = len(told)
        if row.busy:
            ended, began = _under_load(rig, scene, told)
        else:
            scene.begin(rig)
            told += _call(rig)
            scene.end(rig)
            ended, began = len(told), time.perf_counter()
        if row.hopeless:
            rig.time.monotonic += MENDING
        told += rig.until_well(rig.new)
        (figures.recovery,) = rig.took(
            [Told(right=True, began=began, took=told[-1].began - began, fault=None)]
        )
        told += rig.all_known()
        counted = rig.counted - before
        summarize(figures, rig, told, told[start:ended], counted)
    return figures


def summarize(
    figures: Figures, rig: Rig, told: list[Told], under: list[Told], counted: Mapping[str, int]
) -> None:
    """Fill in what calls tell."""
    figures.calls = len(told)
    figures.wrong = sum(not one.right for one in told)
    figures.unchanged = figures.wrong == 0
    figures.paid = spread(rig.took([one for one in under if one.fault not in {OPEN, None}] or under))
    figures.refused = spread(rig.took([one for one in under if one.fault == OPEN]))
    figures.counted = sorted(set(counted) - {OPEN, OVERTAKEN})
    if HOPELESS.intersection(figures.counted):
        figures.note = "after the breaker's pause of 30 to 36 s"
    told_faults = {one.fault for one in told if one.fault is not None}
    assert told_faults <= set(counted), "a fault was told and not counted"


def judge(row: Row, figures: Figures) -> None:
    """Hold what was measured against what is promised."""
    assert figures.wrong == 0
    assert set(figures.counted) <= row.counted
    assert figures.counted or row.heals
    assert figures.paid[1] <= DEADLINE + SLACK
    if figures.refused:
        assert figures.refused[0] <= 0.02
        assert figures.refused[1] <= DEADLINE + SLACK
    assert figures.recovery is not None
    assert figures.recovery <= RECOVERY


def spread(took: list[float]) -> list[float]:
    """Return the median and the longest; nothing of nothing."""
    took = sorted(took)
    return [took[len(took) // 2], took[-1]] if took else []


def colour_name(colour: Colour) -> str:
    """Say which colour, as a reader would."""
    return "async def" if colour.is_async else "def"


def _call(rig: Rig) -> list[Told]:
    """Call until enough has been paid, and the breaker has refused enough, if it does."""
    told: list[Told] = []
    paying = refused = 0
    while paying < PAYING:
        one = rig.known() if len(told) % 2 else rig.new()
        told.append(one)
        refused += one.fault == OPEN
        paying += one.fault != OPEN
        if refused >= REFUSED:
            break
    return told


def _under_load(rig: Rig, scene: Scene, told: list[Told]) -> tuple[int, float]:
    """Return how many calls were made until the end of the fault, and when that was."""
    with rig.load(told):
        block(0.1)
        scene.begin(rig)
        block(0.5)
        scene.end(rig)
        return len(told), time.perf_counter()
