"""Opening a connection of code that waits: to the server that is meant, greeted, within one deadline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.channel import Channel
from cachepolicy.tiers.dial import Conversation, Place, greeting, open_socket
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.replies import FAULTS, store_error, translate
from cachepolicy.tiers.sentinel import question

T = TypeVar("T")

_LEAST: Final = 0.001  # seconds: zero would mean "do not wait at all"
_now = SYSTEM.monotonic


def open_channel(place: Place, host: Host | None, deadline: float) -> Channel:
    """Connect to a server, and greet it.

    Args:
        place: the database.
        host: which of the endpoint's servers; None for the one that the endpoint names.
        deadline: on the monotonic clock; ``connect_timeout`` may end sooner.

    Raises:
        StoreError: it is out of order, or refuses.
        OSError: it cannot be reached.
    """
    if place.local is not None:
        place.local.ensure(deadline - _now())
    deadline = min(deadline, _now() + place.endpoint.connect_timeout)
    channel, _ = _hold(place, host or _find(place, deadline), greeting(place), deadline)
    return channel


def open_any(place: Place, chance: Callable[[], float]) -> Channel:
    """Connect to the server that the endpoint names; of a cluster, to any that can be reached.

    Args:
        place: the database.
        chance: draws from 0 to 1; it orders a cluster's servers.

    Raises:
        StoreError: it cannot be reached, is out of order, or refuses.
    """
    hosts: list[Host | None] = [None]
    if place.endpoint.is_cluster:
        hosts = sorted(place.endpoint.address.hosts, key=lambda _: chance())
    fault = store_error(Fault.REFUSED, sent=False)
    for host in hosts:
        try:
            return open_channel(place, host, _now() + place.endpoint.connect_timeout)
        except StoreError as error:
            fault = error
        except FAULTS as error:
            fault = translate(error, sent=False)
    raise fault


def _find(place: Place, deadline: float) -> Host | None:
    """Return the server to connect to; None for a unix socket."""
    address = place.endpoint.address
    if address.scheme != "redis+sentinel":
        return address.hosts[0] if address.hosts else None
    fault = store_error(Fault.REFUSED, sent=False)
    for number, host in enumerate(address.hosts):
        share = (deadline - _now()) / (len(address.hosts) - number)  # a silent one leaves time for the next
        try:
            channel, master = _hold(place, host, question(place), _now() + share)
        except StoreError as error:
            fault = error
        except FAULTS as error:
            fault = translate(error, sent=False)
        else:
            channel.close()
            return master
    raise fault


def _hold(
    place: Place, host: Host | None, conversation: Conversation[T], deadline: float
) -> tuple[Channel, T]:
    """Connect, and hold the first conversation."""
    connected = open_socket(place, host, max(_LEAST, deadline - _now()))
    try:
        channel = Channel(connected)
        words = next(conversation)
        while True:
            replies = channel.say(words, deadline)
            try:
                words = conversation.send(replies)
            except StopIteration as end:
                return channel, end.value
    except BaseException:
        connected.close()
        raise
