"""Which namespaces share a server, and what the eviction of each therefore cannot promise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.rules.eviction import KEEPS
from cachepolicy.policy.rules.kinds import NamespaceRule
from cachepolicy.policy.rules.sessions import SessionsRule
from cachepolicy.policy.rules.temp import TempRule
from cachepolicy.policy.units import format_duration

_REDIS: Final = 6379
_SENTINEL: Final = 26379


class Refused(NamedTuple):
    """Why the eviction of a namespace cannot be what its policy says: at which of its settings, and why."""

    namespace: str
    setting: str
    why: str


class Lives(NamedTuple):
    """How long what a namespace keeps lives when it is written, in seconds."""

    shortest: float
    longest: float


def servers_of(url: str) -> frozenset[str]:
    """Name the servers of an address, without its user and password; none for ``memory://``.

    Addresses with a name in common are of one server. Two names of one server are not known to be: nothing is
    looked up.
    """
    parts = urlsplit(url)
    match parts.scheme:
        case "memory":
            return frozenset()
        case "local" | "unix":
            return frozenset({f"{parts.scheme}:{unquote(parts.netloc.rpartition('@')[2] + parts.path)}"})
        case "redis+sentinel":
            return frozenset(
                f"{_host(host, _SENTINEL)}/{parts.path.strip('/')}" for host in _hosts(parts.netloc)
            )
        case _:
            return frozenset(_host(host, _REDIS) for host in _hosts(parts.netloc))


def refused(default_url: str, namespaces: Mapping[str, NamespaceRule]) -> Iterator[Refused]:
    """Tell which namespaces cannot have the eviction that they ask for.

    Args:
        default_url: of the Redis of those that name none.
        namespaces: their rules, each with an ``eviction``.
    """
    for name, rule in namespaces.items():
        url = _url(rule, default_url)
        mode = rule.eviction.mode
        beside = neighbours(name, default_url, namespaces)
        if mode == "dedicated" and beside:
            yield Refused(
                name, "mode", f"expected a url: of its own: its Redis is also that of {', '.join(beside)}"
            )
        if mode in {"protected", "quota"} and url.startswith("redis+cluster:"):
            yield Refused(
                name, "mode", f"expected another mode: {mode} needs one server, and this is a cluster"
            )
        wanted = rule.eviction.redis
        if _must_stay(rule) and mode in {"server", "dedicated"} and wanted not in {None, KEEPS}:
            yield Refused(
                name, "redis", f"expected noeviction: guarantee: required cannot be had with {wanted}"
            )
        if mode == "ttl_band":
            for why in _overlaps(rule, {each: namespaces[each] for each in beside}):
                yield Refused(name, "mode", why)


def neighbours(name: str, default_url: str, namespaces: Mapping[str, NamespaceRule]) -> tuple[str, ...]:
    """Name the other namespaces whose keys lie in the same Redis as those of one."""
    own = servers_of(_url(namespaces[name], default_url))
    return tuple(
        other
        for other, rule in namespaces.items()
        if other != name and own & servers_of(_url(rule, default_url))
    )


def lives(rule: NamespaceRule) -> Lives | None:
    """Tell how long what a namespace keeps lives; None where that cannot be said beforehand.

    Of a cache, answers alone are meant: what is lost of the rest is made again.
    """
    match rule:
        case CacheRule(ttl=ttl, stale=stale):
            shortest = min(ttl.default, ttl.min or math.inf) * (1 - rule.jitter)
            return Lives(
                shortest, max(ttl.default, ttl.max or 0) + max(stale.if_error, stale.while_revalidate)
            )
        case SessionsRule(ttl=ttl):
            anonymous = rule.anonymous.ttl if rule.anonymous.enabled else math.inf
            shortest = min(ttl.default, ttl.min or math.inf, anonymous, rule.absolute)
            return Lives(shortest, max(rule.absolute, rule.blacklist.longest + rule.blacklist.leeway))
        case TempRule(ttl=ttl):
            return Lives(
                min(ttl.default, ttl.min or math.inf, rule.incomplete),
                max(ttl.default, ttl.max or 0, rule.incomplete),
            )
        case _:
            return None


def goes_first(rule: NamespaceRule, beside: Mapping[str, NamespaceRule]) -> dict[str, float]:
    """Name those of a band's neighbours that go before it, with how long each lives at most, in seconds."""
    own = lives(rule)
    each = {name: lives(other) for name, other in beside.items()}
    return {name: life.longest for name, life in each.items() if own and life and life.longest < own.shortest}


def _overlaps(rule: NamespaceRule, beside: Mapping[str, NamespaceRule]) -> Iterator[str]:
    own = lives(rule)
    assert own is not None  # noqa: S101 - kinds of which it cannot be said have no such mode
    for name, other in beside.items():
        life = lives(other)
        if life is not None and own.shortest <= life.longest and life.shortest <= own.longest:
            yield (
                f"expected TTLs that do not overlap with those of {name}: {_span(own)} here, {_span(life)} "
                "there, and Redis takes what has the least left"
            )
    if not isinstance(rule, CacheRule) and beside and not goes_first(rule, beside):
        yield "expected a namespace with shorter TTLs in the same Redis, to go first"


def _must_stay(rule: NamespaceRule) -> bool:
    return rule.guarantee == "required" and not isinstance(rule, CacheRule)


def _span(life: Lives) -> str:
    return f"{format_duration(life.shortest)} to {format_duration(life.longest)}"


def _url(rule: NamespaceRule, default_url: str) -> str:
    return default_url if rule.url is None else rule.url.get_secret_value()


def _hosts(netloc: str) -> list[str]:
    return netloc.rpartition("@")[2].split(",")


def _host(text: str, port: int) -> str:
    parts = urlsplit(f"//{text}")
    return f"{parts.hostname}:{parts.port or port}"
