"""Where temporary files are kept: what all that is done with them works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cachepolicy.codec.sealed import Sealer
from cachepolicy.errors import BlobMissing, StoreError
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.hand import Hand, lend
from cachepolicy.flow.resilience import Budget, ask, ask_all
from cachepolicy.flow.stores import Site
from cachepolicy.keys.blob_ids import blob_name
from cachepolicy.keys.layout import BLOB_GROUP, blob_account_keys, blob_chunk_key, blob_key
from cachepolicy.telemetry.spans import NO_SPAN, Witness
from cachepolicy.tiers import temp
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.shelf import Shelf

T = TypeVar("T")

_SLOWEST: Final = 2**20  # bytes a second that a line must carry, once the deadline is over
_WORTH: Final = 64 * 1024  # bytes whose work is worth a thread
_MOST_COMMANDS: Final = 256  # in one round trip
SLACK: Final = 60_000
"""Ms that chunks outlive their manifest: whoever began to read in time can end."""


@dataclass(frozen=True, slots=True, eq=False)
class Depot:
    """One namespace of files.

    Attributes:
        site: where its Redis is.
        prefix: of its keys.
        deadline: seconds that Redis may add to a step, whatever is sent with it.
        sealer: of chunks.
        plain: the same, without compression.
        words: of manifests.
        chunk: bytes of a chunk.
        batch: how many chunks are stored, or brought, while as many are worked on.
        resumable: ms that an upload that was broken off can be resumed.
        lease: ms that a file which can be read once is kept for its reader.
        most: bytes of the largest file.
        per_owner: bytes that an owner may keep; None: any number.
        total: bytes that all may keep.
        shelf: where large files are; None: in Redis, as all are.
        large: from how many bytes on a file is large.
        told: counts a fault that nobody hears of otherwise.
        witness: hears what its commands meet.
    """

    site: Site
    prefix: str
    deadline: float
    sealer: Sealer
    plain: Sealer
    words: Sealer
    chunk: int
    batch: int
    resumable: int
    lease: int
    most: int
    per_owner: int | None
    total: int | None
    shelf: Shelf | None
    large: int
    told: Callable[[StoreError], object]
    witness: Witness = NO_SPAN

    def budget(self, size: int = 0) -> Budget:
        """Return what a step may wait for Redis that carries so many bytes."""
        return Budget(self.site.clock, self.deadline + size / _SLOWEST, self.witness)

    def ask(self, command: Command[T]) -> Flow[T]:
        """Ask Redis. Raises StoreError."""
        return ask(self.site.guard, command, self.budget())

    def ask_all(self, commands: Sequence[Command[Any]], size: int = 0) -> Flow[list[Any]]:
        """Ask Redis several things; ``size``: bytes that go, or come, with them. Raises StoreError."""
        if not commands:
            return []
        results: list[Any] = []
        for first in range(0, len(commands), _MOST_COMMANDS):
            some = commands[first : first + _MOST_COMMANDS]
            results += yield from ask_all(self.site.guard, some, self.budget(size))
        for result in results:
            if isinstance(result, StoreError):
                raise result
        return results

    def lend(self, work: Callable[[], T], size: int) -> Hand[T]:
        """Have work on so many bytes done in a thread, if that is worth it."""
        return lend(self.site.background, work, worth=size >= _WORTH)

    def on_disk(self, work: Callable[[Shelf], T]) -> Flow[T]:
        """Have something done in the directory of large files. Raises StoreError."""
        shelf = self.shelf
        if shelf is None:  # it was there when the file was uploaded
            raise StoreError("the policy names no directory of large files any more (offload)")
        hand = self.lend(lambda: work(shelf), _WORTH)
        return (yield from hand.outcome())


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where one file is.

    Attributes:
        depot: it is kept in.
        id: of the file.
        name: in keys.
        key: of its manifest.
    """

    depot: Depot
    id: str
    name: str
    key: str

    def chunk(self, index: int) -> str:
        """Return the key of a chunk."""
        return blob_chunk_key(self.depot.prefix, self.name, index)

    def groups(self, count: int, first: int = 0) -> list[list[str]]:
        """Return the keys of the first ``count`` chunks, slot by slot; ``first``: of the groups."""
        return [
            [self.chunk(index) for index in range(at, min(at + BLOB_GROUP, count))]
            for at in range(first * BLOB_GROUP, count, BLOB_GROUP)
        ]

    def reserve(self, owner: str | int | None, size: int, life: int) -> list[Command[bool]]:
        """Return what takes room for it, of its owner and of all."""
        depot = self.depot
        taken = [(depot.total, None)] if owner is None else [(depot.per_owner, owner), (depot.total, None)]
        return [
            temp.reserve(blob_account_keys(depot.prefix, who), self.name, size, most, life)
            for most, who in taken
        ]

    def release(self, owner: str | int | None) -> list[Command[bool]]:
        """Return what gives its room back."""
        accounts = {None, owner}
        return [temp.release(blob_account_keys(self.depot.prefix, who), self.name) for who in accounts]


def places(depot: Depot, blob_id: str) -> Places:
    """Return where a file is, whether it is or not.

    Raises:
        BlobMissing: that is no id of a file.
    """
    name = blob_name(blob_id)
    if name is None:
        raise missing()
    return Places(depot, blob_id, name, blob_key(depot.prefix, name))


def missing() -> BlobMissing:
    """Return the error of a file that is not there."""
    return BlobMissing(
        "there is no such temporary file: it never was, has ended, or could be read once and was"
    )
