"""Objects as arguments: what is their identity, and what is not."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import zoneinfo
from collections import Counter, OrderedDict
from typing import Any, NamedTuple

import numpy
import pytest
from pydantic import BaseModel, PrivateAttr

from cachepolicy.decorators.hit_path import compile_wrapper
from cachepolicy.errors import UnkeyableArgument
from cachepolicy.keys.canonical import encode, encode_arguments
from cachepolicy.keys.signature import shape_of
from cachepolicy.tiers.local import Entry, Table


class Secret(str):
    """Text that prints itself as asterisks."""

    __slots__ = ("__tag",)

    def __str__(self) -> str:
        return "***"

    def tagged(self, tag: str) -> Secret:
        """Hold something besides the text."""
        self.__tag = tag
        return self


class Loud(list[str]):
    """A list that shows another content than it has."""

    def __iter__(self) -> Any:
        return iter(["always", "this"])


class Stamp(datetime.datetime):
    """A moment with a note."""

    note = ""


class Row(NamedTuple):
    """A pair with names."""

    a: int
    b: int


class Marked(Row):
    """A pair with names and room for more."""

    mark = 0


@dataclasses.dataclass
class Items(dict[str, int]):
    """A dict that is a dataclass too."""

    name: str


@dataclasses.dataclass
class Lazy:
    """A value that computes something of itself."""

    text: str
    late: int = dataclasses.field(init=False)

    @functools.cached_property
    def words(self) -> list[str]:
        """Split the text, once."""
        return self.text.split()


class Model(BaseModel):
    """A model with something private."""

    a: int = 1
    b: int = 2
    _seen: int = PrivateAttr(default=0)


class Zone(datetime.tzinfo):
    """A zone that says nothing of itself."""

    def utcoffset(self, _: object) -> datetime.timedelta:
        """Be an hour ahead."""
        return datetime.timedelta(hours=1)

    def dst(self, _: object) -> None:
        """Know no summer time."""

    def tzname(self, _: object) -> None:
        """Have no name."""


def _marked(mark: int) -> Marked:
    marked = Marked(1, 2)
    marked.mark = mark
    return marked


def _stamp(note: str) -> Stamp:
    stamp = Stamp(2026, 1, 1, tzinfo=datetime.UTC)
    stamp.note = note
    return stamp


def _items(**content: int) -> Items:
    items = Items("n")
    items.update(content)
    return items


def _model(seen: int) -> Model:
    model = Model()
    model._seen = seen
    return model


def _without_b() -> Model:
    model = Model()
    del model.__dict__["b"]
    return model


CET = datetime.timezone(datetime.timedelta(hours=1), "Europe/Paris")
NEW_YEAR = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
DIFFERENT: dict[str, tuple[Any, Any]] = {
    "text that hides itself": (Secret("a"), Secret("b")),
    "text with state in a private slot": (Secret("a").tagged("x"), Secret("a").tagged("y")),
    "a list that shows something else": (Loud(["a"]), Loud(["b"])),
    "a dict that is a dataclass": (_items(a=1), _items(a=2)),
    "a named tuple with state": (_marked(1), _marked(2)),
    "a moment with state": (_stamp("a"), _stamp("b")),
    "a moment and its subclass": (NEW_YEAR, _stamp("")),
    "zones of one name and one offset": (
        NEW_YEAR.astimezone(CET), NEW_YEAR.astimezone(zoneinfo.ZoneInfo("Europe/Paris")),
    ),
    "the two moments of an hour that comes twice": (NEW_YEAR.replace(fold=0), NEW_YEAR.replace(fold=1)),
    "private attributes of a model": (_model(1), _model(2)),
    "a model without one of its fields": (Model(), _without_b()),
    "ordered dicts, whose order counts": (OrderedDict(a=1, b=2), OrderedDict(b=2, a=1)),
    "arrays of other field names": (
        numpy.zeros(2, [("a", "i4"), ("b", "i4")]), numpy.zeros(2, [("a", "i4"), ("c", "i4")]),
    ),
    "a numpy scalar and a number": (numpy.float64(1.5), 1.5),
    "builtin classes": (int, str),
}  # fmt: skip
ALIKE: dict[str, tuple[Any, Any]] = {
    "counters, whose order does not count": (Counter("ab"), Counter("ba")),
    "an array in another memory layout": (
        numpy.arange(6).reshape(2, 3), numpy.asfortranarray(numpy.arange(6).reshape(2, 3)),
    ),
    "models assigned in another order": (Model(a=1, b=3), Model(b=3, a=1)),
    "a model that spells its defaults": (Model(), Model(a=1, b=2)),
}  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENT)
def test_objects_that_differ_have_different_keys(case: str) -> None:
    """All that an object holds is part of what it is, however it presents itself."""
    left, right = DIFFERENT[case]
    assert encode(left) != encode(right)
    assert encode({1: left}) != encode({1: right})


@pytest.mark.parametrize("case", ALIKE)
def test_equal_objects_have_equal_keys(case: str) -> None:
    """What is no part of a value makes no other key."""
    left, right = ALIKE[case]
    assert encode(left) == encode(right)


def test_what_an_object_computed_of_itself_adds_nothing() -> None:
    """Reading a cached property, or leaving a field unset, does not change or prevent a key."""
    lazy = Lazy("a b")
    before = encode(lazy)
    assert lazy.words == ["a", "b"]
    assert encode(lazy) == before
    lazy.late = 1
    assert encode(lazy) != before


def test_an_enum_is_its_class_its_name_and_its_value() -> None:
    """``FAST = "small"`` edited to ``FAST = "large"`` asks another model; a value without form is no part."""

    def speed(value: object) -> enum.Enum:
        class Speed(enum.Enum):
            FAST = value
            SLOW = object()

        return Speed.FAST if value else Speed.SLOW

    assert encode(speed("small")) != encode(speed("large"))
    assert encode(speed("small")) == encode(speed("small"))
    assert encode(speed(None)) == encode(speed(None))
    assert encode(speed(None)) != encode(speed(object()))


UNREADABLE: dict[str, Any] = {
    "a zone without a name": NEW_YEAR.replace(tzinfo=Zone()),
    "an array of objects": numpy.array([object()]),
    "a masked array": numpy.ma.masked_array([1, 2], [True, False]),
    "a class": Zone,
    "a schema that cannot be made": BaseModel,
    "a view of what is gone": memoryview(b"x"),
}
UNREADABLE["a view of what is gone"].release()


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_has_no_exact_form_is_an_error_of_ours(case: str) -> None:
    """C1: what the encoder or the object's own code raises reaches the caller as UnkeyableArgument only."""
    with pytest.raises(UnkeyableArgument, match="parameter 'b'"):
        encode_arguments(("a", "b"), [1, UNREADABLE[case]], "f")
    with pytest.raises(UnkeyableArgument):
        encode({1: UNREADABLE[case]})


