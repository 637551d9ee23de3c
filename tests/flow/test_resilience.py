"""The one layer between a flow and Redis: what is tried again, what is not, and when nothing is tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachepolicy.clock import ManualClock
from cachepolicy.errors import Fault, StoreError, StoreUnavailable
from cachepolicy.flow.breaker import Breaker, BreakerRule
from cachepolicy.flow.effects import Ask, Flow, Route, Sleep
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.resilience import Budget, Guard, ask
from cachepolicy.tiers.commands import Command, Repeat, head, put
from cachepolicy.tiers.scripts import Script

DEADLINE = 0.1


class Redis:
    """Answers a flow's effects; ``faults`` come first, each taking ``takes`` of the time it is given."""

    def __init__(self, *faults: Fault | None, sent: bool = True, takes: float = 0.0) -> None:
        self.time = ManualClock()
        self.faults = list(faults)
        self.sent = sent
        self.takes = takes
        self.asked: list[tuple[str, float]] = []
        self.slept: list[float] = []
        self.guard = self.guarded()

    def guarded(self, retry: RetryRule | None = None, **rule: Any) -> Guard:
        self.guard = Guard(retry or RetryRule(), BreakerRule(**rule), self.time.clock, lambda: 0.5)
        return self.guard

    def run(self, command: Command[Any], deadline: float = DEADLINE) -> Any:
        return self.drive(ask(self.guard, command, Budget(self.time.clock, deadline)))

    def drive(self, flow: Flow[Any]) -> Any:
        result: object = None
        error: StoreError | None = None
        try:
            while True:
                effect = flow.send(result) if error is None else flow.throw(error)
                result, error = None, None
                match effect:
                    case Ask(command, timeout):
                        self.asked.append((str(command.words[0]), timeout))
                        self.time.advance(timeout * self.takes)
                        fault = self.faults.pop(0) if self.faults else None
                        if fault is not None:
                            error = StoreUnavailable(fault, fault, sent=self.sent)
                        else:
                            result = b"value"
                    case Sleep(seconds):
                        self.slept.append(seconds)
                        self.time.advance(seconds)
                    case Route(key):
                        result = key
                    case _:
                        raise AssertionError(effect)
        except StopIteration as end:
            return end.value


def _count() -> Command[Any]:
    return Command(("INCR", "key"), "key", lambda reply: reply, Repeat.ONCE)


def test_what_succeeds_is_asked_once() -> None:
    """Without a failure there is one attempt and no pause."""
    redis = Redis()
    assert redis.run(head("key")) == b"value"
    assert len(redis.asked) == 1
    assert redis.slept == []


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.TIMEOUT, Fault.PROTOCOL, Fault.READONLY, Fault.TRYAGAIN])
@pytest.mark.parametrize("command", [head("key"), put("key", b"value", 60)], ids=["read", "write"])
def test_what_may_be_repeated_is_tried_once_more(fault: Fault, command: Command[Any]) -> None:
    """A read or an idempotent write is tried again after a fault that another connection may not have."""
    redis = Redis(fault)
    assert redis.run(command) == b"value"
    assert len(redis.asked) == 2
    assert 0 <= redis.slept[0] <= 0.01


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.TIMEOUT, Fault.PROTOCOL])
def test_q5_a_counter_that_may_have_counted_is_not_repeated(fault: Fault) -> None:
    """Q5: a command that counts is never sent twice when the first may have been carried out."""
    redis = Redis(fault)
    with pytest.raises(StoreError) as failed:
        redis.run(_count())
    assert failed.value.fault is fault
    assert len(redis.asked) == 1


@pytest.mark.parametrize("fault", [Fault.LOST, Fault.REFUSED, Fault.TIMEOUT])
def test_q5_a_counter_that_was_never_sent_is_tried_again(fault: Fault) -> None:
    """Q5: what never left this process cannot have counted."""
    redis = Redis(fault, sent=False)
    assert redis.run(_count()) == b"value"
    assert len(redis.asked) == 2


@pytest.mark.parametrize(
    "fault",
    sorted(set(Fault) - {Fault.LOST, Fault.TIMEOUT, Fault.PROTOCOL, Fault.READONLY, Fault.TRYAGAIN}),
)
def test_what_would_fail_again_is_not_repeated(fault: Fault) -> None:
    """A refusal that stands is told at once: asking again costs time and mends nothing."""
    redis = Redis(fault)
    with pytest.raises(StoreError):
        redis.run(head("key"))
    assert len(redis.asked) == 1


def test_timeouts_are_not_repeated_where_the_policy_says_so() -> None:
    """``retry.on_timeout: false``: one attempt, with all of the time."""
    redis = Redis(Fault.TIMEOUT)
    redis.guarded(RetryRule(on_timeout=False))
    with pytest.raises(StoreError):
        redis.run(head("key"))
    assert redis.asked == [("GETRANGE", DEADLINE)]


