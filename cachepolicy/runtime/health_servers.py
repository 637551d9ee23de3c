"""Which servers a policy has, what each is judged by, and what this process knows of it by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cachepolicy.errors import PolicyError
from cachepolicy.flow.health import Look, Spot
from cachepolicy.flow.health_checks import memory_share
from cachepolicy.flow.health_past import Terms
from cachepolicy.flow.health_report import HealthCheck, HealthState, ServerHealth, worst
from cachepolicy.flow.stores import Site, Stores
from cachepolicy.keys.layout import prefix
from cachepolicy.policy import Policy
from cachepolicy.policy.evictions import keepers
from cachepolicy.policy.rules import NamespaceRule
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.rules.observing import HealthRule
from cachepolicy.runtime.endpoints import endpoint_of
from cachepolicy.telemetry.health import FIELDS
from cachepolicy.telemetry.names import METRIC_HEALTH_PING, METRIC_HEALTH_SKEW
from cachepolicy.tiers.cluster_sync import ClusterSync
from cachepolicy.tiers.endpoint import Endpoint
from cachepolicy.tiers.health import Info
from cachepolicy.tiers.listener import NullWatch
from cachepolicy.tiers.redis_sync import RedisSync

_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Watched:
    """One Redis of the policy: a server, or a cluster.

    Attributes:
        endpoint: how it is reached.
        rules: the namespaces that lie there.
        sites: their databases.
        spot: where it is looked at; None: its address cannot be used.
        problem: why not.
    """

    endpoint: Endpoint
    rules: Mapping[str, NamespaceRule]
    sites: tuple[Site, ...]
    spot: Spot | None
    problem: str = ""

    def terms(self, rule: HealthRule, node: str) -> Terms:
        """Return what one of its servers is judged by."""
        host, port = self.endpoint.server(node)
        caches = {name: rule for name, rule in self.rules.items() if isinstance(rule, CacheRule)}
        return Terms(
            rule=rule,
            server=f"{host}:{port}" if port else host,
            protected=tuple(name for name in self.rules if name not in caches),
            caches=tuple(caches),
            required=tuple(name for name, each in self.rules.items() if each.guarantee == "required"),
            evicting=frozenset(word for each in caches.values() if (word := each.eviction.redis) is not None),
            keepers={name: keepers(each) for name, each in self.rules.items()},
        )

    def health(self, look: Look, server: str, checks: tuple[HealthCheck, ...]) -> ServerHealth:
        """Return all that is known of one of its servers."""
        info = look.info or Info({})
        used, share = info.number("used_memory"), memory_share(info)
        return ServerHealth(
            address=server,
            namespaces=tuple(self.rules),
            status=worst(check.state for check in checks),
            ping_time_ms=None if look.ping is None else look.ping * 1000,
            memory_usage_percent=None if share is None else share * 100,
            used_memory_mb=None if used is None else used / _MIB,
            connected_clients=_whole(info.number("connected_clients")),
            redis_version=info.word("redis_version"),
            uptime_seconds=_whole(info.number("uptime_in_seconds")),
            engine=info.word("server_name") or ("redis" if info.fields else None),
            role=info.word("role"),
            checks=checks,
        )


def watched(policy: Policy, site: Callable[[str, NamespaceRule], Site]) -> tuple[Watched, ...]:
    """Return every Redis of a policy, that of ``redis.url`` first where a namespace lies there.

    Args:
        policy: the policy.
        site: says where a namespace lies.
    """
    by_endpoint: dict[Endpoint, dict[str, NamespaceRule]] = {}
    for name, rule in sorted(policy.namespaces.items(), key=lambda item: item[1].url is not None):
        by_endpoint.setdefault(endpoint_of(policy, rule), {})[name] = rule
    return tuple(_watched(policy, site, endpoint, rules) for endpoint, rules in by_endpoint.items())


def _watched(
    policy: Policy,
    site: Callable[[str, NamespaceRule], Site],
    endpoint: Endpoint,
    rules: Mapping[str, NamespaceRule],
) -> Watched:
    try:
        sites = {name: site(name, rule) for name, rule in rules.items()}
    except PolicyError as error:
        return Watched(endpoint, rules, (), None, str(error))
    first = next((name for name, rule in rules.items() if isinstance(rule, CacheRule)), next(iter(rules)))
    spot = Spot(sites[first], prefix(policy.app, first))
    return Watched(endpoint, rules, tuple(dict.fromkeys(sites.values())), spot)


def unusable(each: Watched) -> ServerHealth:
    """Return what is known of a Redis whose address cannot be used."""
    server = ", ".join(each.rules)
    check = HealthCheck("reachable", HealthState.UNHEALTHY, None, each.problem, "mend its url", server)
    return each.health(Look("", None, None, tried=False), server, (check,))


def own_checks(each: Watched, server: str, rule: HealthRule, stores: Stores) -> list[HealthCheck]:
    """Judge what this process knows of a server by itself: its breaker, its connections, its ear."""
    guard = each.sites[0].guard
    open_ = sum(breaker.is_open for breaker in list(guard.breakers.values()))
    ears = [site.hearing.watch for site in each.sites if not isinstance(site.hearing.watch, NullWatch)]
    checks = [
        HealthCheck(
            "breaker",
            HealthState.DEGRADED if open_ else HealthState.HEALTHY,
            float(open_),
            "calls do without it: the breaker is open" if open_ else "closed",
            "it closes by itself once Redis answers" if open_ else "",
            server,
        )
    ]
    used = [store for site in each.sites if (store := stores.sync_store(site)) is not None]
    busy = [store.busy() for store in used if isinstance(store, RedisSync | ClusterSync)]
    if busy:
        checks.append(_pool(max(busy), server, rule))
    running = [ear for ear in ears if ear.running]
    if running:
        deaf = sum(not ear.live for ear in running)
        checks.append(
            HealthCheck(
                "coherence",
                HealthState.DEGRADED if deaf else HealthState.HEALTHY,
                float(deaf),
                "changes by other processes are not heard: L1 keeps entries for local.ttl at most"
                if deaf
                else "changes by other processes are heard",
                "see that the server takes connections, and that the ACL allows CLIENT TRACKING"
                if deaf
                else "",
                server,
            )
        )
    elif ears:
        checks.append(
            HealthCheck("coherence", HealthState.UNKNOWN, None, "nothing is in use yet", "", server)
        )
    return checks


def _pool(share: float, server: str, rule: HealthRule) -> HealthCheck:
    """Judge how many of this process's own connections are in use."""
    is_full = share >= rule.clients_threshold
    detail = f"{share:.0%} of the connections of threads are in use"
    advice = "raise redis.max_connections, or run fewer threads" if is_full else ""
    state = HealthState.DEGRADED if is_full else HealthState.HEALTHY
    return HealthCheck("pool", state, share, detail, advice, server)


def figures(look: Look) -> dict[str, float]:
    """Return what a server told of itself, by metric."""
    info = look.info or Info({})
    found = {metric: info.number(field) for metric, field in FIELDS.items()}
    found |= {METRIC_HEALTH_PING: look.ping, METRIC_HEALTH_SKEW: look.skew}
    return {metric: value for metric, value in found.items() if value is not None}


def _whole(number: float | None) -> int | None:
    return None if number is None else round(number)
