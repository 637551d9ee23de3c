"""Room for temporary files: it is taken before anything is stored, and falls back by itself."""

from __future__ import annotations

from typing import Any

from cachepolicy.errors import QuotaExceeded, StoreError
from cachepolicy.flow.depot import Depot, Places
from cachepolicy.flow.effects import Flow
from cachepolicy.keys.layout import blob_account_keys
from cachepolicy.tiers import temp
from cachepolicy.tiers.commands import Command


def take(
    places: Places, owner: str | int | None, size: int, life: int, more: list[Command[Any]]
) -> Flow[list[Any]]:
    """Take room for so many bytes, instead of what the file has; in the same round trip, do ``more``.

    Each account decides for itself. Where one has no room the other may have given some: whoever goes on asks
    for less, whoever ends the upload gives all of it back.

    Raises:
        QuotaExceeded: there is no room; ``more`` may have been done.
        StoreError: Redis could not be asked.
    """
    taking = places.reserve(owner, size, life)
    results = yield from places.depot.ask_all([*taking, *more])
    if all(results[: len(taking)]):
        return results[len(taking) :]
    whose = "its owner" if owner is not None and not results[0] else "the namespace"
    raise QuotaExceeded(f"no room for a file of {size} bytes or more: {whose} keeps as much as quotas say")


def usage(depot: Depot, owner: str | int | None) -> Flow[int]:
    """Return how many bytes an owner keeps; None: all."""
    return depot.ask(temp.usage(blob_account_keys(depot.prefix, owner)))


def forget(places: Places, owner: str | int | None, count: int, *, on_disk: bool) -> Flow[None]:
    """Remove all of a file, and give its room back; what cannot be told to Redis ends by itself.

    Args:
        places: of the file.
        owner: who keeps it.
        count: how many chunks it may have.
        on_disk: whether they are in the directory.
    """
    depot = places.depot
    groups = [] if on_disk else places.groups(count)
    removing = [temp.unlink_all([places.key]), *map(temp.unlink_all, groups), *places.release(owner)]
    try:
        yield from depot.ask_all(removing)
        if on_disk:
            yield from depot.on_disk(lambda shelf: shelf.remove(places.name))
    except StoreError as fault:
        depot.told(fault)
