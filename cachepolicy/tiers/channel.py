"""One open connection of sync code: asks and waits, with one deadline over all it reads and writes."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Sequence
from typing import Any

from hiredis import HiredisError, PushNotification

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault
from cachepolicy.tiers.replies import store_error
from cachepolicy.tiers.resp import INCOMPLETE, Word, pack, parser

_CHUNK = 64 * 1024


class Channel:
    """A blocking connection. Whoever gets an exception out of it closes it: it may be out of step.

    Args:
        dialled: redis-py's connection; a test guards the one private name that is used of it.
    """

    def __init__(self, dialled: Any, now: Callable[[], float] = SYSTEM.monotonic) -> None:
        self._dialled = dialled
        self._socket: socket.socket = dialled._sock  # noqa: SLF001 - see above
        self._now = now
        self._parser = parser()
        self._poll = select.poll()
        self._poll.register(self._socket.fileno(), select.POLLIN)

    def ask(self, packed: bytes, count: int, deadline: float) -> list[object]:
        """Send commands and return their replies, errors of the server among them.

        Args:
            packed: the commands.
            count: how many they are.
            deadline: on the monotonic clock, for all of it.

        Raises:
            StoreUnavailable: the deadline passed, or what came is no reply.
            OSError: the connection broke.
        """
        sock, replies = self._socket, self._parser
        sock.settimeout(self._left(deadline))
        sock.sendall(packed)
        found: list[object] = []
        try:
            while True:
                reply = replies.gets()
                if reply is INCOMPLETE:
                    sock.settimeout(self._left(deadline))
                    data = sock.recv(_CHUNK)
                    if not data:
                        raise store_error(Fault.LOST, sent=True)
                    replies.feed(data)
                elif type(reply) is not PushNotification:
                    found.append(reply)
                    if len(found) == count:
                        return found
        except HiredisError:
            raise store_error(Fault.PROTOCOL, sent=True) from None
        except TimeoutError:
            raise store_error(Fault.TIMEOUT, sent=True) from None

    def say(self, commands: Sequence[tuple[Word, ...]], deadline: float) -> list[object]:
        """Send commands that are not packed yet, as ``ask`` does."""
        return self.ask(b"".join(map(pack, commands)), len(commands), deadline)

    def is_fit(self) -> bool:
        """Tell whether nothing is unread and the server has not hung up."""
        return not self._parser.has_data() and not self._poll.poll(0)

    def close(self) -> None:
        """Hang up."""
        self._dialled.disconnect()

    def _left(self, deadline: float) -> float:
        left = deadline - self._now()
        if left <= 0:
            raise store_error(Fault.TIMEOUT, sent=True)
        return left
