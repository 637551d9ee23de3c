"""What is known of each Redis server: retries, breakers, connections. It is counted where it happens."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from cachepolicy.telemetry.instruments import Instrument, Kind, Point
from cachepolicy.telemetry.names import (
    ATTRIBUTE_PORT,
    ATTRIBUTE_SERVER,
    ATTRIBUTE_STATE,
    METRIC_BREAKER_STATE,
    METRIC_BREAKER_TRANSITIONS,
    METRIC_CONNECTIONS,
    METRIC_RETRIES,
)


class Server(NamedTuple):
    """A server, or several that are known together.

    Attributes:
        address: its host, the path of its socket, or the name that sentinels know it by.
        port: as text; empty where it has none.
    """

    address: str
    port: str = ""


class Breaker(Protocol):
    """When one server is left alone."""

    @property
    def state(self) -> int:
        """0 where it is asked, 1 while one call finds out whether it is back, 2 where it is left alone."""
        ...

    @property
    def transitions(self) -> int:
        """How often that has changed."""
        ...


class Guard(Protocol):
    """What is known of one Redis."""

    @property
    def retries(self) -> int:
        """How often a command was sent again."""
        ...

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        """Those of its servers, each by ``host:port``, or one without a name."""
        ...


class Pool(Protocol):
    """Connections to one server."""

    def connections(self) -> tuple[int, int]:
        """Return how many are in use, and how many are kept for the next who needs one."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    guard: Guard
    named: Callable[[str], Server]
    owner: weakref.ref[object]  # once it is gone nothing grows any more

    def transitions(self) -> Iterator[tuple[Server, Breaker]]:
        breakers = dict(self.guard.breakers)
        for node, breaker in breakers.items():
            if node or len(breakers) == 1:  # of a cluster, the one without a name is nobody's
                yield self.named(node), breaker


_LOCK = threading.RLock()  # a signal's handler may read what its own thread reads
_SOURCES: Final[list[_Source]] = []
_RETIRED_RETRIES: Final[Counter[Server]] = Counter()
_RETIRED_TRANSITIONS: Final[Counter[Server]] = Counter()
_POOLS: Final[weakref.WeakKeyDictionary[Pool, Server]] = weakref.WeakKeyDictionary()


def export(guard: Guard, named: Callable[[str], Server], owner: object) -> None:
    """Have a guard's counts read at every collection from now on; the sums keep them when it is gone.

    Args:
        guard: of one Redis; again, it changes nothing.
        named: returns which of its servers ``host:port`` is; of nothing, which it is altogether.
        owner: of the guard, which grows no more once this is gone.
    """
    with _LOCK:
        if not any(source.guard is guard for source in _SOURCES):
            _retire()
            _SOURCES.append(_Source(guard, named, weakref.ref(owner)))


def connected(pool: Pool, server: Server) -> None:
    """Have connections to a server counted as long as there are any."""
    with _LOCK:
        _POOLS[pool] = server


def after_fork() -> None:
    """Forget a lock that another thread held when this process was forked."""
    global _LOCK  # noqa: PLW0603 - a lock cannot be released for a thread that does not exist here
    _LOCK = threading.RLock()


def _retire() -> None:
    """Keep the sums of guards that can grow no more, instead of the guards."""
    for source in [source for source in _SOURCES if source.owner() is None]:
        _SOURCES.remove(source)
        _RETIRED_RETRIES[source.named("")] += source.guard.retries
        for server, breaker in source.transitions():
            _RETIRED_TRANSITIONS[server] += breaker.transitions


def _live() -> tuple[list[_Source], Counter[Server], Counter[Server]]:
    """Return the guards that can still grow, and the sums of the others: retries, transitions."""
    with _LOCK:
        _retire()
        return list(_SOURCES), Counter(_RETIRED_RETRIES), Counter(_RETIRED_TRANSITIONS)


def _points(values: Iterable[tuple[Server, float]]) -> list[Point]:
    return [
        Point(value, {ATTRIBUTE_SERVER: server.address, ATTRIBUTE_PORT: server.port})
        for server, value in values
    ]


def _retries() -> list[Point]:
    live, sums, _ = _live()
    for source in live:
        sums[source.named("")] += source.guard.retries
    return _points(sums.items())


def _transitions() -> list[Point]:
    live, _, sums = _live()
    for source in live:
        for server, breaker in source.transitions():
            sums[server] += breaker.transitions
    return _points(sums.items())


def _states() -> list[Point]:
    live, _, _ = _live()
    return _points(
        {server: breaker.state for source in live for server, breaker in source.transitions()}.items()
    )


def _connections() -> Iterator[Point]:
    sums: Counter[tuple[Server, str]] = Counter()
    with _LOCK:
        pools = list(_POOLS.items())
    for pool, server in pools:
        used, idle = pool.connections()
        sums[server, "used"] += used
        sums[server, "idle"] += idle
    for (server, state), count in sums.items():
        at = {ATTRIBUTE_SERVER: server.address, ATTRIBUTE_PORT: server.port, ATTRIBUTE_STATE: state}
        yield Point(count, at)


INSTRUMENTS: Final = (
    Instrument(METRIC_RETRIES, Kind.COUNTER, "{retry}", "Commands that were sent again", _retries),
    Instrument(
        METRIC_BREAKER_STATE,
        Kind.GAUGE,
        "{state}",
        "Whether Redis is left alone: 0 no, 1 one call finds out, 2 yes",
        _states,
    ),
    Instrument(
        METRIC_BREAKER_TRANSITIONS,
        Kind.COUNTER,
        "{transition}",
        "How often a server began, and ceased, to be left alone",
        _transitions,
    ),
    Instrument(
        METRIC_CONNECTIONS,
        Kind.UP_DOWN,
        "{connection}",
        "Connections to Redis, in use and kept",
        _connections,
    ),
)
