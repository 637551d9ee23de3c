"""O2 and encryption at rest: what a file holds, its name and its id are nobody else's business."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import BlobError, CachePolicyError, TempStore, configure
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.temping import CHUNK, Files, other, temp_policy

KEY = bytes(32).hex()
CANARY = "canary-7f3a"


def _dump(url: str) -> bytes:
    """Return all keys and values of a database, as they lie there."""
    with other(url) as client:
        parts: list[bytes] = []
        for key in client.keys("*"):
            kind: Any = client.type(key)
            parts.append(key)
            if kind == b"hash":
                parts += [word for pair in client.hgetall(key).items() for word in pair]
            elif kind == b"zset":
                parts += client.zrange(key, 0, -1)
            else:
                parts.append(client.get(key) or b"")
    return b"\n".join(parts)


def test_encrypted_files_show_nothing(colour: Colour, redis_url: str, tmp_path: Path) -> None:
    """With encryption, neither content nor name, type, owner, size, digest or id is in Redis or on disk."""
    offload = {"above": 20 * CHUNK, "directory": str(tmp_path)}
    configure(temp_policy(redis_url, encryption={"keys": [KEY]}, offload=offload))
    files = Files(colour)
    text = f"the diagnosis of {CANARY} is confidential\n".encode()
    small = files.put(text * 100, name=f"{CANARY}.txt", content_type=f"text/{CANARY}", owner=CANARY)
    large = files.put(text * 1000, name=f"{CANARY}.txt", owner=CANARY)
    upload = files.do(files.store.begin_upload, 2000, name=CANARY, owner=CANARY)
    files.do(upload.put, 0, (text * 50)[:1000])
    seen = _dump(redis_url) + b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert len(list(tmp_path.iterdir())) == 1
    secrets = (CANARY, "diagnosis", small.id, large.id, upload.id, small.sha256, "text/")
    assert [word for word in secrets if word.encode() in seen] == []
    assert files.read(small.id) == text * 100
    assert files.read(large.id) == text * 1000


def test_ids_and_owners_are_in_no_key_even_without_encryption(colour: Colour, redis_url: str) -> None:
    """Who can see the keys of Redis, in a slow log or a backup, learns no id that the store would take."""
    configure(temp_policy(redis_url))
    files = Files(colour)
    blob = files.put(b"x", owner=CANARY, one_time=True)
    files.read(blob.id, 0, 0, claim=CANARY)
    seen = _dump(redis_url)
    assert blob.id.encode() not in seen
    with other(redis_url) as client:
        assert not any(CANARY.encode() in key for key in client.keys("*"))
        (manifest,) = client.keys("*temp:{*}")
        assert CANARY.encode() not in (client.hget(manifest, "k") or b"")


def test_no_word_of_a_file_gets_out(
    redis_files: Files,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No name, owner, id, claim or byte of a file is in a span, a log, a repr or an error."""
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    with exported_spans(monkeypatch) as exported:
        configure(temp_policy(redis_url, ttl={"default": "1h", "max": "1h"}, max_file=50 * CHUNK))
        files = redis_files
        words: dict[str, Any] = {"name": CANARY, "content_type": CANARY, "owner": CANARY}
        data = (CANARY * 1000).encode()
        blob = files.put(data, ttl="9h", **words)
        once = files.put(data, one_time=True, **words)
        upload = files.do(files.store.begin_upload, 2000, **words)
        stream = files.store.stream(once.id, claim=CANARY)
        files.pieces(stream, 1)
        told += map(repr, (files.store, upload, stream))
        told.append(repr(blob).replace(f"content_type='{CANARY}'", ""))
        with other(redis_url) as client:
            for key in client.keys("*temp:{*}:1"):
                client.delete(key)
        attempts: list[Callable[[], Any]] = [
            lambda: files.read(blob.id),
            lambda: files.read(once.id, claim="other"),
            lambda: files.read(upload.id),
            lambda: files.read(f"{CANARY}{CANARY}"),
            lambda: files.put(data * 100, **words),
            lambda: files.do(upload.finish),
        ]
        for attempt in attempts:
            with pytest.raises((BlobError, CachePolicyError)) as raised:
                attempt()
            told += traceback.format_exception_only(raised.value)
        for span in exported.get_finished_spans():
            told.append(f"{span.name} {dict(span.attributes or {})} {span.status.description}")
            told += [str(event.attributes) for event in span.events]
    told.append(caplog.text)
    assert any(line.startswith("temp.") for line in told)
    for secret in (CANARY, blob.id, once.id, upload.id):
        assert [line for line in told if secret in line] == []


def test_a_store_says_what_it_is() -> None:
    """The repr of a store names its namespace."""
    assert repr(TempStore("exports")) == "TempStore('exports')"
