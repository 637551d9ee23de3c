"""C3 over processes: one origin stream; who waits gets the recording, or takes over from who crashed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.peer import Folder
from tests.support.policies import cache_policy
from tests.support.stream_peer import StreamPeer
from tests.support.waiting import until

LEASE = 4.0
"""Renewed at each third: a process that gets no time for two seconds keeps it all the same."""
NOBODY = b""


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Where origins wait, and are counted."""
    return Folder(tmp_path_factory.mktemp("streams"))


@pytest.fixture(scope="module")
def server(redis_binary: str) -> Iterator[RedisServer]:
    """One server for this file."""
    with RedisServer() as server:
        yield server


def _policy(server: RedisServer) -> dict[str, Any]:
    server.command("FLUSHALL")
    return cache_policy(server.url, stampede={"lease": f"{LEASE}s", "wait": "30s"})


def _key(question: str) -> str:
    return f"test:~lease:{{test:answers:tell:{question}}}"


def _lease(server: RedisServer, question: str) -> bytes:
    with redis.Redis(port=server.port, db=1) as client:
        found: Any = client.get(_key(question))
    return bytes(found or NOBODY)


def _renewals(server: RedisServer, question: str, times: int) -> None:
    """Wait until a lease was renewed so many times."""
    with redis.Redis(port=server.port, db=1) as client:
        left: list[Any] = [client.pttl(_key(question))]

        def is_renewed() -> bool:
            left.append(client.pttl(_key(question)))
            return bool(left[-1] > left[-2])

        for _ in range(times):
            until(is_renewed, "a renewal")


def _scripts(server: RedisServer) -> set[str]:
    """Return the connections that ran a script last."""
    with redis.Redis(port=server.port) as client:
        return {each["id"] for each in client.client_list() if each["cmd"].startswith("eval")}


def test_c3_another_process_waits_for_the_recording(
    colour: Colour, server: RedisServer, folder: Folder
) -> None:
    """C3: the lease is kept for as long as a stream runs; another process replays what was recorded."""
    policy, question = _policy(server), "one"
    with StreamPeer(policy, folder, question, task=colour.is_async) as leader:
        assert leader.next() == "first of 1"
        token = _lease(server, question)
        with StreamPeer(policy, folder, question, task=colour.is_async) as follower:
            _renewals(server, question, 3)  # for as long as it was given for
            assert _lease(server, question) == token != NOBODY
            folder.open(question)
            assert leader.rest() == ["last of 1"]
            assert follower.rest() == ["first of 1", "last of 1"]
    assert folder.calls(question) == 1
    assert _lease(server, question) == NOBODY


def test_c3_another_process_takes_over_after_a_crash(
    colour: Colour, server: RedisServer, folder: Folder
) -> None:
    """C3: where the process of a stream is killed, the next begins another within a lease."""
    policy, question = _policy(server), "crash"
    with StreamPeer(policy, folder, question, task=colour.is_async) as leader:
        assert leader.next() == "first of 1"
        known = _scripts(server)
        with StreamPeer(policy, folder, question, task=colour.is_async) as follower:
            until(lambda: _scripts(server) - known, "the other to ask for the lease")
            assert folder.calls(question) == 1
            leader.kill()
            assert follower.next() == "first of 2"
            folder.open(question)
            assert follower.rest() == ["last of 2"]
    assert folder.calls(question) == 2
