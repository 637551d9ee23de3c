"""T1: whatever ends an upload or a download early leaves nothing half, and memory stays within the window."""

from __future__ import annotations

import asyncio
import random
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import BlobMissing, StreamLost, TempStore, aclose, configure
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, in_parts, in_parts_async, other, temp_policy
from tests.support.waiting import until, until_async

BIG = 64 * 1024


@pytest.fixture(params=["redis", "disk"])
def files(request: pytest.FixtureRequest, colour: Colour, redis_url: str, tmp_path: Path) -> Files:
    """Give a store that keeps files in Redis, and one that keeps them in a directory."""
    offload = {} if request.param == "redis" else {"offload": {"above": 1, "directory": str(tmp_path)}}
    configure(temp_policy(redis_url, **offload))
    return Files(colour)


@pytest.mark.parametrize("kind", ["iterator", "async", "file", "progress"])
def test_t1_a_source_that_fails_leaves_nothing(
    files: Files, redis_url: str, tmp_path: Path, kind: str
) -> None:
    """T1: the source's own error reaches the caller; no key, no file and no reserved room is left."""
    if kind == "async" and not files.colour.is_async:
        return

    class Broken:
        left = 10

        def read(self, size: int) -> bytes:
            self.left -= 1
            if not self.left:
                raise ZeroDivisionError
            return bytes(size)

    def fail(done: int, _: int | None) -> None:
        if done > 5 * CHUNK:
            raise ZeroDivisionError

    sources: dict[str, Any] = {
        "iterator": lambda: in_parts(content(9 * CHUNK), 700, ZeroDivisionError()),
        "async": lambda: in_parts_async(content(9 * CHUNK), 700, ZeroDivisionError()),
        "file": Broken,
        "progress": lambda: content(9 * CHUNK),
    }
    with pytest.raises(ZeroDivisionError):
        files.put(sources[kind](), owner="u", progress=fail if kind == "progress" else None)
    with other(redis_url) as client:
        assert client.keys("*temp:{*") == []
    assert list(tmp_path.iterdir()) == []
    assert (files.usage("u"), files.usage()) == (0, 0)


def _left(url: str, directory: Path) -> list[Any]:
    with other(url) as client:
        keys: Any = client.keys("*temp:{*")
    return [*keys, *directory.iterdir()]


@pytest.mark.parametrize("disk", [False, True])
def test_t1_a_cancelled_upload_leaves_nothing(redis_url: str, tmp_path: Path, disk: bool) -> None:
    """T1: cancelling an upload in its middle removes what it stored, and gives its room back."""
    offload = {"offload": {"above": 1, "directory": str(tmp_path)}} if disk else {}
    configure(temp_policy(redis_url, **offload))
    store = TempStore()

    async def main() -> None:
        stored, never = asyncio.Event(), asyncio.Event()

        async def source() -> Any:
            for _ in range(8):
                yield content(CHUNK)
            await never.wait()

        uploading = asyncio.create_task(store.put(source(), owner="u", progress=lambda *_: stored.set()))
        await stored.wait()
        assert await store.usage("u") > 0
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading

        async def is_undone() -> bool:
            return not _left(redis_url, tmp_path) and await store.usage("u") == 0

        await until_async(is_undone, "what was stored to go, and the room to come back")
        await aclose()

    asyncio.run(main())


def test_t1_an_interrupted_upload_leaves_nothing(redis_url: str) -> None:
    """T1: a KeyboardInterrupt in the middle of an upload passes through, and its room comes back."""
    configure(temp_policy(redis_url))
    files = Files(Colour(is_async=False))

    def source() -> Iterator[bytes]:
        yield from in_parts(content(8 * CHUNK), 1000)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.put(source(), owner="u")
    until(lambda: files.usage("u") == 0, "the room to come back")
    with other(redis_url) as client:
        until(lambda: client.keys("*temp:{*") == [], "the chunks to go")


