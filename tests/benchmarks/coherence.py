"""How soon another process drops what changed: from the moment of the write to the moment of the drop.

The other process holds what this one changes, one key at a time. Both read the same monotonic clock.
``python -m tests.benchmarks.coherence URL WAY COUNT`` is the other process. With ``calls`` behind, it calls a
decorated function, again and again, and tells when that was no longer answered from L1.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.coherence import Mode, Watch
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.local import Entry, LocalCache, Table
from cachepolicy.tiers.notices import Names, Numbering
from tests.support.waiting import block, until

TITLE: Final = "invalidation seen by another process"
MEDIAN: Final = 0.005  # seconds, at most
P99: Final = 0.050

APP: Final = "bench"
PREFIX: Final = "bench:answers:"
CHANGES: Final = 2_000
CALLS: Final = 500  # changes, where functions are called
_GLANCE: Final = 0.0002  # seconds between two calls: who spins keeps the interpreter from those who listen
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from write to drop."""

    seconds: Sequence[float]

    @property
    def median(self) -> float:
        """Half are quicker."""
        return statistics.median(self.seconds)

    @property
    def p99(self) -> float:
        """One in a hundred is slower."""
        return statistics.quantiles(self.seconds, n=100)[98]


def measure(server: RedisServer, way: Mode, changes: int = CHANGES, pause: float = 0.0005) -> Lag:
    """Change keys that another process holds, and have it tell when it dropped them.

    Args:
        server: on which they are.
        way: how changes are told.
        changes: how many.
        pause: seconds between two, besides what one takes.
    """
    import redis

    names, numbering = Names.of(APP), Numbering()
    command = [sys.executable, "-m", "tests.benchmarks.coherence", server.url, way, str(changes)]
    written: list[float] = []
    with (
        subprocess.Popen(
            command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other,
        redis.Redis.from_url(server.url) as client,
    ):
        _pipe(other.stdout).readline()  # it is live, and holds all
        for number in range(changes):
            key = f"{PREFIX}{number}"
            with client.pipeline(transaction=True) as batch:
                batch.set(key, b"new")
                if way == "pubsub":
                    batch.publish(names.changes, numbering.next(key))
                written.append(time.monotonic())
                batch.execute()
            block(pause)
        dropped: list[float] = json.loads(other.communicate("\n")[0])
    return Lag([drop - write for write, drop in zip(written, dropped, strict=True)])


def measure_calls(server: RedisServer, way: Mode, changes: int = CALLS) -> Lag:
    """Invalidate calls of a decorated function that another process answers from its L1."""
    import cachepolicy

    command = [sys.executable, "-m", "tests.benchmarks.coherence", server.url, way, str(changes), "calls"]
    ended: list[float] = []
    answer = _decorated(server.url, way)
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        for number in range(changes):
            answer(str(number))
        _hear(answer)
        _pipe(other.stdout).readline()  # it is ready
        for number in range(changes):
            _pipe(other.stdin).write(f"{number}\n")
            _pipe(other.stdin).flush()
            _pipe(other.stdout).readline()  # L1 answers it there
            block(0.001)
            ended.append(time.monotonic())
            answer.invalidate(str(number))
            _pipe(other.stdout).readline()
        seen: list[float] = json.loads(other.communicate()[0])
    cachepolicy.close()
    return Lag([saw - end for end, saw in zip(ended, seen, strict=True)])


def lags(is_wanted: Callable[[str], bool]) -> Iterator[tuple[str, Lag]]:
    """Measure both ways of hearing of changes: by keys that are written, and through functions."""
    ways: tuple[Mode, ...] = ("tracking", "pubsub")
    for way in ways:
        if is_wanted(name := f"{TITLE}, {way}"):
            with RedisServer() as server:
                yield f"{name}, L1 alone", measure(server, way)
                yield f"{name}, decorated calls", measure_calls(server, way)


def _decorated(url: str, way: Mode) -> Any:
    import cachepolicy

    answers = {"kind": "cache", "db": 0, "scope": "global", "ttl": "1h", "local": {"coherence": way}}
    policy = {"version": 1, "app": "bench-calls", "redis": {"url": url}, "namespaces": {"answers": answers}}
    cachepolicy.configure(policy)
    return cachepolicy.cached("answers", key="{question}")(_answer)


def _answer(question: str) -> str:
    return f"{question} {time.monotonic()}"


def _hear(answer: Any) -> None:
    hearing = answer.policy._binding.bound().plan.site.hearing
    until(lambda: hearing.live, "changes to be heard")


def _call(url: str, way: Mode) -> list[float]:
    """Call what is invalidated elsewhere; tell when L1 answered no longer."""
    answer = _decorated(url, way)
    answer("warm")
    _hear(answer)
    _say("ready")
    seen: list[float] = []
    for line in sys.stdin:
        question = line.strip()
        old = answer(question)
        _say("held")
        while True:
            began = time.monotonic()
            if answer(question) != old:
                break
            block(_GLANCE)
        seen.append(began)
        _say("seen")
    return seen


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


class _Other:
    """The process that holds the keys; a ``Listener``."""

    def __init__(self, url: str, way: Mode, count: int) -> None:
        self._cache = LocalCache(1 << 30, "lru")
        self._dropped: dict[str, float] = {}
        self._keys = [f"{PREFIX}{number}" for number in range(count)]
        self._table = Table()
        self._watch = Watch(Place(Endpoint(url), 0), APP, [PREFIX], self, way)

    def run(self) -> list[float]:
        """Hold all keys, lose all, and tell when."""
        self._watch.start()
        until(lambda: self._watch.live, "the watch to be live")
        for key in self._keys:
            self._cache.put(Entry(self._table, key, b"old", None, 1e12, 0.0, 0, name=key))
        sys.stdout.write("live\n")
        sys.stdout.flush()
        sys.stdin.readline()
        until(lambda: len(self._table) == 0, "all to be dropped")
        self._watch.close()
        return [self._dropped[key] for key in self._keys]

    def changed(self, key: str) -> bool:
        """Drop it, and note when it was gone."""
        own = self._cache.changed(key)
        self._dropped.setdefault(key, time.monotonic())
        return own

    def verified(self, key: str, tail: bytes | None) -> None:
        """Nothing is its own."""

    def renewed(self, key: str) -> None:
        """Nobody works here."""

    def released(self, key: str) -> None:
        """Nobody works here."""

    def lost(self) -> None:
        """Drop all."""
        self._cache.flush()


def _pipe(stream: IO[Any] | None) -> IO[Any]:
    if stream is None:
        raise RuntimeError("the other process has no output")
    return stream


def main(url: str, way: Mode, count: int, what: str = "") -> None:
    """Be the other process."""
    sys.stdout.write(json.dumps(_call(url, way) if what else _Other(url, way, count).run()))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])  # type: ignore[arg-type] # ``measure`` says which
