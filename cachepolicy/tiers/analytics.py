"""Counts in Redis: hashes of numbers by hour, day and month, in which a series is known by a short number.

All keys of a metric share a slot, and each step is one script. Whoever counts says by which numbers it knows
the series, and the script sees whether they still have them: what was lost in Redis never makes one series'
counts another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cachepolicy.tiers import scripts
from cachepolicy.tiers.commands import HEAD, Command, Repeat, no_reply
from cachepolicy.tiers.resp import Word, layout

_INTERN: Final = scripts.load("metric_intern")
_COUNT: Final = scripts.load("metric_series", "metric_count")
_SEE: Final = scripts.load("metric_series", "metric_see")
_SHOW: Final = scripts.load("metric_series", "metric_show")
_SOME: Final = scripts.load("metric_some")

REMEMBERED: Final = 600
"""Seconds for which it is known that a batch was counted: for so long it may be sent again."""

_EVERYTHING: Final = layout("HGETALL")

_LONG: Final = 1000  # words, from which on it may be a large command


class Interned(NamedTuple):
    """Which numbers series have.

    Attributes:
        epoch: tells these numbers from those that there were before all was lost.
        numbers: of the series; 0: there are too many, and it is counted together with others.
    """

    epoch: str
    numbers: list[int]


class Known(NamedTuple):
    """By which numbers who counts knows its series.

    Attributes:
        key: of the metric's series.
        epoch: of the numbers.
        life: for how long the series are kept, in ms; 0: for ever.
        series: the spelling and the number of each.
    """

    key: str
    epoch: str
    life: int
    series: Sequence[tuple[bytes, int]]

    @property
    def words(self) -> list[Word]:
        """All of it but the key, as the scripts read it."""
        spelled = [spelling for spelling, _ in self.series]
        return [self.epoch, self.life, len(spelled), *spelled, *[number for _, number in self.series]]


class Bucket(NamedTuple):
    """One hash or set.

    Attributes:
        key: of it.
        life: for how long it is kept, in ms; 0: for ever; below: it is not kept any more.
    """

    key: str
    life: int


class Group(NamedTuple):
    """What is added to some series in one hour.

    Attributes:
        buckets: of the month, the day and the hour.
        words: of each number its field and what is added.
    """

    buckets: tuple[Bucket, Bucket, Bucket]
    words: list[Word]


def intern(key: str, spellings: Sequence[bytes], *, epoch: str, most: int) -> Command[Interned]:
    """Ask for the numbers of series; those that have none get one.

    Args:
        key: of the metric's series.
        spellings: of the series, from ``keys.series``.
        epoch: of the numbers, if nobody has given any yet; random.
        most: how many series there may be.
    """
    command = _INTERN.call([key], [epoch, most, *spellings], _interned, Repeat.WRITE)
    command.bulk = sum(map(len, spellings)) >= HEAD
    return command


def count(known: Known, guard: str, groups: Sequence[Group]) -> Command[int | None]:
    """Add up, once however often it is said.

    Args:
        known: the series.
        guard: where it stands that this was done.
        groups: what is added.

    Returns how many numbers were not added, as their sums would be too large; None: the series have other
    numbers now, and nothing was done.
    """
    keys: dict[str, int] = {known.key: 1, guard: 2}
    words: list[Word] = [*known.words, REMEMBERED]
    for buckets, added in groups:
        for key, life in buckets:
            words += (keys.setdefault(key, len(keys) + 1) if life >= 0 else 0, max(0, life))
        words.append(len(added) // 2)
        words += added
    return _call(_COUNT, list(keys), words)


def see(known: Known, seen: Sequence[tuple[Bucket, Sequence[bytes]]]) -> Command[int | None]:
    """Note what was seen; result as of ``count``."""
    words = known.words
    for bucket, items in seen:
        words += (bucket.life, len(items), *items)
    return _call(_SEE, [known.key, *[bucket.key for bucket, _ in seen]], words)


def show(known: Known, shown: Sequence[tuple[Bucket, list[Word]]]) -> Command[int | None]:
    """Note what gauges showed: of each its field, when that was, the value, the lowest and the highest.

    Result as of ``count``.
    """
    words = known.words
    for bucket, gauges in shown:
        words += (bucket.life, len(gauges) // 5, *gauges)
    return _call(_SHOW, [known.key, *[bucket.key for bucket, _ in shown]], words)


class Census(NamedTuple):
    """What is known of a metric's series as a whole.

    Attributes:
        epoch: of their numbers; empty: there are none.
        number: how many there are.
        refused: how often one more was wanted, and there was no room.
    """

    epoch: str
    number: int
    refused: int


def census(key: str) -> Command[Census]:
    """Ask about a metric's series as a whole; ``key``: of the series."""
    return Command(("HMGET", key, "e", "n", "x"), key, _census, Repeat.READ)


