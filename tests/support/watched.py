"""An L1 and its watch, glued together as the flow glues them; and one in a process of its own.

``python -m tests.support.watched URL MODE WRITER`` writes keys that others write too, waits for a line on its
input, and prints what it holds as JSON.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
from typing import Any, Final, Literal, Self

import redis

from cachepolicy.codec.envelope import TAIL
from cachepolicy.tiers.coherence import Mode, Watch
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.local import Entry, LocalCache, Table
from tests.support.waiting import until

APP: Final = "app"
PREFIX: Final = "app:ns:"
MARK: Final = PREFIX + "mark"
KEYS: Final = 200
DB: Final = 1
LONG: Final = 15.0
"""Seconds of a heartbeat, and thus of lateness, where a busy machine is not to look like a loss."""

Event = tuple[str, str]

_counter = itertools.count(1)


class L1:
    """What one process holds of Redis, and what it was told; a ``Listener``."""

    def __init__(self, url: str, mode: Mode = "auto", **settings: Any) -> None:
        endpoint = {"connect_timeout": 5.0} | settings.pop("endpoint", {})
        usual: dict[str, Any] = {"prefixes": [PREFIX], "heartbeat": 0.1, "patience": 10.0}
        settings = usual | {"refused_pause": 0.2} | settings
        self.cache = LocalCache(1 << 26, "lru")
        self.table = Table()
        self.told: list[Event] = []
        self.live_when_lost: list[bool] = []
        self.publishes = mode == "pubsub"
        place = Place(Endpoint(url, **endpoint), settings.pop("db", DB))
        self.watch = Watch(place, APP, settings.pop("prefixes"), self, mode, **settings)

    def __enter__(self) -> Self:
        self.watch.start()
        until(lambda: self.watch.live, "the watch to be live")
        return self

    def __exit__(self, *_: object) -> None:
        self.watch.close()

    # Listener

    def changed(self, key: str) -> bool:
        own = self.cache.changed(key)
        self.told.append(("changed", key))
        return own

    def verified(self, key: str, tail: bytes | None) -> None:
        self.cache.verified(key, tail)
        self.told.append(("verified", key))

    def renewed(self, key: str) -> None:
        self.told.append(("renewed", key))

    def released(self, key: str) -> None:
        self.told.append(("released", key))

    def lost(self) -> None:
        self.live_when_lost.append(self.watch.live)
        self.cache.flush()
        self.told.append(("lost", ""))

    # as a flow

    def read(self, client: redis.Redis, key: str) -> bytes | None:
        """Answer from L1, else from Redis, filling L1."""
        entry = self.table.get(key)
        if entry is not None:
            return bytes(entry.value)
        token = self.cache.token(key)
        value: Any = client.get(key)
        if value is not None:
            self.cache.put(self.entry(key, value), token)
        return bytes(value) if value is not None else None

    def write(self, client: redis.Redis, key: str, value: bytes) -> None:
        """Store a value as this process' own, and tell the others."""
        token = self.cache.token(key)
        with client.pipeline(transaction=True) as batch:
            batch.set(key, value)
            if self.publishes:
                batch.publish(f"{APP}:~changes", self.watch.notice(key, value[-TAIL:]))
            batch.execute()
        entry = self.entry(key, value, own=True)
        if not self.cache.put(entry, token):  # its echo was quicker, or another write
            self.cache.put(entry)
            self.watch.verify(key)

    def entry(self, key: str, value: bytes, *, own: bool = False) -> Entry:
        return Entry(self.table, key, value, None, 1e12, 0.0, 0, name=key, own=own, tail=value[-TAIL:])

    def held(self) -> dict[str, str]:
        return {entry.name: bytes(entry.value).decode() for entry in list(self.table.values())}

    def settle(self) -> None:
        """Wait until all that was told before is heard, and all that was asked is answered."""
        begun = len(self.told)
        until(lambda: ("changed", MARK) in self.told, "the mark")
        self.watch.verify(MARK)
        until(lambda: ("verified", MARK) in self.told[begun:], "the last reply")


def client(url: str, db: int = DB, **settings: Any) -> redis.Redis:
    """Connect another client to the same database."""
    return redis.Redis(**_address(url), db=db, **settings)


def _address(url: str) -> dict[str, Any]:
    if url.startswith("unix://"):
        return {"unix_socket_path": url.removeprefix("unix://")}
    host, _, port = url.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")
    return {"host": host, "port": int(port)}


def unique_value(writer: int) -> bytes:
    """Return a value that ends as no other does."""
    return b"written by %d, %05d" % (writer, next(_counter) * 10 + writer)


def write_at_random(l1: L1, url: str, writer: int, rounds: int) -> None:
    """Write all keys again and again, in an order of chance, and read some between."""
    dice = random.Random(writer)
    with client(url) as connection:
        for _ in range(rounds):
            for number in dice.sample(range(KEYS), KEYS):
                l1.write(connection, f"{PREFIX}{number}", unique_value(writer))
                l1.read(connection, f"{PREFIX}{dice.randrange(KEYS)}")


def main(url: str, mode: Literal["tracking", "pubsub"], writer: int) -> None:
    """Write beside other processes."""
    with L1(url, mode, heartbeat=LONG) as l1:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        threads = [
            threading.Thread(target=write_at_random, args=(l1, url, 2 * writer + part, 3)) for part in (0, 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sys.stdout.write("written\n")
        sys.stdout.flush()
        sys.stdin.readline()
        l1.settle()
        sys.stdout.write(json.dumps({"held": l1.held(), "losses": l1.watch.losses, "gaps": l1.watch.gaps}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))  # type: ignore[arg-type] # a test says which
