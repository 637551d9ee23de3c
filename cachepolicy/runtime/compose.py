"""One loaded policy, its stores and its clock: makes the plan of each decorated function."""

from __future__ import annotations

import logging
import os
import threading
import typing
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

from cachepolicy import policy
from cachepolicy.chance import chance
from cachepolicy.clock import Clock
from cachepolicy.codec.codec import Codec
from cachepolicy.codec.serialize import Serializer
from cachepolicy.errors import PolicyError
from cachepolicy.flow.breaker import BreakerRule
from cachepolicy.flow.plan import OnFault, Patience, Plan
from cachepolicy.flow.repeating import RetryRule
from cachepolicy.flow.single_flight import Flight, Flights
from cachepolicy.flow.stores import Site, Stores
from cachepolicy.flow.versions import Versions
from cachepolicy.keys.layout import prefix
from cachepolicy.policy.rules.base import Kept
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime import streams, terms
from cachepolicy.runtime.accounts import Books
from cachepolicy.runtime.analytics import Analytics
from cachepolicy.runtime.census import Censuses
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.runtime.dictionaries import read_dictionaries, threshold_of
from cachepolicy.runtime.endpoints import deadline_of, endpoint_of, listening
from cachepolicy.runtime.engine import Engine
from cachepolicy.runtime.fleet import Fleet
from cachepolicy.runtime.guarantees import Guarantees
from cachepolicy.runtime.health import Health
from cachepolicy.runtime.keyrings import keyrings
from cachepolicy.runtime.limits import Limits
from cachepolicy.runtime.metrics import Metrics
from cachepolicy.runtime.protections import Protections
from cachepolicy.runtime.records import Archive
from cachepolicy.runtime.sessions import Sessions
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import coherence, measures, metrics, servers
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.savings import Ledger
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.local import LocalCache, Table
from cachepolicy.tiers.quota import Quota

_LOG = logging.getLogger("cachepolicy")
_VERSIONS_OUTLIVE: typing.Final = 60.0  # seconds that versions are kept beyond what carries them, at least


def load(
    source: str | os.PathLike[str] | Mapping[str, object] | None, environment: str | None
) -> policy.LoadedPolicy:
    """Load a policy, or the default one.

    Raises:
        PolicyError: it is wrong.
    """
    return policy.load(policy.default_source() if source is None else source, environment=environment)


