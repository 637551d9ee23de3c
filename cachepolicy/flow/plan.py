"""All that a flow needs to know of one decorated function, bound once; and of one call of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from cachepolicy.clock import Clock
from cachepolicy.codec.codec import Codec
from cachepolicy.codec.raised import Errors
from cachepolicy.flow.collation import Collation
from cachepolicy.flow.control import Control
from cachepolicy.flow.effects import Attempt, Flow
from cachepolicy.flow.failure import Failure
from cachepolicy.flow.single_flight import Flight, Flights
from cachepolicy.flow.stores import Site
from cachepolicy.flow.streaming import Streaming
from cachepolicy.flow.versions import Versions
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.logs import Alarms
from cachepolicy.telemetry.measures import UNMEASURED, Measures
from cachepolicy.telemetry.names import Reason
from cachepolicy.telemetry.prices import NO_PRICES, Prices
from cachepolicy.telemetry.savings import Accounts
from cachepolicy.telemetry.spans import Tracing
from cachepolicy.telemetry.usage import Usage
from cachepolicy.tiers.local import LocalCache, Table
from cachepolicy.tiers.quota import Quota


class OnFault(StrEnum):
    """What a call does when its store fails."""

    BYPASS = "bypass"
    RAISE = "raise"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Life:
    """How long a value may serve; durations in seconds.

    Attributes:
        ttl: how long it is fresh.
        shortest: the least that a call may ask for.
        longest: the most.
        jitter: the largest share of the TTL that is taken off, at random.
        if_error: how long past its TTL it may serve where computing it anew failed.
        while_revalidate: how long past its TTL it may serve while it is computed anew.
        throttle: how long a failed computation is not tried again while it serves.
        early: whether it may be computed anew before its TTL ends.
    """

    ttl: float
    shortest: float
    longest: float
    jitter: float = 0.0
    if_error: float = 0.0
    while_revalidate: float = 0.0
    throttle: float = 5.0
    early: bool = False

    @property
    def stale(self) -> float:
        """How long a value outlives its freshness in Redis."""
        return max(self.if_error, self.while_revalidate)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a caller waits, in seconds.

    Attributes:
        deadline: the most that Redis may add to a call.
        wait: for the origin call of another.
        lease: after which another process takes over where one fell silent.
        soft: for the origin, where an older value can serve; 0: however long.
        hard: for the origin in any case; 0: however long.
    """

    deadline: float
    wait: float
    lease: float
    soft: float = 0.0
    hard: float = 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """What is kept.

    Attributes:
        none: whether None is.
        if_: asks the function's user; None where every result is.
        errors: exceptions that are answers.
        judge: says why a result is not; None where every one is.
    """

    none: bool
    if_: Callable[[object], object] | None
    errors: Errors
    judge: Callable[[object], Reason | None] | None = None


class AfterOrigin(Protocol):
    """Hears of each call of the function itself."""

    def __call__(self, plan: Plan, call: Call, attempt: Attempt, seconds: float, /) -> Flow[None] | None:
        """Return what is to be done about it behind its caller's back, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Accounting:
    """How it is told what answers took, and what they spare.

    Attributes:
        usage: takes a result and the model that the call names; returns what the result took, if it says so.
        model_at: the place of the parameter ``model`` among the positional ones.
        model: that is asked where a call names none; empty: not known.
        prices: of models.
        accounts: which are told apart.
        after_origin: hears of each call of the function itself.
    """

    usage: Callable[[object, str], Usage | None] | None = None
    model_at: int | None = None
    model: str = ""
    prices: Prices = NO_PRICES
    accounts: Accounts | None = None
    after_origin: AfterOrigin | None = None


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Plan:
    """One decorated function under one policy.

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
        local_ttl: the longest a value stays in L1, in seconds.
        blind_ttl: the same while changes are not heard of.
        coherent: whether this process is to hear of changes at all.
        local_max_value: bytes of the largest payload that L1 keeps.
        share: lend mutable values out of L1 too.
        versions: of the namespace's tags.
        codec: value ↔ bytes.
        life: how long a value may serve.
        patience: how long callers wait.
        admission: what is kept.
        failures: says what an error of the function comes from.
        on_fault: what a call does when its store fails.
        flights: loads under way in this process, by key.
        refreshing: what is computed anew in the background, by key; held by the work itself.
        counters: what is counted.
        said: warnings that were logged once and are not logged again; shared by the runtime's plans.
        tracing: where spans come from.
        spans_for_all: trace L1 hits too.
        random: draws from 0 to 1.
        quota: how much the namespace's entries may take in Redis; None: as much as they do.
        accounting: how it is told what answers took, and what they spare.
        collation: how results for many items are put together; None: they are a list.
        streaming: how it answers in parts; None where it answers whole.
        measures: what its namespace's calls are measured by.
        alarms: which are held back, for they were raised a moment ago.
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
    blind_ttl: float
    coherent: bool
    local_max_value: int
    share: bool
    versions: Versions
    codec: Codec
    life: Life
    patience: Patience
    admission: Admission
    failures: Callable[[BaseException], Failure]
    on_fault: OnFault
    flights: Flights
    refreshing: WeakValueDictionary[str, Flight]
    counters: Counters
    said: set[tuple[str, str]]
    tracing: Tracing
    spans_for_all: bool
    random: Callable[[], float]
    quota: Quota | None = None
    accounting: Accounting = Accounting()
    collation: Collation | None = None
    streaming: Streaming | None = None
    measures: Measures = UNMEASURED
    alarms: Alarms = field(default_factory=Alarms)

    @property
    def hears(self) -> bool:
        """Tell whether changes by others are heard of now."""
        return self.coherent and self.site.hearing.live

    def trust_value(self) -> float:
        """Return how long a value may be held without asking again, in seconds."""
        return self.local_ttl if self.hears else self.blind_ttl

    def trust_versions(self) -> float:
        """Return how long versions of tags may be held without asking again, in seconds."""
        return self.local_ttl if self.hears else 0.0


class Call(NamedTuple):
    """One call: its keys in L1 and Redis, how to make it, its answer's tags, its caller's wishes.

    The tenant is the one that an argument names; None: none does.
    """

    local_key: Hashable
    key: str
    args: tuple[object, ...]
    kwargs: Mapping[str, object]
    tags: tuple[bytes, ...]
    control: Control
    tenant: str | None = None
