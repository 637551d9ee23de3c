from __future__ import annotations

import os
import threading
import tracemalloc
from functools import lru_cache
from typing import Any

import ormsgpack
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.codec import compress as compression
from cachepolicy.codec import dictionary, envelope
from cachepolicy.codec.codec import Codec
from cachepolicy.codec.compress import Compression, compress, decompress
from cachepolicy.codec.dictionary import NONE, SHORTEST, TOO_LONG, Dictionaries, Dictionary, together
from cachepolicy.codec.serialize import ABSENT, read, serializer_for
from cachepolicy.errors import Corruption, CorruptValue
from tests.golden.make import HERE, TIMES
from tests.support.answers import completion, reference

RAW = (HERE / "answers.dict").read_bytes()
LIMIT = 2**20
KEY = "app:llm:llm_cache:0123"
BOMB = 2**24


@lru_cache(1)
def _payloads() -> list[bytes]:
    return [ormsgpack.packb(completion(text)) for text in reference(500)]


@lru_cache(1)
def _old_and_new() -> tuple[Dictionary, Dictionary]:
    return dictionary.load(RAW, 3), dictionary.load(dictionary.train(_payloads()[::2], 4096), 3)


def _codec(dictionaries: Dictionaries, threshold: int = 1024) -> Codec:
    return Codec(serializer_for(ABSENT), threshold=threshold, level=3, limit=LIMIT, dictionaries=dictionaries)


def _sealed(codec: Codec, value: object) -> bytes:
    return codec.seal(codec.dump(value), KEY, TIMES)


def _read(codec: Codec, blob: bytes) -> object:
    return read(codec.unseal(blob, KEY)[1])


def _refused(packed: bytes, length: int, by: bytes, known: Dictionaries) -> Corruption:
    with pytest.raises(CorruptValue) as refused:
        decompress(Compression.ZSTD, packed, length, LIMIT, by, known)
    return refused.value.reason


@given(
    st.text(max_size=300) | st.binary(max_size=300) | st.integers(0, 9_000).map("ab".__mul__),
    st.sampled_from(["none", "old", "new", "both"]),
    st.integers(1, 2_000),
)
def test_values_come_back_with_any_dictionaries(value: str | bytes, which: str, threshold: int) -> None:
    """Whatever is compressed with none, one or another dictionary is the same when it is read."""
    old, new = _old_and_new()
    written = {"none": [], "old": [old], "new": [new], "both": [new, old]}[which]
    blob = _sealed(_codec(together(written, writing=True), threshold), value)
    assert _read(_codec(together([new, old], writing=True)), blob) == value


def test_a_dictionary_is_used_for_the_lengths_that_it_suits() -> None:
    """From 128 bytes to 8 KiB a value names its dictionary; shorter and longer ones are as without it."""
    (old, _), text = _old_and_new(), b"".join(_payloads())
    used = {
        length: compress(text[:length], threshold=1024, level=3, dictionaries=together([old], writing=True))
        for length in (SHORTEST - 1, SHORTEST, 1024, TOO_LONG - 1, TOO_LONG)
    }
    assert [packed.dictionary for packed in used.values()] == [bytes(4), old.id, old.id, old.id, bytes(4)]
    assert [packed.compression for packed in used.values()] == [0, 1, 1, 1, 1]
    assert (SHORTEST, TOO_LONG) == (128, 8192)


def test_a_dictionary_is_used_only_where_it_saves() -> None:
    """A payload that would not shrink is stored as it is, and names no dictionary."""
    noise = os.urandom(1000)
    packed = compress(noise, threshold=1, level=3, dictionaries=together(_old_and_new(), writing=True))
    assert packed == (Compression.NONE, bytes(4), noise)


def test_a_dictionary_saves() -> None:
    """Answers that it was not trained on take two thirds of what they take without it, or less."""
    learnt, others = _payloads()[::2], _payloads()[1::2]
    made = together([dictionary.load(dictionary.train(learnt, 16 * 1024), 3)], writing=True)

    def stored(dictionaries: Dictionaries) -> int:
        return sum(
            len(compress(each, threshold=1, level=3, dictionaries=dictionaries).payload) for each in others
        )

    assert stored(made) < stored(NONE) * 2 / 3


def test_the_first_writes_and_all_are_read() -> None:
    """After a new dictionary has been put first, values of the old one are hits."""
    old, new = _old_and_new()
    value = completion("What was written before")
    before = _sealed(_codec(together([old], writing=True)), value)
    after = _codec(together([new, old], writing=True))
    assert _read(after, before) == value
    header, _ = after.unseal(_sealed(after, value), KEY)
    assert header.dictionary == new.id


def test_where_nothing_is_compressed_dictionaries_are_for_reading() -> None:
    """With compression off, values are written as they are; those of a dictionary are still read."""
    old, _ = _old_and_new()
    value = completion("What was written before")
    before = _sealed(_codec(together([old], writing=True)), value)
    off = _codec(together([old], writing=False), threshold=2**63)
    assert _read(off, before) == value
    assert off.unseal(_sealed(off, value), KEY)[0].compression == Compression.NONE


def test_a_value_of_an_unknown_dictionary_is_a_miss() -> None:
    """R6: without its dictionary a value is refused, with a reason of its own."""
    old, new = _old_and_new()
    blob = _sealed(_codec(together([new], writing=True)), completion("unknown"))
    for known in (NONE, together([old], writing=True)):
        with pytest.raises(CorruptValue) as refused:
            _read(_codec(known), blob)
        assert refused.value.reason is Corruption.DICTIONARY


