"""One loaded policy, its stores and its clock: makes the plan of each decorated function."""

from __future__ import annotations

import logging
import os
import random
import threading
import typing
import weakref
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from cachepolicy import policy
from cachepolicy.clock import Clock
from cachepolicy.codec.codec import Codec
from cachepolicy.codec.serialize import ABSENT, Serializer, serializer_for
from cachepolicy.errors import PolicyError, UnserializableValue
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.drive import arun, run
from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO
from cachepolicy.flow.plan import Call, OnFault, Plan
from cachepolicy.flow.resilience import RetryRule
from cachepolicy.flow.respond import go_past, respond
from cachepolicy.flow.single_flight import Flights
from cachepolicy.flow.stores import Stores
from cachepolicy.keys.layout import prefix
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.units import format_duration, parse_duration
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.runtime.dictionaries import compresses, read_dictionaries
from cachepolicy.telemetry import metrics
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.names import Reason
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Endpoint, Tls
from cachepolicy.tiers.local import LocalCache, Table

_LOG = logging.getLogger("cachepolicy")
_NEVER: typing.Final = 2**63  # a compression threshold that no value reaches


def default_source() -> Path:
    """Return the policy that applies when nobody names one."""
    named = os.environ.get("CACHEPOLICY_FILE")
    return Path(named) if named else policy.find() or policy.shipped()


def load(
    source: str | os.PathLike[str] | Mapping[str, object] | None, environment: str | None
) -> policy.LoadedPolicy:
    """Load a policy, or the default one.

    Raises:
        PolicyError: it is wrong.
    """
    return policy.load(default_source() if source is None else source, environment=environment)


class Engine(typing.NamedTuple):
    """What decorated calls are run with, for a room that must not load it by itself."""

    call: type[Call] = Call
    respond: Callable[[Plan, Call], Flow[Answer]] = respond
    go_past: Callable[[Plan, Call, Reason], Flow[Answer]] = go_past
    run: Callable[[Flow[typing.Any], SyncIO], typing.Any] = run
    arun: Callable[[Flow[typing.Any], AsyncIO], Awaitable[typing.Any]] = arun


