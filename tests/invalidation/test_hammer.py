"""C5 under fire: whatever threads do at once, nobody is served what was true before an acknowledged purge."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Any

import pytest

from cachepolicy import cached, close, configure, namespace
from cachepolicy.clock import SYSTEM
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.racing import APART, PATIENCE, in_colour

SECONDS = 1.0
READERS = 4


class Checker:
    """A number that only grows; a call may return what it was when the last purge before began, or later."""

    def __init__(self) -> None:
        self.now = 0
        self.acknowledged = 0
        self.broken: list[tuple[int, int]] = []
        self.calls = 0
        self._end = SYSTEM.monotonic() + SECONDS

    def is_over(self) -> bool:
        """Tell whether time is up, or a promise is broken; a slow machine takes longer to do enough."""
        late = SYSTEM.monotonic() - self._end
        is_enough = self.acknowledged > 5 and self.calls > 20
        return bool(self.broken) or late >= PATIENCE or (late >= 0 and is_enough)

    def read(self) -> int:
        """Load: what is true at the beginning, given a little later."""
        number = self.now
        for _ in range(random.randrange(200)):
            pass
        return number


@pytest.mark.parametrize("how", ["call", "key", "tag", "namespace"])
@pytest.mark.parametrize("local", APART.values(), ids=APART)
def test_c5_no_answer_is_older_than_the_last_purge(
    colour: Colour, redis_url: str, local: dict[str, Any], how: str
) -> None:
    """C5: every answer was loaded after the last invalidation that was acknowledged before the call."""
    configure(cache_policy(redis_url, db=0, local=local, redis={"deadline": "10s"}))
    checker = Checker()

    @colour.decorate(cached("answers", tags=("model",)))
    def answer(question: str, model: str) -> int:
        return checker.read()

    answers = namespace("answers")
    key = answer.key("why?", "small")
    ways = {
        "call": lambda: in_colour(colour, lambda: answer.invalidate("why?", "small")),
        "key": lambda: answers.purge_key.sync(key),
        "tag": lambda: answers.purge_tag.sync("model", "small"),
        "namespace": answers.purge_all.sync,
    }

    def ask() -> None:
        while not checker.is_over():
            floor = checker.acknowledged
            number = in_colour(colour, lambda: answer("why?", "small"))
            checker.calls += 1
            if number < floor:
                checker.broken.append((number, floor))

    def purge() -> None:
        for number in itertools.count(1):
            if checker.is_over():
                return
            checker.now = number
            ways[how]()
            checker.acknowledged = number

    threads = [threading.Thread(target=ask) for _ in range(READERS)] + [threading.Thread(target=purge)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close()
    assert checker.broken == []
    assert checker.acknowledged > 5
    assert checker.calls > 20
