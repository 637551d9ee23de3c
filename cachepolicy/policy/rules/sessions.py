"""``kind: sessions`` — who is logged in, which tokens are revoked, what each user prefers."""

from __future__ import annotations

import math
import re
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator

from cachepolicy.policy.rules.base import (
    Compression,
    Count,
    Duration,
    DurationOrOff,
    Flag,
    Frozen,
    Kept,
    PercentageOrOff,
    Positive,
    Rule,
    Size,
    Ttl,
    TtlRange,
)
from cachepolicy.policy.rules.encryption import Encryption
from cachepolicy.policy.rules.eviction import SessionsEviction
from cachepolicy.policy.rules.frozen import FrozenMap
from cachepolicy.policy.tree import Resolved

_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")


def _path(value: str) -> str:
    if _PATH.fullmatch(value) is None:
        raise ValueError("expected a path such as ui.theme")
    return value


def parse_preference(value: object) -> str | int | float | bool:
    """Take what a preference may be."""
    if isinstance(value, Resolved):
        return str(value)
    if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("expected text, a number, true or false")
    return value


Preference: TypeAlias = Annotated[
    str | int | float | bool,
    PlainValidator(parse_preference, json_schema_input_type=str | int | float | bool),
]


def _untorn(defaults: FrozenMap[Preference]) -> FrozenMap[Preference]:
    for path in defaults:
        if any(other.startswith(f"{path}.") for other in defaults):
            raise ValueError(f"{path} cannot have a value and others below it")
    return defaults


PreferenceDefaults: TypeAlias = Annotated[
    Frozen[Annotated[str, AfterValidator(_path)], Preference], AfterValidator(_untorn)
]


class Rotation(Rule):
    """Giving a session a new token."""

    every: Duration | None = None
    """How long a token is good before the next use changes it; without it, only a login does (seconds)."""
    grace: DurationOrOff = 30.0
    """How long the old token still works, for requests that are on their way (seconds)."""


class Anonymous(Rule):
    """Sessions before anyone logs in."""

    enabled: Flag = True
    """Whether there are any."""
    ttl: Duration = 3600.0
    """How long one lives without use (seconds)."""


class Blacklist(Rule):
    """Revoked tokens; each is remembered until it would have expired by itself."""

    longest: Duration = 30.0 * 86_400
    """The longest a token of yours lives: what is remembered of one that does not say (seconds)."""
    leeway: DurationOrOff = 60.0
    """Clocks may differ by so much (seconds)."""
    remembered: Count = 10_000
    """How many revoked tokens the process remembers without asking Redis; 0 for none."""


class Preferences(Rule):
    """What users prefer, by path."""

    ttl: Duration | None = None
    """How long the preferences of an absent user are kept; without it, for ever (seconds)."""
    max_fields: Positive = 256
    """The most paths of one user."""
    max_bytes: Size = 16 * 1024
    """The most that one user's preferences may take (bytes)."""
    defaults: PreferenceDefaults = Field(default_factory=FrozenMap)
    """What holds for a user who has not chosen: ``ui.theme: dark``."""


class SessionsRule(Kept):
    """A namespace of sessions."""

    kind: Literal["sessions"]
    """sessions"""
    ttl: Ttl = TtlRange(default=86_400.0)
    """How long a session lives without use; each use renews it."""
    absolute: Duration = 7.0 * 86_400
    """How long a session lives at most, however much it is used (seconds)."""
    touch: PercentageOrOff = 0.1
    """A use renews a session only when it gains at least this share of ``ttl``: most uses stay reads."""
    rotate: Rotation = Rotation()
    """Giving a session a new token."""
    max_per_user: Positive = 10
    """The most sessions of one user."""
    when_full: Literal["evict_oldest", "refuse"] = "evict_oldest"
    """What a login does when a user has that many."""
    anonymous: Anonymous = Anonymous()
    """Sessions before anyone logs in."""
    layout: Literal["hash", "blob"] = "hash"
    """``hash``: fields change one by one; ``blob``: one compressed value, for large sessions."""
    max_bytes: Size = 64 * 1024
    """The largest session (bytes)."""
    blacklist: Blacklist = Blacklist()
    """Revoked tokens."""
    preferences: Preferences = Preferences()
    """What users prefer."""
    compression: Compression = Compression()
    """How blobs are compressed; what it does not say is inherited from ``defaults.compression``."""
    encryption: Encryption = Encryption(enabled=False)
    """Who can read them in Redis; what it does not say is inherited from ``defaults.encryption``."""
    eviction: SessionsEviction = SessionsEviction()
    """What goes when there is no room in Redis."""
    on_fault: Literal["raise", "deny"] = "raise"
    """When Redis is out: raise the fault, or refuse the call. A fault is never "no session"."""
