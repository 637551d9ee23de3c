"""On a cluster: a file's chunks are spread over the masters, and every promise holds."""

from __future__ import annotations

import hashlib

import pytest

from cachepolicy import BlobDamaged, BlobMissing, QuotaExceeded, configure
from cachepolicy.keys.blob_ids import blob_name
from cachepolicy.keys.layout import BLOB_GROUP, blob_account_keys, blob_chunk_key, blob_key
from cachepolicy.testing.conversation import ask
from cachepolicy.testing.topologies import RedisCluster
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, in_parts, temp_policy


@pytest.fixture
def files(colour: Colour, redis_cluster: RedisCluster) -> Files:
    """Give a store over the shared cluster, emptied."""
    for node in redis_cluster.masters():
        ask(node, "FLUSHALL")
    quotas = {"per_owner": 400 * CHUNK, "total": 500 * CHUNK}
    configure(temp_policy(redis_cluster.url, max_file=400 * CHUNK, window=8, quotas=quotas))
    return Files(colour)


def _count(cluster: RedisCluster) -> list[int]:
    return [int(str(ask(node, "DBSIZE"))) for node in cluster.masters()]


@pytest.mark.parametrize("size", [0, 1, 63 * CHUNK, 64 * CHUNK + 1, 350 * CHUNK + 7])
def test_t1_a_file_comes_back_from_a_cluster(files: Files, size: int) -> None:
    """T1: files of one slot and of several come back, whole and in part, and are deleted whole."""
    data = content(size)
    blob = files.put(in_parts(data, 1500), owner="u")
    assert blob.sha256 == hashlib.sha256(data).hexdigest()
    assert files.read(blob.id) == data
    assert files.read(blob.id, size // 3, size // 2) == data[size // 3 : size // 2]
    assert files.usage("u") == files.usage() == size
    assert files.do(files.store.delete, blob.id)
    assert files.usage("u") == files.usage() == 0


def test_large_files_are_spread(files: Files, redis_cluster: RedisCluster) -> None:
    """A large file does not lie on one master; deleting it frees them all."""
    blobs = [files.put(content(390 * CHUNK))]
    assert sum(count > BLOB_GROUP // 2 for count in _count(redis_cluster)) >= 2
    for blob in blobs:
        files.do(files.store.delete, blob.id)
    assert sum(_count(redis_cluster)) <= 2


def test_t1_one_reads_and_chunks_are_missed(files: Files, redis_cluster: RedisCluster) -> None:
    """T1: claims, damage, quotas and resumed uploads are the same on a cluster."""
    data = content(130 * CHUNK)
    blob = files.put(data, one_time=True)
    stream = files.store.stream(blob.id)
    first = b"".join(files.pieces(stream, 70))
    with pytest.raises(BlobMissing):
        files.read(blob.id)
    rest = files.pieces(files.store.stream(blob.id, stream.position, claim=stream.claim))
    assert first + b"".join(rest) == data
    assert files.usage() == 0

    broken = files.put(data, owner="u")
    key = blob_chunk_key("test:temp:", blob_name(broken.id) or "", 100)
    ask(redis_cluster.master_of(key), "DEL", key)
    with pytest.raises(BlobDamaged):
        files.read(broken.id)
    files.put(content(270 * CHUNK), owner="u")
    with pytest.raises(QuotaExceeded):
        files.put(content(CHUNK), owner="u")
    with pytest.raises(QuotaExceeded):
        files.put(content(101 * CHUNK), owner="v")
    assert files.usage("v") == 0

    upload = files.do(files.store.begin_upload, 90 * CHUNK)
    for index in range(0, 90, 2):
        files.do(upload.put, index, content(CHUNK))
    again = files.do(files.store.resume_upload, upload.id)
    for index in files.do(again.missing):
        files.do(again.put, index, content(CHUNK))
    files.do(again.finish)
    assert files.read(upload.id) == 90 * content(CHUNK)


def test_keys_of_one_step_share_a_slot(redis_cluster: RedisCluster) -> None:
    """A manifest has its first chunks beside it, each further group a slot of its own, an account one too."""
    names = [f"{number:032x}" for number in range(50)]
    for name in names:
        first = {redis_cluster.slot(blob_chunk_key("p:", name, at)) for at in range(BLOB_GROUP)}
        assert first == {redis_cluster.slot(blob_key("p:", name))}
        second = {redis_cluster.slot(blob_chunk_key("p:", name, BLOB_GROUP + at)) for at in range(BLOB_GROUP)}
        assert len(second) == 1
    assert len({redis_cluster.slot(blob_chunk_key("p:", name, BLOB_GROUP)) for name in names}) > 40
    for owner in ("u", 1, "1", "}{", None, "all"):
        assert len({redis_cluster.slot(key) for key in blob_account_keys("p:", owner)}) == 1
    assert len({blob_account_keys("p:", owner) for owner in ("u", 1, "1", "}{", None, "all", "None")}) == 7
