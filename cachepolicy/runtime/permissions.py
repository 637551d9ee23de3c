"""What the users of a policy's Redis need to be allowed, and not a word more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cachepolicy.keys.layout import deadline_keys, lease_key, prefix, sizes_key
from cachepolicy.policy import Policy
from cachepolicy.policy.rules import CacheRule, NamespaceRule
from cachepolicy.runtime.endpoints import endpoint_of
from cachepolicy.tiers import permissions
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.notices import Names


@dataclass(frozen=True, slots=True)
class Grant:
    """What one user may do.

    Attributes:
        namespaces: that it is for.
        commands: in lower case, in order, such as ``client|tracking``.
        keys: patterns.
        channels: patterns.
    """

    namespaces: tuple[str, ...]
    commands: tuple[str, ...]
    keys: tuple[str, ...]
    channels: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """All of it as rules of an ACL."""
        return [
            *(f"~{each}" for each in self.keys),
            *(f"&{each}" for each in self.channels),
            *(f"+{each}" for each in self.commands),
        ]


def servers(policy: Policy) -> dict[Endpoint, tuple[str, ...]]:
    """Return every Redis of a policy with the namespaces that lie there."""
    found: dict[Endpoint, tuple[str, ...]] = {}
    for name, rule in policy.namespaces.items():
        endpoint = endpoint_of(policy, rule)
        found[endpoint] = (*found.get(endpoint, ()), name)
    return found


def for_app(policy: Policy, namespaces: Sequence[str]) -> Grant:
    """Return what a user needs who does all of an application at one server.

    Args:
        policy: the policy.
        namespaces: those that lie there.
    """
    heard = any(isinstance(policy.namespaces[name], CacheRule) for name in namespaces)
    pattern = f"{policy.app}:*"
    return _grant(policy, namespaces, (pattern,), (pattern,) if heard else ())


def for_namespace(policy: Policy, name: str) -> Grant:
    """Return what a user needs for one namespace, and no other of the application."""
    own = prefix(policy.app, name)
    keys, channels = [f"{own}*"], list[str]()
    rule = policy.namespaces[name]
    if rule.eviction.mode == "protected":
        keys.append(f"{deadline_keys(own)[0]}*")
    elif rule.eviction.mode == "quota":
        keys.append(sizes_key(own))
    if isinstance(rule, CacheRule):
        names = Names.of(policy.app)
        keys.append(f"{lease_key(own).removesuffix('}')}*")
        channels += [names.changes, names.leases]
        if _ways(rule) & {"tracking", "auto"}:
            keys.append(f"{names.canaries}*")
        if _ways(rule) & {"pubsub", "auto"}:
            channels.append(f"{names.canaries}*")
    return _grant(policy, (name,), tuple(keys), tuple(channels))


def _grant(
    policy: Policy, namespaces: Sequence[str], keys: tuple[str, ...], channels: tuple[str, ...]
) -> Grant:
    commands = set[str]().union(*(_commands(policy, policy.namespaces[name]) for name in namespaces))
    return Grant(tuple(namespaces), tuple(sorted(commands)), keys, channels)


def _commands(policy: Policy, rule: NamespaceRule) -> Iterable[str]:
    """Return the commands of one namespace where it lies."""
    found = permissions.BY_KIND[rule.kind] | permissions.BY_MODE.get(rule.eviction.mode, frozenset())
    endpoint = endpoint_of(policy, rule)
    if endpoint.is_cluster:
        found |= permissions.CLUSTER
    elif rule.db != 0 and endpoint.databases != "prefix":
        found |= permissions.PROVED if endpoint.databases == "auto" else permissions.NUMBERED
    if isinstance(rule, CacheRule) and (ways := _ways(rule)):
        found |= permissions.HEARD
        found |= permissions.TRACKED if ways & {"tracking", "auto"} else permissions.TOLD
    return found


def _ways(rule: CacheRule) -> set[str]:
    return set() if rule.local.coherence == "off" else {rule.local.coherence}
