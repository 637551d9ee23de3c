from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.codec.codec import Codec
from cachepolicy.codec.compress import Compression, compress, decompress
from cachepolicy.codec.envelope import NO_ID, TAG_SIZE, TAIL, Header, fingerprint, seal, unseal
from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import ABSENT, read, serializer_for
from cachepolicy.errors import Corruption, CorruptValue
from tests.golden.make import CASES, ENCRYPTED, HERE, KEY, SECRET, TIMES, codec_of

HASH = fingerprint(KEY)
STATE = 8  # bytes at the end


def _blob(value: object = "an answer", annotation: Any = ABSENT) -> bytes:
    codec = codec_of(annotation)
    return codec.seal(codec.dump(value), KEY, TIMES)


def _refused(blob: bytes, codec: Codec | None = None, key: str = KEY) -> Corruption:
    with pytest.raises(CorruptValue) as refused:
        (codec or codec_of(ABSENT)).unseal(blob, key)
    return refused.value.reason


@pytest.mark.parametrize("name", [*CASES, *ENCRYPTED])
def test_values_of_earlier_releases_are_read(name: str) -> None:
    """Each golden file gives the value, the times and the cost that it was written with."""
    annotation, value = {**CASES, **ENCRYPTED}[name]
    secrets = [SECRET] if name in ENCRYPTED else []
    header, serialized = codec_of(annotation, *secrets).unseal((HERE / f"{name}.bin").read_bytes(), KEY)
    assert same(read(serialized), value)
    assert (header.created, header.fresh_until, header.stale_until, header.cost) == TIMES


@pytest.mark.parametrize("name", [name for name in CASES if not name.endswith("zstd")])
def test_the_format_is_written_as_it_was(name: str) -> None:
    """A release writes the very bytes of the golden files: earlier releases beside it can read them."""
    annotation, value = CASES[name]
    assert _blob(value, annotation) == (HERE / f"{name}.bin").read_bytes()


def test_every_golden_file_is_a_case() -> None:
    """No file is left untested."""
    assert {file.stem for file in HERE.glob("*.bin")} == CASES.keys() | ENCRYPTED.keys()


@pytest.mark.parametrize("name", CASES)
def test_r6_no_flipped_bit_gives_a_value(name: str) -> None:
    """R6: any single altered byte is refused, with a bounded reason and no other error."""
    blob = (HERE / f"{name}.bin").read_bytes()
    codec = codec_of(CASES[name][0])
    for index in range(len(blob) - STATE):
        for bit in (0x01, 0x80):
            assert (
                _refused(blob[:index] + bytes([blob[index] ^ bit]) + blob[index + 1 :], codec) in Corruption
            )


@pytest.mark.parametrize("name", CASES)
def test_r6_a_flipped_bit_of_the_state_only_makes_it_older(name: str) -> None:
    """R6: what a script may change of a stored value can make it out of date, and nothing else of it."""
    blob = (HERE / f"{name}.bin").read_bytes()
    codec = codec_of(CASES[name][0])
    for index in range(len(blob) - STATE, len(blob)):
        altered = blob[:index] + bytes([blob[index] ^ 0x01]) + blob[index + 1 :]
        header, serialized = codec.unseal(altered, KEY)
        assert header.expired
        assert same(read(serialized), CASES[name][1])


@pytest.mark.parametrize("name", CASES)
def test_r6_no_part_of_a_value_is_one(name: str) -> None:
    """R6: truncated at any length, or with something behind it, a value is refused."""
    blob = (HERE / f"{name}.bin").read_bytes()
    codec = codec_of(CASES[name][0])
    for length in range(len(blob)):
        assert _refused(blob[:length], codec) in Corruption
    assert _refused(blob + b"\x00", codec) is Corruption.CHECKSUM


@given(st.binary(max_size=200))
def test_r6_foreign_bytes_are_refused(blob: bytes) -> None:
    """R6: whatever somebody else stored under the key is refused, never an exception of another kind."""
    assert _refused(blob) in Corruption


def test_r5_a_value_of_another_key_is_refused() -> None:
    """R5: the value carries the hash of its key, and is read under no other."""
    assert _refused(_blob(), key="app:llm:llm_cache:0124") is Corruption.KEY


def test_another_version_is_a_miss() -> None:
    """A format that this release does not know is left alone."""
    blob = bytearray(_blob())
    blob[2] += 1
    blob[-TAIL:-8] = zlib.crc32(bytes(blob[:-TAIL])).to_bytes(4, "big")
    assert _refused(bytes(blob)) is Corruption.FORMAT


