"""What this process knows of the versions of a namespace's tags, and how a stored value stands to them.

A version that was read is trusted while changes are heard of, and never longer than a value in L1. One that
is no longer trusted still serves to stamp a new value: at worst the value is out of date from the start.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from cachepolicy.codec.envelope import TAG_ID, TAG_SIZE

MOST_TAGS: Final = 20_000
_PURGED_AT: Final = slice(TAG_ID, TAG_ID + 8)


class Standing(Enum):
    """How a stored value stands to the versions of its tags."""

    CURRENT = auto()
    EXPIRED = auto()  # it may serve where there is nothing better
    PURGED = auto()
    UNKNOWN = auto()  # it carries a tag whose version is to be read first


class _Known(NamedTuple):
    part: bytes  # id and version, as a value carries them
    until: float  # monotonic


class Versions:
    """The versions of one namespace's tags.

    Args:
        prefix: what the namespace's keys begin with.
        life: seconds that a version is kept in Redis; longer than any value that carries it.
    """

    def __init__(self, prefix: str, life: float) -> None:
        self.prefix = prefix
        self.life = life
        self._known: dict[bytes, _Known] = {}
        self._epochs = itertools.count(1)
        self._epoch = 0
        self._lock = threading.Lock()

    def vector(self, tags: Sequence[bytes], now: float) -> bytes | None:
        """Return the current versions of tags as a value carries them; None where one is not trusted."""
        known = self._known
        if len(tags) == 1:
            one = known.get(tags[0])
            return None if one is None or one.until <= now else one.part
        parts: list[bytes] = []
        for tag in tags:
            one = known.get(tag)
            if one is None or one.until <= now:
                return None
            parts.append(one.part)
        return b"".join(parts)

    def last(self, tags: Sequence[bytes]) -> bytes | None:
        """Return the versions that were last known, trusted or not; None where one was never read."""
        return self.vector(tags, -1.0)

    def epoch(self) -> int:
        """Return what ``learn`` is to be told: versions read before a change are not trusted after it."""
        return self._epoch

    def learn(self, tags: Sequence[bytes], versions: Sequence[bytes], until: float, epoch: int) -> bytes:
        """Take versions as they were read and return them as a value carries them.

        Args:
            tags: their ids.
            versions: of the tags, in order.
            until: when they are no longer trusted, monotonic.
            epoch: at the moment before they were asked for.
        """
        parts = [tag + version for tag, version in zip(tags, versions, strict=True)]
        with self._lock:
            if epoch != self._epoch:
                until = 0.0
            for tag, part in zip(tags, parts, strict=True):
                self._known[tag] = _Known(part, until)
            while len(self._known) > MOST_TAGS:
                del self._known[next(iter(self._known))]
        return b"".join(parts)

    def forget(self, tag: bytes) -> None:
        """Trust a version no longer: it changed."""
        with self._lock:
            self._epoch = next(self._epochs)
            known = self._known.get(tag)
            if known is not None:
                self._known[tag] = known._replace(until=0.0)

    def distrust(self) -> None:
        """Trust none any longer: changes may have gone unheard."""
        with self._lock:
            self._epoch = next(self._epochs)
            self._known = {tag: known._replace(until=0.0) for tag, known in self._known.items()}

    def standing(self, carried: bytes, tags: Sequence[bytes], vector: bytes, now: float) -> Standing:
        """Tell how a value stands.

        Args:
            carried: the versions that it carries.
            tags: those that it must carry, being an answer to this call.
            vector: their current versions.
            now: monotonic.
        """
        if carried == vector:
            return Standing.CURRENT
        current = {part[:TAG_ID]: part for part in parts_of(vector)}
        known = self._known
        missing = set(tags)
        worst = Standing.CURRENT
        for part in parts_of(carried):
            tag = part[:TAG_ID]
            missing.discard(tag)
            now_current = current.get(tag)
            if now_current is None:
                one = known.get(tag)
                if one is None or one.until <= now:
                    return Standing.UNKNOWN
                now_current = one.part
            if part[_PURGED_AT] != now_current[_PURGED_AT]:
                return Standing.PURGED
            if part != now_current:
                worst = Standing.EXPIRED
        return Standing.PURGED if missing else worst

    def after_fork(self) -> None:
        """Forget a lock that another thread held when this process was forked, and trust nothing."""
        self._lock = threading.Lock()
        self.distrust()


def parts_of(vector: bytes) -> Iterator[bytes]:
    """Return each tag's id and version."""
    return (vector[at : at + TAG_SIZE] for at in range(0, len(vector), TAG_SIZE))


def ids_of(vector: bytes) -> tuple[bytes, ...]:
    """Return the ids of the tags."""
    return tuple(part[:TAG_ID] for part in parts_of(vector))
