"""T1: what is uploaded comes back, whole or in part."""

from __future__ import annotations

import hashlib
import io
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachepolicy import BlobMissing, PolicyError, TempStore, TooLarge, close, configure
from cachepolicy.runtime import current
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import SYNC, Colour
from tests.support.temping import CHUNK, Files, content, in_parts, in_parts_async, other, temp_policy
from tests.support.trips import Trips

SIZES = [
    0,
    1,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    4 * CHUNK - 1,
    4 * CHUNK,
    9 * CHUNK + 7,
    130 * CHUNK + 1,
]


@pytest.mark.parametrize("size", SIZES)
def test_t1_a_file_comes_back_whole(files: Files, size: int) -> None:
    """T1: whatever its size, a file comes back as it was, read at once, in pieces, or as a file."""
    data = content(size)
    blob = files.put(data, owner="u1", name="report.csv", content_type="text/csv")
    assert (blob.size, blob.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert files.read(blob.id) == data
    assert b"".join(files.pieces(files.store.stream(blob.id))) == data
    with files.store.open(blob.id) as file:
        assert io.BufferedReader(file, 37).read() == data
    assert files.do(files.store.info, blob.id) == blob
    assert files.usage("u1") == files.usage() == size


@pytest.mark.parametrize(
    "kind", ["bytearray", "memoryview", "strided", "path", "file", "unsized", "iterator", "async"]
)
@pytest.mark.parametrize("size", [0, 999, 5 * CHUNK, 70 * CHUNK + 3])
def test_t1_every_kind_of_source_is_stored(files: Files, tmp_path: Path, kind: str, size: int) -> None:
    """T1: bytes of any kind, paths, binary files, and iterators with parts of any size give the same file."""
    data = content(size)
    if kind == "async" and not files.colour.is_async:
        with pytest.raises(TypeError, match="await put"):
            files.put(in_parts_async(data, 300))
        return
    (tmp_path / "file").write_bytes(data)
    strided = bytearray(2 * size)
    strided[::2] = data
    unsized = io.BytesIO(data)
    unsized.tell = unsized.seek = _refuse  # type: ignore[method-assign] # as of a socket's file
    sources: dict[str, Any] = {
        "bytearray": bytearray(data),
        "memoryview": memoryview(data),
        "strided": memoryview(strided)[::2],
        "path": tmp_path / "file",
        "file": io.BytesIO(data),
        "unsized": unsized,
        "iterator": in_parts(data, 1700),
        "async": in_parts_async(data, 300),
    }
    assert files.read(files.put(sources[kind]).id) == data


def test_t1_valkey_keeps_files_as_well(valkey_server: RedisServer, colour: Colour) -> None:
    """T1: uploads, claims, accounts and deletions are the same on Valkey."""
    valkey_server.command("FLUSHALL")
    configure(temp_policy(valkey_server.url, max_file=90 * CHUNK, quotas={"total": 100 * CHUNK}))
    files = Files(colour)
    blob = files.put(in_parts(content(70 * CHUNK), 900), owner="u", one_time=True)
    assert files.read(blob.id, 0, 5, claim="mine") == content(70 * CHUNK)[:5]
    assert files.read(blob.id, claim="mine") == content(70 * CHUNK)
    upload = files.do(files.store.begin_upload, 5)
    files.do(upload.put, 0, b"12345")
    files.do(upload.finish)
    assert files.usage() == 5
    assert files.do(files.store.delete, upload.id)
    assert files.usage() == 0
    close()


def _refuse(*_: object) -> int:
    raise io.UnsupportedOperation


def test_t1_a_file_is_read_from_where_it_stands(files: Files) -> None:
    """A file that was read in part is uploaded from there on."""
    file = io.BytesIO(content(3 * CHUNK))
    file.seek(1500)
    assert files.read(files.put(file).id) == content(3 * CHUNK)[1500:]


def test_t1_an_iterator_may_use_its_buffer_again(files: Files) -> None:
    """T1: what an iterator gave is kept as it was, though it is overwritten with the next part."""

    def parts() -> Any:
        buffer = bytearray(700)
        for number in range(10):
            buffer[:] = bytes([number]) * 700
            yield buffer

    assert files.read(files.put(parts()).id) == b"".join(bytes([number]) * 700 for number in range(10))


def test_a_task_reads_files_that_are_awaited() -> None:
    """A file whose ``read`` is awaited, as a web framework's upload, is uploaded by a task."""
    configure(temp_policy())
    files = Files(Colour(is_async=True))

    class Received:
        def __init__(self, data: bytes) -> None:
            self._file = io.BytesIO(data)

        async def read(self, size: int = -1) -> bytes:
            return self._file.read(size)

    assert files.read(files.put(Received(content(5000))).id) == content(5000)


@pytest.mark.parametrize("source", ["text", 7, None, io.StringIO("text"), ["text"], [1]])
def test_what_is_no_source_is_refused(files: Files, source: Any) -> None:
    """Text, and what gives text, is an error that leaves nothing behind."""
    with pytest.raises(TypeError):
        files.put(source)
    assert files.usage() == 0


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.none() | st.integers(-6000, 6000), stop=st.none() | st.integers(-6000, 6000))
def test_t1_a_range_is_a_slice(start: int | None, stop: int | None) -> None:
    """T1: a part of a file is what a slice of its bytes is, whatever its ends."""
    if _RANGED.get("runtime") is not current._CURRENT or not _RANGED:
        configure(temp_policy())
        files = Files(SYNC)
        _RANGED.update(runtime=current._CURRENT, files=files, id=files.put(content(4567)).id)
    files, blob_id = _RANGED["files"], _RANGED["id"]
    assert files.read(blob_id, start, stop) == content(4567)[start:stop]
    assert b"".join(files.store.stream(blob_id, start, stop)) == content(4567)[start:stop]