def test_another_dictionary_under_the_same_id_gives_no_value() -> None:
    """Should two files share four bytes of their hashes, zstd's own id still tells them apart."""
    old, new = _old_and_new()
    _, by, packed = compress(_payloads()[0], threshold=1, level=3, dictionaries=together([new], writing=True))
    mistaken = Dictionaries(None, {by: old})
    assert _refused(packed, len(_payloads()[0]), by, mistaken) is Corruption.PAYLOAD


def test_a_file_that_was_cut_short_is_another_dictionary() -> None:
    """Zstd takes a dictionary whose end is missing for the whole one; its id here is not the same."""
    cut = RAW[:-100]
    assert zstandard.ZstdCompressionDict(cut).dict_id() == zstandard.ZstdCompressionDict(RAW).dict_id()
    assert dictionary.load(cut, 3).id != dictionary.load(RAW, 3).id


@pytest.mark.parametrize(
    "raw",
    [b"", b"text, " * 100, RAW[:100], RAW[:8] + bytes(500), RAW + bytes(2**20)],
    ids=["empty", "text", "a head", "zeros", "too large"],
)
def test_what_is_no_dictionary_is_refused(raw: bytes) -> None:
    """Other files, damaged ones and endless ones are told at once, not at the first value."""
    with pytest.raises(ValueError, match="zstd dictionary"):
        dictionary.load(raw, 3)


@pytest.mark.parametrize("samples", [[], [b"x"]], ids=["none", "one"])
def test_too_little_to_learn_from_is_told(samples: list[bytes]) -> None:
    """Samples that no dictionary can be made of are an error of ours, not of zstd's."""
    with pytest.raises(ValueError, match="no dictionary"):
        dictionary.train(samples, 1024)


def _bomb(**options: Any) -> bytes:
    old, _ = _old_and_new()
    return zstandard.ZstdCompressor(dict_data=old.data, **options).compress(bytes(BOMB))


@pytest.mark.parametrize(
    ("options", "length", "reason"),
    [
        ({}, BOMB, Corruption.SIZE),
        ({}, 1000, Corruption.PAYLOAD),
        ({"write_content_size": False}, 1000, Corruption.PAYLOAD),
        ({"write_dict_id": False}, 1000, Corruption.PAYLOAD),
    ],
    ids=["too long", "declares another length", "declares none", "hides its dictionary"],
)
def test_r6_a_bomb_with_a_dictionary_is_bounded(
    options: dict[str, bool], length: int, reason: Corruption
) -> None:
    """R6: a dictionary opens no way around the limit: no memory is taken for what a frame claims."""
    old, _ = _old_and_new()
    packed = _bomb(**options)
    tracemalloc.start()
    try:
        assert _refused(packed, length, old.id, together([old], writing=True)) is reason
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


@given(st.data())
def test_r6_a_damaged_frame_lets_no_other_error_out(data: st.DataObject) -> None:
    """R6: with any bytes replaced, decompression gives bytes of the length asked for, or CorruptValue."""
    (old, _), payload = _old_and_new(), _payloads()[0]
    known = together([old], writing=True)
    packed = bytearray(compress(payload, threshold=1, level=3, dictionaries=known).payload)
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at : at + 4] = data.draw(st.binary(max_size=8))
    try:
        found = decompress(Compression.ZSTD, bytes(packed), len(payload), LIMIT, old.id, known)
    except CorruptValue:
        return
    assert len(found) == len(payload)


def test_a_thread_keeps_few_contexts() -> None:
    """However many dictionaries a process goes through, a thread keeps sixteen contexts of each kind."""
    payload = _payloads()[0]
    for _ in range(20):
        one = dictionary.load(RAW, 3)
        packed = compress(payload, threshold=1, level=3, dictionaries=together([one], writing=True))
        assert (
            decompress(1, packed.payload, len(payload), LIMIT, one.id, together([one], writing=True))
            == payload
        )
    assert len(compression._REUSED.compressors) == len(compression._REUSED.decompressors) == 16


def test_threads_share_dictionaries() -> None:
    """Threads that compress and decompress with the same dictionaries at once get what they put in."""
    codecs = [_codec(together([one], writing=True)) for one in _old_and_new()]
    gate, wrong = threading.Barrier(4), list[object]()

    def work(number: int) -> None:
        gate.wait()
        for turn, text in enumerate(reference(500)):
            codec, value = codecs[(number + turn) % 2], completion(text)
            if _read(codec, _sealed(codec, value)) != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of forking beside threads
def test_a_forked_child_goes_on_with_its_dictionaries() -> None:
    """A child reads and writes with the dictionaries and the contexts of its parent; so does the parent."""
    codec = _codec(together([_old_and_new()[0]], writing=True))
    value = completion("before the fork")
    blob = _sealed(codec, value)
    child = os.fork()
    if child == 0:
        os._exit(0 if _read(codec, blob) == value and _sealed(codec, value) == blob else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert _read(codec, blob) == value


def test_a_value_without_a_dictionary_costs_no_lookup() -> None:
    """Values that name no dictionary are read by every process, whatever dictionaries it has."""
    value = "again and " * 200
    blob = _sealed(_codec(NONE), value)
    assert envelope.unseal(blob, envelope.fingerprint(KEY))[0].dictionary == envelope.NO_ID
    assert _read(_codec(together(_old_and_new(), writing=True)), blob) == value
