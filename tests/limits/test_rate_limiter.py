"""``RateLimiter``: the verbs of the seed and those behind ``@rate_limited``, in either colour."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest
import redis

from cachepolicy import (
    Decision,
    PolicyError,
    RateLimiter,
    RateLimitExceeded,
    RateLimitResult,
    UnkeyableArgument,
    Usage,
    aclose,
    close,
    configure,
    rate_limited,
)
from cachepolicy.clock import SYSTEM
from cachepolicy.runtime import current
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.topologies import RedisCluster
from tests.support.colour import Colour
from tests.support.limiting import Asked, limits_policy
from tests.support.waiting import until_async

CHAT = {"by": "user", "requests": ["10/hour", "15/day"], "tokens": "1000/day"}


@pytest.fixture
def asked(colour: Colour) -> Asked:
    """Ask in each colour."""
    return Asked(colour)


@pytest.fixture
def limiter() -> RateLimiter:
    """Give a limiter."""
    return RateLimiter()


def _configure(url: str, **rules: Any) -> None:
    configure(limits_policy(url, rules=rules))


def test_the_seed_s_check(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """``check_rate_limit(user_id, action, limit, window)`` counts to the limit, and says how far it is."""
    _configure(redis_url)
    check = partial(asked.begun, limiter.check_rate_limit, "u1", "login", 3, 60)
    results: list[RateLimitResult] = asked.all(*[check] * 4)
    assert [result.allowed for result in results] == [True, True, True, False]
    assert [result.current_count for result in results] == [1, 2, 3, 3]
    assert [result.remaining for result in results] == [2, 1, 0, 0]
    assert {result.limit for result in results} == {3}
    assert all(result.reset_at > 1_600_000_000 for result in results)
    others: list[Any] = [("u2", "login", 3, 60), ("u1", "export", 3, 60), ("u1", "login", 3, "2h")]
    for other in others:
        assert asked.verb(limiter.check_rate_limit, *other).current_count == 1


def test_the_window_is_that_of_the_namespace_where_none_is_said(
    asked: Asked, limiter: RateLimiter, redis_url: str
) -> None:
    """``ttl`` of the namespace is the window of a limit that code asks for without one."""
    configure(limits_policy(redis_url, ttl="2h"))
    unsaid = partial(asked.begun, limiter.check_rate_limit, "u", "login", 5)
    said = partial(asked.begun, limiter.check_rate_limit, "u", "login", 5, "2h")
    assert [result.current_count for result in asked.all(unsaid, said)] == [1, 2]


def test_an_action_shares_no_count_with_a_rule(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """What code counts under a rule's name is apart from the rule; odd names of actions are told apart."""
    _configure(redis_url, chat={"by": "user", "requests": "5/hour", "algorithm": "window"})
    asked.verb(limiter.check, "chat", "u")
    for action in ("chat", "~chat", "chat:u", "chat}u", " "):
        assert asked.verb(limiter.check_rate_limit, "u", action, 5, 3600).current_count == 1
    wrongs: list[Any] = [("", 5, 60), ("a", 0, 60), ("a", 5, 0), ("a", 2.5, 60), ("a", 5, "soon")]
    for wrong in wrongs:
        with pytest.raises(PolicyError):
            asked.verb(limiter.check_rate_limit, "u", *wrong)


