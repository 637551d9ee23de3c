"""Which server of a cluster has a key: slots, and the table of their owners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from redis.crc import key_slot

from cachepolicy.errors import Fault
from cachepolicy.tiers.commands import Command, Repeat
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.replies import SLOTS, UNKNOWN_HOST, store_error

Owners = list[Host | None]
"""Of each slot the master, None where there is none."""


def slot_of(key: str) -> int:
    """Return the slot of a key: of what stands in its first ``{…}``, if anything does."""
    return key_slot(key.encode())


def slots_question(asked: Host) -> Command[Owners]:
    """Ask a server who owns what.

    Args:
        asked: how the server is reached: a server may leave out its own name.
    """
    return Command(("CLUSTER", "SLOTS"), "", lambda reply: read_owners(reply, asked), Repeat.READ)


def read_owners(reply: object, asked: Host) -> Owners:
    """Read the reply to CLUSTER SLOTS.

    Raises:
        StoreUnavailable: it is no such reply, or nobody owns anything yet.
    """
    owners: Owners = [None] * SLOTS
    if not isinstance(reply, list):
        raise store_error(Fault.PROTOCOL, sent=True)
    for part in reply:
        match part:
            case [int() as first, int() as last, [name, int() as port, *more], *_] if (
                0 <= first <= last < SLOTS and isinstance(name, bytes | None)
            ):
                owners[first : last + 1] = [(_name(name, more, asked), port)] * (last - first + 1)
            case _:
                raise store_error(Fault.PROTOCOL, sent=True)
    if not any(owners):
        raise store_error(Fault.CLUSTERDOWN, sent=True)
    return owners


def _name(name: bytes | None, more: Sequence[object], asked: Host) -> str:
    """Name a master: a hostname that nobody has set is ``?``, and its address stands after its id."""
    text = (name or b"").decode(errors="replace")
    if text != UNKNOWN_HOST:
        return text or asked[0]
    match more:
        case [_, dict() | list() as details]:
            address = _details(details).get(b"ip")
            if isinstance(address, bytes):
                return address.decode(errors="replace")
        case _:
            pass
    return asked[0]


def _details(details: dict[object, object] | list[object]) -> Mapping[object, object]:
    return details if isinstance(details, dict) else dict(zip(details[::2], details[1::2], strict=False))
