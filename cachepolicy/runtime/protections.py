"""Namespaces of one policy whose keys have no TTL in Redis (``eviction: {mode: protected}``)."""

from __future__ import annotations

from collections.abc import Callable

from cachepolicy.flow.protecting import Protection
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import deadline_keys, prefix
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import NamespaceRule
from cachepolicy.runtime.endpoints import deadline_of
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.telemetry import faults, sweeps


class Protections:
    """Those of one policy, by namespace.

    Args:
        policy: the policy.
        site: says where a namespace lies.
    """

    def __init__(self, policy: Policy, site: Callable[[str, NamespaceRule], Site]) -> None:
        self._policy = policy
        self._site = site
        self.opened: Opened[str, Protection] = Opened()

    def of(self, namespace: str, rule: NamespaceRule) -> Protection | None:
        """Return that of a namespace; None where it has none, or its keys are in this process's memory.

        Raises:
            PolicyError: the address of its Redis cannot be used as it stands.
        """
        if rule.eviction.mode != "protected":
            return None
        site = self._site(namespace, rule)
        if site.place.endpoint.in_memory:
            return None
        return self.opened.of(namespace, lambda: self._open(namespace, rule, site))

    def inherit(self, before: Protections, heritage: Heritage) -> None:
        """Go on with those of namespaces that are kept."""
        self.opened.inherit(before.opened, heritage)

    def close(self, heir: Protections | None = None) -> None:
        """Sweep no more, but for what another goes on with."""
        for opened in self.opened.but(None if heir is None else heir.opened):
            opened.close()

    def after_fork(self) -> None:
        """Leave the parent its sweeps."""
        self.opened.after_fork()
        for opened in self.opened:
            opened.after_fork()

    def _open(self, namespace: str, rule: NamespaceRule, site: Site) -> Protection:
        keys = deadline_keys(prefix(self._policy.app, namespace))
        opened = Protection(namespace, keys, site, deadline_of(self._policy, rule), faults.errors(namespace))
        sweeps.export(namespace, opened)
        return opened
