from __future__ import annotations

import datetime
import decimal
import enum
import re
import uuid
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

import pytest
from hypothesis import given
from pydantic import BaseModel, field_serializer, field_validator
from typing_extensions import TypedDict  # pydantic reads typing's own from Python 3.12 on

from cachepolicy.codec.codec import Codec
from cachepolicy.codec.equality import is_immutable, same
from cachepolicy.codec.serialize import ABSENT, Form, read, serializer_for
from cachepolicy.errors import UnserializableValue
from tests.keys.test_canonical import VALUES

T = TypeVar("T")


class Mood(enum.Enum):
    GOOD = "good"


class Usage(BaseModel):
    tokens: int
    cost: decimal.Decimal


class Answer(BaseModel, Generic[T]):
    text: str
    usage: Usage | None = None
    parsed: T | None = None
    at: datetime.datetime | None = None
    anything: Any = None


@dataclass
class Quote:
    text: str
    said: datetime.date
    tags: tuple[str, ...] = ()
    scores: dict[int, float] = field(default_factory=dict)


class Row(TypedDict):
    name: str
    when: datetime.timedelta


NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=datetime.UTC)
COME_BACK: list[tuple[Any, Any]] = [
    (ABSENT, "text"),
    (ABSENT, "größer 🦊"),
    (ABSENT, ""),
    (ABSENT, b"\x00\xff"),
    (ABSENT, None),
    (ABSENT, {"a": [1, 2.5, True, None, "x", {"b": []}]}),
    (ABSENT, [float("nan"), float("inf"), -0.0]),
    (str, "text"),
    (bytes, b"bytes"),
    (type(None), None),
    (dict[str, Any], {"a": 1}),
    (list[dict[str, str]], [{"role": "user"}]),
    (str | None, None),
    (Usage, Usage(tokens=1, cost=decimal.Decimal("0.10"))),
    (Answer[Usage], Answer[Usage](text="a", parsed=Usage(tokens=1, cost=decimal.Decimal(1)), at=NOW)),
    (list[Usage], [Usage(tokens=1, cost=decimal.Decimal(1))] * 2),
    (Usage | None, None),
    (Quote, Quote("x", datetime.date(2026, 1, 1), ("a", "b"), {1: 0.5})),
    (Row, {"name": "a", "when": datetime.timedelta(milliseconds=1)}),
    (tuple[int, str], (1, "a")),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (datetime.datetime, NOW),
    (uuid.UUID, uuid.UUID(int=7)),
    (decimal.Decimal, decimal.Decimal("1.50")),
    (Mood, Mood.GOOD),
    (Literal["a", "b"], "a"),
    (dict[int, str], {1: "a"}),
]


def _id(value: object) -> str:
    """Name a parameter the same in every process: the mark of an absent annotation has its address in it."""
    return re.sub(" at 0x[0-9a-f]+", "", repr(value))


@pytest.mark.parametrize(("annotation", "value"), COME_BACK, ids=_id)
def test_a_value_comes_back_as_it_was(annotation: Any, value: Any) -> None:
    """What the return annotation names comes back equal, of equal types at every depth, and fresh."""
    serializer = serializer_for(annotation)
    serialized = serializer.dump(value)
    returned = read(serialized)
    assert same(value, returned)
    assert is_immutable(value) or returned is not value
    assert is_immutable(value) or read(serialized) is not returned


class Shouting(str):
    __slots__ = ()


STAY_OUT: list[tuple[Any, Any]] = [
    (ABSENT, (1, 2)),
    (ABSENT, {1: "a"}),
    (ABSENT, {"a": (1,)}),
    (ABSENT, {1}),
    (ABSENT, Shouting("a")),
    (ABSENT, 2**70),
    (ABSENT, "\ud800"),
    (ABSENT, object()),
    (ABSENT, NOW),
    (ABSENT, iter([1])),
    (ABSENT, bytearray(b"x")),
    (str, ("not", "text")),
    (Usage, {"tokens": 1}),
    (Usage, "text"),
    (Answer[int], Answer[int](text="a", anything=(1, 2))),
    (Answer[int], Answer[int](text="a", anything=object())),
    (list[float], [float("nan")] and {1.0}),
    (tuple[int, ...], [1]),
    (int | float, object()),
    (Quote, Quote("x", datetime.date(2026, 1, 1), ["a"])),  # type: ignore[arg-type] # what a wrong caller does
]


