from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import CorruptValue
from cachepolicy.codec.recording import pack, unpack
from cachepolicy.codec.serialize import ABSENT, serializer_for

PLAIN = serializer_for(ABSENT)
GOLDEN = bytes.fromhex(
    "00000003"  # three chunks
    "010302"  # a text, MessagePack, bytes
    "000000fa00000000ffffffff"  # after 250 ms, at once, after more than can be said
    "000000020000000100000000"
    "6869c0"
)


def _packed(chunks: Sequence[Any], pauses: Sequence[float]) -> bytes:
    return pack([PLAIN.dump(chunk) for chunk in chunks], pauses)


def test_recordings_keep_their_layout() -> None:
    """A release writes and reads the very bytes that other releases do."""
    assert _packed(["hi", None, b""], [0.25, 0, 1e9]) == GOLDEN
    found = unpack(PLAIN, GOLDEN)
    assert found.chunks == ["hi", None, b""]
    assert found.pauses == [0.25, 0, pytest.approx(4294967.295)]


CHUNKS = st.lists(st.one_of(st.none(), st.booleans(), st.text(), st.binary(), st.integers(-9, 9)))


@given(CHUNKS)
def test_what_is_packed_is_unpacked(chunks: list[Any]) -> None:
    """M3: every chunk comes back, in order and of its type, falsy ones too."""
    found = unpack(PLAIN, _packed(chunks, [0.001] * len(chunks)))
    assert list(zip(found.chunks, map(type, found.chunks), strict=True)) == [(c, type(c)) for c in chunks]
    assert len(found.pauses) == len(chunks)


@given(st.binary(max_size=60))
def test_any_other_bytes_are_corrupt(payload: bytes) -> None:
    """Bytes that are no recording raise CorruptValue and nothing else, and take no memory first."""
    try:
        found = unpack(PLAIN, payload)
    except CorruptValue:
        return
    assert len(found.chunks) * 9 + 4 <= len(payload)


@pytest.mark.parametrize("cut", range(len(GOLDEN)))
def test_a_truncated_recording_is_corrupt(cut: int) -> None:
    """No part of a recording passes for one."""
    with pytest.raises(CorruptValue):
        unpack(PLAIN, GOLDEN[:cut])