def test_c2_all_attempts_share_one_deadline() -> None:
    """C2: two attempts that both time out, and the pause between them, take no longer than the deadline."""
    redis = Redis(Fault.TIMEOUT, Fault.TIMEOUT, takes=1.0)
    began = redis.time.now_monotonic
    with pytest.raises(StoreError):
        redis.run(head("key"))
    assert len(redis.asked) == 2
    assert redis.time.now_monotonic - began <= DEADLINE + 1e-9


def test_a_counter_has_all_the_time_for_its_one_attempt() -> None:
    """What cannot be repeated need not leave time for a second attempt."""
    redis = Redis()
    redis.run(_count())
    assert redis.asked == [("INCR", DEADLINE)]


def test_a_spent_deadline_asks_nothing() -> None:
    """Where the call's time for Redis is over, Redis is not asked and the breaker is not blamed."""
    redis = Redis()
    with pytest.raises(StoreError) as spent:
        redis.run(head("key"), deadline=0.0)
    assert spent.value.fault is Fault.TIMEOUT
    assert not spent.value.sent
    assert redis.asked == []
    assert redis.guard.sole.calls == 0


def test_retries_keep_to_their_budget() -> None:
    """However much fails, retries stay a share of the commands: an outage does not double the load."""
    redis = Redis(*[Fault.LOST] * 10_000)
    redis.guarded(RetryRule(budget=0.2), failures=10**6)
    for _ in range(1000):
        with pytest.raises(StoreError):
            redis.run(head("key"))
    assert 200 <= redis.guard.retries <= 220
    assert len(redis.asked) == 1000 + redis.guard.retries


def test_no_budget_is_no_retry() -> None:
    """``retry.budget: 0%`` turns retries off."""
    redis = Redis(Fault.LOST)
    redis.guarded(RetryRule(budget=0.0))
    with pytest.raises(StoreError):
        redis.run(head("key"))
    assert len(redis.asked) == 1


def test_a_script_that_is_not_known_is_brought_along() -> None:
    """NOSCRIPT, after a restart or a flush: the script itself is sent, once, also for one that counts."""
    redis = Redis(Fault.NOSCRIPT)
    call = Script("return 1").call(["key"], [], lambda reply: reply)
    assert redis.run(call) == b"value"
    assert [word for word, _ in redis.asked] == ["EVALSHA", "EVAL"]


def test_a_script_is_brought_along_to_the_next_server_too() -> None:
    """A failover: the attempt after a lost connection meets a master that does not know the script."""
    redis = Redis(Fault.LOST, Fault.NOSCRIPT)
    call = Script("return 1").call(["key"], [], lambda reply: reply, Repeat.WRITE)
    assert redis.run(call) == b"value"
    assert [word for word, _ in redis.asked] == ["EVALSHA", "EVALSHA", "EVAL"]


def test_an_open_breaker_asks_nothing() -> None:
    """C2: five failures in a second open the breaker; while it is open nothing is asked."""
    redis = Redis(*[Fault.REFUSED] * 5)
    redis.guarded(RetryRule(attempts=1))
    for _ in range(5):
        with pytest.raises(StoreError):
            redis.run(head("key"))
    with pytest.raises(StoreError) as refused:
        redis.run(head("key"))
    assert refused.value.fault is Fault.OPEN
    assert not refused.value.sent
    assert len(redis.asked) == 5


def test_one_probe_closes_the_breaker() -> None:
    """After ``open_for``, and a little by chance, one command may look; answered, it lets all others go."""
    redis = Redis(*[Fault.REFUSED] * 5)
    redis.guarded(RetryRule(attempts=1))
    for _ in range(5):
        with pytest.raises(StoreError):
            redis.run(head("key"))
    redis.time.advance(1.0)
    with pytest.raises(StoreError):
        redis.run(head("key"))  # the spread is not over
    redis.time.advance(0.11)
    probe = ask(redis.guard, head("key"), Budget(redis.time.clock, DEADLINE))
    assert isinstance(next(probe), Ask)
    with pytest.raises(StoreError) as other:
        redis.run(head("key"))
    assert other.value.fault is Fault.OPEN
    with pytest.raises(StopIteration):
        probe.send(b"value")
    assert redis.run(head("key")) == b"value"


def test_a_cancelled_probe_leaves_it_to_another() -> None:
    """A probe whose caller was cancelled does not keep the breaker open for ever."""
    redis = Redis(*[Fault.REFUSED] * 5)
    redis.guarded(RetryRule(attempts=1))
    for _ in range(5):
        with pytest.raises(StoreError):
            redis.run(head("key"))
    redis.time.advance(1.2)
    probe = ask(redis.guard, head("key"), Budget(redis.time.clock, DEADLINE))
    next(probe)
    with pytest.raises(KeyboardInterrupt):
        probe.throw(KeyboardInterrupt())
    assert redis.run(head("key")) == b"value"


