"""What the policy asks of each namespace's servers: that they keep what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from cachepolicy.flow.effects import Flow
from cachepolicy.flow.guarantee import Guarantee
from cachepolicy.flow.stores import Site
from cachepolicy.policy import Policy
from cachepolicy.policy.evictions import keepers
from cachepolicy.policy.rules import NamespaceRule
from cachepolicy.runtime.endpoints import deadline_of
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.telemetry import faults

T = TypeVar("T")

_LOSS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache": "answers would be computed again",
        "sessions": "users would be logged out, and revoked tokens would be good again",
        "ratelimit": "what subjects have used would be forgotten, and they would get more than their limits",
        "analytics": "counts would be lost",
        "temp": "files would be gone, or damaged, before their time",
    }
)
"""What becomes of each kind when its keys are evicted."""

_MAY_LOSE: Final = frozenset({"cache"})
"""Kinds that are made to be evicted: they are looked at only where the policy counts on something."""


class Guarantees:
    """Those of one policy, by namespace.

    Args:
        policy: the policy.
        site: says where a namespace lies.
    """

    def __init__(self, policy: Policy, site: Callable[[str, NamespaceRule], Site]) -> None:
        self._policy = policy
        self._site = site
        self._opened: Opened[str, Guarantee] = Opened()

    def of(self, namespace: str, rule: NamespaceRule) -> Guarantee:
        """Return that of a namespace.

        Raises:
            PolicyError: the address of its Redis cannot be used as it stands.
        """
        return self._opened.of(namespace, lambda: self._open(namespace, rule))

    def over(self, namespace: str, flow: Flow[T]) -> Flow[T]:
        """Return a flow over the servers of a namespace, which are asked first where they must be."""
        return self.of(namespace, self._policy.namespaces[namespace]).over(flow)

    def inherit(self, before: Guarantees, heritage: Heritage) -> None:
        """Take over what is known of the servers of namespaces that are kept."""
        self._opened.inherit(before._opened, heritage)

    def after_fork(self) -> None:
        """Leave behind a lock of the parent's threads."""
        self._opened.after_fork()

    def _open(self, namespace: str, rule: NamespaceRule) -> Guarantee:
        site, required = self._site(namespace, rule), rule.guarantee == "required"
        kept, wanted = keepers(rule), rule.eviction.redis
        return Guarantee(
            namespace=namespace,
            required=required,
            loss=_LOSS[rule.kind],
            site=site,
            deadline=deadline_of(self._policy, rule),
            errors=faults.errors(namespace),
            spared=rule.kind in _MAY_LOSE,
            settled=site.place.endpoint.in_memory or not (kept or wanted),
            keepers=kept,
            wanted=wanted,
        )
