"""Some of what is stored under a prefix, from all servers of a Redis. For an operator's command: it walks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import StoreError
from cachepolicy.keys.layout import tag_of
from cachepolicy.tiers import redis_sync
from cachepolicy.tiers.commands import HEAD, Command, head, scan
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.inspecting import begin
from cachepolicy.tiers.ports import SyncStore
from cachepolicy.tiers.slots import slots_question

_PAGE: Final = 500
_MOST_PAGES: Final = 20_000  # of one server: ten million keys


def sample(place: Place, prefix: str, most: int, patience: float) -> Iterator[tuple[str, bytes]]:
    """Yield keys and what is stored under them; values of 64 KiB and more are left out.

    A server's walk goes by the hash of its keys, so its first keys are as good a sample as any: they tell
    neither names nor ages apart. Each master of a cluster gives its share.

    Args:
        place: the database.
        prefix: what the keys begin with.
        most: how many to yield, at most.
        patience: seconds for each command.

    Raises:
        StoreError: a server does not answer.
    """
    return _walk(place, prefix, most, patience, head)


def beginnings(
    place: Place, prefix: str, most: int, patience: float, size: int
) -> Iterator[tuple[str, bytes]]:
    """Yield keys and the first ``size`` bytes, below 64 KiB, of what is stored under them; as ``sample``."""
    return _walk(place, prefix, most, patience, lambda key: begin(key, size))


def _walk(
    place: Place, prefix: str, most: int, patience: float, read: Callable[[str], Command[bytes | None]]
) -> Iterator[tuple[str, bytes]]:
    masters = _masters(place, patience)
    for number, master in enumerate(masters):
        if (share := most // (len(masters) - number)) == 0:
            continue
        store = redis_sync.connect(place, master)
        try:
            for found in _sample(store, prefix, share, patience, read):
                most -= 1
                yield found
        finally:
            store.close()


def _sample(
    store: SyncStore, prefix: str, most: int, patience: float, read: Callable[[str], Command[bytes | None]]
) -> Iterator[tuple[str, bytes]]:
    cursor = 0
    seen: set[str] = set()  # a walk may meet a key twice
    for _ in range(_MOST_PAGES):
        cursor, page = store.execute(scan(cursor, prefix, _PAGE), patience)
        keys = [key for key in dict.fromkeys(page) if key not in seen and tag_of(prefix, key) is None]
        seen.update(keys)
        for key, value in zip(keys, store.execute_all([read(key) for key in keys], patience), strict=True):
            if isinstance(value, bytes) and len(value) < HEAD:  # no value of ours, gone, or a large one
                yield key, value
                most -= 1
                if most <= 0:
                    return
        if cursor == 0:
            return


def _masters(place: Place, patience: float) -> Sequence[Host | None]:
    """Return all servers that hold keys; None for the one that the endpoint names."""
    if not place.endpoint.is_cluster:
        return [None]
    deadline = SYSTEM.monotonic() + patience
    hosts = place.endpoint.address.hosts
    for number, host in enumerate(hosts):
        store = redis_sync.connect(place, host)
        try:
            owners = store.execute(
                slots_question(host), (deadline - SYSTEM.monotonic()) / (len(hosts) - number)
            )
        except StoreError:
            if number == len(hosts) - 1:
                raise
        else:
            return sorted({owner for owner in owners if owner is not None})
        finally:
            store.close()
    return []