def test_a_failed_probe_opens_it_again() -> None:
    """A probe that fails costs another ``open_for``, and is not repeated."""
    redis = Redis(*[Fault.REFUSED] * 6)
    redis.guarded(RetryRule(attempts=1))
    for _ in range(5):
        with pytest.raises(StoreError):
            redis.run(head("key"))
    redis.time.advance(1.2)
    with pytest.raises(StoreError) as probed:
        redis.run(head("key"))
    assert probed.value.fault is Fault.REFUSED
    redis.time.advance(0.9)
    with pytest.raises(StoreError) as still:
        redis.run(head("key"))
    assert still.value.fault is Fault.OPEN
    redis.time.advance(0.3)
    assert redis.run(head("key")) == b"value"


@pytest.mark.parametrize("fault", [Fault.AUTH, Fault.TLS, Fault.DATABASE])
def test_what_only_an_operator_mends_is_asked_once(fault: Fault) -> None:
    """A wrong password opens the breaker at the first refusal, and for long: one AUTH per report."""
    redis = Redis(fault)
    with pytest.raises(StoreError):
        redis.run(head("key"))
    redis.time.advance(29)
    with pytest.raises(StoreError) as refused:
        redis.run(head("key"))
    assert refused.value.fault is Fault.OPEN
    assert len(redis.asked) == 1
    redis.time.advance(8)
    assert redis.run(head("key")) == b"value"


@pytest.mark.parametrize("fault", [Fault.OOM, Fault.READONLY, Fault.WRONGTYPE, Fault.FORBIDDEN, Fault.ERROR])
def test_a_server_that_answers_is_not_left_alone(fault: Fault) -> None:
    """What is refused for a reason says nothing about the next command: the breaker stays closed."""
    redis = Redis(*[fault] * 100)
    for _ in range(40):
        with pytest.raises(StoreError):
            redis.run(_count())
    assert not redis.guard.sole.is_open


def test_a_few_failures_among_many_calls_do_not_open_it() -> None:
    """Five timeouts among thousands of answers are no outage."""
    redis = Redis(*[fault for _ in range(20) for fault in (Fault.TIMEOUT, *[None] * 50)])
    redis.guarded(RetryRule(attempts=1))
    for _ in range(1000):
        try:
            redis.run(head("key"))
        except StoreError as error:
            assert error.fault is Fault.TIMEOUT  # noqa: PT017 - some fail, and only so
    assert not redis.guard.sole.is_open


def test_failures_far_apart_do_not_open_it() -> None:
    """Failures count within the window only."""
    redis = Redis(*[Fault.TIMEOUT] * 20)
    redis.guarded(RetryRule(attempts=1))
    for _ in range(20):
        with pytest.raises(StoreError):
            redis.run(head("key"))
        redis.time.advance(0.3)
    assert not redis.guard.sole.is_open


def test_each_server_of_a_cluster_has_a_breaker() -> None:
    """Where keys are spread, a dead server is left alone and the others are not."""
    redis = Redis(*[Fault.REFUSED] * 5)
    guard = redis.guarded(RetryRule(attempts=1))
    guard.routed = True
    for _ in range(5):
        with pytest.raises(StoreError):
            redis.run(head("dead"))
    with pytest.raises(StoreError) as refused:
        redis.run(head("dead"))
    assert refused.value.fault is Fault.OPEN
    assert redis.run(head("alive")) == b"value"


def test_a_probe_that_a_fork_left_behind_is_forgotten() -> None:
    """A child that was forked while the parent probed may probe itself."""
    time = ManualClock()
    breaker = Breaker(BreakerRule(failures=1), time.clock, lambda: 0.0)
    breaker.calls = 1
    breaker.failed(Fault.REFUSED)
    time.advance(1)
    assert breaker.admits()
    assert not breaker.admits()
    breaker.after_fork()
    assert breaker.admits()


@pytest.mark.parametrize("make", [lambda: None, lambda: Fault.LOST])
def test_tenacity_is_loaded_after_a_first_failure_only(
    make: Callable[[], Fault | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that succeeds never enters tenacity."""
    import tenacity

    entered: list[object] = []
    whole = tenacity.Retrying.begin

    def begin(retrying: tenacity.Retrying) -> None:
        entered.append(retrying)
        whole(retrying)

    monkeypatch.setattr(tenacity.Retrying, "begin", begin)
    redis = Redis(make())
    redis.run(head("key"))
    assert len(entered) == (make() is not None)