@dataclass(frozen=True, slots=True, eq=False)
class Home:
    """What all functions of a cache namespace share: where it is, L1, versions of its tags, its quota."""

    site: Site
    local: LocalCache | None
    versions: Versions
    quota: Quota | None


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
        self.stores.traced = tracing(loaded.policy.telemetry).telling.commands
        self.clock = clock
        self._lock = threading.Lock()
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()
        self.flights = Flights()
        self._refreshing: weakref.WeakValueDictionary[str, Flight] = weakref.WeakValueDictionary()
        self._homes: dict[str, Home] = {}
        self._said: set[tuple[str, str]] = set()
        self._keyrings = keyrings(loaded)
        self.books = Books(loaded.policy)
        self.guarantees = Guarantees(loaded.policy, self.site)
        self.protections = Protections(loaded.policy, self.site)
        prices = self.books.terms.prices
        self.limits = Limits(loaded, self.site, clock, prices, self.guarantees, self.protections)
        self.archive = Archive(loaded, self.site, self._keyrings, self.guarantees, self.protections)
        self.censuses = Censuses(loaded.policy)
        self.sessions = Sessions(self.archive, self.censuses.of)
        self.metrics = Metrics(loaded, self.site)
        self.analytics = Analytics(loaded, self.metrics, self.guarantees)
        self.fleet = Fleet(loaded.policy, self.analytics, clock)
        self.health = Health(loaded.policy, self.site, self.stores, clock)
        self.stores.opened = self.fleet.wake

    @property
    def spans_for_all(self) -> bool:
        """Tell whether L1 hits are traced too."""
        telemetry = self.loaded.policy.telemetry
        return telemetry.enabled and telemetry.spans == "all"

    def engine_of(self, namespace: str, rule: CacheRule) -> Engine:
        """Return what calls of a cache are run with: where it must not be evicted, its servers are asked."""
        return self.engine.over(self.guarantees.of(namespace, rule))

    def bind(self, decoration: Decoration) -> Plan:
        """Make the plan of a decorated function.

        Raises:
            UnknownNamespace: the policy does not declare the decorator's namespace.
            PolicyError: the namespace is no cache, or the decorator's TTL is outside its range.
        """
        rule, telemetry = self.rule(decoration), self.loaded.policy.telemetry
        accounting = self.books.accounting(decoration)
        home, admission = (
            self.home(decoration.namespace, rule),
            terms.admission(decoration, rule, self.loaded),
        )
        collation, serializer, admission = terms.results(decoration, admission)
        plan = Plan(
            function=decoration.function,
            name=decoration.name,
            is_async=decoration.is_async,
            namespace=decoration.namespace,
            prefix=home.versions.prefix,
            scope=rule.scope,
            clock=self.clock,
            site=home.site,
            local=home.local,
            table=Table(accounting.accounts),
            local_ttl=rule.local.ttl,
            blind_ttl=terms.blind_ttl(rule),
            coherent=rule.local.coherence != "off",
            local_max_value=rule.local.largest,
            share=rule.local.share,
            versions=home.versions,
            quota=home.quota,
            codec=self.codec(decoration.namespace, rule, terms.readable(serializer, admission.errors)),
            life=terms.life(decoration, rule),
            patience=Patience(
                deadline=deadline_of(self.loaded.policy, rule),
                wait=rule.stampede.wait,
                lease=rule.stampede.lease,
                soft=rule.timeouts.soft,
                hard=rule.timeouts.hard,
            ),
            admission=admission,
            failures=decoration.traits.failures,
            on_fault=OnFault(rule.on_fault),
            flights=self.flights,
            refreshing=self._refreshing,
            counters=Counters(saved=Ledger(accounting.accounts)),
            said=self._said,
            tracing=tracing(telemetry),
            spans_for_all=self.spans_for_all,
            random=chance,
            accounting=accounting,
            collation=collation,
            measures=measures.of(decoration.namespace, enabled=telemetry.enabled),
        )
        plan = streams.own_plan(plan, serializer, decoration, rule)
        with self._lock:
            self._plans.add(plan)
        self.books.open(plan, exported=telemetry.enabled)
        return plan

    def rule(self, decoration: Decoration) -> CacheRule:
        """Return the rule of the decorator's namespace.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is not of kind ``cache``.
        """
        return self.cache(decoration.namespace, f"{decoration.name}: ", "a cached function")

    def cache(self, namespace: str, who: str, what: str) -> CacheRule:
        """Return the rule of a namespace of kind ``cache``; ``who`` and ``what`` need one, for the message.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is of another kind.
        """
        rule = policy.namespace(self.loaded.policy, namespace)
        if not isinstance(rule, CacheRule):
            raise PolicyError(
                f"{who}namespace {namespace!r} is of kind {rule.kind}; {what} needs one of kind cache"
            )
        return rule

    def codec(self, namespace: str, rule: CacheRule, serializer: Serializer) -> Codec:
        """Make what writes and reads the values of a namespace."""
        return Codec(
            serializer,
            threshold=threshold_of(rule.compression),
            level=rule.compression.level,
            limit=rule.admit.max_value,
            keyring=self._keyrings.get(namespace),
            dictionaries=self._dictionaries[namespace],
        )

    def place(self, namespace: str, rule: CacheRule) -> Place:
        """Return where the values of a namespace are kept.

        Raises:
            PolicyError: the address cannot be used as it stands.
        """
        return self.home(namespace, rule).site.place

    def site(self, namespace: str, rule: Kept) -> Site:
        """Return the database that a namespace lies in.

        Raises:
            PolicyError: the address cannot be used as it stands.
        """
        loaded = self.loaded.policy
        endpoint = endpoint_of(loaded, rule)
        keys = prefix(loaded.app, namespace)
        site = self.stores.site(endpoint, rule.db, keys, listening(loaded, endpoint, rule.db))
        if loaded.telemetry.enabled:
            servers.export(site.guard, endpoint.server, self.stores)
        return site

    def close(self, *, retired: bool = False) -> None:
        """Close synchronous connections and drop what L1 holds; ``retired``: another takes its place."""
        with self._lock:
            for plan in list(self._plans):
                if plan.local is not None:
                    plan.local.clear(plan.table)
        self.limits.close()
        self.protections.close()
        self.censuses.close()
        self.analytics.close(self.stores.close if retired else None)
        self.stores.close()

    def after_fork(self) -> None:
        """Leave behind what belongs to the parent."""
        self._lock = threading.Lock()
        self.flights.clear()
        self._refreshing.clear()
        for home in self._homes.values():
            if home.local is not None:
                home.local.renew_lock()
        self.stores.after_fork()
        self.limits.after_fork()
        self.archive.after_fork()
        self.sessions.after_fork()
        self.metrics.after_fork()
        self.analytics.after_fork()
        self.guarantees.after_fork()
        self.protections.after_fork()
        self.censuses.after_fork()
        metrics.after_fork()
        self.fleet.after_fork()
        self.health.after_fork()

    def home(self, namespace: str, rule: CacheRule) -> Home:
        """Return what all functions of a cache namespace share."""
        with self._lock:
            home = self._homes.get(namespace)
            if home is None:
                home = self._homes[namespace] = self._open(namespace, rule)
            return home

    def _open(self, namespace: str, rule: CacheRule) -> Home:
        keys, site = prefix(self.loaded.policy.app, namespace), self.site(namespace, rule)
        longest = terms.longest(rule)
        told = measures.of(namespace, enabled=self.loaded.policy.telemetry.enabled)
        local = (
            LocalCache(rule.local.max_bytes, rule.eviction.l1, told.evictions) if rule.local.enabled else None
        )
        versions = Versions(keys, 2 * longest + _VERSIONS_OUTLIVE)
        home = Home(site, local, versions, terms.quota(rule, keys))
        site.hearing.add(home.local, home.versions, self.flights)
        if self.loaded.policy.telemetry.enabled and rule.local.coherence != "off":
            coherence.export(namespace, site.hearing.watch)
            metrics.export_all()
        return home
