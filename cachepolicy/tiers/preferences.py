"""What users prefer: a hash for each, with a field for each path, which changes as a whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import HEAD, Command, Repeat, no_reply

_CHANGE: Final = scripts.load("clock", "preferences")
_READ: Final = scripts.load("preferences_read")
_VERSION: Final = b":version"


class Came(Enum):
    """What became of a change."""

    DONE = 0
    OTHER_VERSION = 1
    OTHER_VALUE = 2
    TOO_MANY = 3
    TOO_LARGE = 4
    TORN = 5  # a path would have a value, and others below it


class Changed(NamedTuple):
    """What became of a change.

    Attributes:
        came: whether it was made, or why not.
        version: that is there now; 0: nothing is.
        value: that is there instead of the one expected; empty: none.
    """

    came: Came
    version: int = 0
    value: bytes = b""


class Chosen(NamedTuple):
    """What a user has chosen.

    Attributes:
        values: by path, sealed.
        version: changes with each change, and never comes back; 0: nothing was chosen.
    """

    values: dict[str, bytes]
    version: int


@dataclass(frozen=True, slots=True)
class Caps:
    """How much a user may prefer.

    Attributes:
        fields: the most paths.
        size: the most bytes, of paths and values together.
        ttl: for how many ms it is kept after it was last asked for; 0: for ever.
    """

    fields: int
    size: int
    ttl: int


def read(key: str, caps: Caps) -> Command[Chosen]:
    """Ask for all that a user has chosen. ``key`` is from ``keys.layout.preferences_key``."""
    bulk = caps.size >= HEAD
    if caps.ttl == 0:
        return Command(("HGETALL", key), key, _chosen, Repeat.READ, bulk=bulk)
    command = _READ.call([key], [caps.ttl], _chosen, Repeat.WRITE)
    command.bulk = bulk
    return command


def change(
    key: str,
    caps: Caps,
    changes: Mapping[str, bytes],
    removed: Sequence[str] = (),
    *,
    version: int | None = None,
    instead_of: bytes | None = None,
) -> Command[Changed]:
    """Set some paths and remove others, or do nothing.

    Args:
        key: from ``keys.layout.preferences_key``.
        caps: what the user may keep; what was kept before may be more.
        changes: sealed values by path.
        removed: paths that go first, with all below them.
        version: that must be there; 0: nothing is. None: any.
        instead_of: what must be there of the one path of ``changes``; empty: nothing. None: anything.
    """
    wanted = "" if version is None else version
    arguments = [wanted, caps.fields, caps.size, caps.ttl, "any" if instead_of is None else "is"]
    pairs = [word for pair in changes.items() for word in pair]
    words = [*arguments, len(removed), instead_of or b"", *removed, *pairs]
    is_free = version is None and instead_of is None  # said again it comes to the same
    command = _CHANGE.call([key], words, _changed, Repeat.WRITE if is_free else Repeat.ONCE)
    command.bulk = sum(map(len, changes.values())) >= HEAD
    return command


def _chosen(reply: object) -> Chosen:
    if isinstance(reply, list) and len(reply) % 2 == 0:  # of a script, or of an old protocol
        fields = dict(zip(reply[::2], reply[1::2], strict=True))
    elif isinstance(reply, dict):
        fields = dict(reply)
    else:
        raise no_reply(reply)
    version = fields.pop(_VERSION, b"0")
    try:
        return Chosen({path.decode(): bytes(value) for path, value in fields.items()}, int(version))
    except (AttributeError, TypeError, ValueError):  # what is no text, no bytes, no number
        raise no_reply(reply) from None


def _changed(reply: object) -> Changed:
    match reply:
        case [2, bytes(value)]:
            return Changed(Came.OTHER_VALUE, value=value)
        case [int(came), int(version)] if 0 <= came <= 5:
            return Changed(Came(came), version)
        case _:
            raise no_reply(reply)
