"""Limits when Redis is out: as the rule says, told in the decision, counted once, and never twice (Q5)."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from cachepolicy import RateLimiter, RateLimitExceeded, StoreError, close, configure, rate_limited
from cachepolicy.runtime import current
from cachepolicy.testing.fault_proxy import FaultProxy, Fin, HalfReply, Refuse, Reset
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.scripted import Scripted
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.limiting import Asked, denials, limits_policy

NOBODY = "redis://127.0.0.1:1"
CHAT = {"by": "user", "requests": "10/hour", "tokens": "1000/day"}


@pytest.fixture
def asked(colour: Colour) -> Asked:
    """Ask in each colour."""
    return Asked(colour)


def _configure(url: str, **fields: Any) -> None:
    configure(limits_policy(url, **fields))


def _decorated(asked: Asked, **options: Any) -> Any:
    @asked.colour.decorate(rate_limited("chat", **options))
    def answer(user: str) -> str:
        return "done"

    return answer


def test_allow_lets_calls_pass(asked: Asked) -> None:
    """``on_fault: allow``: every call passes; a decision says that nobody counted."""
    _configure(NOBODY, on_fault="allow", rules={"chat": {**CHAT, "requests": "1/hour"}})
    assert denials(asked.all(*[partial(_decorated(asked), "a")] * 3)) == [False] * 3
    told = asked.verb(RateLimiter().check, "chat", "a")
    assert (told.allowed, told.degraded, told.states, told.limit) == (True, True, (), None)


def test_deny_refuses_calls(asked: Asked) -> None:
    """``on_fault: deny``: no call passes; the error says why, and when to come back."""
    _configure(NOBODY, on_fault="deny", rules={"chat": CHAT})
    (denied,) = asked.all(partial(_decorated(asked), "a"))
    assert isinstance(denied, RateLimitExceeded)
    assert denied.degraded
    assert denied.retry_after == 1.0  # redis.breaker.open_for
    assert "on_fault: deny" in str(denied)
    told = asked.verb(RateLimiter().check, "chat", "a")
    assert (told.allowed, told.degraded, told.retry_after) == (False, True, 1.0)


def test_local_counts_a_share_in_this_process(asked: Asked) -> None:
    """``on_fault: local``: each of so many replicas lets its share pass, all of them the whole."""
    _configure(NOBODY, on_fault="local", replicas=2, rules={"chat": CHAT})
    check = partial(asked.begun, RateLimiter().check, "chat", "a")
    outcomes = asked.all(*[check] * 7)
    assert [told.allowed for told in outcomes] == [True] * 5 + [False] * 2
    assert all(told.degraded for told in outcomes)
    assert denials(asked.all(*[partial(_decorated(asked), "b")] * 6)) == [False] * 5 + [True]


def test_a_rule_says_it_for_itself(asked: Asked) -> None:
    """A rule's own ``on_fault`` comes before the namespace's; where one of several refuses, none counts."""
    rules = {
        "chat": {**CHAT, "requests": "1/hour"},
        "ip": {"by": "user", "requests": "1/hour", "on_fault": "deny"},
        "free": {"by": "user", "requests": "1/hour", "on_fault": "allow"},
    }
    _configure(NOBODY, on_fault="local", rules=rules)
    limiter = RateLimiter()
    together = partial(asked.begun, limiter.check_all, [("chat", "a"), ("ip", "a")])
    assert [told.rule for told in asked.all(together)[0] if not told.allowed] == ["ip"]
    alone = partial(asked.begun, limiter.check_all, [("chat", "a"), ("free", "a")])
    assert [[told.allowed for told in each] for each in asked.all(alone, alone)] == [
        [True, True],
        [False, True],
    ]


def test_reserved_tokens_are_settled_here_too(asked: Asked) -> None:
    """While each process counts for itself, what an answer took replaces its estimate here."""
    _configure(NOBODY, on_fault="local", rules={"chat": {"by": "user", "tokens": "1000/day"}})

    @asked.colour.decorate(rate_limited("chat", tokens=900))
    def answer(user: str) -> Any:
        return {"usage": {"prompt_tokens": 60, "completion_tokens": 40}}

    assert denials(asked.all(*[partial(answer, "a")] * 3)) == [False, False, True]
    assert asked.verb(RateLimiter().check, "chat", "a", tokens=800).allowed


def test_places_are_counted_here_too(asked: Asked) -> None:
    """While Redis is out, a process lets its share of calls run at once, and they leave."""
    _configure(NOBODY, on_fault="local", replicas=2, rules={"chat": {"by": "user", "concurrency": 4}})
    limiter = RateLimiter()
    with limiter.acquire("chat", "a"), limiter.acquire("chat", "a"):
        with pytest.raises(RateLimitExceeded) as denied:
            limiter.acquire("chat", "a").sync()
        assert denied.value.degraded
    assert denials(asked.all(*[partial(_decorated(asked), "a")] * 5)) == [False] * 5


def test_what_must_be_known_is_an_error(asked: Asked) -> None:
    """``peek``, ``reset`` and overrides have nothing to say in Redis' stead: they raise StoreError."""
    _configure(NOBODY, rules={"chat": {**CHAT, "overrides": True}})
    limiter = RateLimiter()
    for verb, args in (
        (limiter.peek, ()),
        (limiter.reset, ()),
        (limiter.get_override, ()),
        (limiter.set_override, ({"requests 10/hour": 20},)),
    ):
        with pytest.raises(StoreError):
            asked.verb(verb, "chat", "a", *args)


