"""What the eviction of a namespace guarantees, what that costs, and which servers it can be had on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from cachepolicy.policy.rules import NamespaceRule, Policy
from cachepolicy.policy.rules.base import MaxMemoryPolicy
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.rules.eviction import KEEPS, VOLATILE
from cachepolicy.policy.rules.sharing import goes_first, neighbours
from cachepolicy.policy.units import format_duration, format_size


@dataclass(frozen=True, slots=True)
class Guaranteed:
    """What is guaranteed when memory is full.

    Attributes:
        mode: of eviction, as the policy says.
        text: what is guaranteed, in words.
        cost: what it costs, in words.
        needs: the ``maxmemory-policy`` that the server must have, one of these; empty: any.
    """

    mode: str
    text: str
    cost: str
    needs: tuple[str, ...]


_COSTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "server": "nothing",
        "dedicated": "a Redis more: about 10 MB, and connections of its own",
        "protected": "135 bytes a key, a tenth to a third of a step's time, and a sweep each second",
        "ttl_band": "nothing; what is near its end goes early",
        "quota": "175 bytes an entry, 10 to 25 µs of the server's for each that is stored; reads: nothing",
    }
)


def keepers(rule: NamespaceRule) -> tuple[str, ...]:
    """Name under which ``maxmemory-policy`` a server keeps what it must of a namespace; empty: under any.

    Where the server has no ``maxmemory``, nothing is evicted, whatever its policy.
    """
    eviction = rule.eviction
    if eviction.mode == "ttl_band":
        return (KEEPS, "volatile-ttl")
    if isinstance(rule, CacheRule):
        return (KEEPS,) if rule.guarantee == "required" and eviction.redis is None else ()
    if eviction.mode == "protected":
        return tuple(word for word in get_args(MaxMemoryPolicy) if word in {KEEPS, *VOLATILE})
    return (KEEPS,)


def describe(policy: Policy, namespace: str) -> Guaranteed:
    """Say what is guaranteed of a namespace of the policy; of its servers only what that knows."""
    rule = policy.namespaces[namespace]
    url = policy.redis.url.get_secret_value()
    beside = neighbours(namespace, url, policy.namespaces)
    if (rule.url.get_secret_value() if rule.url else url).startswith("memory:"):
        text = "kept in this process, which evicts nothing"
        return Guaranteed(rule.eviction.mode, text, _COSTS["server"], ())
    match rule.eviction.mode:
        case "dedicated":
            text = _what_the_server_does(rule, ", to make room for keys of this namespace only")
        case "protected":
            text = (
                "keys have no TTL in Redis, so noeviction and volatile-* take none, as long as they all fit "
                "into memory; a sweeper removes what is over"
            )
        case "ttl_band":
            text = _band(rule, {name: policy.namespaces[name] for name in beside})
        case "quota" if rule.eviction.max_bytes is not None:
            text = (
                f"entries take {format_size(rule.eviction.max_bytes)} at most; those used longest ago, of a "
                "sample, go for new ones"
            )
        case _:
            others = f", to make room for keys of {', '.join(beside)} too" if beside else ""
            text = _what_the_server_does(rule, others)
    return Guaranteed(rule.eviction.mode, text, _COSTS[rule.eviction.mode], _needs(rule))


def _needs(rule: NamespaceRule) -> tuple[str, ...]:
    wanted, kept = rule.eviction.redis, keepers(rule)
    return kept if wanted is None or (kept and wanted not in kept) else (wanted,)


def _what_the_server_does(rule: NamespaceRule, for_whom: str) -> str:
    word = rule.eviction.redis or (KEEPS if KEEPS in keepers(rule) else None)
    if word == KEEPS:
        return "nothing is evicted: a full server refuses to write"
    if word is None:
        return f"the server evicts as its maxmemory-policy says{for_whom}"
    among = "those with a TTL, which these have" if word in VOLATILE else "all keys"
    return f"the server evicts by {word}, among {among}{for_whom}"


def _band(rule: NamespaceRule, beside: Mapping[str, NamespaceRule]) -> str:
    lower = goes_first(rule, beside)
    if not lower:
        return "the server takes what has the least left to live, of a sample, by volatile-ttl"
    floor = max(lower.values())
    return (
        f"what has more than {format_duration(floor)} left to live stays while the server's samples have "
        f"anything of {', '.join(lower)}; what has less may go before"
    )
