"""One loaded policy, its stores and its clock: makes the plan of each decorated function."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping

from cachepolicy import policy
from cachepolicy.chance import chance
from cachepolicy.clock import Clock
from cachepolicy.codec.codec import Codec
from cachepolicy.codec.serialize import Serializer
from cachepolicy.errors import PolicyError
from cachepolicy.flow.plan import OnFault, Patience, Plan
from cachepolicy.flow.stores import Site, Stores
from cachepolicy.policy.rules.base import Kept
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime import streams, terms
from cachepolicy.runtime.accounts import Books
from cachepolicy.runtime.analytics import Analytics
from cachepolicy.runtime.census import Censuses
from cachepolicy.runtime.common import Common
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.runtime.dictionaries import changed, read_dictionaries, threshold_of
from cachepolicy.runtime.endpoints import deadline_of, rules_of
from cachepolicy.runtime.engine import Engine
from cachepolicy.runtime.fleet import Fleet
from cachepolicy.runtime.guarantees import Guarantees
from cachepolicy.runtime.health import Health
from cachepolicy.runtime.heritage import NOTHING, Heritage
from cachepolicy.runtime.homes import Home, Homes
from cachepolicy.runtime.keyrings import keyrings
from cachepolicy.runtime.limits import Limits
from cachepolicy.runtime.metrics import Metrics
from cachepolicy.runtime.plans import Plans
from cachepolicy.runtime.protections import Protections
from cachepolicy.runtime.records import Archive
from cachepolicy.runtime.sessions import Sessions
from cachepolicy.runtime.sites import Sites
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import measures, metrics
from cachepolicy.telemetry.counters import Counters
from cachepolicy.telemetry.savings import Ledger
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.local import Table

_LOG = logging.getLogger("cachepolicy")


def load(
    source: str | os.PathLike[str] | Mapping[str, object] | None, environment: str | None
) -> policy.LoadedPolicy:
    """Load a policy, or the default one.

    Raises:
        PolicyError: it is wrong.
    """
    return policy.load(policy.default_source() if source is None else source, environment=environment)


class Runtime:
    """One loaded policy and all that serves it.

    Raises:
        PolicyError: a file that the policy names cannot be used.
    """

    engine = Engine()

    def __init__(
        self,
        loaded: policy.LoadedPolicy,
        clock: Clock,
        before: Runtime | None = None,
        heritage: Heritage = NOTHING,
    ) -> None:
        self.loaded = loaded
        self._dictionaries = read_dictionaries(loaded)
        self.common: Common = (
            Common(Stores(clock, *rules_of(loaded.policy))) if before is None else before.common
        )
        self.stores = self.common.stores
        if before is None:
            self.stores.traced = tracing(loaded.policy.telemetry).telling.commands
        self.clock = clock
        self._plans = Plans()
        self.flights = self.common.flights
        self._keyrings = keyrings(loaded)
        self.sites = Sites(loaded.policy, self.stores)
        site = self.site
        self._homes = Homes(loaded.policy, site, self.flights)
        self.books = Books(loaded.policy)
        self.guarantees = Guarantees(loaded.policy, site)
        self.protections = Protections(loaded.policy, site)
        prices, guarantees = self.books.terms.prices, self.guarantees
        self.limits = Limits(loaded, site, clock, prices, guarantees, self.protections)
        self.archive = Archive(loaded, site, self._keyrings, self.guarantees, self.protections)
        self.censuses = Censuses(loaded.policy)
        self.sessions = Sessions(self.archive, self.censuses.of)
        self.metrics = Metrics(loaded, site)
        self.analytics = Analytics(loaded, self.metrics, self.guarantees)
        self.health = Health(loaded.policy, site, self.stores, clock)
        if before is not None:
            self._inherit(before, heritage)
        self.fleet = Fleet(loaded.policy, self.analytics, clock)
        self.awake: Callable[[], None] = lambda: None  # called when something begins to be used
        self.stores.opened = self._opened

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
        kept = self._plans.kept(decoration)
        if kept is not None:
            return kept
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
            refreshing=self.common.refreshing,
            counters=Counters(saved=Ledger(accounting.accounts)),
            said=self.common.said,
            tracing=tracing(telemetry),
            spans_for_all=self.spans_for_all,
            random=chance,
            accounting=accounting,
            collation=collation,
            measures=measures.of(decoration.namespace, enabled=telemetry.enabled),
        )
        plan = streams.own_plan(plan, serializer, decoration, rule)
        self._plans.add(decoration, plan, self.clock.monotonic() + rule.local.ttl)
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
        return self.sites.of(namespace, rule)

    def close(self, *, retired: bool = False) -> None:
        """Close synchronous connections and drop what L1 holds; ``retired``: another takes its place."""
        self._plans.clear()
        self.limits.close()
        self.protections.close()
        self.censuses.close()
        self.analytics.close(self.stores.close if retired else None)
        self.stores.close()

    def hand_over(self, heir: Runtime) -> None:
        """End what another runtime does not go on with; it is in use, and shares what it goes on with."""
        is_awake = self.fleet.is_awake
        self._plans.clear(heir._plans)
        self.limits.close(heir.limits)
        self.protections.close(heir.protections)
        self.censuses.close(heir.censuses)
        self.analytics.close(lambda: None, heir.analytics)  # the connections are shared
        self.stores.traced = tracing(heir.loaded.policy.telemetry).telling.commands
        self.stores.renew(*rules_of(heir.loaded.policy))
        self.stores.retire(heir.sites.all())
        if is_awake:
            heir.fleet.wake()

    def _opened(self) -> None:
        self.fleet.wake()
        self.awake()

    def _inherit(self, before: Runtime, heritage: Heritage) -> None:
        """Take over what goes on; nothing of it changes before this runtime is in use."""
        heritage = heritage.but(changed(before._dictionaries, self._dictionaries))
        self.sites.inherit(before.sites, heritage)
        self.sites.all()  # an address that cannot be used is refused now, and not by a call
        self.books.inherit(before.books)
        self._plans.inherit(before._plans, heritage)
        self._homes.inherit(before._homes, heritage)
        self.guarantees.inherit(before.guarantees, heritage)
        self.protections.inherit(before.protections, heritage)
        self.limits.inherit(before.limits, heritage)
        self.archive.inherit(before.archive, heritage)
        self.censuses.inherit(before.censuses, heritage)
        self.sessions.inherit(before.sessions, heritage)
        self.metrics.inherit(before.metrics, heritage)
        self.analytics.inherit(before.analytics, heritage)
        self.health.inherit(before.health)

    def after_fork(self) -> None:
        """Leave behind what belongs to the parent."""
        self._plans.after_fork()
        self.flights.clear()
        self.common.refreshing.clear()
        self._homes.after_fork()
        self.sites.after_fork()
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
        return self._homes.of(namespace, rule)
