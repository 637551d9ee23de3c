from __future__ import annotations

from typing import Any

import pytest

from cachepolicy import (
    MISS,
    DecorationError,
    UnkeyableArgument,
    cached,
    cached_many,
    configure,
    observe,
    scope,
)
from cachepolicy.keys.canonical import encode, encode_around
from tests.support.colour import Colour
from tests.support.policies import cache_policy


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"over": "word"}, "did you mean 'words'"),
        ({"over": "rest"}, "without \\*"),
        ({"over": "words", "ignore": ("words",)}, "also in ignore"),
        ({"over": "words", "key": "{word}"}, "no parameter 'word'"),
    ],
)
def test_a_wrong_decoration_is_refused(colour: Colour, options: dict[str, Any], says: str) -> None:
    """What cannot work is refused where the function is decorated, with a way out."""

    def length(words: list[str], *rest: str) -> list[int]:
        return [len(word) for word in words]

    with pytest.raises(DecorationError, match=says):
        colour.decorate(cached_many("answers", **options))(length)


def test_one_item_is_no_sequence(colour: Colour) -> None:
    """A string in the place of a list is one item by mistake, never a sequence of letters."""

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        return [len(word) for word in words]

    for wrong in ("word", b"word", 7, None):
        with pytest.raises(UnkeyableArgument, match=r"length\(\): parameter 'words': expected a sequence"):
            colour.run(lambda wrong=wrong: length(wrong))  # type: ignore[misc] # one that binds its own


def test_an_item_that_has_no_key_is_named(colour: Colour) -> None:
    """C1: an item without an exact encoding is refused; the error names the parameter and shows no value."""

    @colour.decorate(cached_many("answers", over="items"))
    def same(items: list[object], other: object = None) -> list[object]:
        return items

    with pytest.raises(UnkeyableArgument, match="parameter 'items'"):
        colour.run(lambda: same([1, object()]))
    with pytest.raises(UnkeyableArgument, match="parameter 'other'"):
        colour.run(lambda: same([[1]], object()))


def test_items_are_told_apart_by_type(colour: Colour) -> None:
    """C1: 1, 1.0, True and "1" are four items, and so are lists and tuples of them."""

    @colour.decorate(cached_many("answers", over="items"))
    def kinds(items: list[object], other: object = "x") -> list[str]:
        return [type(item).__name__ for item in items]

    items: list[object] = [1, 1.0, True, "1", b"1", None, [1], (1,), 0.0, -0.0]
    for others in ([], [[7]]):
        for _ in range(2):
            found = colour.run(lambda others=others: kinds(items, *others))  # type: ignore[misc] # as above
            assert found == [type(item).__name__ for item in items]
        assert len(set(kinds.keys(items, *others))) == len(items)


@pytest.mark.parametrize("others", [(), ("a",), ("a", [1, {"b": (2,)}]), tuple(range(20))])
def test_the_parts_of_an_encoding_make_the_whole(others: tuple[object, ...]) -> None:
    """C1: what is encoded once for all items, and each item, come to the encoding of a call for that item."""
    for item in ("x", 1, None, [1, "y"], {"z": 2.5}, "\ud800", 2**70, (1,)):
        for at in range(len(others) + 1):
            values = [*others[:at], item, *others[at:]]
            begin, end = encode_around(values, at)
            assert begin + encode(item) + end == encode(values)


def test_entries_are_shared_where_keys_say_so(colour: Colour) -> None:
    """An item's entry is another function's only where both say ``key=`` and mean the same."""

    @colour.decorate(cached("answers", key="length:{word}"))
    def one(word: str) -> int:
        return len(word)

    @colour.decorate(cached_many("answers", over="words", key="length:{words}"))
    def many(words: list[str]) -> list[int]:
        return [len(word) for word in words]

    assert many.keys(["a", "bb"]) == [one.key("a"), one.key("bb")]
    colour.run(lambda: many(["a", "bb"]))
    assert colour.run(lambda: one.peek("bb")) == 2


