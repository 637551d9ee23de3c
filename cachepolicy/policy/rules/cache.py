"""``kind: cache`` — results of functions, in two tiers."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, model_validator

from cachepolicy.policy.rules.base import (
    Compression,
    Duration,
    DurationOrOff,
    Elsewhere,
    Flag,
    Kept,
    PercentageOrOff,
    Positive,
    Rule,
    Size,
    Text,
    Ttl,
    TtlRange,
    one_or_more,
)
from cachepolicy.policy.rules.encryption import Encryption
from cachepolicy.policy.rules.eviction import CacheEviction
from cachepolicy.policy.tree import Resolved
from cachepolicy.policy.units import parse_duration
from cachepolicy.policy.words import did_you_mean


class Local(Rule):
    """The tier inside the process."""

    enabled: Flag = True
    """Whether there is one."""
    max_bytes: Size = 64 * 2**20
    """The most memory it may use."""
    max_value: Size | None = None
    """The largest value kept in it, in bytes of its serialized form; larger ones are in Redis only. Without
    it, a sixteenth of ``max_bytes``."""
    ttl: Duration = 60.0
    """The longest an entry is served without asking Redis (seconds)."""
    blind_ttl: Duration = 1.0
    """The same while this process does not hear of changes: it is connecting, or Redis is out (seconds)."""
    coherence: Literal["auto", "tracking", "pubsub", "off"] = "auto"
    """How this process hears of changes: ``tracking`` from Redis itself, ``pubsub`` from those who make them,
    ``auto`` the first where it can be had; ``off``: not at all, entries end by ``ttl`` alone."""
    share: Flag = False
    """Whether callers get the very object that is stored; otherwise mutable ones are copied for each."""

    @property
    def largest(self) -> int:
        """Bytes of the largest value kept: less than the tenth of the budget in which new entries wait."""
        return self.max_bytes // 16 if self.max_value is None else self.max_value


class Stale(Rule):
    """Serving an entry past its TTL."""

    if_error: DurationOrOff = 0.0
    """How long past its TTL an entry may answer when computing it anew failed (seconds)."""
    while_revalidate: DurationOrOff = 0.0
    """How long past its TTL an entry may answer while it is computed anew (seconds)."""
    throttle: Duration = 5.0
    """How long a failed computation is not tried again while an entry answers in its place (seconds)."""


class Timeouts(Rule):
    """How long callers wait for the function; it goes on in the background and its result is kept."""

    soft: DurationOrOff = 0.0
    """After this an entry past its TTL answers, where there is one (seconds); 0s: never."""
    hard: DurationOrOff = 0.0
    """After this the call fails with OriginTimeout (seconds); 0s: never."""


class Negative(Rule):
    """Errors that are answers: kept for a while and raised again."""

    errors: Annotated[tuple[Text, ...], BeforeValidator(one_or_more)] = ()
    """Classes of exceptions by their full names: ``LookupError``, ``shop.errors.NotFound``."""
    bad_requests: Flag = False
    """Whether it is one that a model's provider refuses the request itself (400, 413, 422), under
    ``llm_cached``. What is about the account never is."""
    ttl: Duration = 30.0
    """How long such an error is kept (seconds)."""


class Stampede(Rule):
    """One computation per entry, however many callers ask for it."""

    lease: Duration = 10.0
    """How long a process may compute before another takes over; renewed while it works (seconds)."""
    wait: Duration = 60.0
    """How long the other callers wait for it (seconds)."""
    early: Flag = False
    """Whether an entry may be computed anew shortly before its TTL ends, by chance; it answers meanwhile."""


class Admit(Rule):
    """Which answers are worth keeping."""

    truncated: Flag = False
    """Answers that were cut off."""
    filtered: Flag = False
    """Answers that a content filter changed or withheld."""
    refused: Flag = False
    """Answers in which the model declines."""
    empty: Flag = False
    """Answers that say nothing."""
    failed: Flag = False
    """Answers that say that the provider, or a tool that it ran, failed."""
    none: Flag = True
    """None."""
    max_value: Size = 2**20
    """The largest value kept (bytes)."""


class Temperature(Rule):
    """What is done with calls that ask for chance."""

    mode: Literal["cache", "bypass", "variants"] = "variants"
    """``cache``: one answer is kept as for any call; ``bypass``: none; ``variants``: several."""
    variants: Positive = 1
    """How many different answers are kept, and drawn from."""


def parse_temperature(value: object) -> Any:
    """Take a word for the rule that it stands for."""
    if not isinstance(value, str):
        return value
    if value not in ("cache", "bypass"):
        near = "" if isinstance(value, Resolved) else did_you_mean(value, ("cache", "bypass"))
        raise ValueError(f"expected cache, bypass or {{variants: 3}}{near}")
    return {"mode": str(value)}


class Sampling(Rule):
    """Answers that are meant to differ."""

    temperature_above_zero: Annotated[
        Temperature, BeforeValidator(parse_temperature, json_schema_input_type=str | Temperature)
    ] = Temperature(mode="cache")
    """``cache``, ``bypass`` or ``{variants: 3}``."""


def parse_pace(value: object) -> object:
    """Read the time between two chunks, or the word for their own."""
    return str(value) if value == "recorded" else parse_duration(value, zero=True)


class Replay(Rule):
    """How streams that are cached come again."""

    pace: Annotated[
        float | Literal["recorded"], BeforeValidator(parse_pace, json_schema_input_type=str | float)
    ] = 0.0
    """The time between two chunks (seconds); 0s: they come at once; ``recorded``: as they came first."""
    longest: Duration = 2.0
    """The longest pause between two chunks that come as they were recorded (seconds)."""


Tags: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(one_or_more)]


class CacheRule(Kept):
    """A namespace of cached results."""

    kind: Literal["cache"]
    """cache"""
    scope: Literal["global", "tenant", "user"]
    """Who may share an answer. It has no default: a wrong guess would show one user another's answers."""
    ttl: Ttl = TtlRange(default=3600.0)
    """How long an entry is fresh."""
    jitter: PercentageOrOff = 0.1
    """Each TTL is shortened by up to this share, so that entries of one moment do not end in one moment."""
    eviction: CacheEviction = CacheEviction()
    """Which entry goes when there is no room."""
    local: Local = Local()
    """The tier inside the process."""
    stale: Stale = Stale()
    """Serving an entry past its TTL."""
    timeouts: Timeouts = Timeouts()
    """How long callers wait for the function."""
    negative: Negative = Negative()
    """Errors that are answers."""
    stampede: Stampede = Stampede()
    """One computation per entry."""
    admit: Admit = Admit()
    """Which answers are worth keeping."""
    sampling: Sampling = Sampling()
    """Answers that are meant to differ."""
    replay: Replay = Replay()
    """How streams that are cached come again."""
    on_fault: Literal["bypass", "raise", "deny"] = "bypass"
    """When Redis is out: compute as if there were no cache, raise the fault, or refuse the call."""
    tags: Tags = ()
    """Arguments by whose value entries can be invalidated together."""
    compression: Compression = Compression()
    """How values are compressed; what it does not say is inherited from ``defaults.compression``."""
    encryption: Encryption = Encryption(enabled=False)
    """Who can read them in Redis; what it does not say is inherited from ``defaults.encryption``."""

    @model_validator(mode="after")
    def _something_lives(self) -> CacheRule:
        if self.jitter >= 1:
            raise ValueError("expected a jitter below 100%: an entry must live for a while")
        return self

    @model_validator(mode="after")
    def _the_largest_value_fits(self) -> CacheRule:
        quota = self.eviction.max_bytes
        if quota is not None and 2 * self.admit.max_value > quota:
            raise Elsewhere(
                ("eviction", "max_bytes"), "expected room for two values of admit.max_value, at least"
            )
        return self
