"""What follows from a change where that depends on the values: who may share, who can read, where it lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final, TypeAlias

from pydantic import SecretStr

from cachepolicy.policy.rules import Policy, SessionsRule
from cachepolicy.policy.rules.connection import RedisRule
from cachepolicy.policy.rules.encryption import key_bytes


class Effect(StrEnum):
    """What a change does to a running process, the mildest first."""

    LIVE = "live"
    COLD = "cold"
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The effect of a change, and what follows from it; ``why`` is empty where nothing is to be said."""

    effect: Effect
    why: str = ""


@dataclass(frozen=True, slots=True)
class Compared:
    """A setting that differs: its two values, and the two policies that they stand in."""

    was: Any
    now: Any
    before: Policy
    after: Policy


Judge: TypeAlias = Callable[[Compared], Verdict]


class Inside(Enum):
    """The field is a rule, or holds rules by name: what changes in it is judged there."""

    INSIDE = "inside"


Line: TypeAlias = Verdict | Judge | Inside
"""What is said of a field."""

INSIDE: Final = Inside.INSIDE
LIVE: Final = Verdict(Effect.LIVE)
KIND: Final = Verdict(
    Effect.FORBIDDEN, "what is kept here is of another kind: give the new one a name of its own"
)


def cold(why: str) -> Verdict:
    """Say that a field is cold, and why."""
    return Verdict(Effect.COLD, why)


def live(*fields: str, **others: Line) -> Mapping[str, Line]:
    """Say that fields are live, and other things of others."""
    return {**dict.fromkeys(fields, LIVE), **others}


def inside(*fields: str, **others: Line) -> Mapping[str, Line]:
    """Say that what changes in fields is judged there, and other things of others."""
    return {**dict.fromkeys(fields, INSIDE), **others}


_SCOPES: Final = ("global", "tenant", "user")
_ON_THE_WIRE: Final = Verdict(Effect.FORBIDDEN, "what was encrypted on its way would not be any more")


def app(it: Compared) -> Verdict:
    """Another name makes all keys others."""
    if any(isinstance(rule, SessionsRule) for rule in it.before.namespaces.values()):
        return Verdict(
            Effect.FORBIDDEN,
            "all keys begin with it: sessions would be lost, and revoked tokens would be good again",
        )
    return Verdict(Effect.COLD, "all keys begin with it: everything begins anew")


def url(it: Compared) -> Verdict:
    """Another server knows nothing; and one that is not encrypted is no step for a running process."""
    if encrypts(it.was, it.before.redis) and not encrypts(it.now, it.after.redis):
        return _ON_THE_WIRE
    return Verdict(Effect.COLD, "what is kept stays where it was: what this server does not have begins anew")


def tls(it: Compared) -> Verdict:
    """Switching it off is no step for a running process."""
    return LIVE if it.now or encrypts(None, it.after.redis) else _ON_THE_WIRE


def verify(it: Compared) -> Verdict:
    """Nor is trusting anybody."""
    return LIVE if it.now else Verdict(Effect.FORBIDDEN, "anybody between could read, and answer")


def encrypts(url: SecretStr | None, redis: RedisRule) -> bool:
    """Tell whether nobody can listen on the way to a server; a server within the machine has no way."""
    address = (redis.url if url is None else url).get_secret_value()
    scheme = address.partition("://")[0]
    return scheme in {"rediss", "memory", "local", "unix"} or redis.tls.enabled


def guarantee(it: Compared) -> Verdict:
    """The operator's word; lowering it loses nothing by itself."""
    if it.now == "required":
        return Verdict(Effect.LIVE, "asked of the server before the next call, which it may refuse")
    return Verdict(Effect.LIVE, "a server that evicts is warned of, and no longer refused")


def scope(it: Compared) -> Verdict:
    """What is wider would show one's answers to others."""
    if _SCOPES.index(it.now) < _SCOPES.index(it.was):
        return Verdict(
            Effect.FORBIDDEN,
            f"answers for one {it.was} would be shared: give the wider ones a namespace of their own",
        )
    return Verdict(Effect.COLD, f"entries are kept for each {it.now}: those of before are not found")


def tags(it: Compared) -> Verdict:
    """Entries carry those tags that there were when they were written."""
    if set(it.now) <= set(it.was):
        return LIVE
    return Verdict(
        Effect.COLD, "entries of before do not have the new tags: invalidating by one passes them over"
    )


def dictionaries(it: Compared) -> Verdict:
    """What was compressed with one can be read with no other."""
    if set(it.was) <= set(it.now):
        return LIVE
    return Verdict(Effect.COLD, "what was compressed with a dictionary that is gone is not found")


def encryption(it: Compared) -> Verdict:
    """Switched on, what is plain is not trusted; switched off, what was protected would not be."""
    if it.now:
        return Verdict(Effect.COLD, "entries of before are not encrypted, so they are not found")
    return Verdict(Effect.FORBIDDEN, "what was encrypted would be written for anybody to read")


def keys(it: Compared) -> Verdict:
    """The key that was written with must stay, to be read with."""
    had = [key_bytes(key.get_secret_value()) for key in it.was]
    has = {key_bytes(key.get_secret_value()) for key in it.now}
    if set(had) <= has:
        return LIVE
    if had[0] not in has:
        return Verdict(
            Effect.FORBIDDEN, "what is kept was written with the key that is gone: leave it below the new one"
        )
    return Verdict(Effect.COLD, "what was written with the key that is gone is not found")
