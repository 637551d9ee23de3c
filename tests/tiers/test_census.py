"""How many sessions live: what is told late, twice or in another order counts nothing twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from cachepolicy.keys.layout import census_keys
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import redis_async, redis_sync
from cachepolicy.tiers.census import Counted, Event, count, tell
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.memory import MemoryServer
from tests.invalidation.test_acl import documented
from tests.support.limit_store import Store
from tests.support.waiting import until
from tests.tiers.store_contract import patient
from tests.tiers.test_stores import Async, Sync

KEYS = census_keys("test:sessions:", 3)
HOUR = 3_600_000
ADA, BOB = "A" * 12, "B" * 12
NOW = 1_000.0  # of the process's clock


@pytest.fixture(params=["memory", "def", "async def"])
def store(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Store]:
    """Give a store that is empty: in memory, and of each colour."""
    if request.param == "memory":
        memory = MemoryServer().connect_sync(0)
        yield Store(Sync(memory))
        memory.close()
        return
    redis_server.command("FLUSHALL")
    place = Place(patient(redis_server.url), 0)
    if request.param == "def":
        leaf = redis_sync.connect(place)
        yield Store(Sync(leaf))
        leaf.close()
        return
    loop = asyncio.new_event_loop()
    later = redis_async.connect(place, loop=loop)
    yield Store(Async(loop, later))
    loop.run_until_complete(later.aclose())
    loop.close()


def _id(user: str, number: int) -> str:
    return f"{user}{number:012}"


def _now() -> int:
    return int(time.time() * 1000) - 1  # the server asks a moment later, and rounds down


def _began(member: str, ago: int = 0, lasts: int = HOUR) -> Event:
    made = _now() - ago
    return Event("b", member, made, made + lasts, NOW - ago / 1000)


def _ended(member: str, ago: int = 0, made: int | str = "") -> Event:
    return Event("e", member, made, "", NOW - ago / 1000)


def _tell(store: Store, *events: Event) -> list[int]:
    return store.do(tell(KEYS, 2 * HOUR, events, NOW))


def _living(store: Store) -> int:
    return store.do(count(KEYS)).living


def test_sessions_are_counted_until_they_end(store: Store) -> None:
    """What began and was not ended lives; who ends it learns how long it lived, once."""
    assert _tell(store, *[_began(_id(ADA, number), ago=60_000) for number in range(3)]) == []
    assert _living(store) == 3
    (lived,) = _tell(store, _ended(_id(ADA, 1)))
    assert 60_000 <= lived < 120_000
    assert _tell(store, _ended(_id(ADA, 1))) == []
    assert _living(store) == 2


def test_sessions_that_are_over_are_taken_out_once(store: Store) -> None:
    """An idle session stops counting when it ends, and is told as expired by one process, a while later."""
    first = _began(_id(ADA, 1), ago=60_000, lasts=60_400)
    _tell(store, first, _began(_id(ADA, 2)))
    assert store.do(count(KEYS)) == Counted(2, []) or _now() >= int(first.second)
    until(lambda: store.do(count(KEYS)) == Counted(1, []), "the end of a session")
    assert store.do(count(KEYS, late=0)) == Counted(1, [60_400])
    assert store.do(count(KEYS, late=0)) == Counted(1, [])


def test_a_use_puts_the_end_off(store: Store) -> None:
    """A session that is renewed lives on; one that was never heard of is counted from its next use."""
    started = _now()
    _tell(store, _began(_id(ADA, 1), lasts=400), _began(_id(ADA, 2), lasts=400))
    _tell(
        store,
        Event("t", _id(ADA, 1), _now() + HOUR, "", NOW),
        Event("t", _id(BOB, 1), _now() + HOUR, "", NOW),
    )
    until(lambda: _living(store) == 2, "the end of the other session")
    until(lambda: _now() - started > 400, "the time at which the first would have ended")
    assert _living(store) == 2
    (lived,) = _tell(store, _ended(_id(ADA, 1)), _ended(_id(BOB, 1)))
    assert lived < 60_000


def test_all_of_a_user_end_at_once_but_one(store: Store) -> None:
    """Ending all of a user's sessions ends those that began before, and nobody else's; later ones count."""
    _tell(store, *[_began(_id(user, number), ago=5_000) for user in (ADA, BOB) for number in range(4)])
    assert len(_tell(store, Event("a", ADA, _id(ADA, 2), "", NOW - 1))) == 3
    assert _living(store) == 5
    _tell(store, _began(_id(ADA, 9)))
    assert _living(store) == 6
    assert len(_tell(store, Event("a", ADA, "", "", NOW))) == 2
    assert _living(store) == 4


@pytest.mark.parametrize(
    "end", [_ended(_id(ADA, 1), ago=1_000), Event("a", ADA, "", "", NOW - 1)], ids=["one", "all"]
)
def test_what_is_told_late_is_no_news(store: Store, end: Event) -> None:
    """A beginning or a use that another process tells after the end brings no session back."""
    _tell(store, end)
    _tell(store, _began(_id(ADA, 1), ago=60_000), Event("t", _id(ADA, 1), _now() + HOUR, "", NOW - 50))
    assert _living(store) == 0


def test_a_telling_that_is_repeated_counts_once(store: Store) -> None:
    """A reply that was lost is no second session, and no second end."""
    events = [_began(_id(ADA, 1), ago=9_000), _began(_id(ADA, 2)), _ended(_id(ADA, 1), made=_now() - 9_000)]
    assert len(_tell(store, *events)) == 1
    assert _tell(store, *events) == []
    assert _living(store) == 1


def test_the_commands_that_counting_needs_are_those_documented(own_redis: RedisServer) -> None:
    """A user with just the commands and keys of the guide tells of sessions, and counts them."""
    user = ("app", "on", ">pass", "resetkeys", "~test:*", "resetchannels", "-@all")
    assert own_redis.command("ACL", "SETUSER", *user, *documented()).startswith(b"+OK")
    leaf = redis_sync.connect(Place(patient(own_redis.url, username="app", password="pass"), 0))
    store = Store(Sync(leaf))
    _tell(store, _began(_id(ADA, 1)), _began(_id(ADA, 2)), _ended(_id(ADA, 1)), Event("a", ADA, "", "", NOW))
    assert _living(store) == 0
    assert own_redis.command("ACL", "LOG") == b"*0\r\n"
    leaf.close()


def test_nothing_is_kept_for_ever(redis_server: RedisServer) -> None:
    """Each key has a TTL, so that where nobody tells any more nothing stays; nor does what is over."""
    redis_server.command("FLUSHALL")
    leaf = redis_sync.connect(Place(patient(redis_server.url), 0))
    store = Store(Sync(leaf))
    _tell(store, _began(_id(ADA, 1)), _began(_id(ADA, 2)), _ended(_id(ADA, 1)))
    for key in KEYS:
        assert 0 < int(redis_server.command("PTTL", key)[1:]) <= 2 * HOUR
    _tell(store, _ended(_id(ADA, 2)), _began(_id(BOB, 1), lasts=100))
    until(lambda: store.do(count(KEYS, late=0)).lived, "the end of a session")
    assert [redis_server.command("EXISTS", key) for key in KEYS[:2]] == [b":0\r\n"] * 2
    leaf.close()
