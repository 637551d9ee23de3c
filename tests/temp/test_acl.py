"""What temporary files need of an ACL user, as the documentation lists it."""

from __future__ import annotations

import pytest

from cachepolicy import BlobDamaged, close, configure
from cachepolicy.testing.redis_server import RedisServer
from tests.invalidation.test_acl import documented
from tests.support.colour import Colour
from tests.support.temping import CHUNK, Files, content, in_parts, other, temp_policy


def test_the_commands_that_files_need_are_those_documented(own_redis: RedisServer, colour: Colour) -> None:
    """A user with just the commands and keys of the guide uploads, resumes, claims, reads and deletes."""
    user = ("app", "on", ">pass", "resetkeys", "~test:*", "&test:*", "-@all")
    assert own_redis.command("ACL", "SETUSER", *user, *documented()).startswith(b"+OK")
    configure(
        temp_policy(
            own_redis.url,
            redis={"username": "app", "password": "pass"},
            max_file=200 * CHUNK,
            quotas={"total": 900 * CHUNK},
        )
    )
    files = Files(colour)
    blob = files.put(in_parts(content(130 * CHUNK), 700), owner="u", one_time=True)
    assert files.read(blob.id, 0, 10, claim="mine")
    assert files.read(blob.id, claim="mine") == content(130 * CHUNK)
    upload = files.do(files.store.begin_upload, 2 * CHUNK, owner="u")
    upload = files.do(files.store.resume_upload, upload.id)
    for index in files.do(upload.missing):
        files.do(upload.put, index, content(CHUNK))
    files.do(upload.finish)
    with other(own_redis.url) as client:
        client.delete(*client.keys("*temp:{*}:0"))
    with pytest.raises(BlobDamaged):
        files.read(upload.id)
    assert files.do(files.store.delete, upload.id)
    assert files.usage("u") == 0
    close()
    assert own_redis.command("ACL", "LOG") == b"*0\r\n"
