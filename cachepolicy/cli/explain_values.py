"""The settings in effect of a namespace, each with its place; where it lies, and what stays there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

from cachepolicy.cli.explain_parts import Value
from cachepolicy.policy import LoadedPolicy, NamespaceRule
from cachepolicy.policy.evictions import describe
from cachepolicy.policy.rules.base import Rule
from cachepolicy.policy.tree import BUILT_IN, join
from cachepolicy.policy.written import without_secrets, written

_WHAT_GOES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache": "is computed again",
        "sessions": "logs users out, and makes revoked tokens good again",
        "ratelimit": "lets subjects have more than their limits",
        "analytics": "is missing in counts",
        "temp": "is gone",
    }
)


def values_of(loaded: LoadedPolicy, namespace: str) -> list[Value]:
    """Return the settings of a namespace, and of the Redis that it lies in."""
    rule, policy = loaded.policy.namespaces[namespace], loaded.policy
    own = list(_below(loaded, f"namespaces.{namespace}", rule))
    return [*own, *_below(loaded, "redis", policy.redis)]


def where(loaded: LoadedPolicy, rule: NamespaceRule) -> str:
    """Say where a namespace lies, without secrets."""
    url = without_secrets((rule.url or loaded.policy.redis.url).get_secret_value())
    return f"{url}, database {rule.db}" if not url.startswith("memory:") else url


def eviction(loaded: LoadedPolicy, namespace: str) -> str:
    """Say what is guaranteed of a namespace when memory is full, as far as the policy alone tells."""
    rule, found = loaded.policy.namespaces[namespace], describe(loaded.policy, namespace)
    if where(loaded, rule).startswith("memory:"):
        return found.text
    told = f"{found.mode}: {found.text} (costs {found.cost})"
    if found.needs:
        told += f"; needs maxmemory-policy {' or '.join(found.needs)}"
    if rule.guarantee == "required":
        return (
            f"{told}; guaranteed: before its first call a process asks the server for maxmemory and "
            "maxmemory-policy (INFO), and refuses to work on one that may evict otherwise"
        )
    return f"{told}; no guarantee: what goes before its time {_WHAT_GOES[rule.kind]}"


def _below(loaded: LoadedPolicy, path: str, rule: Rule) -> Iterator[Value]:
    for name in type(rule).model_fields:
        value, below = getattr(rule, name), join(path, name)
        if isinstance(value, Rule):
            yield from _below(loaded, below, value)
        elif isinstance(value, Mapping) and value and all(isinstance(each, Rule) for each in value.values()):
            for key, each in value.items():
                yield from _below(loaded, join(below, str(key)), each)
        elif value is not None:
            yield _value(loaded, below, written(type(rule), name, value))


def _value(loaded: LoadedPolicy, path: str, text: str) -> Value:
    at = loaded.provenance.get(path, BUILT_IN)
    return Value(path, text, at.via, at.file if at.line else "", at.line, at.column, at.variables)
