"""What a user of Redis must be allowed for each kind of namespace: the commands, those inside scripts too.

HELLO and AUTH need no permission. A command is here because something of the kind fails without it, and
tests hold each to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SCRIPTS: Final = frozenset({"eval", "evalsha"})
"""Scripts are called by their digests, and sent whole to a server that does not know them."""

HEALTH: Final = frozenset({"get", "info", "ping", "set", "time", "unlink"})
"""What a look at the server takes: a canary is written, read and removed. INFO tells what it may evict."""

NUMBERED: Final = frozenset({"select"})
"""For a database other than 0."""

PROVED: Final = frozenset({"exists", "select", "set", "unlink"})
"""For ``databases: auto``: whether a database other than 0 is one."""

CLUSTER: Final = frozenset({"asking", "cluster|info", "cluster|slots"})
"""For a cluster: where keys are, also while they are moved."""

HEARD: Final = frozenset({"subscribe"})
"""To hear that somebody else's lease ended."""

TRACKED: Final = frozenset({"client|tracking", "getrange", "set"})
"""To hear of changes by ``CLIENT TRACKING``; ``getrange`` reads what stands there now."""

TOLD: Final = frozenset({"getrange", "publish", "subscribe"})
"""To hear of changes by their writers."""

LOOKED_THROUGH: Final = frozenset({"scan"})
"""For ``cachepolicy dictionary train`` and what else looks at all keys."""

INSPECTED: Final = frozenset({"getrange", "memory|usage", "pttl", "strlen", "type"})
"""For ``cachepolicy inspect``."""

_DEADLINES: Final = "exists get persist pttl set time unlink zadd zcard zrangebyscore zrem zscore"
_SIZES: Final = "exists getrange hdel hget hrandfield hset pexpire pttl scan set strlen type unlink"
_USE: Final = "object|freq object|idletime"

BY_MODE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"protected": frozenset(_DEADLINES.split()), "quota": frozenset(f"{_SIZES} {_USE}".split())}
)
"""What a mode of eviction needs besides, where its scripts keep count."""

ASKED: Final = frozenset({"acl|dryrun", "acl|whoami", "config|get"})
"""For ``check --live`` and ``doctor``, which do without where it is not allowed."""

APPLIED: Final = frozenset({"config|set"})
"""For ``doctor --apply``."""

_ENTRIES: Final = "del get getrange mget pexpire pttl publish set setrange strlen time unlink"
_MODELS: Final = "del hmget hset pexpire"
_SESSIONS: Final = "hdel hexists hget hgetall hlen hset pexpire pexpireat pttl time unlink"
_CENSUS: Final = "pexpire time zadd zcount zrangebylex zrangebyscore zrem zremrangebyscore zscore"
_TOKENS: Final = "exists get hmget hset pexpire pttl set time"
_PREFERENCES: Final = "hdel hgetall hset persist pexpire pttl time unlink"
_LIMITS: Final = "del get set time unlink"
_PLACES: Final = "pexpire pttl zadd zcount zrangebyscore zrem zremrangebyscore zscore"
_COUNTS: Final = "get hget hgetall hincrby hmget hset persist pexpire pfadd pfcount set"
_FILES: Final = "exists get hget hmget hset pexpire pttl set time unlink"
_ACCOUNTS: Final = "exists hdel hget hset unlink zadd zrangebyscore zrem zscore"

BY_KIND: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        kind: SCRIPTS | HEALTH | frozenset(" ".join(words).split())
        for kind, words in {
            "cache": (_ENTRIES, _MODELS),
            "sessions": (_SESSIONS, _CENSUS, _TOKENS, _PREFERENCES),
            "ratelimit": (_LIMITS, _PLACES),
            "analytics": (_COUNTS,),
            "temp": (_FILES, _ACCOUNTS),
        }.items()
    }
)
"""By the word that a namespace says as its ``kind``."""
