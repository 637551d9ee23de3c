"""What Redis says of sessions, read."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final, NamedTuple

from cachepolicy.tiers.commands import no_reply

_LOADED: Final = 5
_ENTRY: Final = 42  # digits: when a session was made, in µs, and when it was used, and ends, in ms


class Loaded(NamedTuple):
    """A session that was found; times are ms since the epoch, on the server's clock.

    Attributes:
        now: the time.
        touched: whether that it was used was written now.
        newest: whether the token is the last that it was given.
        head: its times, as in ``lua/session.lua``.
        fields: all that it holds, names and values in turn.
    """

    now: int
    touched: int
    newest: int
    head: bytes
    fields: list[bytes]

    def field(self, name: bytes) -> bytes | None:
        """Return what stands under a name; None where nothing does."""
        names = self.fields[::2]
        return self.fields[2 * names.index(name) + 1] if name in names else None


class Created(NamedTuple):
    """A session that was made; times as of ``Loaded``.

    Attributes:
        made: when.
        ends: when it ends without use.
        ended: the ids of those that ended because its user had too many.
    """

    made: int
    ends: int
    ended: tuple[str, ...]


class Listed(NamedTuple):
    """A session in the list of its user; times as of ``Loaded``, ``device`` as it was given."""

    id: str
    made: int
    used: int
    ends: int
    device: bytes


class Unpatched(Enum):
    """Why a patch was not made."""

    WHOLE = auto()  # all that the session holds is one value
    TOO_MUCH = auto()  # it would hold more than it may


class Changed(NamedTuple):
    """What was not replaced: somebody else changed it; ``now``: what is there."""

    now: Loaded


_loaded: Final[Any] = Loaded._make


def loaded_or_none(reply: object) -> Loaded | None:
    """Read a session; None where there is none."""
    if type(reply) is list and len(reply) == _LOADED and type(reply[-1]) is list and len(reply[-1]) % 2 == 0:
        loaded: Loaded = _loaded(reply)
        return loaded
    if reply is None:
        return None
    raise no_reply(reply)


def patched(reply: object) -> Loaded | Unpatched | None:
    """Read what became of a patch."""
    match reply:
        case 2:
            return Unpatched.WHOLE
        case 3:
            return Unpatched.TOO_MUCH
        case _:
            return loaded_or_none(reply)


def replaced(reply: object) -> Loaded | Changed | None:
    """Read what became of a replacement."""
    match reply:
        case [now_there]:
            changed = loaded_or_none(now_there)
            if changed is None:
                raise no_reply(reply)
            return Changed(changed)
        case _:
            return loaded_or_none(reply)


def created(reply: object) -> Created | None:
    """Read a session that was made; None where there are too many."""
    match reply:
        case []:
            return None
        case [int(made), int(ends), [*ended]]:
            return Created(made, ends, tuple(_text(one) for one in ended))
        case _:
            raise no_reply(reply)


def times(reply: object) -> tuple[int, int] | None:
    """Read when a session was used, and when it ends; None where there is none."""
    match reply:
        case None:
            return None
        case [int(used), int(ends)]:
            return used, ends
        case _:
            raise no_reply(reply)


def moment(reply: object) -> int | None:
    """Read when a session was made; None where there is none."""
    if reply is None or isinstance(reply, int):
        return reply
    raise no_reply(reply)


def listing(reply: object) -> list[Listed]:
    """Read the sessions of a user, the newest last, without those that are over."""
    match reply:
        case [int(now), [*flat]] if len(flat) % 2 == 0:
            every = sorted(zip(flat[1::2], flat[::2], strict=True))  # it begins with when it was made
            found = [_listed(name, entry) for entry, name in every]
            return [listed for listed in found if listed.ends > now]
        case _:
            raise no_reply(reply)


def _listed(name: object, entry: object) -> Listed:
    if isinstance(entry, bytes) and entry[:_ENTRY].isdigit() and len(entry) >= _ENTRY:
        return Listed(_text(name), int(entry[:13]), int(entry[16:29]), int(entry[29:42]), entry[_ENTRY:])
    raise no_reply(entry)


def _text(word: object) -> str:
    if isinstance(word, bytes) and word.isascii():
        return word.decode()
    raise no_reply(word)
