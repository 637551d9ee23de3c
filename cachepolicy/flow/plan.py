"""All that a flow needs to know of one decorated function, bound once; and of one call of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from cachepolicy.clock import Clock
from cachepolicy.codec.codec import Codec
from cachepolicy.flow.single_flight import Flights
from cachepolicy.flow.stores import Site
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.spans import Tracing
from cachepolicy.tiers.local import LocalCache, Table


class OnFault(StrEnum):
    """What a call does when its store fails."""

    BYPASS = "bypass"
    RAISE = "raise"
    DENY = "deny"


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """One decorated function under one policy. Durations in seconds.

    Args:
        function: the origin, as the user wrote it.
        name: ``module.qualname``, for messages and telemetry.
        is_async: the function's colour.
        namespace: the policy's namespace.
        prefix: what every key of the namespace begins with.
        scope: who may share an answer: ``global``, ``tenant`` or ``user``.
        clock: the source of time.
        site: the Redis and the database.
        local: L1, shared by the namespace; None when the policy turns it off.
        table: this function's part of L1.
        local_ttl: the longest a value stays in L1.
        local_max_value: bytes of the largest payload that L1 keeps.
        share: lend mutable values out of L1 too.
        codec: value ↔ bytes.
        ttl: how long a value is fresh.
        jitter: the largest share of ``ttl`` that is taken off, at random, from each entry's.
        stale: how long a value outlives its freshness in Redis.
        deadline: the most that Redis may add to a call.
        wait: the longest that a caller waits for another's origin call.
        on_fault: what a call does when its store fails.
        said: warnings that were logged once and are not logged again; shared by the runtime's plans.
        spans_for_all: trace L1 hits too.
    """

    function: Callable[..., object]
    name: str
    is_async: bool
    namespace: str
    prefix: str
    scope: str
    clock: Clock
    site: Site
    local: LocalCache | None
    table: Table
    local_ttl: float
    local_max_value: int
    share: bool
    codec: Codec
    ttl: float
    jitter: float
    stale: float
    deadline: float
    wait: float
    on_fault: OnFault
    flights: Flights
    counters: Counters
    said: set[tuple[str, str]]
    tracing: Tracing
    spans_for_all: bool
    random: Callable[[], float]


class Call(NamedTuple):
    """One call: what it is known by in L1 and in Redis, and how to make it."""

    local_key: Hashable
    key: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
