"""Annotations and values at the edges of what comes back as it was."""

from __future__ import annotations

import collections
import datetime
import functools
import types
import typing
import zoneinfo
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import BaseModel, ConfigDict, Field, Json, PrivateAttr, computed_field
from pydantic.dataclasses import dataclass as pydantic_dataclass
from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on

from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import ABSENT, read, serializer_for
from cachepolicy.errors import UnserializableValue


class Aliased(BaseModel):
    """Is called otherwise on the wire, and adds to it what it computes."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    class_: str = Field(validation_alias="in", serialization_alias="out")
    parts: list[Aliased] = Field(default_factory=list, alias="children")
    raw: Json[list[int]] = Field(default="[1]", validate_default=True)

    @computed_field  # type: ignore[prop-decorator] # as pydantic's documentation has it
    @property
    def shout(self) -> str:
        """Compute something."""
        return self.class_.upper()


class Cat(BaseModel):
    """One of two, told apart by an aliased field."""

    kind: Literal["cat"] = Field("cat", alias="k")


class Dog(BaseModel):
    """The other."""

    kind: Literal["dog"] = Field("dog", alias="k")
    name: str = ""


class Small(BaseModel):
    """A model that another inherits from."""

    a: int = 1


class Large(Small):
    """A model that holds more than its base."""

    b: int = 2


class Twin(BaseModel):
    """A model with the very fields of another."""

    a: int = 1


class Loose(BaseModel):
    """A model that takes anything, anywhere."""

    model_config = ConfigDict(extra="allow")

    anything: Any = None
    _seen: int = PrivateAttr(default=0)


class Coordinates(NamedTuple):
    """A named tuple."""

    x: int
    y: int


class Options(TypedDict, total=False):
    """A dict whose keys are declared."""

    a: int
    b: str


@dataclass
class Text:
    """A dataclass that computes something of itself, and can be given more than it declares."""

    text: str
    late: int = field(init=False, default=0)

    @functools.cached_property
    def words(self) -> list[str]:
        """Split the text, once."""
        return self.text.split()


@pydantic_dataclass
class Checked:
    """A dataclass of pydantic's."""

    a: int


def _text(**attributes: object) -> Text:
    text = Text("a b")
    assert text.words
    for name, value in attributes.items():
        setattr(text, name, value)
    return text


def _loose(**state: Any) -> Loose:
    loose = Loose(**{name: value for name, value in state.items() if name != "_seen"})
    loose._seen = state.get("_seen", 0)
    return loose


def _aliased(name: str, children: list[Aliased]) -> Aliased:
    return Aliased.model_validate({"in": name, "children": children})


PARIS = zoneinfo.ZoneInfo("Europe/Paris")
HOUR = datetime.timedelta(hours=1)
MOMENT = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
COME_BACK: dict[str, tuple[Any, Any]] = {
    "aliases and computed fields": (Aliased, _aliased("x", [_aliased("y", [])])),
    "a union told apart by an alias": (
        list[Annotated[Cat | Dog, Field(discriminator="kind")]], [Cat(k="cat"), Dog(k="dog", name="Rex")],
    ),
    "extra fields": (Loose, _loose(anything=[1, {"a": None}], more="x")),
    "a private attribute": (Loose, _loose(_seen=1)),
    "bytes where anything goes, beside a private attribute": (Loose, _loose(more=b"x")),
    "keys in another order than declared": (Options, {"b": "x", "a": 1}),
    "a named tuple": (Coordinates, Coordinates(1, 2)),
    "a computed attribute": (Text, _text()),
    "a dataclass of pydantic's": (Checked, Checked(1)),
    "an ordered dict": (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2)),
    "a counter": (collections.Counter[str], collections.Counter("abb")),
    "a deque": (collections.deque[int], collections.deque([1, 2])),
    "a dict that makes its items": (
        collections.defaultdict[str, list[int]], collections.defaultdict(list, a=[1]),
    ),
    "a fixed offset": (datetime.datetime, MOMENT.astimezone(datetime.timezone(HOUR))),
    "UTC by name": (datetime.datetime, MOMENT.astimezone(zoneinfo.ZoneInfo("UTC"))),
    "a bare generic": (typing.Dict, {"a": [1]}),  # noqa: UP006 - the old spelling
    "a dict of one argument": (types.GenericAlias(dict, (str,)), {"a": 1}),
    "an annotation that cannot be hashed": (Annotated[str, ["note"]], "text"),
    "an integer of any length": (Small, Small(a=2**80)),
}  # fmt: skip