def test_check_tells_of_every_limit(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """A decision has a state for each limit, and its own figures are those of the one that binds."""
    _configure(redis_url, chat=CHAT)
    told: Decision = asked.verb(limiter.check, "chat", "u", cost=2, tokens=900)
    assert [(state.name, state.remaining) for state in told.states] == [
        ("requests 10/hour", 8),
        ("requests 15/day", 13),
        ("tokens 1000/day", 100),
    ]
    assert (told.allowed, told.rule, told.limit, told.remaining) == (True, "chat", 1000, 100)
    assert told.retry_after == 0.0
    denied = asked.verb(limiter.check, "chat", "u", tokens=500)
    assert not denied.allowed
    assert denied.binding.name == "tokens 1000/day"
    assert denied.retry_after == pytest.approx(0.4 * 86_400, abs=60)
    assert denied.reset_at == pytest.approx(denied.now + 0.9 * 86_400, abs=60)


def test_q1_a_denied_call_is_charged_nothing(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """Q1: limits with costs of their own are charged together, or none of them."""
    _configure(redis_url, chat=CHAT)
    asked.all(*[partial(asked.begun, limiter.check, "chat", "u", tokens=1001)] * 3)
    assert [state.remaining for state in asked.verb(limiter.peek, "chat", "u").states] == [10, 15, 1000]


def test_peek_charges_nothing(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """It says what would become of a call, as often as it is asked."""
    _configure(redis_url, chat={"by": "user", "requests": "1/hour"})
    peeks = asked.all(*[partial(asked.begun, limiter.peek, "chat", "u")] * 3)
    assert [told.allowed for told in peeks] == [True] * 3
    asked.verb(limiter.check, "chat", "u")
    assert not asked.verb(limiter.peek, "chat", "u").allowed


def test_reset_forgets_what_was_used(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """The next call passes, also in the process that had just refused one."""
    _configure(redis_url, chat={"by": "user", "requests": "1/hour"})
    check = partial(asked.begun, limiter.check, "chat", "u")
    assert [told.allowed for told in asked.all(check, check)] == [True, False]
    assert asked.verb(limiter.reset, "chat", "u") is True
    assert asked.verb(limiter.reset, "chat", "u") is False
    assert asked.verb(limiter.check, "chat", "u").allowed


def test_refund_gives_back_what_was_charged(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """A call that is not made after all leaves no trace, and who had been refused may come again at once."""
    _configure(redis_url, chat={"by": "user", "requests": "2/hour", "tokens": "1000/day"})
    check = partial(asked.begun, limiter.check, "chat", "u", 2, 600)
    refund = partial(asked.begun, limiter.refund, "chat", "u", 2, 600)
    first, second, none, third = asked.all(check, check, refund, check)
    assert [first.allowed, second.allowed, none, third.allowed] == [True, False, None, True]


def test_tokens_can_be_told_apart(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """A ``Usage`` is charged to limits of read and of written tokens, and to both together."""
    limits = {"tokens": "1000/day", "input_tokens": "500/day", "output_tokens": "600/day"}
    _configure(redis_url, chat={"by": "user", **limits})
    told = asked.verb(limiter.check, "chat", "u", tokens=Usage("m", 100, 20))
    assert {str(state.unit): state.remaining for state in told.states} == {
        "tokens": 880,
        "input_tokens": 400,
        "output_tokens": 580,
    }
    for wrong in (-1, 1.5, None, "7"):
        with pytest.raises(UnkeyableArgument, match="tokens: expected"):
            asked.verb(limiter.check, "chat", "u", tokens=wrong)


def test_several_rules_are_checked_together(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """Q1: ``check_all`` charges each of several rules and subjects, or none."""
    rules = {"user": {"requests": "5/hour"}, "ip": {"requests": "1/hour"}}
    _configure(redis_url, **rules)
    pairs = [("user", "u"), ("ip", "1.2.3.4")]
    first, second = asked.all(*[partial(asked.begun, limiter.check_all, pairs)] * 2)
    assert [told.allowed for told in first] == [True, True]
    assert [told.rule for told in second if not told.allowed] == ["ip"]
    assert asked.verb(limiter.peek, "user", "u").states[0].remaining == 4
    with pytest.raises(PolicyError, match="at least one"):
        asked.verb(limiter.check_all, [])


def test_on_a_cluster_the_others_get_theirs_back(
    asked: Asked, limiter: RateLimiter, redis_cluster: RedisCluster
) -> None:
    """Q1: subjects in several slots are charged at once; where one denies, the others get theirs back."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
    rules = {"user": {"requests": "50/day", "tokens": "999/day"}, "ip": {"requests": "1/day"}}
    configure(limits_policy(redis_cluster.url, rules=rules))
    pairs = [("user", "u"), ("ip", "u-ip"), ("user", "u-2")]
    outcomes = asked.all(*[partial(asked.begun, limiter.check_all, pairs, tokens=10)] * 3)
    assert [all(told.allowed for told in each) for each in outcomes] == [True, False, False]
    for other in ("u", "u-2"):
        assert [s.remaining for s in asked.verb(limiter.peek, "user", other).states] == [49, 989]


def test_an_override_holds_for_one_subject(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """A subject has amounts of its own until they are taken back; what it used stays used."""
    _configure(redis_url, chat={"by": "user", "requests": "2/hour", "overrides": True})
    check = partial(asked.begun, limiter.check, "chat", "u")
    assert [told.allowed for told in asked.all(*[check] * 3)] == [True, True, False]
    own = {"requests 2/hour": 4}
    assert asked.verb(limiter.set_override, "chat", "u", own, ttl="1h") is True
    assert asked.verb(limiter.get_override, "chat", "u") == own
    outcomes = asked.all(*[check] * 3)
    assert [told.allowed for told in outcomes] == [True, True, False]
    assert {told.limit for told in outcomes} == {4}
    assert asked.verb(limiter.check, "chat", "other").limit == 2
    assert asked.verb(limiter.set_override, "chat", "u", None) is True
    assert asked.verb(limiter.get_override, "chat", "u") == {}
    assert not asked.verb(limiter.check, "chat", "u").allowed


def test_impossible_overrides_are_refused(asked: Asked, limiter: RateLimiter) -> None:
    """The rule must say that there may be some, the limit be one of its own, the amount one that counts."""
    rules = {"chat": {"requests": "2/hour", "overrides": True}, "plain": {"requests": "2/hour"}}
    _configure("memory://", **rules)
    with pytest.raises(PolicyError, match="say overrides: true"):
        asked.verb(limiter.set_override, "plain", "u", {"requests 2/hour": 5})
    with pytest.raises(PolicyError, match="there are: requests 2/hour"):
        asked.verb(limiter.set_override, "chat", "u", {"requests 3/hour": 5})
    for amount in (0, -1, 2**53, 1.5):
        with pytest.raises(PolicyError, match="counted exactly"):
            asked.verb(limiter.set_override, "chat", "u", {"requests 2/hour": amount})


def test_places_are_held_while_a_block_runs(limiter: RateLimiter, redis_url: str) -> None:
    """``acquire`` holds one of so many places, in either colour, and gives it back on every way out."""
    _configure(redis_url, chat={"concurrency": 2, "unlimited": False}, free={"unlimited": True})
    with limiter.acquire("chat", "u"), limiter.acquire("chat", "u"):
        with (
            pytest.raises(RateLimitExceeded, match="2 calls run at once") as denied,
            limiter.acquire("chat", "u"),
        ):
            pass
        assert (denied.value.limit, denied.value.remaining) == (2, 0)
        assert denied.value.retry_after == pytest.approx(60, abs=30)
        with limiter.acquire("chat", "other"), limiter.acquire("free", "u"):
            pass

    async def main() -> None:
        async with limiter.acquire("chat", "u"):
            with pytest.raises(KeyError, match="own"):
                async with limiter.acquire("chat", "u"):
                    raise KeyError("own")
            async with limiter.acquire("chat", "u"):
                with pytest.raises(RateLimitExceeded):
                    await limiter.acquire("chat", "u")
        await aclose()

    asyncio.run(main())


def test_a_function_holds_a_place_while_it_runs(redis_url: str) -> None:
    """``concurrency`` limits how many calls run at once, not how many there are; a cancelled one leaves."""
    _configure(redis_url, chat={"by": "user", "concurrency": 2})

    async def main() -> None:
        gate, running = asyncio.Event(), asyncio.Semaphore(0)

        @rate_limited("chat")
        async def answer(user: str) -> str:
            running.release()
            await gate.wait()
            return "done"

        tasks = [asyncio.create_task(answer("u")) for _ in range(2)]
        await running.acquire()
        await running.acquire()
        with pytest.raises(RateLimitExceeded, match="2 calls run at once"):
            await answer("u")
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        another = asyncio.create_task(answer("u"))
        await running.acquire()
        gate.set()
        assert list(await asyncio.gather(tasks[1], another)) == ["done", "done"]
        assert [await answer("u") for _ in range(3)] == ["done"] * 3
        await aclose()

    asyncio.run(main())


def test_a_place_is_renewed_while_it_is_held(
    limiter: RateLimiter, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that lasts longer than the lease keeps its place; one that is let go of does not."""
    _configure(redis_url, chat={"concurrency": {"limit": 1, "lease": "1h"}})
    background = current.current().limits.limiter("ratelimit", "chat", "").site.background
    due: list[tuple[float, Any]] = []
    monkeypatch.setattr(background, "at", lambda *timed: due.append(timed))  # the server's clock is turned
    with redis.Redis.from_url(f"{redis_url.removesuffix('/0')}/2") as client:
        with limiter.acquire("chat", "u"):
            (running,) = client.keys("*:running")
            for _ in range(5):
                ((moment, renew),) = due
                assert moment <= SYSTEM.monotonic() + 3600 / 2
                for place, end in client.zrange(running, 0, -1, withscores=True):
                    client.zadd(running, {place: end - 3_600_000 / 2})
                due.clear()
                renew()
            with pytest.raises(RateLimitExceeded):
                limiter.acquire("chat", "u").sync()
        ((_, renew),) = due
        renew()
        assert not client.exists(running)
    with limiter.acquire("chat", "u"):
        pass


def test_who_waits_for_a_place_gets_one(limiter: RateLimiter, redis_url: str) -> None:
    """A caller that says how long it would wait gets a place that is given back meanwhile."""
    _configure(redis_url, chat={"concurrency": 1})

    async def main() -> None:
        held = await limiter.acquire("chat", "u")
        waiting = asyncio.create_task(_through(limiter))

        async def has_asked() -> bool:
            return not waiting.done()

        await until_async(has_asked, "a task that waits")
        begun, site, flow = held._charge.ended(None)
        await begun.engine.arun(flow, begun.stores.async_io(site))
        assert await waiting == "through"
        await aclose()

    asyncio.run(main())


async def _through(limiter: RateLimiter) -> str:
    async with limiter.acquire("chat", "u", wait="10s"):
        return "through"


def test_a_rule_without_places_has_none_to_take(limiter: RateLimiter) -> None:
    """``acquire`` under a rule that does not limit concurrency is an error, not a limit of none."""
    _configure("memory://", chat={"requests": "2/hour"})
    with pytest.raises(PolicyError, match="says nothing of concurrency"):
        limiter.acquire("chat", "u").sync()


def test_batches_are_spent_in_the_process(asked: Asked, limiter: RateLimiter, redis_url: str) -> None:
    """``batch``: most calls ask nobody, no more than the limit pass, and what is unspent is given back."""
    _configure(redis_url, chat={"requests": "100/day", "batch": "10%"})
    breaker = current.current().limits.limiter("ratelimit", "chat", "").site.guard.sole
    check = partial(asked.begun, limiter.check, "chat", "u")
    before = breaker.calls
    outcomes = asked.all(*[check] * 100)
    assert sum(told.allowed for told in outcomes) <= 100
    assert sum(told.allowed for told in outcomes) >= 80
    assert breaker.calls - before < 40
    close()


def test_a_process_gives_back_what_it_did_not_spend(limiter: RateLimiter, redis_url: str) -> None:
    """Permits that were drawn ahead are given back when the policy is loaded anew, or everything closed."""
    _configure(redis_url, chat={"requests": "1000/day", "batch": "10%"})
    for _ in range(30):
        limiter.check.sync("chat", "u")
    close()
    _configure(redis_url, chat={"requests": "1000/day", "batch": "10%"})
    used = 1000 - 100 - limiter.peek.sync("chat", "u", cost=0).states[0].remaining
    assert used in range(29, 33)


def test_importing_the_limiter_loads_no_third_party() -> None:
    """A limiter is made without a policy: nothing is loaded before it is asked."""
    assert repr(RateLimiter("api")) == "RateLimiter('api')"
