"""Keys without a TTL in Redis, which ``volatile-*`` never evicts: their deadlines stand in a set beside them.

Any command can be done so. A script gets a ``redis`` of its own, which writes deadlines in the place of TTLs
and removes what is over before it looks; a single command becomes a script. Still it is one round trip.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeVar

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import Command, Repeat, no_reply
from cachepolicy.tiers.scripts import Script

T = TypeVar("T")

_BEFORE: Final = scripts.load("protected").source
_ONE: Final = scripts.load("do").source
_SWEEP: Final = scripts.load("clock", "sweep")
_known: dict[str, Script] = {}


class Swept(NamedTuple):
    """What a sweep has done.

    Attributes:
        gone: how many keys it removed; None: another process sweeps.
        late: for how long the first of them was over, in seconds.
        left: how many deadlines there are still.
    """

    gone: int | None
    late: float
    left: int


def protected(command: Command[T], deadlines: str) -> Command[T]:
    """Return a command that does the same without TTLs.

    Args:
        command: any; the keys whose ends it sees to are those that it names.
        deadlines: where they stand.
    """
    words: tuple[Any, ...] = command.words
    if command.source is None:
        script, keys, arguments = _script(_ONE), (command.key,), words
    else:
        first = 3 + words[2]
        script, keys, arguments = _script(command.source), words[3:first], words[first:]
    called = ("EVALSHA", script.digest, len(keys) + 1, *keys, deadlines, *arguments)
    return replace(command, words=called, source=script.source, layout=None)


def sweep(deadlines: str, sweeper: str, who: str, lease: float, most: int) -> Command[Swept]:
    """Remove keys that are over, unless another process does.

    Args:
        deadlines: where it stands when they are.
        sweeper: where it stands who removes them.
        who: asks; nobody else's name.
        lease: for how many seconds nobody else may.
        most: keys that go at once.
    """
    return _SWEEP.call([deadlines, sweeper], [who, round(lease * 1000), most], _swept, Repeat.WRITE)


def _script(source: str) -> Script:
    script = _known.get(source)
    if script is None:
        script = _known[source] = Script(f"{_BEFORE}\n{source}")
    return script


def _swept(reply: object) -> Swept:
    match reply:
        case [int(gone), int(late), int(left)]:
            return Swept(None if gone < 0 else gone, late / 1000, left)
        case _:
            raise no_reply(reply)