@pytest.mark.parametrize("case", COME_BACK)
def test_it_comes_back_as_it_was(case: str) -> None:
    """What a return annotation can say is cached, not refused for how it is spelled."""
    annotation, value = COME_BACK[case]
    returned = read(serializer_for(annotation).dump(value))
    assert returned == value
    assert type(returned) is type(value)
    assert same(value, returned)


STAY_OUT: dict[str, tuple[Any, Any]] = {
    "a set of other numbers": (set[float], {1, 2}),
    "keys of another type": (dict[float, int], {1: 1}),
    "an instance of a subclass": (Small, Large()),
    "an instance of a subclass in a list": (list[Small], [Large()]),
    "the twin of what would be read": (Small | Twin, Twin.model_construct(a="x")),
    "a private attribute that is no data": (Loose, _loose(_seen=object())),
    "a tuple where anything goes": (Loose, _loose(anything=(1,))),
    "an undeclared key": (Options, {"a": 1, "c": 2}),
    "an undeclared attribute": (Text, _text(note="x")),
    "a deque with a bound": (collections.deque[int], collections.deque([1], maxlen=3)),
    "a dict that makes other items": (
        collections.defaultdict[str, list[int]], collections.defaultdict(lambda: [1], a=[1]),
    ),
    "a zone with summer time": (datetime.datetime, MOMENT.astimezone(PARIS)),
    "an offset with a name": (datetime.datetime, MOMENT.astimezone(datetime.timezone(HOUR, "CET"))),
    "the second of two equal hours": (datetime.datetime, datetime.datetime(2026, 10, 25, 2, fold=1)),  # noqa: DTZ001 - without a zone
    "NaN in JSON": (tuple[float], (float("nan"),)),
    "bytes that are no text in JSON": (tuple[bytes], (b"\xff",)),
    "a date that is a moment": (datetime.date, MOMENT),
    "True for an int": (tuple[int], (True,)),
}  # fmt: skip


@pytest.mark.parametrize("case", STAY_OUT)
def test_it_is_refused_rather_than_approximated(case: str) -> None:
    """Whatever would come back as something else, however alike, is not cached."""
    annotation, value = STAY_OUT[case]
    with pytest.raises(UnserializableValue):
        serializer_for(annotation).dump(value)


@pytest.mark.parametrize("annotation", [Iterable[int], Generator[int, None, None], Loose, list[Any]])
def test_c1_no_iterator_is_used_up(annotation: Any) -> None:
    """C1: what can be read only once is still whole after it was refused, also inside of a model."""
    parts = iter([1, 2, 3])
    value = {Loose: Loose(anything={"deep": [parts]}), list[Any]: [parts]}.get(annotation, parts)
    with pytest.raises(UnserializableValue):
        serializer_for(annotation).dump(value)
    assert list(parts) == [1, 2, 3]


def test_c1_a_type_whose_schema_raises_has_no_byte_form() -> None:
    """C1: what a type's own hook raises does not reach the caller of the decorated function."""

    class Broken:
        @classmethod
        def __get_pydantic_core_schema__(cls, *_: object) -> Any:
            raise LookupError("canary")

    with pytest.raises(UnserializableValue) as refused:
        serializer_for(Broken)
    assert "canary" not in str(refused.value)


@pytest.mark.usefixtures("uncollected")
def test_what_holds_itself_is_refused() -> None:
    """A value that goes round in circles is no trouble."""
    knot: list[Any] = []
    knot.append(knot)
    ring = Loose()
    ring.anything = [ring]
    for annotation, value in ((ABSENT, knot), (tuple[Any], (knot,)), (Loose, ring)):
        with pytest.raises(UnserializableValue):
            serializer_for(annotation).dump(value)