def test_faults_are_counted_and_logged_once(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    """A fault on every call is one line of the log, that names no subject, and as many counts."""
    _configure(NOBODY, on_fault="local", rules={"chat": CHAT})
    check = partial(asked.begun, RateLimiter().check, "chat", "canary")
    limiter = current.current().limits.limiter("ratelimit", "chat", "")
    before = limiter.counters.errors.total(), limiter.tally.degraded
    asked.all(check, check, check)
    assert limiter.counters.errors.total() - before[0] == 3
    assert limiter.tally.degraded - before[1] == 3
    lines = [record.getMessage() for record in caplog.records]
    (line,) = (line for line in lines if line.startswith("namespace ratelimit:"))
    assert "this process counts for itself" in line
    assert "canary" not in caplog.text


@pytest.mark.parametrize("tokens", [0, 100])
@pytest.mark.parametrize(
    "fault", [Fin(), Reset(), HalfReply(then_close=True)], ids=lambda fault: type(fault).__name__
)
def test_q5_a_lost_reply_is_never_charged_twice(
    asked: Asked, redis_server: RedisServer, fault: Any, tokens: int
) -> None:
    """Q5: the script ran and its reply was lost: nobody sends it again, and one charge is what there is."""
    redis_server.command("FLUSHALL")
    with FaultProxy(redis_server.url) as proxy:
        _configure(proxy.url, on_fault="allow", rules={"chat": CHAT})

        def network(state: Any) -> None:
            proxy.fault = state

        limiter = RateLimiter()
        outcomes = asked.all(
            partial(asked.begun, limiter.check, "chat", "warm"),
            partial(network, fault),
            partial(asked.begun, limiter.check, "chat", "a", tokens=tokens),
            partial(network, None),
            partial(asked.begun, limiter.peek, "chat", "a"),
        )
        close()
    told, left = outcomes[2], outcomes[4]
    assert (told.allowed, told.degraded) == (True, True)
    assert [state.remaining for state in left.states] == [9, 1000 - tokens]


def test_what_cannot_be_settled_stays_as_it_was_reserved(asked: Asked, redis_server: RedisServer) -> None:
    """A call whose settlement finds Redis out gives its answer all the same; the estimate stands."""
    redis_server.command("FLUSHALL")
    with FaultProxy(redis_server.url) as proxy:
        _configure(proxy.url, rules={"chat": CHAT})

        @asked.colour.decorate(rate_limited("chat", tokens=300))
        def answer(user: str) -> Any:
            proxy.fault = Fin()
            return {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}

        errors = current.current().limits.limiter("ratelimit", "chat", "").counters.errors
        before = errors.total()
        (told,) = asked.all(partial(answer, "a"))
        assert errors.total() == before + 1
        proxy.fault = None
        close()
        left = asked.verb(RateLimiter().peek, "chat", "a")
        close()
    assert told == {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}
    assert left.states[0].remaining == 9
    assert left.states[1].remaining in {700, 998}  # a settlement whose reply was lost may have been made


def test_q3_a_reservation_is_settled_once_here_too() -> None:
    """Q3: while this process counts for itself, a second word changes nothing either."""
    _configure(NOBODY, on_fault="local", rules={"chat": {"by": "user", "tokens": "1000/day"}})
    limiter = RateLimiter()
    with limiter.reserve("chat", "a", tokens=900) as reserved:
        assert reserved.settle.sync(100)
        assert not reserved.settle.sync(900)
    assert limiter.check.sync("chat", "a", tokens=900).allowed


def test_q5_a_server_that_is_out_is_left_alone_and_comes_back(
    asked: Asked, redis_server: RedisServer
) -> None:
    """Calls go on while Redis is out; when it is back it counts on from where it was."""
    redis_server.command("FLUSHALL")
    with FaultProxy(redis_server.url) as proxy:
        breaker = {"failures": 1, "window": "1s", "open_for": "10ms"}
        configure(
            limits_policy(
                proxy.url,
                redis={"breaker": breaker},
                on_fault="local",
                rules={"chat": CHAT},
            )
        )
        check = partial(asked.begun, RateLimiter().check, "chat", "a")
        (first,) = asked.all(check)
        close()
        proxy.fault = Refuse()
        out = asked.all(check, check)
        close()
        proxy.fault = None
        back = [asked.verb(RateLimiter().check, "chat", "a")]
        while back[-1].degraded:
            back.append(asked.verb(RateLimiter().check, "chat", "a"))
        close()
    assert not first.degraded
    assert [told.degraded for told in out] == [True, True]
    assert back[-1].states[0].remaining == 8


def test_a_server_that_answers_nonsense_is_a_fault(asked: Asked) -> None:
    """An error of the server, or what is no reply at all, is decided as ``on_fault`` says."""
    replies = (b"-OOM command not allowed\r\n", b"+OK\r\n", b"*1\r\n+no\r\n", b"-NOPERM no\r\n")
    for reply in replies:
        with Scripted({"EVALSHA": reply, "EVAL": reply}) as server:
            _configure(server.url, on_fault="deny", rules={"chat": CHAT})
            (denied,) = asked.all(partial(_decorated(asked), "a"))
            assert isinstance(denied, RateLimitExceeded)
            assert denied.degraded
            close()


def test_a_span_tells_of_a_decision_that_asked_redis(
    asked: Asked, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One span for each question, with the rule and the outcome, and no subject; a local denial has none."""
    with exported_spans(monkeypatch) as exported:
        configure(limits_policy(redis_url, rules={"chat": {"by": "user", "requests": "1/hour"}}))
        check = partial(asked.begun, RateLimiter().check, "chat", "canary")
        asked.all(check, check, check)
        spans = exported.get_finished_spans()
    assert [span.name for span in spans] == ["limit.check ratelimit"] * 2
    assert [dict(span.attributes or {}) for span in spans] == [
        {"cachepolicy.namespace": "ratelimit", "cachepolicy.rule": "chat", "cachepolicy.outcome": outcome}
        for outcome in ("allowed", "denied")
    ]