_RANGED: dict[str, Any] = {}


def test_a_file_of_the_store_reads_as_any_other(files: Files) -> None:
    """An opened file seeks, tells, reads on and ends as one of the system does, in either colour."""
    data = content(2 * CHUNK + 500)
    blob = files.put(data, name="n")

    async def steps() -> list[Any]:
        async with files.store.open(blob.id) as file:
            told = [await file.read(10), await file.tell(), await file.seek(-3, 2), await file.read(99)]
            told += [await file.read(1), await file.seek(995), await file.read(10), await file.seek(5, 1)]
            told += [await file.read(1500), await file.read(), file.blob]
            await file.seek(0)
            return [*told, b"".join([piece async for piece in file])]

    if files.colour.is_async:
        told = files.run(steps)
    else:
        with files.store.open(blob.id) as file:
            told = [file.read(10), file.tell(), file.seek(-3, 2), file.read(99)]
            told += [file.read(1), file.seek(995), (file.read(10) or b"") + (file.read(5) or b"")]
            told += [
                file.seek(0, 1),
                (file.read(1500) or b"") + (file.read(500) or b""),
                file.readall(),
                file.blob,
            ]
            assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
            with pytest.raises(ValueError, match="place"):
                file.seek(-1)
            file.seek(0)
            told.append(file.readall())
        assert file.closed
        with pytest.raises(ValueError, match="closed"):
            file.read(1)
    assert told[:6] == [data[:10], 10, len(data) - 3, data[-3:], b"", 995]
    assert told[-2:] == [blob, data]


def test_a_file_ends_with_its_ttl(redis_files: Files, redis_url: str) -> None:
    """A file lives as long as it is said to, within the policy's range, and all that it has with it."""
    configure(temp_policy(redis_url, ttl={"default": "1h", "min": "1m", "max": "2h"}))
    for ttl, seconds in ((None, 3600), ("30m", 1800), (1, 60), ("7d", 7200)):
        blob = redis_files.put(content(2500), ttl=ttl)
        with other(redis_url) as client:
            lives = [client.pttl(key) / 1000 for key in client.keys("*temp:{*")]
        assert max(lives) <= seconds + 60
        assert min(lives) >= seconds - 20
        assert abs(blob.expires_at - blob.created_at - seconds) < 5
        assert redis_files.do(redis_files.store.delete, blob.id)
    with pytest.raises(PolicyError):
        redis_files.put(b"", ttl="soon")


def test_a_ttl_outside_the_range_is_told_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    """The nearest TTL is used instead, with one line of the log."""
    configure(temp_policy(ttl={"default": "1h", "max": "2h"}))
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            files.put(b"x", ttl="1d")
    told = [record.getMessage() for record in caplog.records]
    assert [line for line in told if "temp" in line] == [
        "namespace temp: a file's ttl is outside its range; the nearest TTL is used"
    ]


def test_an_expired_file_is_missing(files: Files) -> None:
    """A file whose time is over is not there any more, and is told apart from a damaged one."""
    blob = files.put(content(2500), ttl=0.001)

    def until_gone(verb: Any) -> None:
        while True:
            files.do(verb, blob.id)

    for verb in (files.store.info, files.store.read):
        with pytest.raises(BlobMissing):
            until_gone(verb)


def test_a_deleted_file_is_gone_with_all_it_had(redis_files: Files, redis_url: str) -> None:
    """Deleting tells whether there was a file; nothing of it is left, and its room is free."""
    blob = redis_files.put(content(200 * CHUNK), owner=7)
    assert redis_files.do(redis_files.store.delete, blob.id) is True
    assert redis_files.do(redis_files.store.delete, blob.id) is False
    with other(redis_url) as client:
        assert client.keys("*temp:{*") == []
    assert redis_files.usage(7) == 0


