"""What is no cached value: laid out so that nothing altered, cut off or misplaced is ever read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.codec.encrypt import keyring
from cachepolicy.codec.sealed import Sealer
from cachepolicy.errors import Corruption, CorruptValue

KEYS = keyring([bytes(32)])
PLAIN = Sealer(threshold=64, level=3, limit=4096)
SECRET = Sealer(threshold=64, level=3, limit=4096, keyring=KEYS)
BOTH = pytest.mark.parametrize("sealer", [PLAIN, SECRET], ids=["plain", "encrypted"])


def _refused(sealer: Sealer, sealed: bytes, place: str = "here") -> Corruption:
    with pytest.raises(CorruptValue) as refused:
        sealer.unseal(sealed, place)
    with pytest.raises(CorruptValue) as refused_too:
        sealer.opener(place)(sealed)
    assert refused.value.reason == refused_too.value.reason
    return refused.value.reason


@BOTH
@given(payload=st.binary(max_size=300) | st.integers(0, 4096).map(bytes))
def test_a_payload_comes_back(sealer: Sealer, payload: bytes) -> None:
    """What is sealed is read again, whether it was worth compressing or not."""
    sealed = sealer.seal(payload, "here")
    assert sealer.unseal(sealed, "here") == payload == sealer.opener("here")(sealed)


@BOTH
@pytest.mark.parametrize("payload", [b"", b"short", bytes(2000)])
def test_no_altered_byte_is_read(sealer: Sealer, payload: bytes) -> None:
    """T1: each byte that is altered, and each end that is cut off, is noticed."""
    sealed = sealer.seal(payload, "here")
    for at in range(len(sealed)):
        _refused(sealer, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
        _refused(sealer, sealed[:at])


@BOTH
def test_a_payload_is_read_where_it_belongs(sealer: Sealer) -> None:
    """S1: bytes that were moved to another key, or crossed over from another reply, are refused."""
    assert _refused(sealer, sealer.seal(b"payload", "here"), "there") in {Corruption.KEY, Corruption.TAMPERED}


def test_a_policy_that_encrypts_reads_nothing_plain() -> None:
    """Who can write to Redis cannot plant what was never encrypted; and without keys nothing is read."""
    assert _refused(SECRET, PLAIN.seal(b"payload", "here")) is Corruption.PLAIN
    assert _refused(PLAIN, SECRET.seal(b"payload", "here")) is Corruption.LOCKED
    assert b"payload" not in SECRET.seal(b"payload", "here")


@BOTH
def test_a_frame_cannot_claim_more_than_is_let_in(sealer: Sealer) -> None:
    """A bomb is refused before a byte is allocated for it."""
    large = Sealer(threshold=64, level=3, limit=2**20, keyring=sealer.keyring)
    assert _refused(sealer, large.seal(bytes(5000), "here")) is Corruption.SIZE
