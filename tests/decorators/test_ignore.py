from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from cachepolicy import DecorationError, Tier, UnkeyableArgument, cached, configure, llm_cached, observe
from tests.support.colour import Colour
from tests.support.policies import cache_policy


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


class Opaque:
    """An object that no key can be made of, and that refuses to be hashed."""

    __hash__ = None  # type: ignore[assignment] # refusing is the point

    def __eq__(self, other: object) -> bool:
        raise AssertionError("an ignored argument was compared")


def test_an_ignored_parameter_does_not_tell_calls_apart(colour: Colour) -> None:
    """Whatever is passed for it, of whatever type; the function still gets it."""
    seen: list[object] = []

    @colour.decorate(cached("answers", ignore=("client",)))
    def ask(client: object, question: str) -> str:
        seen.append(client)
        return question

    first = Opaque()
    assert colour.run(lambda: ask(first, "why?")) == "why?"
    assert colour.run(lambda: ask(client=Opaque(), question="why?")) == "why?"
    assert colour.run(lambda: ask(None, "what?")) == "what?"
    assert len(seen) == 2
    assert seen[0] is first
    assert seen[1] is None


@pytest.mark.parametrize("question", ["why?", ["why?"]], ids=["atoms", "encoded"])
def test_hits_with_an_ignored_object_come_from_l1(colour: Colour, question: Any) -> None:
    """The compiled path leaves it out of the key as the long way does, for both forms of key."""

    @colour.decorate(cached("answers", ignore=("client",)))
    def ask(question: Any, client: Any = None) -> int:
        return 1

    with observe() as seen:
        for client in (Opaque(), Opaque(), None):
            colour.run(partial(ask, question, client))
    assert [one.tier for one in seen] == [Tier.ORIGIN, Tier.L1, Tier.L1]
    table = ask.stats()
    assert (table.l1_hits, table.entries) == (2, 1)


def test_an_ignored_object_does_not_spoil_the_tuple_key(colour: Colour) -> None:
    """A client's annotation does not turn a signature of atoms into one that is encoded at each call."""
    from cachepolicy.keys.signature import shape_of

    def ask(client: Opaque, question: str, *rest: int) -> str:
        return question

    assert not shape_of(ask).atomic
    assert not shape_of(ask, ("client",)).atomic
    assert shape_of(ask, ("client", "rest")).atomic


def test_everything_may_be_ignored(colour: Colour) -> None:
    """Then there is one answer."""
    calls: list[int] = []

    @colour.decorate(cached("answers", ignore=("number", "rest", "more")))
    def count(number: int, *rest: int, **more: int) -> int:
        calls.append(number)
        return number

    assert [colour.run(call) for call in (lambda: count(1), lambda: count(2, 3, four=4))] == [1, 1]
    assert calls == [1]
    assert colour.run(lambda: count.invalidate(9)) is True


def test_what_is_ignored_is_part_of_what_a_function_is(colour: Colour) -> None:
    """Before and after ``ignore=`` changes, equal bytes of other parameters never meet in one key."""

    def ask(a: str, b: str, c: str = "") -> str:
        return a

    ignores: list[tuple[str, ...]] = [(), ("a",), ("b",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    keys = {colour.decorate(cached("answers", ignore=ignore))(ask).key("x", "x", "x") for ignore in ignores}
    assert len(keys) == len(ignores)
    same = {cached("answers", ignore=ignore)(ask).key("x", "y", "z") for ignore in (("a", "b"), ("b", "a"))}
    assert len(same) == 1


def test_an_unkeyable_argument_is_told_of_ignore(colour: Colour) -> None:
    """The error for an object without an exact encoding names the parameter, and both ways to mend it."""

    @colour.decorate(cached("answers", ignore=("question",)))
    def ask(question: str, client: object) -> str:
        return question

    with pytest.raises(UnkeyableArgument, match=r"'client'.*key=.*ignore="):
        colour.run(lambda: ask("why?", object()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ("clinet",)}, "no such parameter; did you mean 'client'"),
        ({"ignore": ("zzz",)}, "no such parameter; there are: client, question"),
        ({"ignore": "client"}, "expected several names"),
        ({"ignore": ("client",), "key": "q:{question}"}, "leave ignore= out"),
        ({"ignore": ("client",), "key": lambda client, question: question}, "leave ignore= out"),
    ],
    ids=["near", "unknown", "text", "template", "callable"],
)
def test_a_wrong_ignore_is_told_at_decoration(options: Any, message: str) -> None:
    """A name that is none, text in place of names, and a key that says it all already."""

    def ask(client: object, question: str) -> str:
        return question

    for decorator in (cached("answers", **options), llm_cached(**options)):
        with pytest.raises(DecorationError, match=message):
            decorator(ask)
