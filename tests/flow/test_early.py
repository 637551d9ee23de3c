"""C7: entries are computed anew a little early, by one process and by chance; none ends with its peers."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from cachepolicy import MISS, ManualClock, Outcome, cached, configure, control, observe
from cachepolicy.flow import refresh as refreshing
from cachepolicy.flow.control import NO_CONTROL
from cachepolicy.flow.drive import run
from cachepolicy.flow.look import look
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.plan import Call
from cachepolicy.flow.resilience import Budget
from cachepolicy.keys.layout import WHOLE
from cachepolicy.runtime import current
from cachepolicy.telemetry.spans import NO_SPAN
from tests.support.colour import SYNC, Colour
from tests.support.origin import Origin, settled
from tests.support.policies import cache_policy

TTL = 60.0


@pytest.fixture(autouse=True)
def _chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cachepolicy.runtime.compose.chance", random.Random(7).random)


def _configure(time: ManualClock, **rule: Any) -> None:
    usual: dict[str, Any] = {"ttl": TTL, "stampede": {"early": True}, "local": {"enabled": False}}
    configure(cache_policy(**(usual | rule)), clock=time.clock)


def _costly(colour: Colour, time: ManualClock, cost: float) -> tuple[list[float], Any]:
    """Return a function that takes its time, and when it was called."""
    calls: list[float] = []

    @colour.decorate(cached("answers"))
    def answer(question: str = "why?") -> int:
        calls.append(time.now_wall)
        time.advance(cost)
        return len(calls)

    return calls, answer


def _first_refresh(time: ManualClock, answer: Any, calls: list[float], question: str) -> float:
    """Ask every 100 ms until the entry is computed anew; return how long before its end that was."""
    settled(SYNC, lambda: answer(question))
    ends, before = time.now_wall + TTL, len(calls)
    while len(calls) == before:
        time.advance(0.1)
        settled(SYNC, lambda: answer(question))
    return ends - calls[-1]


def test_c7_entries_in_use_are_computed_anew_before_they_end(time: ManualClock) -> None:
    """C7: with ``early``, the first refresh of an entry asked for every 100 ms lies where XFetch puts it.

    The largest of n draws from an exponential distribution of mean 1 s (the cost), each against the time that
    is left: from one to a few seconds before the end, and practically never after it.
    """
    _configure(time)
    calls, answer = _costly(SYNC, time, 1.0)
    early = [_first_refresh(time, answer, calls, str(number)) for number in range(60)]
    assert 1.0 < sum(early) / len(early) < 5.0
    assert max(early) < 15.0
    assert sum(one <= 0 for one in early) <= 1


def test_c7_everybody_is_given_the_current_value_meanwhile(colour: Colour, time: ManualClock) -> None:
    """C7: an early refresh makes nobody wait and gives nobody anything old: each answer is a hit."""
    _configure(time)
    calls, answer = _costly(colour, time, 1.0)
    settled(colour, answer)
    with observe() as seen:
        for _ in range(1000):
            time.advance(0.1)
            settled(colour, answer)
    assert len(calls) > 1
    assert {one.outcome for one in seen} == {Outcome.HIT}


def test_c7_an_early_refresh_is_one_call_among_processes(time: ManualClock) -> None:
    """C7: of two processes that volunteer for one entry, the lease lets one; then L2 is fresh for both.

    FusionCache#651, #604: each node called the function though L2 had been refreshed already.
    """
    _configure(time)
    calls, answer = _costly(SYNC, time, 1.0)
    answer()
    (plan,) = current.current()._plans
    call = Call("", answer.key(), ("why?",), {}, (WHOLE,), NO_CONTROL)
    lookups = [Lookup(plan, call, NO_SPAN, Budget(plan.clock, 1.0)) for _ in range(2)]
    io = plan.site.sync_io()
    found = [run(look(lookup), io) for lookup in lookups]  # both have seen the same value
    for lookup, one in zip(lookups, found, strict=True):
        assert one is not None
        settled(SYNC, partial(run, refreshing.refresh_behind(lookup, one.header), io))
    assert len(calls) == 2


@pytest.mark.parametrize(("cost", "early"), [(TTL / 10 + 1, False), (TTL / 20, True)])
def test_c7_costly_entries_live_to_their_end(time: ManualClock, cost: float, early: bool) -> None:
    """C7: an origin that takes more than a tenth of the TTL is never asked early: that would be always."""
    _configure(time)
    calls, answer = _costly(SYNC, time, cost)
    settled(SYNC, answer)
    before = time.now_wall + TTL - 0.001
    while time.now_wall < before and len(calls) == 1:
        settled(SYNC, answer)
        time.advance(0.05)
    assert (len(calls) > 1) is early


def test_c7_short_lived_entries_are_not_asked_early(time: ManualClock) -> None:
    """C7: what counts is the life of the entry itself: a call's own ``ttl``, an error's."""
    _configure(time)
    calls, answer = _costly(SYNC, time, TTL / 20)
    with control(ttl=TTL / 3):
        settled(SYNC, answer)
    for _ in range(int(TTL / 3 / 0.05) - 1):
        settled(SYNC, answer)
        time.advance(0.05)
    assert len(calls) == 1


def test_c7_l1_lets_go_early_too(time: ManualClock) -> None:
    """C7: with an L1 in front, an entry in use is computed anew before it ends all the same."""
    _configure(time, local={"ttl": "1h"})
    calls, answer = _costly(SYNC, time, 1.0)
    early = [_first_refresh(time, answer, calls, str(number)) for number in range(60)]
    assert 1.0 < sum(early) / len(early) < 3.1
    assert sum(one <= 0 for one in early) <= 1


def test_without_early_entries_live_to_their_end(time: ManualClock) -> None:
    """An entry is not computed before its end unless the policy says so."""
    _configure(time, stampede={"early": False})
    calls, answer = _costly(SYNC, time, 1.0)
    assert _first_refresh(time, answer, calls, "why?") <= 0.001


def test_c7_jitter_takes_off_up_to_its_share(colour: Colour, time: ManualClock) -> None:
    """C7: with ``jitter: 10%`` lives are spread over the last tenth of the TTL, and never longer than it."""
    _configure(time, stampede={}, jitter="10%")
    answer = Origin().decorated(colour)
    questions = [str(number) for number in range(200)]

    def missing() -> int:
        return sum(colour.run(partial(answer.peek, question)) is MISS for question in questions)

    for question in questions:
        colour.run(partial(answer, question))
    time.advance(0.9 * TTL - 0.001)
    assert missing() == 0
    time.advance(0.05 * TTL)
    assert 70 <= missing() <= 130
    time.advance(0.05 * TTL + 0.002)
    assert missing() == len(questions)
