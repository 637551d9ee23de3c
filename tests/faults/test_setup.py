"""What is set up wrongly is asked about seldom and said once; databases that do not separate are noticed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.scripted import Scripted
from tests.faults.harness import MENDING, Figures, Rig, colour_name
from tests.faults.operators import SECRET, as_admin
from tests.faults.processes import Shelf
from tests.support.colour import Colour
from tests.support.waiting import until

GROUP = "What an operator is told"
VALUES = "test:answers:cache:*"
_Server = AbstractContextManager[tuple[str, Callable[[], int]]]


def _attempts(server: RedisServer) -> int:
    """Count the logins that the server refused."""
    entries = as_admin(server, "ACL", "LOG")
    return sum(entry["count"] for entry in entries if entry["reason"] == "auth")


def test_a_wrong_password_is_tried_once_per_report(
    colour: Colour, redis_binary: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One AUTH, then none for half a minute, however many call; then one again, and the log says it once.

    The connection over which changes are heard has tried once by itself.
    """
    with (
        RedisServer("--requirepass", SECRET) as server,
        Rig(colour, server.url, {"password": "wrong"}) as rig,
    ):
        rig.time.stand_still()
        told = [rig.new() for _ in range(300)]
        until(lambda: _attempts(server) == 2, "the other connection")
        rig.time.monotonic += 29
        told += [rig.new() for _ in range(100)]
        assert _attempts(server) == 2
        rig.time.monotonic += MENDING
        told += [rig.new() for _ in range(100)]
        assert _attempts(server) == 3
        assert all(one.right for one in told)
    assert len([record for record in caplog.records if "auth" in record.message]) == 1
    assert "wrong" not in caplog.text
    Figures(
        GROUP,
        "wrong password: logins tried",
        colour_name(colour),
        500,
        unchanged=True,
        counted=["auth"],
        note="one `AUTH` per 30 s, in `ACL LOG`",
    ).publish()


@contextmanager
def _refusing() -> Iterator[tuple[str, Callable[[], int]]]:
    with RedisServer("--databases", "1") as server:
        count = "return #redis.call('KEYS', ARGV[1])"
        yield server.url, lambda: int(server.command("EVAL", count, "0", VALUES)[1:])


@contextmanager
def _ignoring() -> Iterator[tuple[str, Callable[[], int]]]:
    shelf = Shelf()
    with Scripted(shelf.answers()) as server:
        yield server.url, lambda: shelf.count(VALUES)


@pytest.mark.parametrize("server", [_refusing, _ignoring], ids=["refused", "ignored"])
def test_databases_that_do_not_separate_are_noticed(
    server: Callable[[], _Server], colour: Colour, redis_binary: str, caplog: pytest.LogCaptureFixture
) -> None:
    """``databases: auto``: SELECT is refused, or has no effect: keys live in database 0, said once."""
    with server() as (url, stored), Rig(colour, url, {"databases": "auto"}) as rig:
        told = [rig.ask(f"question {number % 10}") for number in range(30)]
        assert all(one.right and one.fault is None for one in told)
        assert stored() == 10
        assert rig.plan.counters.stats(0, 0).l2_hits == 20
    said = [record.message for record in caplog.records if "does not keep database 1 apart" in record.message]
    assert len(said) == 1
    Figures(
        GROUP,
        f"`SELECT` {'refused' if server is _refusing else 'silently ignored'}, `databases: auto`",
        colour_name(colour),
        30,
        unchanged=True,
        note="a canary notices; keys live in database 0, said once",
    ).publish()
