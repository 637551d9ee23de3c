"""C5 without the clock: what happens to a key within one tick of the server's clock is still told apart."""

from __future__ import annotations

import time

import pytest

from cachepolicy.codec.codec import Codec, Times
from cachepolicy.codec.envelope import stamp
from cachepolicy.codec.serialize import ABSENT, serializer_for
from cachepolicy.tiers import commands, entries
from cachepolicy.tiers.entries import Asked, Made, Verdict
from cachepolicy.tiers.memory import MemoryServer
from cachepolicy.tiers.notices import Names

KEY = "test:answers:why"
NOW = 1_800_000_000.0
NAMES = Names.of("test")


class _Redis:
    """One key, as the flows of several callers treat it."""

    def __init__(self) -> None:
        self._store = MemoryServer().connect_sync(0)
        self._codec = Codec(serializer_for(ABSENT), threshold=2**63, level=3, limit=2**20)

    def purge(self) -> None:
        """Have all loads that began before store nothing."""
        self._store.execute(entries.invalidate(KEY, NAMES, b"").with_source(), 1.0)

    def lease(self) -> tuple[str, Asked]:
        """Begin a load."""
        token = entries.token(b"")
        seen = stamp(self._store.execute(commands.get(KEY), 1.0))
        asked = self._store.execute(entries.acquire(KEY, token, 10.0, seen).with_source(), 1.0)
        assert asked.verdict is Verdict.GRANTED
        return token, asked

    def store(self, value: int, token: str, asked: Asked) -> bool:
        """End a load; tell whether its value was stored."""
        return self._keep(value, token, asked.stamp, asked.now)

    def store_unleased(self, value: int, began: float) -> bool:
        """End a load that had no lease; tell whether its value was stored."""
        return self._keep(value, "", b"", began)

    def _keep(self, value: int, token: str, seen: bytes, began: float) -> bool:
        blob = self._codec.seal(self._codec.dump(value), KEY, Times(NOW, NOW + 60, NOW + 60, 0.0), b"")
        made = Made(KEY, token, seen, NOW, began, 60.0, blob)
        return self._store.execute(entries.store(made, NAMES, b"").with_source(), 1.0)


def test_c5_two_purges_of_one_moment_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """C5: a load that began before two purges stores nothing, though another stored a value between them."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    redis = _Redis()
    redis.purge()
    stale = redis.lease()
    redis.purge()
    assert redis.store(15, *redis.lease())
    redis.purge()
    assert not redis.store(14, *stale)


@pytest.mark.parametrize("microseconds", [0, 501, 998])
def test_c5_a_purge_in_the_moment_of_a_beginning_wins(
    monkeypatch: pytest.MonkeyPatch, microseconds: int
) -> None:
    """C5: without a lease, a purge in the very millisecond that a load began in is taken for the later."""
    began = NOW + microseconds / 1e6
    redis = _Redis()
    monkeypatch.setattr(time, "time", lambda: began + 1e-6)
    redis.purge()
    assert not redis.store_unleased(14, began)
    assert redis.store_unleased(15, NOW + 0.001)
