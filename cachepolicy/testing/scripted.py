r"""A server that speaks the Redis protocol and answers as told: for errors that are hard to bring about.

>>> with Scripted({"GET": b"-CLUSTERDOWN The cluster is down\r\n"}) as server:     # doctest: +SKIP
...     configure({"redis": {"url": server.url}, ...})
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Self, cast

from cachepolicy.testing.background import LOOPBACK, bound
from cachepolicy.tiers.resp import parser

Words = tuple[bytes, ...]
"""A command as it came: its name and its arguments."""

Answer = bytes | Sequence[bytes] | Callable[[Words], bytes | None]
"""A raw reply; several to give in turn, the last one for good; or what makes one of a command.

A function that gives None leaves the command without a reply, and one that raises ConnectionError hangs up.
"""

OK: Final = b"+OK\r\n"
NULL: Final = b"_\r\n"
_CHUNK: Final = 64 * 1024


def _hello(words: Words) -> bytes:
    """Welcome a client, in the version of the protocol that it asks for."""
    version = words[1] if len(words) > 1 else b"2"
    if version not in {b"2", b"3"}:
        return b"-NOPROTO unsupported protocol version\r\n"
    said: dict[bytes, bytes | int] = {
        b"server": b"redis",
        b"version": b"7.0.0",
        b"proto": int(version),
        b"id": 1,
    }
    said |= {b"mode": b"standalone", b"role": b"master"}
    head = b"%%%d\r\n" % (len(said) + 1) if version == b"3" else b"*%d\r\n" % (2 * len(said) + 2)
    parts = [item for pair in said.items() for item in pair]
    body = (b":%d\r\n" % part if isinstance(part, int) else bulk(part) for part in parts)
    return b"".join([head, *body, bulk(b"modules"), b"*0\r\n"])


def bulk(content: bytes) -> bytes:
    """Lay out a string as a reply."""
    return b"$%d\r\n%b\r\n" % (len(content), content)


POLITE: Final[Mapping[str, Answer]] = MappingProxyType(
    {
        "HELLO": _hello,
        "AUTH": OK,
        "CLIENT": OK,
        "SELECT": OK,
        "PING": b"+PONG\r\n",
    }
)
"""What every connection begins with, answered as a server does that has nothing to object."""


class Scripted:
    """A server on a free loopback port, from ``start`` (or ``with``) to ``close``.

    Args:
        answers: by the command's name in capitals, or by its first two words (``"CLIENT SETNAME"``); laid
            over ``POLITE``. A command that is not there is unknown to the server. Or one function for all.
    """

    def __init__(self, answers: Mapping[str, Answer] | Callable[[Words], bytes | None]) -> None:
        self.answers: dict[str, Answer] = {} if callable(answers) else {**POLITE, **answers}
        """May be changed while the server runs."""
        self.heard: list[Words] = []
        """Every command that came, in order, over all connections."""
        self._all = answers if callable(answers) else None
        self._turns: dict[str, int] = {}
        self._lock = threading.Lock()
        self._listener = bound(0)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="scripted-redis", daemon=True)
        self._serving: dict[threading.Thread, socket.socket] = {}

    @property
    def url(self) -> str:
        """What ``redis.url`` in a policy takes."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def start(self) -> Self:
        """Answer from now on."""
        self._listener.listen(1024)
        self._accepting.start()
        return self

    def close(self) -> None:
        """Stop listening, end all connections, and wait for their threads."""
        if self._accepting.is_alive():
            self._listener.shutdown(socket.SHUT_RDWR)
            self._accepting.join()
        self._listener.close()
        for thread, connection in list(self._serving.items()):
            with contextlib.suppress(OSError):  # the client, or the thread, was quicker
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as a real server
            thread = threading.Thread(
                target=self._serve, args=(connection,), name="scripted-redis", daemon=True
            )
            self._serving[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        requests = parser()  # a command looks like a reply that is an array
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(_CHUNK):
                requests.feed(data)
                while isinstance(command := requests.gets(), list):
                    reply = self._reply(tuple(cast("list[bytes]", command)))
                    if reply is not None:
                        connection.sendall(reply)
        self._serving.pop(threading.current_thread(), None)

    def _reply(self, words: Words) -> bytes | None:
        self.heard.append(words)
        if self._all is not None:
            return self._all(words)
        name = words[0].decode().upper()
        both = f"{name} {words[1].decode(errors='replace').upper()}" if len(words) > 1 else name
        name = both if both in self.answers else name
        answer = self.answers.get(name, b"-ERR unknown command\r\n")
        if isinstance(answer, bytes):
            return answer
        if callable(answer):
            return answer(words)
        with self._lock:
            turn = self._turns.get(name, 0)
            self._turns[name] = turn + 1
        return answer[min(turn, len(answer) - 1)]
