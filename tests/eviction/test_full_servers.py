"""What is left when a server is filled past its memory: the guarantee of each mode, and what lacks one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cachepolicy import SessionManager, configure
from cachepolicy.errors import StoreError
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.filling import Filled, LoggedIn
from tests.support.policies import PATIENT
from tests.support.sessions_policy import do, sessions_policy

USERS = 300
MORE_THAN_FITS = 60_000


def test_server_promises_nothing_and_so_it_is(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled]
) -> None:
    """`mode: server` under volatile-lru: idle sessions go, silently, for newer answers."""
    memory = filled("volatile-lru")
    configure(sessions_policy(roomy.url))
    users = LoggedIn(colour, USERS)
    assert memory.write(MORE_THAN_FITS, 3600) == 0
    assert users.there() < USERS


def test_dedicated_keeps_what_others_write_away(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled], own_redis: RedisServer
) -> None:
    """`mode: dedicated`: a cache that fills its own server takes nothing from the one next to it."""
    memory = filled("allkeys-lru")
    configure(
        {
            "version": 1,
            "app": "test",
            "redis": {"url": roomy.url, **PATIENT},
            "namespaces": {
                "llm": {"kind": "cache", "scope": "global"},
                "sessions": {"kind": "sessions", "url": own_redis.url, "eviction": {"mode": "dedicated"}},
            },
        }
    )
    users = LoggedIn(colour, USERS)
    memory.write(MORE_THAN_FITS, 3600)
    assert memory.info("evicted_keys") > 1000
    assert users.there() == USERS


def test_dedicated_is_full_by_itself_only(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled]
) -> None:
    """`mode: dedicated`, noeviction: a full one fails a login with an error, and logs nobody out."""
    memory = filled("noeviction")
    configure(sessions_policy(roomy.url, eviction={"mode": "dedicated"}))
    users = LoggedIn(colour, USERS)
    assert memory.write(MORE_THAN_FITS, 3600) > 0
    with pytest.raises(StoreError):
        do(colour, SessionManager().create_session, "one more")
    assert users.there() == USERS


@pytest.mark.parametrize("db", [0, 1])
def test_ttl_band_takes_the_shorter_lives_first(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled], db: int
) -> None:
    """`mode: ttl_band`: sessions of a day outlive answers of an hour, in the same database or beside it."""
    memory = filled("volatile-ttl")
    llm = {"kind": "cache", "scope": "global", "ttl": "1h", "db": db}
    banded = sessions_policy(roomy.url, anonymous={"enabled": False}, eviction={"mode": "ttl_band"})
    banded["namespaces"]["llm"] = llm
    configure(banded)
    users = LoggedIn(colour, USERS)
    assert memory.write(MORE_THAN_FITS, 3600, db=db) == 0
    assert users.there() == USERS


def test_ttl_bands_the_wrong_way_round_lose_most(
    colour: Colour, roomy: RedisServer, filled: Callable[[str], Filled]
) -> None:
    """What `ttl_band` refuses is worth it: sessions of half an hour go before answers of a day."""
    memory = filled("volatile-ttl")
    configure(sessions_policy(roomy.url, ttl="30m"))
    users = LoggedIn(colour, USERS)
    memory.write(MORE_THAN_FITS, 86_400)
    assert users.there() < USERS / 2