def test_a_callable_key_is_given_one_item(colour: Colour) -> None:
    """``key=callable`` takes the function's arguments, with an item where the sequence is."""
    seen = []

    def key(items: int, *, unit: str) -> object:
        seen.append((items, unit))
        return items % 3

    @colour.decorate(cached_many("answers", over="items", key=key))
    def twice(items: list[int], *, unit: str) -> list[int]:
        return [2 * item for item in items]

    assert colour.run(lambda: twice([1, 2, 4], unit="m")) == [2, 4, 2]
    assert seen == [(1, "m"), (2, "m"), (4, "m")]


def test_items_belong_to_whoever_asks(colour: Colour) -> None:
    """C2: with ``scope: user`` an item of one user is nobody else's; without a user nothing is cached."""
    configure(cache_policy(scope="user"))
    asked = []

    @colour.decorate(cached_many("answers", over="items"))
    def twice(items: list[int]) -> list[int]:
        asked.append(items)
        return [2 * item for item in items]

    for user in ("ann", "bob", "ann"):
        with scope(user=user):
            assert colour.run(lambda: twice([1, 2])) == [2, 4]
    assert asked == [[1, 2]] * 2
    with observe() as seen:
        assert colour.run(lambda: twice([1, 2])) == [2, 4]
    assert [one.reason for one in seen] == ["no_scope"]
    with pytest.raises(UnkeyableArgument, match="scope"):
        colour.run(lambda: twice.peek([1]))


def test_methods_are_cached_item_by_item(colour: Colour) -> None:
    """C8: a method works as any function does, its verbs too; ``self`` is never implied."""
    asked = []

    def implied(self: object, words: list[str]) -> list[int]:
        return [len(word) for word in words]

    with pytest.raises(DecorationError, match="ignore="):
        colour.decorate(cached_many("answers", over="words"))(implied)

    class Model:
        @colour.decorate(cached_many("answers", over="words", ignore=("self",)))
        def embed(self, words: list[str]) -> list[int]:
            asked.append(words)
            return [len(word) for word in words]

    model = Model()
    assert colour.run(lambda: model.embed(["a", "bb"])) == [1, 2]
    assert colour.run(lambda: Model().embed(words=("bb", "a"))) == [2, 1]
    assert colour.run(lambda: model.embed.peek(["a", "c"])) == [1, MISS]
    assert colour.run(lambda: model.embed.invalidate(["a", "c"])) == 1
    assert asked == [["a", "bb"]]
    assert model.embed.keys(["a"]) == Model.embed.keys(model, ["a"])


def test_get_many_looks_up_many_calls(colour: Colour) -> None:
    """``get_many`` returns what is cached for each named call, in order, and never calls the function."""
    asked = []

    @colour.decorate(cached("answers"))
    def repeat(word: str, *, times: int = 1) -> list[str]:
        asked.append(word)
        return [word] * times

    colour.run(lambda: repeat("a"))
    colour.run(lambda: repeat("b", times=2))
    calls = [repeat.call("b", times=2), repeat.call("c"), repeat.call(word="a"), repeat.call("a")]
    found = colour.run(lambda: repeat.get_many(calls))
    assert found == [["b", "b"], MISS, ["a"], ["a"]]
    assert found[2] is not found[3]
    assert asked == ["a", "b"]
    assert colour.run(lambda: repeat.get_many([])) == []


def test_get_many_takes_its_own_calls_only(colour: Colour) -> None:
    """A call that another function named, or none did, is refused: its key is another."""

    @colour.decorate(cached("answers"))
    def one(word: str) -> str:
        return word

    @colour.decorate(cached("answers"))
    def other(word: str) -> str:
        return word

    for wrong in (other.call("a"), ("a",), "a"):
        with pytest.raises(TypeError, match=r"one\.call\("):
            colour.run(lambda wrong=wrong: one.get_many([wrong]))  # type: ignore[misc] # one that binds its own


def test_get_many_of_methods(colour: Colour) -> None:
    """C8: a call named through an instance is that instance's."""

    class Model:
        def __init__(self, name: str) -> None:
            self.name = name

        @colour.decorate(cached("answers", key="{self.name}:{word}"))
        def ask(self, word: str) -> str:
            return self.name + word

    one, two = Model("one"), Model("two")
    colour.run(lambda: one.ask("a"))
    found = colour.run(lambda: one.ask.get_many([one.ask.call("a"), two.ask.call("a")]))
    assert found == ["onea", MISS]
