"""Uploads chunk by chunk: resumed anywhere, in any order, as often as it takes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import (
    BlobDamaged,
    BlobIncomplete,
    BlobMissing,
    QuotaExceeded,
    TempStore,
    TooLarge,
    configure,
)
from cachepolicy.clock import ManualClock
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, other, pass_time, temp_policy


@pytest.fixture(params=["redis", "disk"])
def files(request: pytest.FixtureRequest, colour: Colour, redis_url: str, tmp_path: Path) -> Files:
    """Give a store that keeps files in Redis, and one that keeps them in a directory."""
    offload = {} if request.param == "redis" else {"offload": {"above": 1, "directory": str(tmp_path)}}
    configure(temp_policy(redis_url, **offload))
    return Files(colour)


def _part(data: bytes, index: int) -> bytes:
    return data[index * CHUNK : (index + 1) * CHUNK]


@pytest.mark.parametrize("size", [0, 1, CHUNK, 70 * CHUNK + 1])
def test_t1_chunks_may_come_in_any_order(files: Files, size: int) -> None:
    """T1: an upload whose chunks came out of order, some twice, is the file it was meant to be."""
    data = content(size)
    upload = files.do(files.store.begin_upload, size, owner="u", name="n")
    assert (upload.size, upload.chunk_size, upload.chunks) == (size, CHUNK, -(-size // CHUNK))
    order = [*range(upload.chunks), *range(0, upload.chunks, 7)]
    random.Random(1).shuffle(order)
    for index in order:
        files.do(upload.put, index, _part(data, index))
    assert files.do(upload.missing) == []
    blob = files.do(upload.finish)
    assert files.read(upload.id) == data
    assert files.do(upload.finish) == files.do(files.store.info, upload.id) == blob
    assert files.usage("u") == size


def test_t1_another_process_resumes(files: Files, redis_url: str) -> None:
    """T1: by the id alone, another process learns what is missing, uploads it, and ends the upload."""
    data = content(9 * CHUNK)
    upload = files.do(files.store.begin_upload, len(data))
    for index in (0, 4, 5):
        files.do(upload.put, index, _part(data, index))
    offload = current_offload()
    script = (
        "import sys, json; from cachepolicy import *; from tests.support.temping import *\n"
        "url, blob_id, offload = sys.argv[1:]\n"
        "configure(temp_policy(url, **json.loads(offload)))\n"
        "upload = TempStore().resume_upload.sync(blob_id)\n"
        "missing, data = upload.missing.sync(), content(upload.size)\n"
        "for at in missing: upload.put.sync(at, data[at * CHUNK : at * CHUNK + CHUNK])\n"
        "print(missing, upload.finish.sync().sha256)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, redis_url, upload.id, offload],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("[1, 2, 3, 6, 7, 8] ")
    assert files.read(upload.id) == data
    assert files.do(upload.missing) == []
    files.do(upload.put, 3, bytes(CHUNK))  # one that comes late changes nothing
    assert files.read(upload.id) == data


def current_offload() -> str:
    """Return what the policy in use says of large files, as JSON."""
    import json

    from cachepolicy.runtime import current

    rule: Any = current.current().loaded.policy.namespaces["temp"]
    if rule.offload is None:
        return "{}"
    return json.dumps({"offload": {"above": rule.offload.above, "directory": rule.offload.directory}})


def test_t1_an_upload_with_a_gap_does_not_end(files: Files) -> None:
    """T1: as long as a chunk is missing the file cannot be read, and says what it is: incomplete."""
    data = content(4 * CHUNK)
    upload = files.do(files.store.begin_upload, len(data))
    for index in (0, 1, 3):
        files.do(upload.put, index, _part(data, index))
    assert files.do(upload.missing) == [2]
    with pytest.raises(BlobIncomplete):
        files.do(upload.finish)
    with pytest.raises(BlobIncomplete):
        files.read(upload.id)
    files.do(upload.put, 2, _part(data, 2))
    files.do(upload.finish)
    assert files.read(upload.id) == data


def test_t1_what_was_said_of_the_whole_is_held(files: Files) -> None:
    """T1: an upload that has another SHA-256 than was said cannot be ended; one that has it can."""
    data = content(2 * CHUNK)
    upload = files.do(files.store.begin_upload, len(data))
    for index in range(2):
        files.do(upload.put, index, _part(data, index))
    with pytest.raises(BlobDamaged):
        files.do(upload.finish, "0" * 64)
    with pytest.raises(BlobIncomplete):
        files.read(upload.id)
    import hashlib

    assert files.do(upload.finish, hashlib.sha256(data).hexdigest().upper()).size == len(data)


def test_t1_two_who_upload_other_bytes_make_no_mixture_unseen(redis_files: Files) -> None:
    """T1: the SHA-256 of a file is that of what is stored, though two uploaded different chunks."""
    mine = redis_files.do(redis_files.store.begin_upload, 2 * CHUNK)
    theirs = redis_files.do(redis_files.store.resume_upload, mine.id)
    redis_files.do(theirs.put, 0, b"t" * CHUNK)
    redis_files.do(mine.put, 0, b"m" * CHUNK)
    redis_files.do(mine.put, 1, b"m" * CHUNK)
    redis_files.do(mine.finish)
    assert redis_files.read(mine.id) == b"t" * CHUNK + b"m" * CHUNK


def test_what_is_no_chunk_is_refused(files: Files) -> None:
    """An index that the file does not have, and a chunk of another length, are errors that store nothing."""
    upload = files.do(files.store.begin_upload, 2 * CHUNK + 5)
    for index, chunk in ((3, b"x"), (-1, b"x" * CHUNK), (0, b"x"), (2, b"x" * 6), (True, b"x" * CHUNK)):
        with pytest.raises(ValueError, match="expected"):
            files.do(upload.put, index, chunk)
    assert files.do(upload.missing) == [0, 1, 2]
    for size in (-1, 1.5, True):
        with pytest.raises(ValueError, match="whole number"):
            files.do(files.store.begin_upload, size)


def test_an_aborted_upload_leaves_nothing(files: Files, redis_url: str, tmp_path: Path) -> None:
    """Aborting removes what was stored and gives the room back; going on is BlobMissing."""
    upload = files.do(files.store.begin_upload, 3 * CHUNK, owner="u")
    files.do(upload.put, 0, content(CHUNK))
    assert files.usage("u") == 3 * CHUNK
    files.do(upload.abort)
    with other(redis_url) as client:
        assert client.keys("*temp:{*") == []
    assert list(tmp_path.iterdir()) == []
    assert files.usage("u") == 0
    for call in ((upload.put, 0, content(CHUNK)), (upload.finish,), (upload.missing,), (upload.abort,)):
        with pytest.raises(BlobMissing):
            files.do(*call)


def test_aborting_what_has_ended_keeps_it(files: Files) -> None:
    """An upload that was finished, here or elsewhere, is a file: aborting it does nothing."""
    upload = files.do(files.store.begin_upload, 5)
    files.do(upload.put, 0, b"12345")
    files.do(upload.finish)
    files.do(upload.abort)
    assert files.read(upload.id) == b"12345"


def test_room_is_taken_when_an_upload_begins(files: Files, redis_url: str) -> None:
    """The whole size is reserved at once, so an upload that began has room to its end."""
    configure(temp_policy(redis_url, max_file=5 * CHUNK, quotas={"per_owner": 8 * CHUNK}))
    files.do(files.store.begin_upload, 5 * CHUNK, owner="u")
    with pytest.raises(QuotaExceeded):
        files.do(files.store.begin_upload, 4 * CHUNK, owner="u")
    with pytest.raises(TooLarge):
        files.do(files.store.begin_upload, 6 * CHUNK)
    assert files.usage("u") == files.usage() == 5 * CHUNK


def test_an_upload_that_was_broken_off_ends_by_itself(colour: Colour, redis_url: str) -> None:
    """After ``incomplete`` nothing of it is left, and its room is free."""
    configure(temp_policy(redis_url, incomplete="10m"))
    files = Files(colour)
    upload = files.do(files.store.begin_upload, 3 * CHUNK, owner="u")
    files.do(upload.put, 0, content(CHUNK))
    pass_time(redis_url, 300)
    assert files.usage("u") == 3 * CHUNK
    pass_time(redis_url, 300)
    with other(redis_url) as client:
        assert client.keys("*temp:{*") == []
    assert files.usage("u") == 0
    with pytest.raises(BlobMissing):
        files.do(files.store.resume_upload, upload.id)


@pytest.mark.parametrize("resumes", [False, True])
def test_an_upload_that_goes_on_does_not_end(colour: Colour, redis_url: str, resumes: bool) -> None:
    """An upload may take longer than ``incomplete``, as long as it goes on: its first chunks are kept."""
    time = ManualClock()
    configure(temp_policy(redis_url, incomplete="10m"), clock=time.clock)
    files = Files(colour)
    data = content(3 * CHUNK)
    upload = files.do(files.store.begin_upload, len(data), owner="u")
    for index in range(3):
        files.do(upload.put, index, _part(data, index))
        _let_pass(time, redis_url)
        if resumes:
            upload = files.do(files.store.resume_upload, upload.id)
    files.do(upload.finish)
    assert files.read(upload.id) == data
    assert files.usage("u") == len(data)


def _let_pass(time: ManualClock, url: str) -> None:
    """Let four minutes pass, here and in Redis."""
    time.advance(240)
    pass_time(url, 240)


def test_a_source_may_be_slow(colour: Colour, redis_url: str) -> None:
    """So may a file that is uploaded in one go: what came first is kept until the last has come."""
    time = ManualClock()
    configure(temp_policy(redis_url, incomplete="10m", window=2), clock=time.clock)
    files = Files(colour)
    data = content(5 * CHUNK)

    def source() -> Iterator[bytes]:
        for index in range(5):
            yield _part(data, index)
            _let_pass(time, redis_url)

    assert files.read(files.put(source()).id) == data


def test_a_finished_upload_says_nothing_of_its_id() -> None:
    """The id is a secret, so what shows an upload does not show it."""
    configure(temp_policy())
    upload = TempStore().begin_upload.sync(10)
    assert upload.id not in repr(upload)
