"""What is done to an entry and its lease in one step: scripts, so that nothing can come in between.

A lease says who computes an entry. An invalidation ends it, so a load whose lease is another's has been
overtaken and stores nothing. Where it has run out, or there was none because Redis was out when the load
began, moments decide: an invalidation is remembered for ten minutes.
"""

from __future__ import annotations

import math
import secrets
import zlib
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from cachepolicy.clock import lifetime_ms
from cachepolicy.codec.envelope import TAG_ID, TAG_SIZE
from cachepolicy.errors import Fault, StoreUnavailable
from cachepolicy.keys.layout import lease_key
from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import HEAD, Command, Repeat, flag
from cachepolicy.tiers.notices import Lease, Names
from cachepolicy.tiers.quota import Quota
from cachepolicy.tiers.resp import Word

REMEMBERED: Final = 600.0
"""How long an invalidation is remembered, in seconds: what was made before it is not stored afterwards."""

_ACQUIRE: Final = scripts.load("acquire")
_RENEW: Final = scripts.load("renew")
_RELEASE: Final = scripts.load("release")
_STORE: Final = scripts.load("bytes", "put", "store")
_STORE_WITHIN: Final = scripts.load("bytes", "quota", "store")
_INVALIDATE: Final = scripts.load("bytes", "put", "invalidate")
_INVALIDATE_WITHIN: Final = scripts.load("bytes", "quota", "invalidate")


class Verdict(Enum):
    """What became of asking for a lease."""

    GRANTED = b"granted"
    HELD = b"held"  # somebody computes
    COOLING = b"cooling"  # somebody did, and failed
    CHANGED = b"changed"  # what was seen is no longer what is there


class Asked(NamedTuple):
    """The reply to asking for a lease.

    Attributes:
        verdict: what became of it.
        now: the server's time, in seconds since the epoch.
        left: for how many seconds another still has it.
        stamp: of what is under the key.
    """

    verdict: Verdict
    now: float
    left: float
    stamp: bytes


@dataclass(frozen=True, slots=True)
class Made:
    """A value to store.

    Attributes:
        key: of the entry.
        token: of the lease that it was made under; empty: none.
        seen: the stamp of what was under the key when the lease was given.
        created: when its load began, wall clock.
        began: the same on the server's clock.
        ttl: how long it may serve, in seconds.
        blob: the value.
        quota: of its namespace; None: it has none.
    """

    key: str
    token: str
    seen: bytes
    created: float
    began: float
    ttl: float
    blob: bytes
    quota: Quota | None = None


ANYBODY: Final = "*"
"""In place of a holder's token: whoever it is, and whatever has been stored since."""

FAILED: Final = "!"
"""In place of a holder's token: one who failed, and whose lease keeps others from trying again."""


def token(versions: bytes) -> str:
    """Make up who asks for a lease: nobody else's, and it tells whose load is of newer versions.

    Args:
        versions: of the tags, as a value made now will carry them; an older load loses its lease to a newer.
    """
    parts = [versions[at : at + TAG_SIZE] for at in range(0, len(versions), TAG_SIZE)]
    tags = zlib.crc32(b"".join(part[:TAG_ID] for part in parts))
    return f"{secrets.token_hex(8)}{tags:08x}{b''.join(part[TAG_ID:] for part in parts).hex()}"


def acquire(key: str, token: str, lease: float, seen: bytes, *, over: str = "") -> Command[Asked]:
    """Ask for the lease of an entry.

    Args:
        key: of the entry.
        token: who asks.
        lease: seconds that it is given for.
        seen: the stamp of what was found under the key.
        over: the token of a holder that does not count: it is gone. Or ``ANYBODY``, or ``FAILED``.
    """
    arguments = (token, lifetime_ms(lease), seen, over)
    return _ACQUIRE.call([key, lease_key(key)], arguments, _asked, Repeat.WRITE)


def renew(key: str, token: str, lease: float, names: Names) -> Command[bool]:
    """Keep a lease; tells whether it was still there to be kept."""
    arguments = (token, lifetime_ms(lease), names.leases, Lease.RENEWED.say(key))
    return _RENEW.call([lease_key(key)], arguments, flag, Repeat.WRITE)


def release(key: str, token: str, cooling: float, names: Names) -> Command[bool]:
    """End a lease without a value; ``cooling``: seconds before anybody tries again."""
    arguments = (token, round(cooling * 1000), names.leases, Lease.RELEASED.say(key))
    return _RELEASE.call([lease_key(key)], arguments, flag, Repeat.WRITE)


def store(made: Made, names: Names, notice: bytes) -> Command[bool]:
    """Store a value, unless its load was overtaken or its quota has no room; tells whether it was stored."""
    arguments = (
        made.token,
        made.seen,
        round(made.created * 1000),
        math.floor(made.began * 1000),  # as the server counts: an invalidation in the same ms was later
        lifetime_ms(made.ttl),
        lifetime_ms(REMEMBERED),
        names.changes,
        notice,
        made.blob,
    )
    keys, quota = [made.key, lease_key(made.key)], made.quota
    if quota is None:
        command = _STORE.call(keys, arguments, flag, Repeat.WRITE)
    else:
        words = (*arguments, *quota.arguments)
        command = _STORE_WITHIN.call([*keys, quota.key], words, quota.heard, Repeat.WRITE)
    command.bulk = len(made.blob) >= HEAD
    return command


def invalidate(
    key: str,
    names: Names,
    notice: bytes,
    *,
    purge: bool = True,
    until: float | None = None,
    quota: Quota | None = None,
) -> Command[bool]:
    """Put an end to an entry and to the loads of it that have begun; tells whether there was one.

    Args:
        key: of the entry.
        names: of the channels.
        notice: what to tell those who hold it.
        purge: nothing is left; otherwise it may still serve where there is nothing better.
        until: spare a value whose load began after this moment.
        quota: of its namespace, which what is purged no longer counts for.
    """
    spared = "" if until is None else round(until * 1000)
    words = ("purge" if purge else "expire", spared, lifetime_ms(REMEMBERED), names.changes, notice)
    arguments: tuple[Word, ...] = (*words, secrets.token_bytes(4))
    keys = [key, lease_key(key)]
    if quota is None:
        return _INVALIDATE.call(keys, arguments, flag, Repeat.WRITE)
    arguments = (*arguments, *quota.arguments)
    return _INVALIDATE_WITHIN.call([*keys, quota.key], arguments, quota.heard, Repeat.WRITE)


def _asked(reply: object) -> Asked:
    match reply:
        case [bytes(verdict), int(now), int(left), bytes(stamp)] if verdict in _VERDICTS:
            return Asked(_VERDICTS[verdict], now / 1000, max(0, left) / 1000, stamp)
        case _:
            raise StoreUnavailable(f"Redis gives no usable answer: {type(reply).__name__}", Fault.PROTOCOL)


_VERDICTS: Final = {verdict.value: verdict for verdict in Verdict}
