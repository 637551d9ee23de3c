from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.errors import DecorationError, UnkeyableArgument
from cachepolicy.keys.canonical import encode
from cachepolicy.keys.template import compile_template, segment
from tests.keys.test_canonical import HASHABLE, Point


@given(HASHABLE, HASHABLE)
def test_different_values_are_different_segments(left: Any, right: Any) -> None:
    """A key's readable segment tells values apart as exactly as the encoding does."""
    assert (segment(left) == segment(right)) == (encode(left) == encode(right))


@given(st.tuples(HASHABLE, HASHABLE), st.tuples(HASHABLE, HASHABLE))
def test_segments_do_not_run_together(left: tuple[Any, Any], right: tuple[Any, Any]) -> None:
    """Two fields of a template make one name only for equal pairs of values."""
    render = compile_template("info:{a}:{b}", ("a", "b"), "f")
    assert (render(left) == render(right)) == (encode(left) == encode(right))


@given(HASHABLE)
def test_a_segment_holds_nothing_that_redis_reads_meaning_into(value: Any) -> None:
    """No separator, no glob, no hash tag, no blank, whatever the value."""
    assert not set(segment(value)) & set(":*?[]{}\\ \n\r\t")


@pytest.mark.parametrize(
    ("value", "readable"),
    [
        ("openai", "openai"),
        ("gpt-4o.mini", "gpt-4o.mini"),
        (42, "42"),
        ("42", "~42"),
        (None, "none"),
        ("none", "~none"),
    ],
)
def test_plain_values_stay_readable(value: Any, readable: str) -> None:
    """What an operator looks for in Redis can be read there."""
    assert segment(value) == readable


def test_a_field_may_be_an_attribute() -> None:
    """``{user.x}`` names an attribute of a parameter."""
    render = compile_template("user:{user.x}", ("user", "question"), "f")
    assert render((Point(7, 8), "why?")) == "user:7"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("all", "names no parameter"),
        ("", "names no parameter"),
        ("q:{answer}", "no parameter 'answer'; there are: question, model"),
        ("q:{question}{model}", "put a ':' between"),
        ("q:{question}-{model}", "put a ':' between"),
        ("q{question}", "a segment of its own"),
        ("q:{question}x", "a segment of its own"),
        ("q:{question!r}", "names no parameter"),
        ("q:{}", "names no parameter"),
        ("q *:{question}", "letters, digits"),
    ],
)
def test_a_template_that_cannot_be_exact_is_refused(template: str, message: str) -> None:
    """Each wrong template is told at decoration, with what to write instead."""
    with pytest.raises(DecorationError, match=message):
        compile_template(template, ("question", "model"), "f")


class Angry:
    """An object whose attribute cannot be read."""

    @property
    def id(self) -> int:
        """Refuse."""
        raise LookupError("canary")


@pytest.mark.parametrize("value", [None, object(), Angry()], ids=["none", "object", "raising property"])
def test_a_field_that_cannot_be_read_is_told(value: object) -> None:
    """C1: a missing attribute, or one that raises, makes the call unkeyable; its message is not shown."""
    render = compile_template("user:{user.id}", ("user",), "f")
    with pytest.raises(UnkeyableArgument, match=r"\{user\.id\}") as refused:
        render([value])
    assert "canary" not in str(refused.value)


def test_a_field_of_no_exact_form_is_told_by_name() -> None:
    """The message says which field, and what to pass instead."""
    with pytest.raises(UnkeyableArgument, match=r"\{b\}: a builtins.object has no exact encoding"):
        compile_template("x:{a}:{b}", ("a", "b"), "f")([1, object()])