class Runtime:
    """One loaded policy and all that serves it.

    Raises:
        PolicyError: a file that the policy names cannot be used.
    """

    engine = Engine()

    def __init__(self, loaded: policy.LoadedPolicy, clock: Clock) -> None:
        self.loaded = loaded
        self._dictionaries = read_dictionaries(loaded)
        redis = loaded.policy.redis
        self.stores = Stores(
            clock,
            RetryRule(redis.retry.attempts, redis.retry.on_timeout, redis.retry.budget),
            BreakerRule(redis.breaker.failures, redis.breaker.window, redis.breaker.open_for),
        )
        self._clock = clock
        self._lock = threading.Lock()
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()
        self._flights = Flights()
        self._said: set[tuple[str, str]] = set()
        self._locals: dict[str, LocalCache] = {}

    @property
    def spans_for_all(self) -> bool:
        """Tell whether L1 hits are traced too."""
        telemetry = self.loaded.policy.telemetry
        return telemetry.enabled and telemetry.spans == "all"

    def bind(self, decoration: Decoration) -> Plan:
        """Make the plan of a decorated function.

        Raises:
            UnknownNamespace: the policy does not declare the decorator's namespace.
            PolicyError: the namespace is no cache, or the decorator's TTL is outside its range.
        """
        rule, telemetry = self.rule(decoration), self.loaded.policy.telemetry
        keys = prefix(self.loaded.policy.app, decoration.namespace)
        plan = Plan(
            function=decoration.function,
            name=decoration.name,
            is_async=decoration.is_async,
            namespace=decoration.namespace,
            prefix=keys,
            scope=rule.scope,
            clock=self._clock,
            site=self.stores.site(self._endpoint(rule), rule.db, keys),
            local=self._local(decoration.namespace, rule),
            table=Table(),
            local_ttl=rule.local.ttl,
            share=rule.local.share,
            codec=self.codec(decoration.namespace, rule, _serializer(decoration)),
            ttl=_ttl(decoration, rule),
            jitter=rule.jitter,
            stale=max(rule.stale.if_error, rule.stale.while_revalidate),
            deadline=self.loaded.policy.redis.deadline,
            wait=rule.stampede.wait,
            on_fault=OnFault(rule.on_fault),
            flights=self._flights,
            counters=Counters(),
            said=self._said,
            tracing=metrics.tracing(enabled=telemetry.enabled and telemetry.spans != "none"),
            spans_for_all=self.spans_for_all,
            random=random.random,
        )
        with self._lock:
            self._plans.add(plan)
        if telemetry.enabled:
            metrics.export(plan.namespace, plan.counters, plan.table, plan)
        return plan

    def rule(self, decoration: Decoration) -> CacheRule:
        """Return the rule of the decorator's namespace.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is not of kind ``cache``.
        """
        rule = policy.namespace(self.loaded.policy, decoration.namespace)
        if not isinstance(rule, CacheRule):
            raise PolicyError(
                f"{decoration.name}: namespace {decoration.namespace!r} is of kind {rule.kind}; "
                "a cached function needs one of kind cache"
            )
        return rule

    def codec(self, namespace: str, rule: CacheRule, serializer: Serializer) -> Codec:
        """Make what writes and reads the values of a namespace."""
        compression = rule.compression
        return Codec(
            serializer,
            threshold=compression.threshold if compresses(compression) else _NEVER,
            level=compression.level,
            limit=rule.admit.max_value,
            dictionaries=self._dictionaries[namespace],
        )

    def place(self, namespace: str, rule: CacheRule) -> Place:
        """Return where the values of a namespace are kept.

        Raises:
            PolicyError: the address cannot be used as it stands.
        """
        keys = prefix(self.loaded.policy.app, namespace)
        return self.stores.site(self._endpoint(rule), rule.db, keys).place

    def close(self) -> None:
        """Close synchronous connections and drop what L1 holds."""
        with self._lock:
            for plan in list(self._plans):
                if plan.local is not None:
                    plan.local.clear(plan.table)
        self.stores.close()

    def after_fork(self) -> None:
        """Leave behind what belongs to the parent."""
        self._lock = threading.Lock()
        self._flights.clear()
        self.stores.after_fork()
        metrics.after_fork()
        for local in self._locals.values():
            local.renew_lock()

    def _local(self, namespace: str, rule: CacheRule) -> LocalCache | None:
        if not rule.local.enabled:
            return None
        with self._lock:
            if namespace not in self._locals:
                self._locals[namespace] = LocalCache(rule.local.max_bytes, rule.eviction.l1)
            return self._locals[namespace]

    def _endpoint(self, rule: CacheRule) -> Endpoint:
        redis, own = self.loaded.policy.redis, rule.url
        shares = own is None  # the user and the password are those of redis.url
        tls = redis.tls
        return Endpoint(
            url=(own or redis.url).get_secret_value(),
            username=redis.username if shares else None,
            password=redis.password.get_secret_value() if redis.password is not None and shares else None,
            tls=Tls(tls.ca, tls.cert, tls.key, tls.verify) if tls.enabled else None,
            max_connections=redis.max_connections,
            deadline=redis.deadline,
            connect_timeout=redis.connect_timeout,
            client_name=f"cachepolicy:{self.loaded.policy.app}",
            databases=redis.databases,
            pipelined=redis.pipeline.enabled,
            pipeline_size=redis.pipeline.size,
        )


def _serializer(decoration: Decoration) -> Serializer:
    """Choose by the return annotation; one that cannot be read leaves the plain forms, and is told."""
    try:
        annotation = typing.get_type_hints(decoration.function, include_extras=True).get("return", ABSENT)
        return serializer_for(annotation)
    except (
        NameError,
        TypeError,
        AttributeError,
        UnserializableValue,
    ) as error:  # imported for checkers only…
        message = "%s: its return annotation cannot be read, so only results of JSON's types are cached: %s"
        # Python's own words may quote what a partial holds; ours name types only.
        said = error if isinstance(error, UnserializableValue) else type(error).__name__
        _LOG.warning(message, decoration.name, said)
        return serializer_for(ABSENT)


def _ttl(decoration: Decoration, rule: CacheRule) -> float:
    if decoration.ttl is None:
        return rule.ttl.default
    where = f"{decoration.name}: ttl={decoration.ttl!r}"
    try:
        ttl = parse_duration(decoration.ttl)
    except ValueError as error:
        raise PolicyError(f"{where}: {error}") from None
    if rule.ttl.min is not None and ttl < rule.ttl.min:
        allowed = f"at least {format_duration(rule.ttl.min)}"
    elif rule.ttl.max is not None and ttl > rule.ttl.max:
        allowed = f"at most {format_duration(rule.ttl.max)}"
    else:
        return ttl
    raise PolicyError(f"{where} is outside what namespace {decoration.namespace!r} allows: {allowed}")
