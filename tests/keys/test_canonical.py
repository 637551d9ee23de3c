from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import re
import struct
import uuid
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, create_model

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.keys.canonical import encode, encode_arguments, is_atom


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(str):
    __slots__ = ()


class Noted(str):  # noqa: SLOT000 - it has a state: that is the point
    note: str


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Pair:
    x: int
    y: int


@dataclasses.dataclass
class Other:
    x: int
    y: int


class Model(BaseModel):
    x: int = 1
    y: int = 2


ATOMS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))  # lone surrogates included
    | st.binary()
    | st.dates()
    | st.datetimes()
    | st.timedeltas()
    | st.uuids()
    | st.decimals(allow_nan=False)
    | st.sampled_from([Colour.RED, Level.LOW, Word("red"), "red", 1])
)
HASHABLE = st.recursive(
    ATOMS, lambda inner: st.tuples(inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
VALUES = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
        | st.builds(Pair, inner, inner)
        | st.builds(Other, inner, inner)
    ),
    max_leaves=8,
)


def equal(left: Any, right: Any) -> bool:
    """Say what "the same request" means, with nothing of the code under test: equal, types and all."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)  # there are many NaNs
    if isinstance(left, decimal.Decimal):
        return str(left) == str(right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, set | frozenset):
        return pairwise(left, right)
    if isinstance(left, dict):
        return pairwise(left.items(), right.items())
    if isinstance(left, Pair | Other):
        return equal([left.x, left.y], [right.x, right.y])
    return bool(left == right)


def pairwise(left: Iterable[Any], right: Iterable[Any]) -> bool:
    """Say whether each of some things equals one of others, and the reverse; a set may hold NaN twice."""
    others = list(right)
    for one in left:
        found = next((at for at, other in enumerate(others) if equal(one, other)), None)
        if found is None:
            return False
        del others[found]
    return not others


@given(VALUES, VALUES)
@example(math.nan, -math.nan)
@example({-math.nan, float("nan")}, {-math.nan, 1.0})
@example({float("nan"), float("nan")}, {float("nan"), 1.0})
@example({float("nan"): 1, float("nan"): 1}, {float("nan"): 1, 1.0: 1})
def test_equal_requests_have_equal_keys_and_only_they(left: Any, right: Any) -> None:
    """Equal requests ⇔ equal keys, for any two values."""
    assert (encode(left) == encode(right)) == equal(left, right)


@given(VALUES)
def test_a_key_is_the_same_each_time(value: Any) -> None:
    """The encoding of a value, and of an equal one built anew, never changes."""
    assert encode(value) == encode(rebuilt(value))


def rebuilt(value: Any) -> Any:
    """Build an equal value, with dicts filled and sets made in the other order."""
    if type(value) is dict:
        return {key: rebuilt(item) for key, item in reversed(list(value.items()))}
    if type(value) in {list, tuple}:
        return type(value)(map(rebuilt, value))
    if type(value) in {set, frozenset}:
        return type(value)(reversed(list(value)))
    return value


@given(st.lists(ATOMS, max_size=3), st.lists(ATOMS, max_size=3))
def test_the_tuple_of_the_fast_path_is_as_exact_as_the_encoding(left: list[Any], right: list[Any]) -> None:
    """Where all arguments are atoms, equal values of equal types have equal encodings, and the reverse."""
    if all(map(is_atom, left + right)):
        by_tuple = (*left, *map(type, left)) == (*right, *map(type, right))
        assert by_tuple == (encode(left) == encode(right))


DIFFERENT = [
    1, True, 1.0, "1", b"1", decimal.Decimal(1), fractions.Fraction(1), 1 + 0j, Level.LOW,
    None, "", b"", "None", 0, False, 0.0, -0.0, float("nan"), float("inf"),
    [], (), {}, set(), frozenset(), [[]], [()], [None],
    ["a:b"], ["a", "b"], {"a": "b"}, ("a", "b"), "a:b", "['a', 'b']", {"a", "b"}, frozenset({"a", "b"}),
    {1: 2}, {"1": 2}, {True: 2}, {1.0: 2}, {None: 2}, {"None": 2}, {(1, 2): 3}, {"a": {1: 2}},
    2**63, 2**64, -(2**63) - 1, str(2**64),
    "red", Word("red"), Colour.RED, "\ud800", {"\ud800": 1},
    datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1),  # noqa: DTZ001 - without a zone is a value too
    "2026-01-01", "2026-01-01T00:00:00",
    datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), datetime.time(1), datetime.timedelta(1),
    uuid.UUID(int=1), str(uuid.UUID(int=1)), uuid.UUID(int=1).bytes,
    Pair(1, 2), Other(1, 2), Model(), Point(1, 2), (1, 2), [1, 2], {"x": 1, "y": 2}, Model,
    range(3), [0, 1, 2], pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), "a", re.compile("a"),
    collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1), {"a": 1, "b": 2},
    collections.defaultdict(int, a=1), collections.Counter("a"), {"a": 1},
]  # fmt: skip


def test_no_two_of_these_share_a_key() -> None:
    """What others fold together (1 with True, None with "", a list with its joined items…) stays apart."""
    keys = [encode(value) for value in DIFFERENT]
    assert len(set(keys)) == len(DIFFERENT)


def test_arguments_do_not_run_together() -> None:
    """Moving a character from one argument to the next is another request."""
    names = ("a", "b")
    assert encode_arguments(names, ["1", "2:b:3"], "f") != encode_arguments(names, ["1:b:2", "3"], "f")
    assert encode_arguments(names, ["a", "b c"], "f") != encode_arguments(names, ["a b", "c"], "f")
    assert encode_arguments(names, ["a:b", "c"], "f") != encode_arguments(names, ["a", "b:c"], "f")
    assert encode_arguments(names, [b"\x01", ""], "f") != encode_arguments(names, ["01", ""], "f")
    assert encode_arguments(names, ["a", "x"], "f") != encode_arguments(names, ["aprompt: x", None], "f")


def test_bytes_like_objects_of_equal_content_are_equal() -> None:
    """The one documented equivalence."""
    assert encode(b"abc") == encode(bytearray(b"abc")) == encode(memoryview(b"abc"))


def test_an_edited_schema_is_another_request() -> None:
    """A pydantic class as argument is known by its schema, so that an edit of it is not overlooked."""
    before = create_model("Answer", __module__="m", text=(str, ...))
    after = create_model("Answer", __module__="m", text=(str, ...), sources=(list[str], ...))
    again = create_model("Answer", __module__="m", text=(str, ...))
    assert encode(before) != encode(after)
    assert encode(before) == encode(again)


def test_state_beside_the_content_is_part_of_the_key() -> None:
    """A subclass of str with an attribute is told apart by it."""
    one, two = Noted("a"), Noted("a")
    one.note, two.note = "one", "two"
    assert encode(one) != encode(two)


def test_numpy_arrays_are_told_apart_by_type_shape_and_content() -> None:
    """An array is its dtype, its shape and its bytes."""
    shapes = [((4,), "f4"), ((4,), "f8"), ((2, 2), "f4"), ((4,), "i4")]
    arrays = [numpy.zeros(shape, dtype) for shape, dtype in shapes] + [numpy.ones(4, "f4")]
    assert len({encode(array) for array in arrays}) == len(arrays)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        print,
        lambda: 0,
        iter(()),
        [object()],
        {"a": object()},
        {1: object()},
        (object(),),
    ],
    ids=[
        "object",
        "builtin",
        "lambda",
        "generator",
        "in list",
        "in dict",
        "in odd dict",
        "in tuple",
    ],
)
def test_what_has_no_exact_form_is_refused(value: Any) -> None:
    """Nothing is dropped and nothing is named by its address."""
    with pytest.raises(UnkeyableArgument, match=r"no exact encoding|cannot be encoded"):
        encode(value)


def test_a_refusal_names_the_parameter_and_shows_no_value() -> None:
    """The message says function, parameter and type, and nothing that was passed."""
    with pytest.raises(UnkeyableArgument) as refused:
        encode_arguments(("prompt", "client"), ["canary", {"canary": object()}], "app.ask")
    assert "app.ask(): parameter 'client'" in str(refused.value)
    assert "canary" not in str(refused.value)


@pytest.mark.usefixtures("uncollected")
def test_what_holds_itself_is_refused() -> None:
    """A list in itself, and one nested too deep, are errors of ours, not of the interpreter."""
    knot: list[object] = []
    knot.append(knot)
    deep: object = ()
    for _ in range(5_000):
        deep = (deep,)
    for value in (knot, deep):
        with pytest.raises(UnkeyableArgument):
            encode(value)


def test_nesting_costs_no_more_than_it_holds() -> None:
    """Values nested in values that need framing are not read twice as often with each level."""
    reads = 0

    @dataclasses.dataclass
    class Node:
        child: object
        odd: dict[int, int]

        def __getattribute__(self, name: str) -> object:
            nonlocal reads
            reads += name == "odd"
            return super().__getattribute__(name)

    node: object = None
    depth = 30
    for _ in range(depth):
        node = Node(node, {1: 2})
    encode(node)
    assert reads <= 4 * depth * depth
