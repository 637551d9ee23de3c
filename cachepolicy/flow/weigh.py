"""Stored bytes and what they are worth: may they answer, and if not, may they stand in?"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from cachepolicy.codec import serialize
from cachepolicy.codec.envelope import TAIL, Header, is_tombstone, stamp
from cachepolicy.codec.serialize import Serialized
from cachepolicy.errors import CorruptValue
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.lookup import Kept, Lookup, fill, made_anew
from cachepolicy.flow.plan import Life
from cachepolicy.flow.versions import Standing
from cachepolicy.telemetry.names import Outcome, Reason, Tier


class Worth(Enum):
    """What a stored value may do."""

    FRESH = auto()  # answer
    STALE = auto()  # answer, while it is computed anew
    FALLBACK = auto()  # stand in where computing it anew fails
    UNKNOWN = auto()  # it carries tags whose versions are to be read first


class Found(NamedTuple):
    """A stored value of use, and its last bytes."""

    worth: Worth
    header: Header
    serialized: Serialized
    tail: bytes


def weigh(lookup: Lookup, blob: bytes | None, vector: bytes) -> Found | None:
    """Read stored bytes; None where they are of no use.

    Args:
        lookup: whose.
        blob: what is stored.
        vector: the current versions of the call's tags.
    """
    plan, call = lookup.plan, lookup.call
    lookup.seen, lookup.versions = stamp(blob), vector
    if blob is None or is_tombstone(blob):
        return None
    try:
        header, serialized = plan.codec.unseal(blob, call.key)
    except CorruptValue as refused:
        incidents.corruption(plan, refused.reason)
        return None
    except Exception as bug:  # noqa: BLE001 - counted; whatever it is, the caller gets the function's answer
        lookup.note(incidents.bug(plan, bug))
        return None
    if plan.site.replay.forbids(call.key, header.created, header.versions):
        return None
    standing = plan.versions.standing(header.versions, call.tags, vector, plan.clock.monotonic())
    if standing is Standing.PURGED:
        return None
    if standing is Standing.UNKNOWN:
        return Found(Worth.UNKNOWN, header, serialized, b"")
    worth = _worth(lookup, header, expired=bool(header.expired) or standing is Standing.EXPIRED)
    return None if worth is None else Found(worth, header, serialized, blob[-TAIL:])


def _worth(lookup: Lookup, header: Header, *, expired: bool) -> Worth | None:
    life, now = lookup.plan.life, lookup.plan.clock.wall()
    oldest = lookup.call.control.max_age
    if not expired and header.fresh_until > now and (oldest is None or now - header.created <= oldest):
        return Worth.FRESH
    if oldest is not None:
        expired = True  # what is older than asked for does not answer; where all else fails it may
    since = min(header.fresh_until, now)
    if now >= header.stale_until:
        return None
    if now < since + life.while_revalidate and oldest is None:
        return Worth.STALE
    return Worth.FALLBACK if now < since + life.if_error else None


def serve(lookup: Lookup, found: Found, reason: Reason | None = None) -> Answer | None:
    """Make an answer of a stored value, and keep it in L1; None where its bytes do not decode.

    Args:
        lookup: whose.
        found: what is stored.
        reason: why it answers though it is out of date.
    """
    plan, header = lookup.plan, found.header
    try:
        value = serialize.read(found.serialized)
    except CorruptValue as refused:
        incidents.corruption(plan, refused.reason)
        return None
    now = plan.clock.wall()
    outcome = Outcome.HIT if reason is None else Outcome.STALE
    age = now - header.created if now > header.created else 0.0
    fresh_for = header.fresh_until - now if reason is None else _breather(plan.life, header, now, reason)
    kept = Kept(
        value,
        found.serialized,
        header.created,
        fresh_for,
        header.cost,
        header.versions,
        found.tail,
        stale=reason is not None,
    )
    if not lookup.call.control.no_store:
        fill(lookup, kept)
    return made_anew(
        value,
        Answer(
            outcome,
            Tier.L2,
            None,
            None,
            None,
            found.serialized,
            age,
            reason,
            lookup.fault,
            lookup.span,
        ),
    )


def stand_in(lookup: Lookup, found: Found) -> Answer | None:
    """Make an answer of a stored value that is out of date, in case there is nothing better."""
    header = found.header
    try:
        value = serialize.read(found.serialized)
    except CorruptValue as refused:
        incidents.corruption(lookup.plan, refused.reason)
        return None
    age = max(0.0, lookup.plan.clock.wall() - header.created)
    answer = Answer(Outcome.STALE, Tier.L2, serialized=found.serialized, age=age, span=lookup.span)
    return made_anew(value, answer)


def _breather(life: Life, header: Header, now: float, reason: Reason) -> float:
    """Return how long a value that is out of date answers before anybody asks again, in seconds."""
    window = life.while_revalidate if reason is Reason.REVALIDATING else life.if_error
    until = min(header.stale_until, min(header.fresh_until, now) + window)
    return min(life.throttle, until - now)
