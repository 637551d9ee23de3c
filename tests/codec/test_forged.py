"""Bytes whose checksum was mended: somebody meant them to be read."""

from __future__ import annotations

import contextlib
import tracemalloc
import zlib
from typing import Any

import ormsgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.codec.codec import Codec
from cachepolicy.codec.compress import Compression
from cachepolicy.codec.envelope import TAIL, Header, fingerprint, seal
from cachepolicy.codec.serialize import ABSENT, Form, read
from cachepolicy.errors import Corruption, CorruptValue
from tests.golden.make import CASES, HERE, KEY, codec_of

HASH = fingerprint(KEY)
BOMB = 2**26


def _mended(blob: bytes) -> bytes:
    body = blob[:-TAIL]
    return body + zlib.crc32(body).to_bytes(4, "big") + blob[-8:]


def _forged(payload: bytes, form: int = Form.MSGPACK, compression: int = 0, **header: Any) -> bytes:
    plain = Header(0, 1, 2, 0, form, compression, len(payload))
    return seal(plain._replace(**header), HASH, payload)


def _read(codec: Codec, blob: bytes) -> object:
    return read(codec.unseal(blob, KEY)[1])


@pytest.mark.parametrize("name", CASES)
@given(data=st.data())
def test_r6_a_mended_checksum_lets_no_error_out(name: str, data: st.DataObject) -> None:
    """R6: with any bytes replaced and the checksum made right, reading gives a value or CorruptValue only."""
    blob = (HERE / f"{name}.bin").read_bytes()
    begin = data.draw(st.integers(0, len(blob)))
    end = data.draw(st.integers(begin, min(len(blob), begin + 12)))
    altered = _mended(blob[:begin] + data.draw(st.binary(max_size=12)) + blob[end:])
    codec = codec_of(CASES[name][0])
    with contextlib.suppress(CorruptValue):
        _read(codec, altered)


FORGERIES: dict[str, tuple[bytes, Corruption]] = {
    "an unknown form": (_forged(b"x", form=99), Corruption.SCHEMA),
    "a form of another return type": (_forged(b"1", form=Form.JSON), Corruption.SCHEMA),
    "an unknown compression": (_forged(b"x", compression=9), Corruption.FORMAT),
    "text that is no UTF-8": (_forged(b"\xff", form=Form.TEXT), Corruption.PAYLOAD),
    "a list that claims four thousand million items": (_forged(b"\xdd" + b"\xff" * 4), Corruption.PAYLOAD),
    "a list nested without end": (_forged(b"\x91" * 100_000), Corruption.PAYLOAD),
    "an extension type": (_forged(ormsgpack.packb(ormsgpack.Ext(1, b"x"))), Corruption.PAYLOAD),
    "a length that is not the payload's": (_forged(b"abc", form=Form.TEXT, length=2), Corruption.PAYLOAD),
    "a bomb that tells its size": (
        _forged(zstandard.compress(bytes(BOMB)), compression=Compression.ZSTD, length=BOMB), Corruption.SIZE,
    ),
    "a bomb that hides its size": (
        _forged(
            zstandard.ZstdCompressor(write_content_size=False).compress(bytes(BOMB)),
            compression=Compression.ZSTD, length=1000,
        ),
        Corruption.PAYLOAD,
    ),
    "a frame behind the frame": (
        _forged(zstandard.compress(b"\x01") + zstandard.compress(bytes(BOMB)),
                compression=Compression.ZSTD, length=1),
        Corruption.PAYLOAD,
    ),
    "metadata that is no mapping": (
        _mended(_forged(b"\x01")[:6] + (67).to_bytes(2, "big") + _forged(b"\x01")[8:]), Corruption.FORMAT,
    ),
    "a header that begins within itself": (
        _mended(_forged(b"\x01")[:6] + (8).to_bytes(2, "big") + _forged(b"\x01")[8:]), Corruption.FORMAT,
    ),
    "a header longer than all there is": (
        _mended(_forged(b"\x01")[:6] + (999).to_bytes(2, "big") + _forged(b"\x01")[8:]), Corruption.FORMAT,
    ),
    "an encryption that nobody asked for": (_forged(b"\x01", encryption=9), Corruption.LOCKED),
    "more versions than there are": (
        _mended(_forged(b"\x01")[:64] + (9).to_bytes(2, "big") + _forged(b"\x01")[66:]), Corruption.FORMAT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGERIES)
def test_r6_a_forgery_is_refused_within_bounds(case: str) -> None:
    """R6: each is a miss with its reason, and takes no more memory than a value may."""
    blob, reason = FORGERIES[case]
    codec = codec_of(ABSENT)
    tracemalloc.start()
    try:
        with pytest.raises(CorruptValue) as refused:
            _read(codec, blob)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason is reason
    assert peak < 4 * 2**20
