from __future__ import annotations

import itertools
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.codec.encrypt import Encryption, Keyring, key_id, keyring
from cachepolicy.codec.envelope import TAIL, fingerprint, head_of, unseal
from cachepolicy.codec.equality import same
from cachepolicy.codec.serialize import ABSENT, read
from cachepolicy.errors import Corruption, CorruptValue
from tests.golden.make import HERE, KEY, SECRET, TIMES, codec_of, encrypted

OTHER = bytes(range(1, 33))
OF_HEADER = 66


def _blob(value: object = "an answer", *keys: bytes, key: str = KEY) -> bytes:
    codec = codec_of(ABSENT, *(keys or (SECRET,)))
    return codec.seal(codec.dump(value), key, TIMES, b"24 bytes for one tag ...")


def _refused(blob: bytes, *keys: bytes, key: str = KEY) -> Corruption:
    with pytest.raises(CorruptValue) as refused:
        codec_of(ABSENT, *keys).unseal(blob, key)
    return refused.value.reason


def _mended(blob: bytes) -> bytes:
    body = blob[:-TAIL]
    return body + zlib.crc32(body).to_bytes(4, "big") + blob[4 - TAIL :]


def _flipped(blob: bytes, index: int, bits: int) -> bytes:
    return blob[:index] + bytes([blob[index] ^ bits]) + blob[index + 1 :]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@given(JSON, st.text(st.characters(codec="ascii"), max_size=100), st.binary(min_size=32, max_size=32))
def test_a_value_comes_back(value: Any, key: str, secret: bytes) -> None:
    """Whatever is stored under whatever key, its times and versions with it, comes back as it was."""
    codec = codec_of(ABSENT, secret)
    serialized = codec.dump(value)
    header, found = codec.unseal(codec.seal(serialized, key, TIMES, b"24 bytes for one tag ..."), key)
    assert same(read(found), value)
    assert (header.created, header.fresh_until, header.stale_until, header.cost) == TIMES
    assert header.versions == b"24 bytes for one tag ..."
    assert (header.encryption, header.key_id) == (Encryption.AES_256_GCM, key_id(secret))


def test_the_encrypted_format_is_written_as_it_was() -> None:
    """With the nonce of the golden file a release writes its very bytes: id of the key, binding and all."""
    assert encrypted("v2-encrypted") == (HERE / "v2-encrypted.bin").read_bytes()


def test_numbers_of_encryptions_stay() -> None:
    """What is written into envelopes is never renumbered."""
    assert [(each.name, each.value) for each in Encryption] == [("NONE", 0), ("AES_256_GCM", 1)]


@pytest.mark.parametrize("mend", [False, True], ids=["as it is", "checksum mended"])
def test_no_altered_byte_gives_a_value(mend: bool) -> None:
    """Any altered byte is refused, and is an alarm unless it makes the value one of another format or key."""
    blob = _blob("an answer, " * 4)
    for index, bits in itertools.product(range(len(blob) - TAIL), (0x01, 0x80)):
        altered = _flipped(blob, index, bits)
        if mend:
            assert _refused(_mended(altered), SECRET) in _reasons(index)
        else:
            assert _refused(altered, SECRET) is (Corruption.FORMAT if index < 3 else Corruption.TAMPERED)


def _reasons(index: int) -> set[Corruption]:
    """Say how an altered byte may be told whose checksum was mended."""
    if index in range(8, 16):  # the hash of the key
        return {Corruption.KEY}
    if index in range(60, 64):  # the id of the key that it was encrypted with
        return {Corruption.LOCKED}
    if index == 5:  # how it is encrypted
        return {Corruption.PLAIN, Corruption.FORMAT}
    if index in (6, 7, 64, 65):  # where the payload begins, how many versions there are
        return {Corruption.FORMAT, Corruption.TAMPERED}
    return {Corruption.FORMAT} if index < 3 else {Corruption.TAMPERED}


@pytest.mark.parametrize(
    ("field", "begin", "end"),
    [
        ("serializer", 3, 4),
        ("compression", 4, 5),
        ("created", 16, 24),
        ("fresh until", 24, 32),
        ("stale until", 32, 40),
        ("cost", 40, 44),
        ("length", 44, 48),
        ("schema", 48, 56),
        ("dictionary", 56, 60),
        ("versions", 66, 90),
        ("nonce", 90, 102),
    ],
)
def test_what_stands_before_the_payload_is_bound_to_it(field: str, begin: int, end: int) -> None:
    """Nobody who can write to Redis lengthens a life or changes how a value is read: each try is an alarm."""
    blob = _blob()
    for index in range(begin, end):
        assert _refused(_mended(_flipped(blob, index, 0x01)), SECRET) is Corruption.TAMPERED


