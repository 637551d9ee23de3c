"""Vectors as bytes: what comes back, and what is refused."""

from __future__ import annotations

import base64
import math
import struct
from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.codec import serialize
from cachepolicy.codec.codec import Codec, Times
from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import Form, Serialized, Serializer
from cachepolicy.codec.vectors import Embedded, Numbers, serializer_of
from cachepolicy.errors import CorruptValue, UnserializableValue
from tests.support.embedding import vector_of, wide_vector_of

LISTS = serializer_of("list")
ARRAYS = serializer_of("array")
EMBEDDED = serializer_of("embedded")
NUMPY = serializer_of("ndarray", made_by=np.ndarray)


def back(serializer: Serializer, value: object) -> Any:
    """Write a value, and read it."""
    dumped = serializer.dump(value)
    return serialize.read(serialize.load(serializer, dumped.form, dumped.payload))


@given(st.lists(st.floats(width=32), min_size=1))
def test_m4_single_precision_comes_back_bit_by_bit(numbers: list[float]) -> None:
    """M4: what single precision holds takes four bytes a number, and comes back the same, -0.0 and all."""
    payload = LISTS.dump(numbers).payload
    if not any(map(math.isnan, numbers)):
        assert (payload[0], len(payload)) == (Numbers.SINGLE, 8 + 4 * len(numbers))
    assert same(back(LISTS, numbers), numbers)


@given(st.lists(st.floats(), min_size=1))
def test_m4_any_float_comes_back(numbers: list[float]) -> None:
    """M4: a float that single precision does not hold makes its vector one of double precision."""
    assert same(back(LISTS, numbers), numbers)


@given(st.lists(st.one_of(st.floats(), st.integers(-(2**63), 2**63)), min_size=1))
def test_m4_whole_numbers_stay_whole(numbers: list[float]) -> None:
    """M4: a 0 among floats, as some providers write 0.0, does not come back as another type."""
    assert same(back(LISTS, numbers), numbers)


@pytest.mark.parametrize(
    "numbers", [array("f", vector_of("a")), array("d", vector_of("a")), array("d", wide_vector_of("a"))]
)
def test_m4_arrays_come_back(numbers: array[float]) -> None:
    """M4: an array comes back with its type code."""
    found = back(ARRAYS, numbers)
    assert (found, found.typecode) == (numbers, numbers.typecode)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_m4_numpy_arrays_come_back(dtype: str) -> None:
    """M4: a numpy array comes back with its dtype, as an array that its caller may write to."""
    numbers = (np.array(wide_vector_of("a")) * 100).astype(dtype)
    found = back(NUMPY, numbers)
    assert found.dtype == numbers.dtype
    assert np.array_equal(found, numbers)
    found[0] = 1
    assert back(NUMPY, numbers)[0] == numbers[0]


def test_m4_doubles_that_are_singles_take_four_bytes() -> None:
    """M4: an array of double precision takes no more than its numbers need, and is one when it comes back."""
    numbers = np.array(vector_of("a"), "f8")
    assert len(NUMPY.dump(numbers).payload) == 8 + 4 * len(numbers)
    assert back(NUMPY, numbers).dtype == np.dtype("f8")


@pytest.mark.parametrize("kind", ["list", "array", "ndarray"])
def test_m4_half_precision_is_a_choice(kind: Any) -> None:
    """M4: ``float16`` takes two bytes a number, and is off by no more than half precision is."""
    numbers = wide_vector_of("a")
    made: Any = (
        array("d", numbers) if kind == "array" else np.array(numbers) if kind == "ndarray" else numbers
    )
    serializer = serializer_of(kind, "float16", made_by=np.ndarray)
    assert len(serializer.dump(made).payload) == 8 + 2 * len(numbers)
    found = back(serializer, made)
    assert type(found) is type(made)
    assert list(found) == pytest.approx(numbers, rel=5e-4, abs=1e-6)


def test_m4_half_precision_gives_way_to_large_numbers() -> None:
    """M4: a vector with a number beyond 65504 is kept as it is, not as infinity."""
    assert back(serializer_of("list", "float16"), [1e6, 0.1]) == [1e6, 0.1]


def test_m4_base64_comes_back_as_text() -> None:
    """M4: an embedding that a provider sent in base64 is kept as floats, and comes back as the same text."""
    text = base64.b64encode(struct.pack("<3f", 1.0, -2.5, 0.1)).decode()
    embedded = Embedded(text, {"model": "m"})
    assert back(EMBEDDED, embedded) == embedded
    assert len(EMBEDDED.dump(embedded).payload) < 8 + 12 + 12


@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        (LISTS, (1.0, 2.0)),
        (LISTS, ["a", object()]),
        (LISTS, None),
        (ARRAYS, [1.0]),
        (ARRAYS, array("i", [1])),
        (NUMPY, [1.0]),
        (NUMPY, np.ones((2, 2))),
        (NUMPY, np.ones(2, ">f4")),
        (NUMPY, np.ones(2, "c16")),
        (EMBEDDED, Embedded("no base64!", {})),
        (EMBEDDED, Embedded("AAAA", {})),
        (EMBEDDED, Embedded([1.0], {"model": object()})),
        (EMBEDDED, Embedded([1.0], {"model": "m" * 2**16})),
    ],
)
def test_what_would_come_back_different_is_refused(serializer: Serializer, value: object) -> None:
    """M4: what is no vector of its kind is not kept; the error shows no number."""
    with pytest.raises(UnserializableValue):
        serializer.dump(value)


@pytest.mark.parametrize(
    ("serializer", "value"),
    [
        (LISTS, vector_of("a")),
        (LISTS, wide_vector_of("a")),
        (LISTS, [0, 1.5]),
        (ARRAYS, array("d", vector_of("a"))),
        (NUMPY, np.array(vector_of("a"))),
        (NUMPY, np.array([1, 2], "i8")),
        (EMBEDDED, Embedded(vector_of("a"), {"model": "m"})),
    ],
)
def test_m4_a_payload_of_another_length_is_refused(serializer: Serializer, value: object) -> None:
    """M4: bytes that are not as many as the dimensions say are no vector, and neither are too many."""
    payload = serializer.dump(value).payload
    load = serializer.loaders[Form.VECTOR]
    wrong = [payload[:at] for at in (0, 7, 9, len(payload) - 1)] + [payload + b"\0"]
    for each in (*wrong, payload[:4] + b"\xff\xff\0\0" + payload[8:]):
        with pytest.raises(CorruptValue):
            serialize.read(Serialized(Form.VECTOR, each, load))


def test_m4_vectors_are_not_compressed() -> None:
    """M4: a vector is stored as it is, however long; compression would take time and save nothing."""
    codec = Codec(LISTS, threshold=1, level=3, limit=2**20)
    dumped = codec.dump([1.0] * 10_000)
    blob = codec.seal(dumped, "key", Times(0.0, 1.0, 1.0, 0.0))
    assert dumped.payload in blob
    header, again = codec.unseal(blob, "key")
    assert (header.compression, again.payload) == (0, dumped.payload)


def test_m4_precisions_do_not_mix() -> None:
    """M4: half precision is not found by who wants it exact, nor a list by who wants arrays."""
    schemas = {
        serializer_of("list").schema,
        serializer_of("list", "float16").schema,
        serializer_of("array").schema,
        serializer_of("embedded", about="a").schema,
        serializer_of("embedded", about="b").schema,
    }
    assert len(schemas) == 5
