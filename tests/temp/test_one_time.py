"""T1: a file that can be read once is read once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextlib import ExitStack
from typing import IO, Any, cast

import pytest

from cachepolicy import BlobMissing, TempStore, aclose, configure
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, other, pass_time, temp_policy


def test_t1_a_one_time_file_is_gone_once_it_was_read(redis_files: Files, redis_url: str) -> None:
    """T1: after one whole reading there is nothing left of it, in Redis or in its owner's account."""
    data = content(70 * CHUNK)
    for one_time, rule in ((True, False), (None, True)):
        configure(temp_policy(redis_url, one_time=rule))
        blob = redis_files.put(data, owner="u", one_time=one_time)
        assert blob.one_time
        assert redis_files.do(redis_files.store.info, blob.id) == blob
        assert redis_files.read(blob.id) == data
        for verb in (redis_files.store.read, redis_files.store.info):
            with pytest.raises(BlobMissing):
                redis_files.do(verb, blob.id)
        with other(redis_url) as client:
            assert client.keys("*temp:{*") == []
        assert redis_files.usage("u") == 0


def test_t1_eight_processes_race_and_one_reads(redis_url: str) -> None:
    """T1: of eight processes that read a one-time file at the same moment, one gets it, whole."""
    configure(temp_policy(redis_url))
    blob = TempStore().put.sync(content(20 * CHUNK), one_time=True)
    assert sorted(_raced(redis_url, blob.id)) == sorted(["missing"] * 7 + [blob.sha256])


def _raced(url: str, *words: str) -> list[str]:
    with ExitStack() as stack:
        command = [sys.executable, "-m", "tests.support.blob_reader", url, *words]
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(8)
        ]
        pipes = [(cast("IO[str]", each.stdin), cast("IO[str]", each.stdout)) for each in processes]
        for _, out in pipes:
            assert out.readline() == "ready\n"
        for to, _ in pipes:
            to.write("\n")
            to.flush()
        return [out.readline().strip() for _, out in pipes]


def test_t1_threads_and_tasks_race_and_one_reads(redis_url: str) -> None:
    """T1: so it is among the threads and the tasks of one process."""
    configure(temp_policy(redis_url))
    store = TempStore()
    for _ in range(5):
        blob = store.put.sync(content(5000), one_time=True)
        told: list[object] = []

        def read(blob_id: str = blob.id, told: list[object] = told) -> None:
            try:
                told.append(store.read.sync(blob_id))
            except BlobMissing:
                told.append(None)

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [one for one in told if one is not None] == [content(5000)]

    async def main() -> list[Any]:
        blob = await store.put(content(5000), one_time=True)
        try:
            return await asyncio.gather(*[store.read(blob.id) for _ in range(16)], return_exceptions=True)
        finally:
            await aclose()

    outcomes = asyncio.run(main())
    assert outcomes.count(content(5000)) == 1
    assert sum(isinstance(one, BlobMissing) for one in outcomes) == 15


def test_t1_a_claim_resumes(files: Files) -> None:
    """T1: whoever claimed a one-time file reads on after their line broke; nobody else begins meanwhile."""
    data = content(9 * CHUNK)
    blob = files.put(data, one_time=True)
    stream = files.store.stream(blob.id)
    first = b"".join(files.pieces(stream, 3))
    assert stream.position == len(first)
    with pytest.raises(BlobMissing):
        files.read(blob.id)
    with pytest.raises(BlobMissing):
        files.do(files.store.info, blob.id)
    rest = files.store.stream(blob.id, stream.position, claim=stream.claim)
    assert first + b"".join(files.pieces(rest)) == data
    with pytest.raises(BlobMissing):
        files.read(blob.id, claim=stream.claim)


def test_t1_a_part_does_not_use_a_file_up(files: Files) -> None:
    """T1: a claim may read parts, and begin again, until it has read the end."""
    data = content(3 * CHUNK)
    blob = files.put(data, one_time=True)
    assert files.read(blob.id, 0, 100, claim="mine") == data[:100]
    with pytest.raises(BlobMissing):
        files.read(blob.id, claim="another")
    assert files.read(blob.id, 100, 200, claim="mine") == data[100:200]
    assert files.read(blob.id, claim="mine") == data
    with pytest.raises(BlobMissing):
        files.read(blob.id, claim="mine")


def test_t1_an_empty_one_time_file_is_read_once(files: Files) -> None:
    """T1: a file of no bytes can be read once, too."""
    blob = files.put(b"", one_time=True)
    assert files.read(blob.id) == b""
    with pytest.raises(BlobMissing):
        files.read(blob.id)


def test_t1_a_claim_ends(colour: Colour, redis_url: str) -> None:
    """T1: a reader who never comes back keeps the file for the time of the claim; then it is gone."""
    configure(temp_policy(redis_url, claim="10m", ttl="5h"))
    files = Files(colour)
    blob = files.put(content(70 * CHUNK), owner="u", one_time=True)
    assert files.read(blob.id, 0, 1, claim="mine")
    pass_time(redis_url, 300)
    assert files.read(blob.id, 0, 1, claim="mine")
    pass_time(redis_url, 300)
    with other(redis_url) as client:
        assert max(client.pttl(key) for key in client.keys("*temp:{*}:*")) <= 60_000
    for claim in ("mine", None):
        with pytest.raises(BlobMissing):
            files.read(blob.id, claim=claim)
    assert files.usage("u") == 0


def test_t1_a_block_uses_a_file_up(files: Files) -> None:
    """T1: a one-time file that was opened is gone at the end of the block, unless the block fails."""
    blob = files.put(content(2500), one_time=True)

    async def use(*, fail: bool) -> None:
        async with files.store.open(blob.id, claim="mine") as file:
            assert await file.read() == content(2500)
            if fail:
                raise ZeroDivisionError

    def use_sync(*, fail: bool) -> None:
        with files.store.open(blob.id, claim="mine") as file:
            assert file.read() == content(2500)
            if fail:
                raise ZeroDivisionError

    way: Any = use if files.colour.is_async else use_sync
    with pytest.raises(ZeroDivisionError):
        files.run(lambda: way(fail=True))
    files.run(lambda: way(fail=False))
    with pytest.raises(BlobMissing):
        files.read(blob.id, claim="mine")
