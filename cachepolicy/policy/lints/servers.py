"""Findings about Redis: who shares a server, what it may evict, who can listen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr

from cachepolicy.policy.evictions import keepers
from cachepolicy.policy.lints.finding import Lint, Look, Severity
from cachepolicy.policy.rules import CacheRule, NamespaceRule, SessionsRule
from cachepolicy.policy.units import format_duration

_LOOPBACK: Final = frozenset({"localhost", "::1", "[::1]"})
_PRODUCTION: Final = ("prod", "live")
_OWN_DATABASES: Final = "give each its own db:, or say databases: prefix"
_OWN_SERVER: Final = (
    "give {name} a Redis of its own (url:), or let the server's maxmemory-policy be noeviction"
)
_MOST_CONNECTING: Final = 3.0


@dataclass(frozen=True, slots=True)
class Server:
    """The server behind an address: equal for equal servers. No part of it is secret."""

    kind: str
    hosts: tuple[str, ...]

    @property
    def is_shared(self) -> bool:
        """Whether it is more than a part of this process."""
        return self.kind != "memory"

    @property
    def is_remote(self) -> bool:
        """Whether what goes there passes a network."""
        names = [host.rpartition(":")[0] for host in self.hosts]
        return any(name not in _LOOPBACK and not name.startswith("127.") for name in names)


def server_of(url: SecretStr) -> Server:
    """Tell which server an address leads to."""
    parts = urlsplit(url.get_secret_value())
    where = parts.netloc.rpartition("@")[2]
    match parts.scheme:
        case "memory" | "local" | "unix":
            return Server(
                parts.scheme, () if parts.scheme == "memory" else (f"127.0.0.1:{where}{parts.path}",)
            )
        case "redis+sentinel":
            return Server(f"sentinel {parts.path.strip('/')}", _hosts(where, "26379"))
        case "redis+cluster":
            return Server("cluster", _hosts(where, "6379"))
        case _:
            return Server("server", _hosts(where, "6379"))


def _hosts(where: str, port: str) -> tuple[str, ...]:
    named = (
        host.lower() if urlsplit(f"//{host}").port else f"{host.lower()}:{port}" for host in where.split(",")
    )
    return tuple(sorted(named))


def server(look: Look, rule: NamespaceRule) -> Server:
    """Tell which server a namespace lies on."""
    return server_of(rule.url or look.policy.redis.url)


def _by_server(look: Look) -> dict[Server, list[tuple[str, str, NamespaceRule]]]:
    found: dict[Server, list[tuple[str, str, NamespaceRule]]] = defaultdict(list)
    for each in look.namespaces():
        found[server(look, each[2])].append(each)
    return found


def shared_database(look: Look) -> Iterator[Lint]:
    """Two namespaces of one server say the same database."""
    if look.policy.redis.databases == "prefix":
        return
    for where, kept in _by_server(look).items():
        if not where.is_shared or where.kind == "cluster":
            continue
        first: dict[int, str] = {}
        for name, path, rule in kept:
            other = first.setdefault(rule.db, name)
            if other != name:
                yield look.lint(
                    "shared-database",
                    f"{path}.db",
                    f"lies in database {rule.db}, as {other} does: only a prefix tells their keys apart",
                    _OWN_DATABASES,
                )


def cluster_databases(look: Look) -> Iterator[Lint]:
    """A cluster has only database 0."""
    if look.policy.redis.databases != "select":
        return
    for _, path, rule in look.namespaces():
        if rule.db != 0 and server(look, rule).kind == "cluster":
            yield look.lint(
                "cluster-databases",
                f"{path}.db",
                f"lies in database {rule.db}, and a cluster has only database 0",
                "say databases: auto or prefix: namespaces are told apart by the prefix of their keys",
                severity=Severity.ERROR,
            )


def evicts_what_must_stay(look: Look) -> Iterator[Lint]:
    """A namespace counts on eviction, on a server where others must not lose anything."""
    for where, kept in _by_server(look).items():
        evicting = [each for each in kept if isinstance(each[2], CacheRule) and _evicts(each[2])]
        if not where.is_shared or not evicting:
            continue
        cause, _, cache = evicting[0]
        assert isinstance(cache, CacheRule)  # noqa: S101 - chosen above
        for name, path, rule in kept:
            required = rule.guarantee == "required"
            kept_by = keepers(rule)
            if not kept_by or cache.eviction.redis in kept_by or rule is cache:
                continue
            yield look.lint(
                "evicts-what-must-stay",
                path,
                f"shares a Redis with {cause}, which counts on {cache.eviction.redis}: that is the "
                f"whole server's, and evicts from {name} too",
                _OWN_SERVER.format(name=name),
                severity=Severity.ERROR if required else Severity.WARNING,
            )


def _evicts(rule: CacheRule) -> bool:
    return rule.eviction.redis not in {None, "noeviction"}


def sessions_beside_cache(look: Look) -> Iterator[Lint]:
    """Sessions share a server with a cache, and nobody says what it evicts."""
    for where, kept in _by_server(look).items():
        caches = [each for each in kept if isinstance(each[2], CacheRule)]
        silent = [
            name for name, _, rule in caches if isinstance(rule, CacheRule) and rule.eviction.redis is None
        ]
        if not where.is_shared or len(silent) < len(caches) or not silent:
            continue
        for name, path, rule in kept:
            shared = rule.eviction.mode == "server"  # any other mode says what becomes of them
            if isinstance(rule, SessionsRule) and shared and rule.guarantee == "best_effort":
                yield look.lint(
                    "sessions-beside-cache",
                    path,
                    f"shares a Redis with {silent[0]}: when memory is full, most servers evict sessions too",
                    f"{_OWN_SERVER.format(name=name)}; guarantee: required refuses to start otherwise",
                )


def eviction_conflict(look: Look) -> Iterator[Lint]:
    """Two caches of one server count on different policies of it."""
    for where, kept in _by_server(look).items():
        counted = [
            (name, path, rule.eviction.redis)
            for name, path, rule in kept
            if isinstance(rule, CacheRule) and rule.eviction.redis is not None
        ]
        for name, path, policy in counted[1:]:
            if where.is_shared and policy != counted[0][2]:
                yield look.lint(
                    "eviction-conflict",
                    f"{path}.eviction.redis",
                    f"counts on {policy}, and {counted[0][0]} on {counted[0][2]}: a server has one",
                    f"name the one that the server has, or give {name} a Redis of its own (url:)",
                    severity=Severity.ERROR,
                )


def cache_never_evicts(look: Look) -> Iterator[Lint]:
    """A cache counts on a server that refuses writes when it is full."""
    for _, path, rule in look.of_kind(CacheRule):
        if rule.eviction.redis == "noeviction":
            yield look.lint(
                "cache-never-evicts",
                f"{path}.eviction.redis",
                "a full server with noeviction refuses every write: nothing new is cached",
                "allkeys-lru or allkeys-lfu, on a Redis that only caches use",
            )


def plain_password(look: Look) -> Iterator[Lint]:
    """A password goes over a network that anybody may listen to."""
    redis = look.policy.redis
    for path, url, own in [("redis.url", redis.url, None), *_own_urls(look)]:
        parts = urlsplit(url.get_secret_value())
        password = parts.password or (
            redis.password and redis.password.get_secret_value() if own is None else None
        )
        encrypted = parts.scheme == "rediss" or redis.tls.enabled
        if password and not encrypted and server_of(url).is_remote:
            yield look.lint(
                "plain-password",
                path,
                "the password, and all that is kept, goes over the network for anybody to read",
                "rediss://, or redis: {tls: true}",
            )


def _own_urls(look: Look) -> list[tuple[str, SecretStr, str | None]]:
    return [(f"{path}.url", rule.url, name) for name, path, rule in look.namespaces() if rule.url is not None]


def unverified_tls(look: Look) -> Iterator[Lint]:
    """The server need not prove who it is."""
    if not look.policy.redis.tls.verify:
        yield look.lint(
            "unverified-tls",
            "redis.tls.verify",
            "anybody between can read, and answer in the server's name",
            "verify: true, with ca: the file of the authority that signed the server's certificate",
        )


def memory_in_production(look: Look) -> Iterator[Lint]:
    """In production, what is kept is lost with each process and shared by none."""
    environment = look.loaded.environment or ""
    if not environment.startswith(_PRODUCTION):
        return
    for path, url, _ in [("redis.url", look.policy.redis.url, None), *_own_urls(look)]:
        if not server_of(url).is_shared and (path != "redis.url" or _is_used(look)):
            yield look.lint(
                "memory-in-production",
                path,
                f"in {environment}, each process keeps its own, counts its own, and loses it when it ends",
                "${REDIS_URL:?set REDIS_URL}, so that a process without it does not start",
            )


def _is_used(look: Look) -> bool:
    return any(rule.url is None for _, _, rule in look.namespaces())


def deadline_below_connect(look: Look) -> Iterator[Lint]:
    """Much of the patience with a new connection can never be used."""
    redis = look.policy.redis
    if redis.connect_timeout > _MOST_CONNECTING * redis.deadline:
        yield look.lint(
            "deadline-below-connect",
            "redis.connect_timeout",
            f"a call gives up after {format_duration(redis.deadline)} (deadline), long before a connection "
            f"that takes {format_duration(redis.connect_timeout)}: where opening takes longer, calls of def "
            "functions never have one",
            "a deadline that a new connection fits into, or a shorter connect_timeout",
        )


LINTS: Final = (
    shared_database,
    cluster_databases,
    evicts_what_must_stay,
    sessions_beside_cache,
    eviction_conflict,
    cache_never_evicts,
    plain_password,
    unverified_tls,
    memory_in_production,
    deadline_below_connect,
)