def test_another_return_type_is_a_miss() -> None:
    """A value written for one return type is not read as another."""
    assert _refused(_blob([1], list[int]), codec_of(list[str])) is Corruption.SCHEMA


@given(
    st.dictionaries(st.text(max_size=5), st.integers(0, 9) | st.text(max_size=5), max_size=3),
    st.binary(max_size=50),
    st.floats(0, 2e9),
    st.lists(st.binary(min_size=TAG_SIZE, max_size=TAG_SIZE), max_size=3).map(b"".join),
    st.floats(0, 2e9),
)
def test_a_header_comes_back(
    metadata: dict[str, object], payload: bytes, moment: float, versions: bytes, expired: float
) -> None:
    """Times to the millisecond, metadata, versions and payload are read as they were sealed."""
    header = Header(
        moment,
        moment + 1,
        moment + 2,
        0.5,
        3,
        0,
        len(payload),
        b"8 bytes!",
        metadata,
        versions,
        1,
        b"dict",
        b"key!",
        expired,
    )
    found, packed = unseal(seal(header, HASH, payload), HASH)
    assert packed == payload
    assert found.versions == versions
    assert found.expired == pytest.approx(expired, abs=0.001)
    assert (found.encryption, found.dictionary, found.key_id) == (1, b"dict", b"key!")
    assert (found.metadata, found.schema, found.length) == (metadata, b"8 bytes!", len(payload))
    assert found.created == pytest.approx(moment, abs=0.001)


def test_compression_is_kept_only_where_it_saves() -> None:
    """Short payloads and those that would not shrink are stored as they are; others come back whole."""
    noise = bytes(zlib.crc32(bytes([n])) & 0xFF for n in range(256)) * 1
    assert compress(b"a" * 99, threshold=100, level=3) == (Compression.NONE, NO_ID, b"a" * 99)
    assert compress(noise, threshold=100, level=3) == (Compression.NONE, NO_ID, noise)
    kind, _, packed = compress(b"a" * 5000, threshold=100, level=3)
    assert kind is Compression.ZSTD
    assert len(packed) < 100
    assert decompress(kind, packed, length=5000, limit=5000) == b"a" * 5000


def _frame(content: bytes, *, sized: bool = True) -> bytes:
    return zstandard.ZstdCompressor(write_content_size=sized).compress(content)


BOMB = 2**24
REFUSED = {
    "longer than the policy admits": (_frame(b"a" * BOMB), BOMB, Corruption.SIZE),
    "declares another length": (_frame(b"a" * BOMB), 1000, Corruption.PAYLOAD),
    "declares no length": (_frame(b"a" * BOMB, sized=False), 1000, Corruption.PAYLOAD),
    "is no frame": (b"\x28\xb5\x2f\xfd garbage", 1000, Corruption.PAYLOAD),
    "is cut short": (_frame(b"ab" * 500)[:-3], 1000, Corruption.PAYLOAD),
    "is empty": (b"", 1000, Corruption.PAYLOAD),
}


@pytest.mark.parametrize("case", REFUSED)
def test_decompression_is_bounded(case: str) -> None:
    """A frame is never unpacked beyond the limit, whatever it claims: no memory is taken for it."""
    packed, length, reason = REFUSED[case]
    tracemalloc.start()
    try:
        with pytest.raises(CorruptValue) as refused:
            decompress(Compression.ZSTD, packed, length=length, limit=1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.reason is reason
    assert peak < 2_000_000


def test_a_frame_that_lies_about_its_length_is_refused() -> None:
    """A header patched to a smaller length does not let the content through, nor a larger one."""
    honest = bytearray(_frame(b"ab" * 500))
    assert zstandard.frame_content_size(bytes(honest)) == 1000
    at = bytes(honest).index((1000 - 256).to_bytes(2, "little"))
    for lie in (900, 1100):
        honest[at : at + 2] = (lie - 256).to_bytes(2, "little")
        with pytest.raises(CorruptValue):
            decompress(Compression.ZSTD, bytes(honest), length=lie, limit=10_000)


def test_an_unknown_compression_is_refused() -> None:
    """What a later release compressed otherwise is a miss."""
    with pytest.raises(CorruptValue) as refused:
        decompress(7, b"abc", length=3, limit=10)
    assert refused.value.reason is Corruption.FORMAT


def test_an_oversize_value_is_a_miss() -> None:
    """A value longer than the policy now admits is not read."""
    codec = Codec(serializer_for(ABSENT), threshold=1024, level=3, limit=10)
    assert _refused(_blob("x" * 11), codec) is Corruption.SIZE
