"""Where each namespace of a policy lies: one database of one Redis, the same for all that it has open."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from cachepolicy.flow.stores import Site, Stores
from cachepolicy.keys.layout import prefix
from cachepolicy.policy import Policy
from cachepolicy.policy.rules.base import Kept
from cachepolicy.runtime.endpoints import endpoint_of, listening
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.telemetry import servers


class Sites:
    """Those of one policy.

    Args:
        policy: the policy.
        stores: has them open.
    """

    def __init__(self, policy: Policy, stores: Stores) -> None:
        self._policy = policy
        self._stores = stores
        self._known: Opened[str, Site] = Opened()

    def of(self, namespace: str, rule: Kept) -> Site:
        """Return the database that a namespace lies in.

        Raises:
            PolicyError: the address cannot be used as it stands.
        """
        return self._known.of(namespace, lambda: self._open(namespace, rule))

    def inherit(self, before: Sites, heritage: Heritage) -> None:
        """Go on where namespaces that are kept lie: their connections hear what they did."""
        self._known.inherit(before._known, heritage)

    def after_fork(self) -> None:
        """Leave behind a lock of the parent's threads."""
        self._known.after_fork()

    def all(self) -> AbstractSet[Site]:
        """Return those of all namespaces.

        Raises:
            PolicyError: an address cannot be used as it stands.
        """
        return {self.of(namespace, rule) for namespace, rule in self._policy.namespaces.items()}

    def _open(self, namespace: str, rule: Kept) -> Site:
        loaded = self._policy
        endpoint = endpoint_of(loaded, rule)
        keys = prefix(loaded.app, namespace)
        site = self._stores.site(endpoint, rule.db, keys, listening(loaded, endpoint, rule.db))
        if loaded.telemetry.enabled:
            servers.export(site.guard, endpoint.server, site.owner)
        return site
