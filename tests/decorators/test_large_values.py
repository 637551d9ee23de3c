from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from cachepolicy import Tier, cached, configure, observe
from tests.support.colour import Colour
from tests.support.policies import cache_policy

LARGE, SMALL = 5_000, 50  # characters


def _answers(colour: Colour, size: Callable[[], int]) -> Any:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return (question * LARGE)[: size()]

    return answer


def _tiers(colour: Colour, answer: Any, *questions: str) -> list[Tier]:
    with observe() as seen:
        for question in questions:
            colour.run(lambda: answer(question))  # noqa: B023 - called at once
    return [one.tier for one in seen]


@pytest.mark.parametrize("local", [{"max_value": "4KiB"}, {"max_bytes": "64KiB"}])
def test_a_large_value_is_answered_from_redis_only(colour: Colour, local: dict[str, str]) -> None:
    """A value above ``local.max_value``, or a sixteenth of ``max_bytes``, is a hit in L2 and never in L1."""
    configure(cache_policy(local=local))
    answer = _answers(colour, lambda: LARGE)
    assert _tiers(colour, answer, "why?", "why?", "why?") == [Tier.ORIGIN, Tier.L2, Tier.L2]


def test_large_values_leave_the_rest_of_l1_alone(colour: Colour) -> None:
    """However many large values pass, what L1 held still answers from there."""
    configure(cache_policy(local={"max_bytes": "64KiB"}))
    sizes = iter([SMALL] * 8 + [LARGE] * 40)
    answer = _answers(colour, lambda: next(sizes))
    small, large = [f"a{number}" for number in range(8)], [f"b{number}" for number in range(40)]
    _tiers(colour, answer, *small, *large)
    assert _tiers(colour, answer, *small) == [Tier.L1] * 8
    assert _tiers(colour, answer, *large) == [Tier.L2] * 40


def test_a_large_value_takes_the_place_of_a_small_one(colour: Colour) -> None:
    """When a call's value has grown too large for L1, L1 does not go on answering with the old one."""
    configure(cache_policy(local={"max_bytes": "64KiB"}))
    sizes = iter([SMALL, LARGE])
    answer = _answers(colour, lambda: next(sizes))
    assert len(colour.run(lambda: answer("why?"))) == SMALL
    assert len(colour.run(lambda: answer.refresh("why?"))) == LARGE
    assert len(colour.run(lambda: answer("why?"))) == LARGE
    assert _tiers(colour, answer, "why?") == [Tier.L2]


def test_a_value_at_the_limit_is_kept_in_l1(colour: Colour) -> None:
    """``local.max_value`` is the largest that is kept: one byte more is too many."""
    configure(cache_policy(local={"max_value": 100}))
    for size, tier in ((100, Tier.L1), (101, Tier.L2)):
        answer = _answers(colour, lambda size=size: size)  # type: ignore[misc]  # the loop's own
        answer_of = f"{size}?"
        assert _tiers(colour, answer, answer_of, answer_of)[-1] is tier
