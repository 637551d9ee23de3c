"""What all functions of a cache namespace share: where it is, L1, versions of its tags, its quota."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cachepolicy.flow.single_flight import Flights
from cachepolicy.flow.stores import Site
from cachepolicy.flow.versions import Versions
from cachepolicy.keys.layout import prefix
from cachepolicy.policy import Policy
from cachepolicy.policy.rules.base import Kept
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime import terms
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.telemetry import coherence, measures, metrics
from cachepolicy.tiers.local import LocalCache
from cachepolicy.tiers.quota import Quota

_VERSIONS_OUTLIVE: Final = 60.0  # seconds that versions are kept beyond what carries them, at least


@dataclass(frozen=True, slots=True, eq=False)
class Home:
    """What all functions of a cache namespace share."""

    site: Site
    local: LocalCache | None
    versions: Versions
    quota: Quota | None


class Homes:
    """Those of one policy; each is opened when it is first asked for.

    Args:
        policy: the policy.
        site: says where a namespace lies.
        flights: loads under way in this process.
    """

    def __init__(self, policy: Policy, site: Callable[[str, Kept], Site], flights: Flights) -> None:
        self._policy = policy
        self._site = site
        self._flights = flights
        self._opened: Opened[str, Home] = Opened()
        self._warm: dict[str, Home] = {}

    def of(self, namespace: str, rule: CacheRule) -> Home:
        """Return that of a namespace.

        Raises:
            PolicyError: the address of its Redis cannot be used as it stands.
        """
        return self._opened.of(namespace, lambda: self._open(namespace, rule))

    def inherit(self, before: Homes, heritage: Heritage) -> None:
        """Take over those that go on; those that are warm only where they lie as they did."""
        self._opened.inherit(before._opened, heritage)
        known = {**before._warm, **before._opened.by_key()}
        self._warm.update({name: home for name, home in known.items() if name in heritage.warm})
        kept = heritage.kept - self._opened.by_key().keys()
        self._warm.update({name: home for name, home in before._warm.items() if name in kept})

    def after_fork(self) -> None:
        """Forget locks that other threads held when this process was forked."""
        self._opened.after_fork()
        for home in [*self._opened, *self._warm.values()]:
            if home.local is not None:
                home.local.renew_lock()

    def _open(self, namespace: str, rule: CacheRule) -> Home:
        keys, site = prefix(self._policy.app, namespace), self._site(namespace, rule)
        life = 2 * terms.longest(rule) + _VERSIONS_OUTLIVE
        quota = terms.quota(rule, keys)
        warm = self._warm.pop(namespace, None)
        if warm is not None and warm.site is site:
            warm.versions.life = max(warm.versions.life, life)  # what was stored before may live longer
            return replace(warm, quota=quota)
        told = measures.of(namespace, enabled=self._policy.telemetry.enabled)
        local = (
            LocalCache(rule.local.max_bytes, rule.eviction.l1, told.evictions) if rule.local.enabled else None
        )
        home = Home(site, local, Versions(keys, life), quota)
        site.hearing.add(home.local, home.versions, self._flights)
        if self._policy.telemetry.enabled and rule.local.coherence != "off":
            coherence.export(namespace, site.hearing.watch)
            metrics.export_all()
        return home
