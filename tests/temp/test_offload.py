"""Large files in a directory keep the promises of those in Redis."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import BlobDamaged, BlobMissing, StoreError, configure
from cachepolicy.clock import ManualClock
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, chunk_keys, content, in_parts, other, temp_policy

KEY = bytes(32).hex()


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Name a directory that is not there yet."""
    return tmp_path / "large" / "files"


@pytest.fixture
def files(colour: Colour, redis_url: str, shelf: Path) -> Files:
    """Give a store whose files of 5 chunks and more go to the directory."""
    configure(temp_policy(redis_url, **_offload(shelf)))
    return Files(colour)


def _offload(shelf: Path) -> dict[str, Any]:
    return {"offload": {"above": 5 * CHUNK, "directory": str(shelf)}}


@pytest.mark.parametrize("size", [5 * CHUNK - 1, 5 * CHUNK, 70 * CHUNK + 1])
def test_large_files_go_to_the_directory(files: Files, redis_url: str, shelf: Path, size: int) -> None:
    """From ``above`` on only the manifest is in Redis; the file is one file, for its owner alone."""
    blob = files.put(content(size))
    assert files.read(blob.id) == content(size)
    assert files.read(blob.id, 999, -1) == content(size)[999:-1]
    assert b"".join(files.pieces(files.store.stream(blob.id))) == content(size)
    with other(redis_url) as client:
        assert bool(chunk_keys(client)) is (size < 5 * CHUNK)
    found = list(shelf.iterdir()) if shelf.exists() else []
    assert len(found) == (size >= 5 * CHUNK)
    for file in found:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(shelf.stat().st_mode) == 0o700
    assert files.usage() == size
    assert files.do(files.store.delete, blob.id)
    assert not shelf.exists() or list(shelf.iterdir()) == []
    assert files.usage() == 0


def test_what_does_not_tell_its_size_goes_there_too(files: Files, redis_url: str, shelf: Path) -> None:
    """A source of unknown size is written to the directory, unless its end comes with the first chunks."""
    long = files.put(in_parts(content(4 * CHUNK), 300))
    assert len(list(shelf.iterdir())) == 1
    short = files.put(in_parts(content(CHUNK), 300))
    assert len(list(shelf.iterdir())) == 1
    assert (files.read(long.id), files.read(short.id)) == (content(4 * CHUNK), content(CHUNK))


def test_t1_a_large_file_is_read_once(files: Files, shelf: Path) -> None:
    """T1: a one-time file in the directory is removed once it was read."""
    blob = files.put(content(9 * CHUNK), one_time=True)
    assert files.read(blob.id) == content(9 * CHUNK)
    with pytest.raises(BlobMissing):
        files.read(blob.id)
    assert list(shelf.iterdir()) == []


def _flipped(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[3 * (CHUNK + 64) + 100] ^= 1
    file.write_bytes(data)


def _cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def _grown(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[0:4] = b"\xff" * 4
    file.write_bytes(data)


@pytest.mark.parametrize("damage", [_flipped, _cut, _grown, Path.unlink])
@pytest.mark.parametrize("encryption", [{"enabled": False}, {"keys": [KEY]}], ids=["plain", "encrypted"])
def test_t1_a_damaged_file_is_an_error(
    files: Files, redis_url: str, shelf: Path, damage: Any, encryption: dict[str, Any]
) -> None:
    """T1: a file in the directory that was altered, cut off or removed is BlobDamaged, never other data."""
    configure(temp_policy(redis_url, encryption=encryption, **_offload(shelf)))
    blob = files.put(content(9 * CHUNK))
    (file,) = shelf.iterdir()
    damage(file)
    with pytest.raises(BlobDamaged):
        files.read(blob.id)


def test_files_that_have_ended_are_swept(files: Files, redis_url: str, shelf: Path) -> None:
    """Uploading removes files whose time is over, once a minute, and nothing else that lies there."""
    time = ManualClock(now_wall=2_000_000_000.0)
    configure(temp_policy(redis_url, ttl="1h", **_offload(shelf)), clock=time.clock)
    files.put(content(5 * CHUNK))
    (first,) = shelf.iterdir()
    strange = shelf / "README"
    strange.write_text("not ours")
    os.utime(strange, (0, 0))
    (shelf / f"{'a' * 32}.part").write_bytes(b"an upload that was broken off")
    os.utime(shelf / f"{'a' * 32}.part", (0, 0))
    (shelf / ("b" * 32)).symlink_to(strange)
    time.advance(3600 + 50)
    files.put(b"small")
    assert first.exists()
    time.advance(200)
    files.put(b"small")
    assert {file.name for file in shelf.iterdir()} == {"README", "b" * 32}
    assert strange.read_text() == "not ours"


def test_a_directory_that_cannot_be_used_is_a_fault(files: Files, redis_url: str, tmp_path: Path) -> None:
    """Where the directory is none, a large upload is a StoreError that names no path; small ones go on."""
    (tmp_path / "file").write_text("")
    configure(temp_policy(redis_url, **_offload(tmp_path / "file")))
    with pytest.raises(StoreError, match=r"EEXIST|ENOTDIR") as failed:
        files.put(content(9 * CHUNK), owner="u")
    assert str(tmp_path) not in str(failed.value)
    assert files.read(files.put(b"small").id) == b"small"


def test_a_policy_that_names_no_directory_any_more(files: Files, redis_url: str) -> None:
    """A file in a directory that the policy does not name any more is a fault, not a damaged file."""
    blob = files.put(content(9 * CHUNK))
    configure(temp_policy(redis_url))
    with pytest.raises(StoreError, match="offload"):
        files.read(blob.id)