def everything(key: str) -> Command[dict[bytes, bytes]]:
    """Ask for all of a hash."""
    return Command(("HGETALL", key), key, _hash, Repeat.READ, bulk=True, layout=_EVERYTHING)


def some(keys: Sequence[str], numbers: Sequence[int]) -> Command[list[dict[bytes, bytes]]]:
    """Ask for the sums of some series of each of several hashes; which have none is left out.

    Args:
        keys: of the hashes; at least one.
        numbers: of the series; at least one.
    """
    fields, count = [b"%d" % number for number in numbers], len(numbers)

    def read(reply: object) -> list[dict[bytes, bytes]]:
        if not isinstance(reply, list) or len(reply) != len(keys) * count:
            raise no_reply(reply)
        if count == 1:
            (field,) = fields
            return [{} if value is None else {field: value} for value in reply]
        found: list[dict[bytes, bytes]] = []
        for at in range(0, len(reply), count):
            pairs = zip(fields, reply[at : at + count], strict=True)
            found.append({field: value for field, value in pairs if value is not None})
        return found

    command = _SOME.call(keys, fields, read, Repeat.READ)
    command.bulk = True
    return command


def distinct(keys: Sequence[str]) -> Command[int]:
    """Ask how much was seen in all of several sets together; at least one."""
    return Command(("PFCOUNT", *keys), keys[0], _whole, Repeat.READ, bulk=True)


def _call(script: scripts.Script, keys: Sequence[str], words: Sequence[Word]) -> Command[int | None]:
    """Every step may be repeated: done twice, it comes to the same."""
    command = script.call(keys, words, _outcome, Repeat.WRITE)
    command.bulk = len(words) >= _LONG or sum(len(word) for word in words if isinstance(word, bytes)) >= HEAD
    return command


def _outcome(reply: object) -> int | None:
    if isinstance(reply, int):
        return None if reply < 0 else reply
    raise no_reply(reply)


def _interned(reply: object) -> Interned:
    match reply:
        case [bytes() as epoch, *numbers]:
            return Interned(epoch.decode(), [number for number in numbers if isinstance(number, int)])
        case _:
            raise no_reply(reply)


def _census(reply: object) -> Census:
    match reply:
        case [epoch, count, refused]:
            return Census(_text(epoch), int(_text(count) or 0), int(_text(refused) or 0))
        case _:
            raise no_reply(reply)


def _hash(reply: object) -> dict[bytes, bytes]:
    if isinstance(reply, dict):
        return reply
    if isinstance(reply, list):  # as memory:// has it
        return dict(zip(reply[::2], reply[1::2], strict=True))
    raise no_reply(reply)


def _whole(reply: object) -> int:
    if isinstance(reply, int):
        return reply
    raise no_reply(reply)


def _text(word: object) -> str:
    if word is None:
        return ""
    if isinstance(word, bytes):
        return word.decode()
    raise no_reply(word)
