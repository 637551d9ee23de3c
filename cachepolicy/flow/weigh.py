"""Stored bytes and what they are worth: may they answer, and if not, may they stand in?"""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from cachepolicy.codec import serialize
from cachepolicy.codec.envelope import TAIL, Header, is_tombstone, stamp
from cachepolicy.codec.serialize import Serialized
from cachepolicy.errors import CorruptValue
from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer, Spare
from cachepolicy.flow.lookup import Kept, Lookup, fill, made_anew
from cachepolicy.flow.plan import Life
from cachepolicy.flow.versions import Standing
from cachepolicy.telemetry.names import Outcome, Reason, Tier
from cachepolicy.telemetry.usage import usage_in


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
    if now >= header.stale_until:
        return None
    over = _over(header, now)
    if now < over + life.while_revalidate and oldest is None:
        return Worth.STALE
    # What is older than its caller asked for does not answer either; where all else fails it may.
    return Worth.FALLBACK if now < over + life.if_error else None


def _over(header: Header, now: float) -> float:
    """Return since when a value is out of date: its TTL ended, or somebody said so."""
    return min(header.fresh_until, header.expired or now, now)  # the server's clock may be ahead


def serve(lookup: Lookup, found: Found, reason: Reason | None = None, *, keep: bool = True) -> Answer | None:
    """Make an answer of a stored value; None where its bytes do not decode.

    Args:
        lookup: whose.
        found: what is stored.
        reason: why it answers though it is out of date.
        keep: it is kept in L1, where its caller does not object.
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
    if keep and not lookup.call.control.no_store:
        kept = Kept(
            value,
            found.serialized,
            header.created,
            header.fresh_until - now if reason is None else _breather(plan.life, header, now),
            header.cost,
            header.versions,
            found.tail,
            stale=reason is not None,
            usage=usage_in(header.metadata),
        )
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
            header.cost,
            usage_in(header.metadata),
        ),
    )


def spare(lookup: Lookup, found: Found) -> Spare:
    """Return what to keep in mind of a stored value that is out of date."""
    header = found.header
    until = _over(header, lookup.plan.clock.wall()) + lookup.plan.life.if_error
    until = min(header.stale_until, until)
    return Spare(found.serialized, header.created, until, header.cost, usage_in(header.metadata))


def stand_in(lookup: Lookup, kept: Spare | None, reason: Reason) -> Answer | None:
    """Answer by what is out of date; None where nothing is kept in mind that still may.

    Args:
        lookup: whose.
        kept: the older value.
        reason: why there is nothing better.
    """
    now = lookup.plan.clock.wall()
    if kept is None or now >= kept.until:
        return None
    try:
        value = serialize.read(kept.serialized)
    except CorruptValue as refused:
        incidents.corruption(lookup.plan, refused.reason)
        return None
    answer = Answer(
        Outcome.STALE,
        Tier.L2,
        serialized=kept.serialized,
        age=max(0.0, now - kept.created),
        reason=reason,
        fault=lookup.fault,
        span=lookup.span,
        cost=kept.cost,
        usage=kept.usage,
    )
    return made_anew(value, answer)


def _breather(life: Life, header: Header, now: float) -> float:
    """Return how long L1 answers by a value that is out of date before Redis is asked again, in seconds."""
    until = min(header.stale_until, _over(header, now) + life.while_revalidate)
    return min(life.throttle, until - now)
