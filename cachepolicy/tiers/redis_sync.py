"""The Redis leaf for ``def``: a bounded pool, no retries, no decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from hiredis import ReplyError

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError
from cachepolicy.tiers.channel import Channel
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Conversation, Place, greeting, open_socket
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.pool import Permit, Pool
from cachepolicy.tiers.replies import FAULTS, again, refused, store_error, translate
from cachepolicy.tiers.sentinel import question

T = TypeVar("T")

_now = SYSTEM.monotonic
_SPOILT: Final = frozenset({Fault.READONLY, Fault.AUTH, Fault.PROTOCOL})


def connect(place: Place, host: Host | None = None) -> RedisSync:
    """Build the leaf for one server; nothing is connected before it is used.

    Args:
        place: the database.
        host: which of the endpoint's servers; None for the one that the endpoint names.
    """
    return RedisSync(place, host)


class RedisSync:
    """``SyncStore`` over a pool of connections."""

    def __init__(self, place: Place, host: Host | None) -> None:
        self._place = place
        self._host = host
        self._pool: Pool[Channel] = Pool(place.endpoint.max_connections)

    def execute(self, command: Command[T], timeout: float) -> T:
        """Carry out a command."""
        (reply,) = self._ask(command.packed(), 1, timeout)
        return self._read(command, reply)

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any | StoreError]:
        """Carry out several in one round trip."""
        try:
            replies = self._ask(b"".join(command.packed() for command in commands), len(commands), timeout)
        except StoreError as fault:
            return [again(fault) for _ in commands]
        results: list[Any | StoreError] = []
        for command, reply in zip(commands, replies, strict=True):
            try:
                results.append(self._read(command, reply))
            except StoreError as fault:
                results.append(fault)
        return results

    def node(self, key: str) -> str:  # noqa: ARG002 - there is one server
        """Name the one server."""
        return ""

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()

    def _ask(self, packed: bytes, count: int, timeout: float) -> list[object]:
        """Send commands and return their replies.

        An exception from outside may come after any step: the connection is then closed, or was never put
        back, and the permit goes back, or is missed and issued anew.
        """
        deadline = _now() + timeout
        pool = self._pool
        idle = pool.idle
        permit: Permit | None = None
        channel: Channel | None = None
        known: tuple[type[BaseException], ...] = FAULTS
        try:
            permit = pool.permit(timeout)
            channel = pool.take() or self._open(deadline)
            known = (OSError,)  # anything else is from outside
            replies = channel.ask(packed, count, deadline)
        except BaseException as error:
            if channel is not None:
                channel.close()
            elif isinstance(error, StoreError):
                error.sent = False  # it was the greeting that failed
            if isinstance(error, known):
                raise translate(error, sent=channel is not None) from None
            raise
        else:
            idle.append(channel)
            return replies
        finally:
            if permit is not None:
                pool.give_back(permit)

    def _open(self, deadline: float) -> Channel:
        """Connect to the server and greet it."""
        place = self._place
        if place.local is not None:
            place.local.ensure(deadline - _now())
        deadline = min(deadline, _now() + place.endpoint.connect_timeout)
        channel, _ = _hold(place, self._host or _find(place, deadline), greeting(place), deadline)
        return channel

    def _read(self, command: Command[T], reply: object) -> T:
        """Make a reply into a result.

        Connections that the server would not answer any more as it did, or that are out of step, are not
        kept: it is no longer the master, or wants a password; or this is the reply to something else.
        """
        try:
            if type(reply) is ReplyError:
                raise refused(reply)
            return command.read(reply)
        except StoreError as fault:
            if fault.fault in _SPOILT:
                self._pool.close()
            raise


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
    connected = open_socket(place, host, max(0.001, deadline - _now()))
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