def test_code_of_the_argument_that_raises_is_an_error_of_ours() -> None:
    """C1: a property that raises makes the argument unkeyable; its message is not shown."""

    @dataclasses.dataclass
    class Angry:
        x: int = 1

        def __getattribute__(self, name: str) -> object:
            if name == "x":
                raise LookupError("canary")
            return super().__getattribute__(name)

    for value in (Angry(), {1: Angry()}, (Angry(),)):
        with pytest.raises(UnkeyableArgument) as refused:
            encode(value)
        assert "canary" not in str(refused.value)


class Liar:
    """A proxy that equals what it stands for and says it were of its class."""

    def __init__(self, target: object) -> None:
        self.target = target

    @property  # type: ignore[misc] # proxies do this
    def __class__(self) -> type:
        return type(self.target)

    def __eq__(self, other: object) -> bool:
        return bool(self.target == other)

    def __hash__(self) -> int:
        return hash(self.target)


@pytest.mark.parametrize("impostor", [Liar("a"), Secret("a"), b"a"], ids=["proxy", "subclass", "bytes"])
def test_only_the_very_value_hits(impostor: Any) -> None:
    """Equal is not enough: what is of another type, whatever it says, does not find the entry of an atom."""

    def function(a: str) -> None: ...

    table = Table()
    key = ("a", str)
    table[key] = Entry(table, key, "cached", None, 1e9, 0.0, 1)
    wrapper = compile_wrapper(shape_of(function), lambda *_: "asked", is_async=False)
    wrapper.point(table.get, lambda: 0.0)
    assert wrapper.function("a") == "cached"
    assert wrapper.function(impostor) == "asked"
    assert Liar("a") == "a"


def test_a_proxy_has_no_key() -> None:
    """A proxy is not what it stands for, and cannot be encoded as it."""
    for target in ("a", NEW_YEAR, {"a": 1}):
        with pytest.raises(UnkeyableArgument, match="Liar"):
            encode(Liar(target))
