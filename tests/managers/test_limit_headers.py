"""What HTTP says of limits: by the letter of the draft, and nothing that is not so."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.flow.decision import Decision, LimitState
from cachepolicy.managers.limit_headers import (
    QUOTA_EXCEEDED,
    REDUCED_CAPACITY,
    limit_headers,
    limit_refusal,
)
from tests.support.structured_fields import NotStructured, parse_list

HOUR = LimitState("requests 100/hour", "requests", 100, 3600.0, 87, 0.0, 468.0)
DAY = LimitState("requests 1000/day", "requests", 1000, 86400.0, 987, 0.0, 1123.2)
TOKENS = LimitState("tokens 60000/minute", "tokens", 60_000, 60.0, 100, 12.3, 59.9)
PLACES = LimitState("concurrency 5", "concurrency", 5, 0.0, 2, 0.0, 0.0)


def _waits(state: LimitState) -> float:
    return math.inf if state.retry_after is None else state.retry_after


def decision(*states: LimitState, allowed: bool = True, **more: Any) -> Decision:
    """Make a decision of the rule ``api``."""
    binding = max(states, key=_waits, default=None)
    return Decision(allowed, "api", states, binding, 1_700_000_000.5, **more)


def test_an_allowed_call() -> None:
    """The golden headers of a call that is allowed: each policy, and what is left of it."""
    assert limit_headers(decision(HOUR, DAY)) == {
        "RateLimit-Policy": '"api: requests 100/hour";q=100;w=3600, "api: requests 1000/day";q=1000;w=86400',
        "RateLimit": '"api: requests 100/hour";r=87;t=468, "api: requests 1000/day";r=987;t=1124',
    }


def test_a_refused_call() -> None:
    """The golden response to a call that is refused."""
    refused = HOUR._replace(remaining=0, retry_after=35.2)
    response = limit_refusal(decision(refused, DAY, allowed=False))
    assert response.status == 429
    assert response.headers == {
        "RateLimit-Policy": '"api: requests 100/hour";q=100;w=3600, "api: requests 1000/day";q=1000;w=86400',
        "RateLimit": '"api: requests 100/hour";r=0;t=468, "api: requests 1000/day";r=987;t=1124',
        "Retry-After": "36",
        "Content-Type": "application/problem+json",
    }
    assert json.loads(response.body) == {
        "type": QUOTA_EXCEEDED,
        "title": "Request cannot be satisfied as assigned quota has been exceeded",
        "status": 429,
        "violated-policies": ["api: requests 100/hour"],
    }


def test_units_that_are_registered() -> None:
    """Requests are the default unit and places have theirs; tokens and money are told of on demand."""
    told = decision(PLACES, TOKENS)
    assert limit_headers(told) == {
        "RateLimit-Policy": '"api: concurrency 5";q=5;qu="concurrent-requests"',
        "RateLimit": '"api: concurrency 5";r=2',
    }
    assert parse_list(limit_headers(told, all_units=True)["RateLimit-Policy"])[1] == (
        "api: tokens 60000/minute",
        {"q": 60_000, "qu": "tokens", "w": 60},
    )


def test_a_refusal_tells_of_every_limit() -> None:
    """Whatever its unit, what refuses is in ``Retry-After`` and among the violated policies."""
    response = limit_refusal(decision(HOUR, TOKENS, allowed=False))
    assert response.headers["Retry-After"] == "13"
    assert json.loads(response.body)["violated-policies"] == ["api: tokens 60000/minute"]


def test_never_has_no_time() -> None:
    """A call that can never be allowed is not told to come back."""
    never = TOKENS._replace(retry_after=None)
    response = limit_refusal(decision(HOUR, never, allowed=False))
    assert "Retry-After" not in response.headers
    assert json.loads(response.body)["violated-policies"] == ["api: tokens 60000/minute"]


def test_all_rules_are_waited_for() -> None:
    """Of several refusals the longest counts, and no time is shorter than a second."""
    short, long = HOUR._replace(retry_after=0.001), DAY._replace(retry_after=99.5)
    assert limit_headers(decision(short, allowed=False))["Retry-After"] == "1"
    both = (decision(short, allowed=False), decision(long, allowed=False))
    assert limit_headers(*both)["Retry-After"] == "100"


def test_who_was_refused_together_comes_back_apart() -> None:
    """``spread`` adds to ``Retry-After``, never takes away, and by no more than it says."""
    refused = decision(HOUR._replace(retry_after=100.0), allowed=False)
    told = [limit_headers(refused, spread=0.1, rng=[at].pop)["Retry-After"] for at in (0, 0.5, 1)]
    assert told == ["100", "105", "110"]


def test_old_headers_are_those_of_the_nearest_limit() -> None:
    """``X-RateLimit-*`` tell of the limit that refuses, or else of the one with the least left."""
    old = limit_headers(decision(HOUR, DAY), legacy=True)
    assert (old["X-RateLimit-Limit"], old["X-RateLimit-Remaining"]) == ("100", "87")
    assert old["X-RateLimit-Reset"] == "1700000469"
    refused = DAY._replace(retry_after=5.0)
    assert limit_headers(decision(HOUR, refused, allowed=False), legacy=True)["X-RateLimit-Limit"] == "1000"


def test_a_rule_in_shadow_is_not_told_of() -> None:
    """What would have been refused was not: no header sends anybody away."""
    in_shadow = decision(HOUR._replace(remaining=0, retry_after=9.0), denied_in_shadow=True)
    assert limit_headers(in_shadow, legacy=True) == {}
    assert "1000/day" in limit_headers(in_shadow, decision(DAY))["RateLimit"]


def test_without_redis_nothing_is_said_of_what_is_left() -> None:
    """A process that decides alone does not know what is left, nor who has exceeded anything."""
    assert limit_headers(decision(HOUR, degraded=True)) == {}
    response = limit_refusal(decision(HOUR._replace(retry_after=2.0), allowed=False, degraded=True))
    assert response.status == 503
    assert response.headers == {"Retry-After": "2", "Content-Type": "application/problem+json"}
    assert json.loads(response.body)["type"] == REDUCED_CAPACITY


def test_no_limit_no_header() -> None:
    """An unlimited subject hears nothing; and what is allowed is no refusal."""
    assert limit_headers(decision(), legacy=True) == {}
    assert limit_headers() == {}
    with pytest.raises(ValueError, match="refuses"):
        limit_refusal(decision(HOUR))


def test_windows_of_part_of_a_second_are_left_out() -> None:
    """A window that is no whole number of seconds is not told of as another one."""
    fast = HOUR._replace(window=0.1)
    assert limit_headers(decision(fast))["RateLimit-Policy"] == '"api: requests 100/hour";q=100'


def test_limits_of_one_name_are_told_apart() -> None:
    """The same rule asked about two subjects has two policies."""
    names = [name for name, _ in parse_list(limit_headers(decision(HOUR), decision(HOUR))["RateLimit"])]
    assert names == ["api: requests 100/hour", "api: requests 100/hour (2)"]


@given(
    rule=st.text(max_size=20),
    limit=st.integers(0, 2**63),
    left=st.integers(-5, 2**63),
    window=st.floats(0, 1e12),
    reset=st.floats(0, 1e12),
)
def test_every_header_is_a_structured_field(
    rule: str, limit: int, left: int, window: float, reset: float
) -> None:
    """Whatever a rule is called and however large its numbers, a strict reader reads the headers."""
    state = LimitState("requests", "requests", limit, window, left, 0.0, reset)
    told = limit_headers(Decision(True, rule, (state,), state, 0.0), legacy=True)
    for header in ("RateLimit-Policy", "RateLimit"):
        ((name, parameters),) = parse_list(told[header])
        assert all(isinstance(number, int) and number >= 0 for number in parameters.values())
        assert name.isascii()
        assert name == f"{rule}: requests" or not (rule.isascii() and rule.isprintable())


@pytest.mark.parametrize(
    "text", ["", "api;q=1", '"a";q=1.5', '"a"; q="x', '"é";q=1', '"a";q=1,', '"a";q=1;q=2', '"a";q', '"a\\n"']
)
def test_the_reader_is_strict(text: str) -> None:
    """What is no list of strings is refused by the reader that these tests trust."""
    with pytest.raises(NotStructured):
        parse_list(text)
