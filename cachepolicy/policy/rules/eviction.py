"""``eviction:`` — what of a namespace goes when memory is full, and who sees to it."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from pydantic import model_validator

from cachepolicy.policy.rules.base import Elsewhere, MaxMemoryPolicy, Rule, Size

EvictionMode: TypeAlias = Literal["server", "dedicated", "protected", "ttl_band", "quota"]
"""Who decides what goes:

- ``server``: Redis, by its ``maxmemory-policy``, among the keys of everybody;
- ``dedicated``: the same, in a Redis where nobody else keeps anything;
- ``protected``: nobody; keys have no TTL in Redis, which ``volatile-*`` therefore never takes;
- ``ttl_band``: Redis, by ``volatile-ttl``, where what is to go first has the shorter TTLs;
- ``quota``: this library, within ``max_bytes`` of its own.
"""

VOLATILE: Final = frozenset(
    {"volatile-lru", "volatile-lfu", "volatile-lrm", "volatile-random", "volatile-ttl"}
)
"""Policies of Redis that take keys with a TTL only."""

KEEPS: Final = "noeviction"
"""The one that takes none."""


class Eviction(Rule):
    """What goes when there is no room in Redis; each kind has the modes that it can have."""

    redis: MaxMemoryPolicy | None = None
    """The ``maxmemory-policy`` this namespace counts on. It belongs to the whole server, so it is compared
    with what the server says, and never set."""


def _check(mode: EvictionMode, redis: MaxMemoryPolicy | None) -> None:
    if mode == "protected" and redis is not None and redis not in {KEEPS, *VOLATILE}:
        raise Elsewhere(("redis",), "expected noeviction or volatile-…: others take keys without a TTL too")
    if mode == "ttl_band" and redis not in {None, "volatile-ttl"}:
        raise Elsewhere(("redis",), "expected volatile-ttl: no other looks at how long keys have left")


class PlainEviction(Eviction):
    """What goes when there is no room in Redis."""

    mode: Literal["server", "dedicated"] = "server"
    """Who decides: Redis among the keys of everybody, or in a Redis of this namespace's own."""


class TempEviction(Eviction):
    """What goes when there is no room in Redis."""

    mode: Literal["server", "dedicated", "ttl_band"] = "server"
    """Who decides: Redis among the keys of everybody, in a Redis of this namespace's own, or by TTLs that do
    not overlap with those of others."""

    @model_validator(mode="after")
    def _suits_the_server(self) -> TempEviction:
        _check(self.mode, self.redis)
        return self


class LimitsEviction(Eviction):
    """What goes when there is no room in Redis."""

    mode: Literal["server", "dedicated", "protected"] = "server"
    """Who decides: Redis among the keys of everybody, in a Redis of this namespace's own, or nobody: keys
    have no TTL there."""

    @model_validator(mode="after")
    def _suits_the_server(self) -> LimitsEviction:
        _check(self.mode, self.redis)
        return self


class SessionsEviction(Eviction):
    """What goes when there is no room in Redis."""

    mode: Literal["server", "dedicated", "protected", "ttl_band"] = "server"
    """Who decides: Redis among the keys of everybody, in a Redis of this namespace's own, nobody (keys have
    no TTL there), or Redis by TTLs that do not overlap with those of others."""

    @model_validator(mode="after")
    def _suits_the_server(self) -> SessionsEviction:
        _check(self.mode, self.redis)
        return self


class CacheEviction(Eviction):
    """Which entry goes when there is no room."""

    l1: Literal["lru", "lfu", "fifo", "s3fifo"] = "s3fifo"
    """In this process."""
    mode: Literal["server", "dedicated", "ttl_band", "quota"] = "server"
    """In Redis, who decides: Redis among the keys of everybody, in a Redis of this namespace's own, by TTLs
    that do not overlap with those of others, or this library, within ``max_bytes``."""
    max_bytes: Size | None = None
    """The most that entries take in Redis, with what it needs to keep them (bytes); for ``mode: quota``."""

    @model_validator(mode="after")
    def _a_quota_has_a_size(self) -> CacheEviction:
        _check(self.mode, self.redis)
        if (self.mode == "quota") != (self.max_bytes is not None):
            wrong = (
                "required: how much a quota is" if self.mode == "quota" else "expected mode: quota beside it"
            )
            raise Elsewhere(("max_bytes",), wrong)
        return self