@pytest.mark.parametrize(
    "blob_id",
    ["", "x", "a" * 31, "a" * 33, "a" * 31 + "\n", "é" * 32, "*" * 32, "../" * 11, None, 7, b"a" * 32],
)
def test_what_is_no_id_asks_redis_nothing(
    blob_id: Any, colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T1: a malformed id is a file that is not there, and costs no round trip; nor does it become a key."""
    trips = Trips()
    trips.watch(monkeypatch)
    configure(temp_policy())
    files = Files(colour)
    for verb in (files.store.info, files.store.read, files.store.resume_upload):
        with pytest.raises(BlobMissing):
            files.do(verb, blob_id)
    with pytest.raises(BlobMissing):
        files.pieces(files.store.stream(blob_id))
    assert files.do(files.store.delete, blob_id) is False
    assert trips == []


def test_t1_an_id_opens_one_file_in_one_namespace(files: Files) -> None:
    """T1: an id that nobody was given, or of another namespace, opens nothing."""
    policy = temp_policy()
    policy["namespaces"]["other"] = dict(policy["namespaces"]["temp"])
    configure(policy)
    blob = files.put(b"secret")
    with pytest.raises(BlobMissing):
        files.do(TempStore("other").read, blob.id)
    swapped = blob.id[:-1] + ("A" if blob.id[-1] != "A" else "B")
    with pytest.raises(BlobMissing):
        files.read(swapped)
    assert len({files.put(b"").id for _ in range(20)}) == 20


@pytest.mark.parametrize("word", ["a/b\n{x}*?", "é\0" * 5000, ":" * 100, ""])
def test_names_and_owners_may_be_anything(files: Files, word: str) -> None:
    """Names, types and owners come back as they were, whatever is in them; owners are all different."""
    blob = files.put(b"x", name=word, content_type=word, owner=word)
    assert (blob.name, blob.content_type, blob.owner) == (word, word, word)
    assert files.do(files.store.info, blob.id) == blob
    assert [files.usage(owner) for owner in (word, f"{word} ", 1)] == [1, 0, 0]


def test_what_has_no_place_in_a_manifest_is_refused(files: Files) -> None:
    """Words that are too long, and words that are none, are errors."""
    with pytest.raises(TooLarge):
        files.put(b"", name="x" * 40_000)
    for words in ({"name": b"x"}, {"owner": 1.5}, {"owner": True}, {"content_type": None}):
        with pytest.raises(TypeError):
            files.put(b"", **words)


def test_progress_is_told(files: Files) -> None:
    """The callback hears how many bytes are stored, and of how many where that is known."""
    told: list[tuple[int, int | None]] = []
    files.put(content(5 * CHUNK), progress=lambda done, size: told.append((done, size)))
    assert told.pop() == (5 * CHUNK, 5 * CHUNK)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    told.clear()
    files.put(in_parts(content(5 * CHUNK), 100), progress=lambda done, size: told.append((done, size)))
    assert told.pop() == (5 * CHUNK, None)


def test_a_namespace_of_another_kind_is_an_error(files: Files) -> None:
    """A namespace that holds no files is refused by name."""
    policy = temp_policy()
    policy["namespaces"]["llm"] = {"kind": "cache", "scope": "global"}
    configure(policy)
    with pytest.raises(PolicyError, match="kind temp"):
        files.do(TempStore("llm").put, b"")
    close()


def test_what_cannot_be_compressed_is_seldom_tried(
    files: Files, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """Compression is kept where it saves; random bytes are tried now and then, and stored as they are."""
    from cachepolicy.codec import compress as codec
    from cachepolicy.codec import sealed

    tried: list[int] = []

    def counted(payload: bytes, *, threshold: int, level: int) -> Any:
        if len(payload) >= threshold:
            tried.append(len(payload))
        return codec.compress(payload, threshold=threshold, level=level)

    monkeypatch.setattr(sealed, "compress", counted)
    configure(temp_policy(redis_url, chunk=4096, compression={"threshold": 1024}))
    noise = files.put(content(100 * 4096))
    assert tried.count(4096) < 15
    with other(redis_url) as client:
        noisy = client.strlen(client.keys("*temp:{*}:0")[0])
        assert noisy >= 4096
        assert files.do(files.store.delete, noise.id)
        text = b"a line of a table, and another\n" * 10_000
        blob = files.put(text)
        kept = sum(client.strlen(key) for key in client.keys("*temp:{*}:*"))
    assert kept < len(text) / 10
    assert files.read(blob.id) == text
