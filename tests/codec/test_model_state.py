"""Models with private attributes, and fields that nobody declared: they come back as they stood."""

from __future__ import annotations

import datetime
from typing import Any

import ormsgpack
import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from cachepolicy.codec.equality import same
from cachepolicy.codec.model_state import keeps_more
from cachepolicy.codec.serialize import Form, Serialized, read, serializer_for
from cachepolicy.errors import CorruptValue, UnserializableValue


class Part(BaseModel):
    text: str
    score: float | None = None


class Noted(BaseModel):
    """A model whose constructor fills in, and notes what its call took."""

    model_config = ConfigDict(extra="allow")

    text: str = ""
    _notes: dict[str, Any] = PrivateAttr(default_factory=dict)

    def __init__(self, **fields: Any) -> None:
        super().__init__(**{"text": "filled in", **fields})
        self._notes = {"took": 0.5}


class Secretive(BaseModel):
    text: str
    _note: str = PrivateAttr("")


def test_a_model_comes_back_with_all_that_it_holds() -> None:
    """M5: fields, extras of classes beside it, what was set, private attributes; a copy for each reader."""
    value = Noted(text="a", usage=Part(text="b"), parts=[Part(text="c", score=1.5)])
    value._notes["headers"] = {"id": "x"}
    serialized = serializer_for(Noted).dump(value)
    one, other = read(serialized), read(serialized)
    assert same(one, value)
    assert isinstance(one, Noted)
    assert isinstance(other, Noted)
    assert one._notes == value._notes
    assert one.model_fields_set == value.model_fields_set
    assert one._notes is not other._notes


def test_a_model_without_secrets_is_validated_as_ever() -> None:
    """What validation gives back is written as JSON, and validated when it is read."""
    value = Secretive(text="a")
    assert serializer_for(Secretive).dump(value).form == Form.JSON
    value._note = "kept"
    again = read(serializer_for(Secretive).dump(value))
    assert isinstance(again, Secretive)
    assert again._note == "kept"
    assert not keeps_more(Part)


@pytest.mark.parametrize("held", [datetime.date(2026, 1, 2), object(), {1: "a"}, (1,)], ids=type)
def test_what_has_no_such_form_is_refused(held: object) -> None:
    """Nothing is approximated: what would come back different is not kept."""
    value = Secretive(text="a")
    value._note = held  # type: ignore[assignment] # as careless code does
    with pytest.raises(UnserializableValue):
        serializer_for(Secretive).dump(value)


@pytest.mark.parametrize("name", ["os.system", "BaseModel.x", "Other", "datetime", 7])
def test_bytes_name_no_class_that_the_annotation_does_not_bring(name: object) -> None:
    """Only models of the annotated class's own module are made, whatever stored bytes say."""
    content = ormsgpack.packb([name, {"text": "a"}, [], None, None])
    payload = ormsgpack.packb(ormsgpack.Ext(1, content))
    loader = serializer_for(Secretive).loaders[Form.MSGPACK]
    with pytest.raises(CorruptValue):
        read(Serialized(Form.MSGPACK, payload, loader))


def test_another_class_in_its_place_is_corrupt() -> None:
    """M5: a payload of one class is never returned for another."""
    value = Noted(text="a")
    payload = serializer_for(Noted).dump(value).payload
    loader = serializer_for(Secretive).loaders[Form.MSGPACK]
    with pytest.raises(CorruptValue):
        read(Serialized(Form.MSGPACK, payload, loader))
