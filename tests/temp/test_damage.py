"""T1: what was evicted, altered or swapped is an error, never other data and never less of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import redis

from cachepolicy import BlobDamaged, BlobIncomplete, StreamLost, configure
from cachepolicy.policy.rules import TempRule
from cachepolicy.runtime import current
from tests.support.temping import CHUNK, Files, chunk_keys, content, in_parts, other, temp_policy

KEY = bytes(32).hex()
Damage = Callable[[redis.Redis, list[bytes]], object]


def _swapped(client: Any, keys: list[bytes]) -> None:
    one, two = client.get(keys[3]), client.get(keys[4])
    client.set(keys[3], two)
    client.set(keys[4], one)


def _altered(at: int) -> Damage:
    def alter(client: Any, keys: list[bytes]) -> None:
        value = bytearray(client.get(keys[3]))
        value[at] ^= 1
        client.set(keys[3], bytes(value))

    return alter


def _shorter(client: Any, keys: list[bytes]) -> None:
    client.set(keys[3], client.get(keys[3])[:-1])


def _foreign(client: Any, keys: list[bytes]) -> None:
    client.set(keys[3], b"anything")


def _emptied(client: Any, keys: list[bytes]) -> None:
    client.set(keys[3], b"")


DAMAGES: dict[str, Damage] = {
    "evicted": lambda client, keys: client.delete(keys[3]),
    "all evicted": lambda client, keys: client.delete(*keys),
    "the last evicted": lambda client, keys: client.delete(keys[-1]),
    "the first evicted": lambda client, keys: client.delete(keys[0]),
    "altered": _altered(-1),
    "altered head": _altered(0),
    "cut off": _shorter,
    "foreign": _foreign,
    "emptied": _emptied,
    "swapped": _swapped,
}


@pytest.mark.parametrize("encryption", [{"enabled": False}, {"keys": [KEY]}], ids=["plain", "encrypted"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_t1_a_damaged_chunk_is_an_error(
    redis_files: Files, redis_url: str, damage: Damage, encryption: dict[str, Any]
) -> None:
    """T1: however a chunk was damaged, reading it raises BlobDamaged; what comes before it is what it was."""
    configure(temp_policy(redis_url, encryption=encryption))
    data = content(8 * CHUNK + 5)
    blob = redis_files.put(data)
    with other(redis_url) as client:
        damage(client, chunk_keys(client))
    with pytest.raises(BlobDamaged):
        redis_files.read(blob.id)
    taken: list[bytes] = []

    async def through() -> None:
        async for piece in redis_files.store.stream(blob.id):
            taken.append(piece)  # noqa: PERF401 - what came before the error is wanted

    def through_sync() -> None:
        for piece in redis_files.store.stream(blob.id):
            taken.append(piece)  # noqa: PERF402 - see above

    with pytest.raises(BlobDamaged):
        redis_files.run(through if redis_files.colour.is_async else through_sync)
    assert data.startswith(b"".join(taken))
    assert len(b"".join(taken)) < len(data)


def test_t1_sound_parts_of_a_damaged_file_can_be_read(redis_files: Files, redis_url: str) -> None:
    """T1: a range that needs no damaged chunk comes back; one that does is an error."""
    data = content(8 * CHUNK)
    blob = redis_files.put(data)
    with other(redis_url) as client:
        DAMAGES["evicted"](client, chunk_keys(client))
    assert redis_files.read(blob.id, 0, 3 * CHUNK) == data[: 3 * CHUNK]
    assert redis_files.read(blob.id, 4 * CHUNK) == data[4 * CHUNK :]
    with pytest.raises(BlobDamaged):
        redis_files.read(blob.id, 3 * CHUNK + 7, 3 * CHUNK + 8)


def test_t1_the_chunks_of_another_file_are_not_taken(redis_files: Files, redis_url: str) -> None:
    """T1: a chunk that was copied from another file of the same size is noticed."""
    blob = redis_files.put(content(3 * CHUNK))
    with other(redis_url) as client:
        own = chunk_keys(client)
        redis_files.put(bytes(3 * CHUNK))
        (foreign,) = (key for key in chunk_keys(client) if key.endswith(b":1") and key not in own)
        client.set(own[1], client.get(foreign))
    with pytest.raises(BlobDamaged):
        redis_files.read(blob.id)


@pytest.mark.parametrize("field", ["m", "s", "x"])
def test_t1_an_altered_manifest_is_an_error(redis_files: Files, redis_url: str, field: str) -> None:
    """T1: a manifest that was altered, or lost a part, is damaged; its file can still be deleted."""
    blob = redis_files.put(content(2 * CHUNK))
    with other(redis_url) as client:
        (key,) = client.keys("*temp:{*}")
        client.hset(key, field, b"\x01junk")
        for verb in (redis_files.store.info, redis_files.store.read):
            with pytest.raises(BlobDamaged):
                redis_files.do(verb, blob.id)
        client.hdel(key, field)
        with pytest.raises(BlobDamaged):
            redis_files.read(blob.id)
        assert redis_files.do(redis_files.store.delete, blob.id)
        assert client.keys("*temp:{*}") == []


def test_t1_a_chunk_of_another_length_is_not_taken(redis_files: Files, redis_url: str) -> None:
    """T1: even a chunk that was sealed for its very place is refused where it is shorter than it must be."""
    blob = redis_files.put(content(3 * CHUNK))
    with other(redis_url) as client:
        key = chunk_keys(client)[1].decode()
        records: Any = current.current().archive.records("temp", TempRule, "a test")
        client.set(key, records.sealer.seal(content(CHUNK)[:-1], key))
    with pytest.raises(BlobDamaged):
        redis_files.read(blob.id, 0, 2 * CHUNK)


def test_t1_a_manifest_of_another_file_is_not_taken(redis_files: Files, redis_url: str) -> None:
    """T1: a manifest that was copied over another says nothing of that file."""
    redis_files.put(content(2 * CHUNK))
    with other(redis_url) as client:
        (first,) = client.keys("*temp:{*}")
        blob = redis_files.put(content(CHUNK))
        (second,) = (key for key in client.keys("*temp:{*}") if key != first)
        client.copy(first, second, replace=True)
    with pytest.raises(BlobDamaged):
        redis_files.read(blob.id)


def test_t1_nothing_is_read_before_the_upload_has_ended(files: Files) -> None:
    """T1: who knows the id of an upload that goes on gets BlobIncomplete, and nothing of the file."""
    upload = files.do(files.store.begin_upload, 3 * CHUNK)
    for index in range(3):
        files.do(upload.put, index, content(CHUNK))
    for verb in (files.store.info, files.store.read):
        with pytest.raises(BlobIncomplete):
            files.do(verb, upload.id)
    with pytest.raises(BlobIncomplete):
        files.pieces(files.store.stream(upload.id))
    files.do(upload.finish)
    assert files.read(upload.id) == 3 * content(CHUNK)


def test_t1_the_whole_is_verified(
    redis_files: Files, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: were every chunk sound by itself, a whole of another SHA-256 would still be refused."""
    from cachepolicy.flow import blob as told

    read = told.read
    blob = redis_files.put(content(5 * CHUNK))

    def lying(*args: Any) -> Any:
        from dataclasses import replace

        return replace(read(*args), sha256="0" * 64)

    monkeypatch.setattr(told, "read", lying)
    with pytest.raises(BlobDamaged):
        redis_files.read(blob.id)
    stream = redis_files.store.stream(blob.id)
    assert len(b"".join(redis_files.pieces(stream, 4))) == 4 * CHUNK
    with pytest.raises(BlobDamaged):
        redis_files.pieces(stream)
    with pytest.raises(StreamLost):
        redis_files.pieces(stream)


def test_t1_another_key_reads_nothing(redis_files: Files, redis_url: str) -> None:
    """T1: without its key a file is damaged; so is a plain one, where the policy asks for encryption."""
    plain = redis_files.put(b"plain")
    configure(temp_policy(redis_url, encryption={"keys": [KEY]}))
    secret = redis_files.put(b"secret")
    with pytest.raises(BlobDamaged):
        redis_files.read(plain.id)
    configure(temp_policy(redis_url, encryption={"keys": [bytes(range(32)).hex()]}))
    with pytest.raises(BlobDamaged):
        redis_files.read(secret.id)
    configure(temp_policy(redis_url, encryption={"keys": [bytes(range(32)).hex(), KEY]}))
    assert redis_files.read(secret.id) == b"secret"


def test_files_outlive_a_change_of_the_policy(redis_files: Files, redis_url: str) -> None:
    """A file that was stored in larger or smaller chunks is read as before."""
    data = content(9 * CHUNK + 1)
    blob = redis_files.put(in_parts(data, 700))
    for chunk in (100, 5000):
        configure(temp_policy(redis_url, chunk=chunk, window=1))
        assert redis_files.read(blob.id, 5) == data[5:]
