"""What is kept: None, what ``cache_if`` says, and what a validator still accepts."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from cachepolicy import DecorationError, Outcome, cached, configure, observe
from cachepolicy.telemetry.names import Reason
from tests.support.colour import Colour
from tests.support.logged import logged
from tests.support.origin import Origin
from tests.support.policies import cache_policy

NO_L1 = {"enabled": False}


class Strict(BaseModel):
    """A model whose validator can be told to refuse everything."""

    text: str

    @field_validator("text")
    @classmethod
    def _checked(cls, text: str) -> str:
        if refusing[0]:
            raise ValueError("no longer")
        return text


refusing = [False]


@pytest.fixture(autouse=True)
def _accepting() -> None:
    refusing[0] = False


@pytest.mark.parametrize("kept", [True, False])
def test_c7_none_is_kept_unless_the_policy_says_no(colour: Colour, kept: bool) -> None:
    """C7: None is an answer like any other; with ``admit: {none: false}`` it is given and not kept."""
    configure(cache_policy(admit={"none": kept}))
    calls: list[int] = []

    @colour.decorate(cached("answers"))
    def nothing() -> None:
        calls.append(1)

    with observe() as seen:
        assert [colour.run(nothing) for _ in range(3)] == [None] * 3
    assert len(calls) == (1 if kept else 3)
    if not kept:
        assert {(one.outcome, one.reason) for one in seen} == {(Outcome.BYPASS, Reason.NOT_ADMITTED)}


def test_c7_cache_if_says_what_is_kept(colour: Colour) -> None:
    """C7: a result that ``cache_if`` refuses is given to its callers and not kept; the next one may be."""
    configure(cache_policy())
    origin = Origin()
    answer = origin.decorated(colour, cache_if=lambda value: value["number"] > 1)
    with observe() as seen:
        assert [colour.run(answer)["number"] for _ in range(3)] == [1, 2, 2]
    assert [one.reason for one in seen] == [Reason.NOT_ADMITTED, None, None]


def test_c7_a_cache_if_that_raises_keeps_nothing(colour: Colour, caplog: pytest.LogCaptureFixture) -> None:
    """C7: its error reaches no caller: the result is not kept, and that is counted and told once."""
    configure(cache_policy())
    origin = Origin()
    answer = origin.decorated(colour, cache_if=lambda value: value["nonsense"])
    with caplog.at_level(logging.WARNING, "cachepolicy"):
        assert [colour.run(answer)["number"] for _ in range(3)] == [1, 2, 3]
    (said,) = [record.getMessage() for record in logged(caplog)]
    assert "cache_if raised KeyError" in said
    assert "nonsense" not in said


def test_a_cache_if_that_has_to_be_awaited_is_refused() -> None:
    """A coroutine is always true: it would let everything in, so it is refused at decoration."""

    async def judge(value: object) -> bool:
        return bool(value)

    judges: list[Any] = [judge, "yes"]
    for one in judges:
        with pytest.raises(DecorationError, match="cache_if"):

            @cached("answers", cache_if=one)
            def answer() -> str:
                return ""


@pytest.mark.parametrize("observed", [False, True], ids=["", "observed"])
@pytest.mark.parametrize("local", [NO_L1, {"ttl": "1h"}], ids=["L2", "L1"])
def test_a_validator_that_changes_its_mind_is_a_miss(
    colour: Colour, local: dict[str, Any], observed: bool
) -> None:
    """C1: a stored value that its own type refuses by now is computed anew, in L1 as in L2."""
    configure(cache_policy(local=local))
    calls: list[int] = []

    @colour.decorate(cached("answers"))
    def answer() -> Strict:
        calls.append(1)
        return Strict.model_construct(text="x")

    assert colour.run(answer).text == "x"
    assert colour.run(answer).text == "x"
    refusing[0] = True
    if observed:
        with observe() as seen:
            assert colour.run(answer).text == "x"
        assert seen[0].outcome is Outcome.BYPASS  # it cannot be kept either
    else:
        assert colour.run(answer).text == "x"
    assert len(calls) == 2