@pytest.mark.parametrize(("annotation", "value"), STAY_OUT, ids=_id)
def test_a_value_that_would_come_back_different_is_refused(annotation: Any, value: Any) -> None:
    """Nothing is approximated, and the message holds nothing of the value."""
    with pytest.raises(UnserializableValue) as refused:
        serializer_for(annotation).dump(value)
    assert repr(value) not in str(refused.value)


@pytest.mark.parametrize("annotation", [ABSENT, Any, dict, list, object], ids=_id)
@given(value=VALUES)
def test_whatever_is_let_out_comes_back(annotation: Any, value: Any) -> None:
    """For any value: it is refused, or what is read is the same."""
    try:
        serialized = serializer_for(annotation).dump(value)
    except UnserializableValue:
        return
    assert same(value, read(serialized))


def test_an_iterator_is_not_used_up() -> None:
    """A result that can be read only once is refused unread: it is the caller's."""
    parts = iter([1, 2, 3])
    for annotation in (ABSENT, Any, list[int]):
        with pytest.raises(UnserializableValue):
            serializer_for(annotation).dump(parts)
    assert list(parts) == [1, 2, 3]


def test_code_of_the_user_may_fail() -> None:
    """Validators, serializers and comparisons that raise make a value unserializable, and nothing else."""

    class Moody(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def refuse(cls, value: str) -> str:
            raise RuntimeError("canary")

    class Mute(BaseModel):
        text: str

        @field_serializer("text")
        def refuse(self, value: str) -> str:
            raise RuntimeError("canary")

    class Unequal(BaseModel):
        text: str

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("canary")

        __hash__ = None  # type: ignore[assignment] # as Python would

    for annotation, value in (
        (Moody, Moody.model_construct(text="a")),
        (Mute, Mute(text="a")),
        (Answer[Unequal], {"parsed": Unequal(text="a")}),
    ):
        with pytest.raises(UnserializableValue) as refused:
            serializer_for(annotation).dump(value)
        assert "canary" not in str(refused.value)


def test_an_annotation_without_byte_form_is_refused() -> None:
    """A type that pydantic cannot read has no serializer."""

    class Opaque:
        pass

    with pytest.raises(UnserializableValue):
        serializer_for(Opaque)


def test_schemas_tell_return_types_apart() -> None:
    """Another return type, or an edited one, has another fingerprint; the same has the same."""

    class Before(BaseModel):
        text: str

    class After(BaseModel):
        text: str
        more: int = 0

    kinds = (
        ABSENT,
        str,
        bytes,
        dict[str, int],
        dict[str, str],
        Usage,
        Answer[int],
        Answer[str],
        Before,
        After,
    )
    assert len({serializer_for(kind).schema for kind in kinds}) == len(kinds)
    assert serializer_for(Usage).schema == serializer_for(Usage).schema


@pytest.mark.parametrize(
    ("value", "form"), [("a", Form.TEXT), (b"a", Form.BYTES), ([1], Form.MSGPACK)], ids=str
)
def test_text_and_bytes_are_stored_as_they_are(value: Any, form: Form) -> None:
    """Only what needs a form gets one."""
    assert serializer_for(ABSENT).dump(value).form is form


def test_what_is_over_the_limit_is_refused() -> None:
    """``admit.max_value`` bounds what is written, compressed or not."""
    codec = Codec(serializer_for(ABSENT), threshold=0, level=3, limit=100)
    assert codec.dump("x" * 100).payload == b"x" * 100
    with pytest.raises(UnserializableValue, match="max_value"):
        codec.dump("x" * 101)