def test_no_part_of_an_encrypted_value_is_one() -> None:
    """Cut anywhere and mended, it is refused, also where less than nonce and tag is left."""
    blob = _blob()
    for length in range(TAIL, len(blob)):
        assert _refused(_mended(blob[: length - TAIL] + blob[-TAIL:]), SECRET) in Corruption
    head = head_of(blob)
    assert _refused(_mended(head + b"short" + blob[-TAIL:]), SECRET) is Corruption.TAMPERED


def test_values_cannot_be_swapped() -> None:
    """A value that is moved to another key, the hash of the key mended, is refused: the full key is bound."""
    theirs = "app:llm:llm_cache:0124"
    assert _refused(_blob(key=theirs), SECRET) is Corruption.KEY
    moved = _blob(key=theirs)
    moved = _mended(moved[:8] + fingerprint(KEY) + moved[16:])
    assert _refused(moved, SECRET) is Corruption.TAMPERED


def test_two_keys_of_one_hash_do_not_share_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """The eight bytes of the envelope are not what holds a value to its key."""
    monkeypatch.setattr("cachepolicy.codec.envelope.fingerprint", lambda key: b"the same")
    assert _refused(_blob(key="app:llm:llm_cache:0124"), SECRET) is Corruption.TAMPERED


def test_a_new_key_writes_and_an_old_one_still_reads() -> None:
    """Rotation: the first key writes, all read; when the old one is gone, what it wrote is a miss."""
    old, new = _blob("old", OTHER), _blob("new", SECRET, OTHER)
    assert [read(codec_of(ABSENT, SECRET, OTHER).unseal(blob, KEY)[1]) for blob in (old, new)] == [
        "old",
        "new",
    ]
    assert _refused(old, SECRET) is Corruption.LOCKED
    assert _refused(new, OTHER) is Corruption.LOCKED
    assert read(codec_of(ABSENT, SECRET).unseal(new, KEY)[1]) == "new"


def test_an_encrypted_value_without_keys_is_a_miss() -> None:
    """Where encryption is configured no more, what was encrypted is refused, not misread."""
    assert _refused(_blob()) is Corruption.LOCKED


def test_a_plain_value_is_not_taken_for_an_encrypted_one() -> None:
    """Nobody plants plaintext where the policy says that values are encrypted."""
    plain = codec_of(ABSENT)
    assert _refused(plain.seal(plain.dump("planted"), KEY, TIMES), SECRET) is Corruption.PLAIN


def test_a_key_of_the_same_id_is_another_key() -> None:
    """A value that names the id of a key which did not write it is refused."""
    ring = keyring([OTHER])
    (cipher,) = ring._ciphers.values()
    lying = Keyring(key_id(SECRET), {key_id(SECRET): cipher})
    blob = lying.seal(unseal(_blob(), fingerprint(KEY))[0], KEY, b"payload")
    assert _refused(blob, SECRET) is Corruption.TAMPERED


def test_each_value_has_a_nonce_of_its_own() -> None:
    """The same value under the same key is never stored as the same bytes."""
    at = OF_HEADER + 24
    nonces = {_blob()[at : at + 12] for _ in range(200)}
    assert len(nonces) == 200


@pytest.mark.parametrize(
    "keys",
    [[], [b"short"], [SECRET, SECRET], [SECRET, bytes(31)]],
    ids=["none", "short", "twice", "one short"],
)
def test_a_keyring_takes_distinct_keys_of_32_bytes(keys: list[bytes]) -> None:
    """No key, a key of another length, two of one id: refused, without a byte of a key in the message."""
    with pytest.raises(ValueError, match="key") as refused:
        keyring(keys)
    assert SECRET.hex() not in f"{refused.value!r}"
    assert repr(SECRET) not in f"{refused.value!r}"


def test_two_keys_with_one_id_are_refused() -> None:
    """Two different keys whose ids are the same cannot be told apart in a stored value."""
    first, second = _of_one_id()
    assert first != second
    with pytest.raises(ValueError, match="same id"):
        keyring([first, second])


def test_a_keyring_shows_no_key() -> None:
    """Neither the keyring nor a codec that has it shows a key when it is printed."""
    shown = repr(codec_of(ABSENT, SECRET, OTHER)) + str(keyring([SECRET]))
    for form in (SECRET.hex(), repr(SECRET)[2:-1]):
        assert form not in shown


def _of_one_id() -> tuple[bytes, bytes]:
    seen: dict[bytes, bytes] = {}
    for number in itertools.count():
        key = number.to_bytes(32, "big")
        other = seen.setdefault(key_id(key), key)
        if other is not key:
            return other, key
    raise AssertionError
