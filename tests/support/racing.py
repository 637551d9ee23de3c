"""Loads and invalidations that race, one step at a time: a source of truth whose reading can be held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cachepolicy import Namespace, cached, close, configure, control, namespace
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.policies import cache_policy

PATIENCE = 10.0
QUESTION, MODEL, LABEL = "why?", "small", "made up"
APART = {
    "live": {},
    "tracking off": {"coherence": "off"},
    "pubsub": {"coherence": "pubsub"},
    "no L1": {"enabled": False},
}
"""Ways to hear of changes, as the policy's ``local`` says them."""


class Truth:
    """A number that loads return as it was when they began; one load can be held up before it returns."""

    def __init__(self) -> None:
        self.now = 0
        self.loads = 0
        self.began = threading.Event()
        self.fails: Exception | None = None
        self._held: threading.Event | None = None
        self.holding: threading.Event | None = None

    def read(self) -> int:
        """Return the number as it is now, as soon as nobody holds this up."""
        number, held, fails = self.now, self._held, self.fails
        self.loads += 1
        self._held = None
        self.began.set()
        if held is not None:
            assert held.wait(PATIENCE)
        if fails is not None:
            raise fails
        return number

    def let_go(self) -> None:
        """Hold nothing up any more, whatever became of the test."""
        if self.holding is not None:
            self.holding.set()

    def hold(self) -> threading.Event:
        """Hold the next load up until the event is set."""
        self.began.clear()
        self._held = self.holding = threading.Event()
        return self._held


def in_colour(colour: Colour, call: Callable[[], Any]) -> Any:
    """Carry out a call, and leave nothing of its loop behind; L1 stays as it is."""
    if not colour.is_async:
        return call()

    async def awaited() -> Any:
        try:
            return await call()
        finally:
            await current.current().stores.aclose()

    return asyncio.run(awaited())


@dataclass
class Race:
    """A decorated function over a truth, its namespace, and threads to call it from."""

    colour: Colour
    pool: ThreadPoolExecutor
    truth: Truth = field(default_factory=Truth)

    def __post_init__(self) -> None:
        @self.colour.decorate(cached("answers", tags=("model",)))
        def answer(question: str, model: str) -> int:
            return self.truth.read()

        self.answer: Any = answer
        self.answers: Namespace = namespace("answers")

    def ask(self, question: str = QUESTION) -> int:
        """Make the call, with a tag of the caller's, and close the connections of its loop behind it."""
        with control(tags=(LABEL,)):
            result: int = self.run(lambda: self.answer(question, MODEL))
        return result

    def ask_elsewhere(self) -> Future[int]:
        """Make the call in another thread, on a loop of its own."""
        return self.pool.submit(self.ask)

    def run(self, call: Callable[[], Any]) -> Any:
        """Carry out a verb in the function's colour."""
        return in_colour(self.colour, call)

    def overtaken(self, by: Invalidation, *, purge: bool) -> Future[int]:
        """Begin a load, change the truth, and invalidate; the load is still held up by ``release``."""
        self.release = self.truth.hold()
        load = self.ask_elsewhere()
        assert self.truth.began.wait(PATIENCE)
        self.truth.now += 1
        by(self, purge)
        return load


Invalidation = Callable[[Race, bool], None]


def _by_call(race: Race, purge: bool) -> None:
    verb = race.answer.invalidate if purge else race.answer.expire
    race.run(lambda: verb(QUESTION, MODEL))


def _by_key(race: Race, purge: bool) -> None:
    verb = race.answers.purge_key if purge else race.answers.expire_key
    key = race.answer.key(QUESTION, MODEL)
    race.run(lambda: verb(key) if race.colour.is_async else verb.sync(key))


def _by_tag(*tag: str) -> Invalidation:
    def by(race: Race, purge: bool) -> None:
        verb = race.answers.purge_tag if purge else race.answers.expire_tag
        race.run(lambda: verb(*tag) if race.colour.is_async else verb.sync(*tag))

    return by


def _by_namespace(race: Race, purge: bool) -> None:
    verb = race.answers.purge_all if purge else race.answers.expire_all
    race.run(verb if race.colour.is_async else verb.sync)


WAYS: dict[str, Invalidation] = {
    "call": _by_call,
    "key": _by_key,
    "tag": _by_tag("model", MODEL),
    "label": _by_tag(LABEL),
    "namespace": _by_namespace,
}
"""Ways to invalidate the entry of the call."""


@contextmanager
def race(colour: Colour, url: str, local: dict[str, Any], **rule: Any) -> Iterator[Race]:
    """Configure a policy, and have a race under it."""
    configure(cache_policy(url, db=0, local=local, **rule))
    with ThreadPoolExecutor(8) as pool:
        racing = Race(colour, pool)
        try:
            yield racing
        finally:
            racing.truth.let_go()
            close()


def another_process(url: str, local: dict[str, Any], **rule: Any) -> None:
    """Go on with nothing in this process's memory: what Redis holds is what another process sees."""
    configure(cache_policy(url, db=0, local=local, **rule))
