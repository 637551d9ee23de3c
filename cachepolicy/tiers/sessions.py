"""Sessions in Redis: each a hash, listed in another of its user; a script is a step, by the server's clock.

What stands in the hashes is said in ``lua/session.lua``. Whatever is taken out of a user's list has ended,
so all of a user's sessions end with one key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import HEAD, Command, Repeat, flag
from cachepolicy.tiers.resp import Word, layout_before
from cachepolicy.tiers.scripts import Script
from cachepolicy.tiers.session_replies import (
    Changed,
    Created,
    Listed,
    Loaded,
    Unpatched,
    created,
    listing,
    loaded_or_none,
    moment,
    patched,
    replaced,
    times,
)

T = TypeVar("T")

_LOAD: Final = scripts.load("clock", "session_quick", "session", "session_load")
_LOADING: Final = layout_before(("EVALSHA", _LOAD.digest, 2), 5)
_TOUCH: Final = scripts.load("clock", "session", "session_touch")
_CREATE: Final = scripts.load("clock", "session", "session_create")
_PATCH: Final = scripts.load("clock", "session", "session_patch")
_REPLACE: Final = scripts.load("clock", "session", "session_replace")
_ROTATE: Final = scripts.load("clock", "session", "session_rotate")
_TAKE: Final = scripts.load("clock", "session", "session_take")
_END: Final = scripts.load("clock", "session", "session_end")
_OTHERS: Final = scripts.load("clock", "session", "session_others")
_REVOKE: Final = scripts.load("session_revoke")
_LIST: Final = scripts.load("clock", "session_list")

NEVER: Final = 2.0
"""The share of its life without use from which on a session is renewed: not at all."""


class At(NamedTuple):
    """Where a session lies, and as whose.

    Attributes:
        key: of the session.
        listed: of the sessions of its user.
        id: of the session.
        digest: SHA-256 of the token.
    """

    key: str
    listed: str
    id: str
    digest: bytes

    def __repr__(self) -> str:
        return "At()"


class Terms(NamedTuple):
    """How long a session lives, in ms, and among how many.

    Attributes:
        idle: without use.
        absolute: at most.
        most: how many its user may have; 0: it is anonymous.
        refuse: whether one more is refused; else the oldest ends.
    """

    idle: int
    absolute: int
    most: int
    refuse: bool


def load(at: At, share: float, *, large: bool) -> Command[Loaded | None]:
    """Load a session and renew it; None where there is none.

    Args:
        at: where.
        share: of its life without use, from which on it is renewed.
        large: it may be longer than 64 KiB.
    """
    key, listed, session_id, digest = at
    words = ("EVALSHA", _LOAD.digest, 2, key, listed, session_id, digest, f"{share:g}")

    def packed(_: str) -> bytes:
        return _LOADING((key.encode(), listed.encode(), session_id.encode(), digest, words[-1].encode()))

    return Command(words, key, loaded_or_none, Repeat.WRITE, large, _LOAD.source, packed)


def touch(at: At) -> Command[tuple[int, int] | None]:
    """Renew a session; tells when it was used and when it ends, in ms, where there is one."""
    return _call(_TOUCH, at, [], times)


def create(at: At, terms: Terms, device: bytes, fields: Mapping[str, bytes]) -> Command[Created | None]:
    """Make a session; None where its user has as many as may be.

    Args:
        at: where nothing is yet.
        terms: how long it lives.
        device: as it is listed.
        fields: what it holds, by name.
    """
    words = [terms.idle, terms.absolute, terms.most, int(terms.refuse), device, *_pairs(fields)]
    return _call(_CREATE, at, words, created, large=_is_large(fields.values()))


def patch(
    at: At, share: float, most: int, changes: Mapping[str, bytes], remove: Sequence[str], *, large: bool
) -> Command[Loaded | Unpatched | None]:
    """Change some of what a session holds.

    Args:
        at: where; so are ``share`` and ``large`` as of ``load``.
        share: see there.
        most: the most bytes that it may hold.
        changes: by name.
        remove: names.
        large: see there.
    """
    words = [f"{share:g}", most, _change(), len(changes), *_pairs(changes), *remove]
    return _call(_PATCH, at, words, patched, large=large or _is_large(changes.values()))


def replace(
    at: At, share: float, version: bytes, fields: Mapping[str, bytes], *, large: bool
) -> Command[Loaded | Changed | None]:
    """Replace all that a session holds, if nobody has changed it since.

    Args:
        at: where; so are ``share`` and ``large`` as of ``load``.
        share: see there.
        version: the name of the change after which it was read; empty: of none.
        fields: by name.
        large: see there.
    """
    words = [f"{share:g}", version, _change(), *_pairs(fields)]
    return _call(_REPLACE, at, words, replaced, large=large or _is_large(fields.values()))


def rotate(at: At, digest: bytes, grace: int, *, large: bool) -> Command[Loaded | None]:
    """Give a session another token; None where there is none, or the token is not its newest.

    Args:
        at: where.
        digest: SHA-256 of the other token.
        grace: how long the one before is still good, in ms.
        large: as of ``load``.
    """
    return _call(_ROTATE, at, [digest, grace], loaded_or_none, large=large)


def take(at: At, tag: str, kept: int, *, large: bool) -> Command[Loaded | None]:
    """End a session for good and hand over what it holds; again only for the same user.

    Args:
        at: where.
        tag: of the user.
        kept: for how long, in ms.
        large: as of ``load``.
    """
    return _call(_TAKE, at, [tag, kept], loaded_or_none, large=large)


def end(at: At) -> Command[int | None]:
    """End a session; tells when it was made, in µs, where there was one."""
    return _call(_END, at, [], moment)


def end_others(at: At) -> Command[bool]:
    """End all sessions of a user but this one; tells whether this one is there."""
    return _call(_OTHERS, at, [], flag)


def revoke(key: str, listed: str, session_id: str) -> Command[bool]:
    """End a session that is known by its id; tells whether it was there."""
    return _REVOKE.call([key, listed], [session_id], flag, Repeat.WRITE)


def list_all(listed: str) -> Command[list[Listed]]:
    """List the sessions of a user that have not ended."""
    return _LIST.call([listed], [], listing, Repeat.READ)


def _call(
    script: Script, at: At, words: Iterable[Word], read: Callable[[object], T], *, large: bool = False
) -> Command[T]:
    """Every step may be repeated: done twice, it comes to the same."""
    command = script.call([at.key, at.listed], [at.id, at.digest, *words], read, Repeat.WRITE)
    command.bulk = large
    return command


def _change() -> bytes:
    """Name a change; told again, it is the same one."""
    return os.urandom(8)


def _is_large(values: Iterable[bytes]) -> bool:
    return sum(map(len, values)) >= HEAD


def _pairs(fields: Mapping[str, bytes]) -> list[Word]:
    return [word for pair in fields.items() for word in pair]