def test_t1_an_interrupted_download_does_not_look_complete(redis_url: str) -> None:
    """T1: after a step that was cancelled, reading on is an error: never the end of the file."""
    configure(temp_policy(redis_url))
    store = TempStore()

    async def main() -> None:
        blob = await store.put(content(20 * CHUNK))
        stream = store.stream(blob.id)
        first = await anext(stream)
        taken = [first]
        with pytest.raises(StreamLost):  # noqa: PT012 - where it is cancelled does not matter
            while True:
                step = asyncio.ensure_future(anext(stream))
                await asyncio.sleep(0)
                if not step.done():
                    step.cancel()
                try:
                    taken.append(await step)
                except asyncio.CancelledError:
                    continue
        assert b"".join(taken) == content(20 * CHUNK)[: len(b"".join(taken))]
        rest = [piece async for piece in store.stream(blob.id, stream.position)]
        assert b"".join(taken + rest) == content(20 * CHUNK)
        await aclose()

    asyncio.run(main())


def test_t1_a_file_that_is_deleted_meanwhile_is_missing(files: Files) -> None:
    """T1: who reads a file that somebody deletes gets a clear error, not a shorter file."""
    blob = files.put(content(30 * CHUNK))
    stream = files.store.stream(blob.id)
    files.pieces(stream, 1)
    files.do(files.store.delete, blob.id)
    with pytest.raises(Exception, match="temporary file") as gone:
        files.pieces(stream)
    assert isinstance(gone.value, BlobMissing) or files.do(files.store.delete, blob.id) is False


@pytest.mark.parametrize("source", ["iterator", "file"])
def test_t1_memory_is_bounded_by_the_window(
    files: Files, tmp_path: Path, redis_url: str, source: str
) -> None:
    """T1: a file that is many times the window is uploaded and read within a small multiple of the window."""
    rule = current.current().loaded.policy.namespaces["temp"]
    offload = getattr(rule, "offload", None)
    more = {} if offload is None else {"offload": {"above": 1, "directory": offload.directory}}
    configure(temp_policy(redis_url, chunk=BIG, window=4, **more))
    whole = 64 * 4 * BIG
    ahead = [0]
    path = tmp_path.parent / "source"
    with path.open("wb") as file:
        for number in range(256):
            file.write(random.Random(number).randbytes(BIG))

    def parts() -> Iterator[bytes]:
        for number in range(256):
            ahead[0] += BIG
            yield random.Random(number).randbytes(BIG)

    furthest = [0]

    def progress(done: int, _: int | None) -> None:
        furthest[0] = max(furthest[0], ahead[0] - done)

    files.put(b"warm" * BIG)
    tracemalloc.start()
    try:
        blob = files.put(parts() if source == "iterator" else path, progress=progress)
        total = 0

        async def through() -> int:
            return sum([len(piece) async for piece in files.store.stream(blob.id)])

        total = files.run(through) if files.colour.is_async else sum(map(len, files.store.stream(blob.id)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total == whole
    assert furthest[0] <= 4 * BIG
    assert peak < 5 * 4 * BIG + 2_000_000


def test_a_busy_process_does_its_work_itself(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no thread is to be had, an upload and a download do their work in their own."""
    from cachepolicy.flow.background import Background

    monkeypatch.setattr(Background, "submit", lambda *_: False)
    configure_large(files)
    data = content(40 * CHUNK) * 10
    assert files.read(files.put(data).id) == data


def configure_large(files: Files) -> None:
    """Have chunks whose work is worth a thread."""
    rule: Any = current.current().loaded.policy
    url = rule.redis.url.get_secret_value()
    offload = rule.namespaces["temp"].offload
    more = {} if offload is None else {"offload": {"above": 1, "directory": offload.directory}}
    configure(temp_policy(url, chunk=BIG, **more))


def test_several_threads_share_a_store(files: Files) -> None:
    """Threads that upload and read through one store at once do not mix their files up."""
    configure_large(files)
    wrong: list[int] = []

    def work(number: int) -> None:
        data = content(150_000 + number)
        for _ in range(3):
            blob = files.store.put.sync(data)
            if files.store.read.sync(blob.id) != data:
                wrong.append(number)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert wrong == []
