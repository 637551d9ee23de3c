"""Many processes, lost replies, a process that is killed: the count is the model's, whatever happens."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar, cast

import pytest

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import StoreError
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.effects import Ask, Flow, Route, Sleep
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.resilience import Budget, Guard, ask
from cachepolicy.testing.fault_proxy import FaultProxy, Fin, HalfReply, NetworkFault, Reset
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.limits import Algorithm, Limit, Part, Unit, charge, give_back, peek, refund, settle
from cachepolicy.tiers.redis_sync import RedisSync
from tests.support.limit_hammer import COSTS, LIMITS

T = TypeVar("T")
KEY = "app:limits:rate_limit:{chat:user-1}"
HOURLY = Limit(Unit.TOKENS, Algorithm.GCRA, 1000, 3_600_000_000, 1000)
PATIENCE = 5.0


@pytest.fixture
def leaf(redis_url: str) -> Iterator[RedisSync]:
    """Give a leaf that reaches the server."""
    leaf = redis_sync.connect(Place(Endpoint(redis_url, deadline=PATIENCE, connect_timeout=PATIENCE), 0))
    yield leaf
    leaf.close()


def _nothing() -> None:
    """Do nothing."""


def _ask(leaf: RedisSync, command: Command[T], when_it_fails: Callable[[], None] = _nothing) -> T:
    """Carry out a command as calls do: what may be repeated is."""
    guard = Guard(RetryRule(attempts=5), BreakerRule(failures=1000), SYSTEM, lambda: 0.0)
    flow: Flow[T] = ask(guard, command, Budget(SYSTEM, PATIENCE))
    step: Callable[[Any], Any] = flow.send
    given: Any = None
    try:
        while True:
            effect = step(given)
            step, given = flow.send, None
            match effect:
                case Ask(asked, timeout):
                    try:
                        given = leaf.execute(asked, timeout)
                    except StoreError as fault:
                        when_it_fails()
                        step, given = flow.throw, fault
                case Route():
                    given = ""
                case Sleep():
                    pass
                case _:
                    raise AssertionError(effect)
    except StopIteration as end:
        result: T = end.value
        return result


def _left(leaf: RedisSync) -> int:
    return _ask(leaf, peek([Part(KEY, [HOURLY], [0])])).rows[0].remaining


@pytest.mark.parametrize("fault", [Fin(), Reset(), HalfReply(then_close=True)])
def test_q5_a_lost_reply_is_never_applied_twice(redis_url: str, leaf: RedisSync, fault: NetworkFault) -> None:
    """Q5: where the reply is lost, the caller gets the fault, and the server has counted once, not again."""
    _ask(leaf, charge([Part(KEY, [HOURLY], [1])], reservation="r", held=60_000))
    _ask(leaf, charge([Part(KEY, [HOURLY], [100])], reservation="other", held=60_000))
    _ask(leaf, settle(KEY, [HOURLY], "unknown", [1]))
    _ask(leaf, give_back(KEY, [HOURLY], [1]))
    with FaultProxy(redis_url) as proxy:
        far = redis_sync.connect(Place(Endpoint(proxy.url, deadline=PATIENCE, connect_timeout=PATIENCE), 0))

        def heal() -> None:
            proxy.fault = None

        assert _left(far) == 900
        for command, left in (
            (charge([Part(KEY, [HOURLY], [10])]), 890),
            (charge([Part(KEY, [HOURLY], [10])], reservation="second", held=60_000), 880),
            (settle(KEY, [HOURLY], "other", [30]), 950),
            (refund(KEY, [HOURLY], "second"), 960),
            (give_back(KEY, [HOURLY], [5]), 965),
        ):
            _left(far)  # it is connected: what is lost is the reply to the command
            proxy.fault = fault
            with pytest.raises(StoreError):
                _ask(far, cast("Command[object]", command), heal)
            assert _left(leaf) == left
        assert _ask(far, settle(KEY, [HOURLY], "other", [0])) is False
        far.close()


def test_q5_looking_is_repeated(redis_url: str, leaf: RedisSync) -> None:
    """Q5: a question that writes nothing is asked again, so a lost reply costs nothing."""
    _ask(leaf, charge([Part(KEY, [HOURLY], [10])]))
    with FaultProxy(redis_url) as proxy:
        far = redis_sync.connect(Place(Endpoint(proxy.url, deadline=PATIENCE, connect_timeout=PATIENCE), 0))
        assert _left(far) == 990
        proxy.cut()
        assert _left(far) == 990
        far.close()


def _start(url: str, attempts: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.limit_hammer", url, KEY, str(attempts)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _say(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_q2_eight_processes_are_admitted_what_the_model_allows(redis_url: str, leaf: RedisSync) -> None:
    """Q2: eight processes on one subject get exactly what one caller would have got, in every count."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_start(redis_url, 400)) for _ in range(8)]
        for process in processes:
            assert _hear(process) == "ready\n"
        for process in processes:
            _say(process)
        moments = sorted(int(word) for process in processes for word in _hear(process).split())
    while (more := leaf.execute(charge([Part(KEY, LIMITS, COSTS)]), PATIENCE)).allowed:
        moments.append(more.now)
    elapsed = more.now - moments[0]
    used = 700 * len(moments)
    assert used <= 60_000 + elapsed < used + 700
    assert more.rows[2].remaining == 60_000 + elapsed - used
    assert more.rows[0].remaining == 1000 - len(moments) + elapsed * 1000 // 3_600_000
    assert [row.remaining for row in more.rows[3:]] == [60_000 - len(moments), 10**9 - len(moments)]


def test_q5_a_killed_process_takes_no_more_than_it_was_given(redis_url: str, leaf: RedisSync) -> None:
    """Q5: after ``kill -9`` each charge has been applied whole, to all limits, or not at all."""
    began = _ask(leaf, peek([Part(KEY, LIMITS, COSTS)])).now
    with ExitStack() as stack:
        processes = [stack.enter_context(_start(redis_url, 100_000)) for _ in range(2)]
        for process in processes:
            assert _hear(process) == "ready\n"
            _say(process)
        while leaf.execute(peek([Part(KEY, LIMITS, COSTS)]), PATIENCE).rows[3].remaining > 60_000 - 20:
            pass
        for process in processes:
            process.kill()
            process.wait()
    told = leaf.execute(peek([Part(KEY, LIMITS, [0] * 5)]), PATIENCE)
    rows, charges = told.rows, 60_000 - told.rows[3].remaining
    assert charges == 10**9 - rows[4].remaining >= 20
    assert 0 <= rows[0].remaining - (1000 - charges) <= (told.now - began) * 1000 // 3_600_000 + 1
