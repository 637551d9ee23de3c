"""The Redis leaf for ``def``: a bounded pool, no retries, no decisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from hiredis import ReplyError

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreError
from cachepolicy.telemetry.servers import connected
from cachepolicy.tiers.channel import Channel
from cachepolicy.tiers.commands import Command
from cachepolicy.tiers.dial import Place
from cachepolicy.tiers.dial_sync import open_channel
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.pool import Permit, Pool
from cachepolicy.tiers.replies import FAULTS, again, refused, translate

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
        connected(self._pool, place.endpoint.server("" if host is None else "{}:{}".format(*host)))

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

    def spread(self) -> list[str]:
        """Return a key of the one server."""
        return [""]

    def busy(self) -> float:
        """Return the share of its connections that is in use."""
        return self._pool.busy

    def close(self) -> None:
        """Close the connections."""
        self._pool.end()

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
            channel = pool.take() or open_channel(self._place, self._host, deadline)
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
            if pool.idle is not idle:  # it was closed meanwhile
                pool.drop(idle)
            return replies
        finally:
            if permit is not None:
                pool.give_back(permit)

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
