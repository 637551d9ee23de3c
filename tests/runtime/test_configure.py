from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import Outcome, PolicyError, Tier, aclose, cached, close, configure, observe
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.policies import cache_policy

POLICY = """
version: 1
app: {app}
namespaces:
  answers: {{kind: cache, db: 1, scope: global, ttl: 1h}}
"""


@pytest.fixture
def unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Pretend that nobody configured anything, in an empty working directory."""
    for name in ("CACHEPOLICY_FILE", "CACHEPOLICY_ENV", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    close()
    monkeypatch.setattr(current, "_CURRENT", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _answer() -> Any:
    @cached("answers")
    def answer(question: str) -> str:
        return question

    return answer


def test_the_default_policy_is_the_named_file(unconfigured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``CACHEPOLICY_FILE`` names the policy that the first call loads, before any other place."""
    (unconfigured / "policies.yaml").write_text(POLICY.format(app="here"))
    (unconfigured / "named.yaml").write_text(POLICY.format(app="named"))
    monkeypatch.setenv("CACHEPOLICY_FILE", str(unconfigured / "named.yaml"))
    assert _answer().key("why?").startswith("named:answers:")


def test_the_default_policy_is_found_upward(unconfigured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a named file, ``policies.yaml`` of the working directory or one above it is used."""
    (unconfigured / "policies.yaml").write_text(POLICY.format(app="above"))
    below = unconfigured / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert _answer().key("why?").startswith("above:answers:")


def test_the_default_policy_is_the_shipped_one(unconfigured: Path) -> None:
    """With no file at all the shipped policies apply, and their namespace ``llm`` works."""

    @cached("llm")
    def answer(question: str) -> str:
        return question

    with observe() as seen:
        assert [answer("why?"), answer("why?")] == ["why?", "why?"]
    assert [one.tier for one in seen] == [Tier.ORIGIN, Tier.L1]


def test_a_wrong_policy_keeps_the_old_one(colour: Colour) -> None:
    """A policy that cannot be used raises, and everything goes on as before."""
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    colour.run(lambda: answer("why?"))
    with pytest.raises(PolicyError):
        configure({"version": 1, "app": "test", "namespaces": {"answers": {"kind": "cash"}}})
    with observe() as seen:
        colour.run(lambda: answer("why?"))
    assert seen[0].tier is Tier.L1


def test_functions_follow_a_new_policy(colour: Colour) -> None:
    """A function decorated and called before ``configure`` is under the new policy at its next call."""
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    for _ in range(2):
        colour.run(lambda: answer("why?"))
    before = answer.key("why?")
    configure({**cache_policy(), "app": "other"})
    with observe() as seen:
        colour.run(lambda: answer("why?"))
    assert seen[0].outcome is Outcome.MISS
    assert answer.key("why?") != before


def test_the_environment_is_chosen_by_name() -> None:
    """``configure(…, environment)`` lays the named environment over the policy."""
    policy = cache_policy()
    policy["environments"] = {"staging": {"namespaces": {"answers": {"ttl": "5m"}}}}
    configure(policy, "staging")
    assert _answer().policy.ttl == 300.0


def test_closing_drops_l1_and_the_next_call_opens_anew(colour: Colour, redis_url: str) -> None:
    """After ``close`` nothing is held in the process; a call reconnects and finds the answer in Redis."""
    configure(cache_policy(redis_url))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    async def ask() -> None:
        await answer("why?")
        await aclose()

    def ask_and_close() -> None:
        if colour.is_async:
            asyncio.run(ask())
        else:
            answer("why?")
            close()

    with observe() as seen:
        for _ in range(3):
            ask_and_close()
    assert [one.tier for one in seen] == [Tier.ORIGIN, Tier.L2, Tier.L2]


def test_l1_may_be_turned_off(colour: Colour) -> None:
    """``local: {enabled: false}``: every hit comes from Redis."""
    configure(cache_policy(local={"enabled": False}))

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    with observe() as seen:
        for _ in range(3):
            colour.run(lambda: answer("why?"))
    assert [one.tier for one in seen] == [Tier.ORIGIN, Tier.L2, Tier.L2]


def test_aclose_waits_for_origin_calls_that_nobody_waits_for() -> None:
    """``aclose`` does not lose an answer that was paid for: it lets detached origin calls finish."""
    configure(cache_policy())
    finished: list[str] = []

    @cached("answers")
    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        finished.append(question)
        return question

    async def main() -> None:
        task = asyncio.create_task(answer("why?"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await aclose()

    asyncio.run(main())
    assert finished == ["why?"]


def test_observe_sees_its_own_context_only() -> None:
    """``observe`` records calls of its context and of tasks started in it, not those of other threads."""
    configure(cache_policy())
    answer = _answer()

    @cached("answers")
    async def later(question: str) -> str:
        return question

    async def main() -> int:
        with observe() as seen:
            await asyncio.gather(
                later("one"), asyncio.create_task(later("two")), asyncio.to_thread(answer, "three")
            )
            thread = threading.Thread(target=answer, args=("four",))
            thread.start()
            thread.join()
        await later("five")
        await aclose()
        return len(seen)

    assert asyncio.run(main()) == 3


def test_observers_nest() -> None:
    """Each open ``observe`` block records; a closed one no longer does."""
    configure(cache_policy())
    answer = _answer()
    with observe() as outer:
        answer("one")
        with observe() as inner:
            answer("two")
        answer("three")
    answer("four")
    assert (len(outer), len(inner)) == (3, 1)


def test_an_observation_tells_age_and_duration() -> None:
    """The age of an answer is the time since it was made, in whichever tier it is found."""
    from cachepolicy import ManualClock

    time = ManualClock()
    configure(cache_policy(local={"ttl": "10s"}), clock=time.clock)
    answer = _answer()
    with observe() as seen:
        for advance in (0, 4, 10):
            time.advance(advance)
            answer("why?")
    assert [one.age for one in seen] == [0.0, 4.0, 14.0]
    assert all(one.duration == 0.0 for one in seen)
    assert all(one.function.endswith("answer") for one in seen)


def test_an_address_that_says_too_much_is_told() -> None:
    """An address that only a call would stumble over is an error that says how to mend it."""
    configure(cache_policy("redis+cluster://127.0.0.1:7000/3"))
    with pytest.raises(PolicyError, match="remove it from the url"):
        _answer()("why?")


def test_a_call_that_began_under_the_old_policy_does_not_bring_it_back() -> None:
    """A load that ``configure`` overtook ends under the old policy; the next call is under the new."""
    configure(cache_policy())
    asked, gate = threading.Event(), threading.Event()

    @cached("answers")
    def answer(question: str) -> str:
        if question == "slow":
            asked.set()
            assert gate.wait(20)
        return question

    answer("warm")  # its hits take the fast path now
    loading = threading.Thread(target=answer, args=("slow",))
    loading.start()
    assert asked.wait(20)
    configure({**cache_policy(), "app": "other"})
    gate.set()
    loading.join()
    answer("slow")
    assert answer.stats().misses == 1
