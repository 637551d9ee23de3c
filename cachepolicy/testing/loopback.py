"""An HTTP/1.1 server on a free loopback port, made of one function from request to response.

It keeps connections alive as real servers do, answers each in a thread of its own, and ends cleanly:
when ``close`` returns, no connection is open and no thread of it runs. A body may leave piece by piece; that
its client hung up meanwhile is noticed at once, also while a piece is waited for.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, TypeAlias, cast

from cachepolicy.clock import SYSTEM

_LARGEST_BODY = 16 << 20
_POLL = 0.02  # seconds until serve_forever sees that it shall stop, or a pause that it is over early


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read whole. The names of ``headers`` are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """A wait between two pieces of a body: so many seconds (None: without end), or ``until`` is set."""

    seconds: float | None = None
    until: threading.Event | None = None


Piece: TypeAlias = bytes | Pause


@dataclass(frozen=True, slots=True)
class Response:
    """One response; length and connection headers are added on the way out.

    Args:
        status: the HTTP status.
        body: all of it, or an iterator of its pieces: each is on the wire before the next is asked for, or a
            pause begins. An iterator that raises ``ConnectionError`` hangs up after what it gave so far.
        headers: what else to send.
        think: seconds to wait before the status line.
    """

    status: int
    body: bytes | Iterator[Piece]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    think: float = 0.0


class ClientGone(ConnectionError):
    """The client hung up before its response was written whole."""


def _ignore() -> None:
    """Do nothing about a client that hung up."""


class LoopbackServer(ThreadingHTTPServer):
    """Serves ``app`` from ``start`` to ``close``; ``app`` may raise ``ConnectionError`` to hang up.

    Args:
        app: answers a request.
        on_hang_up: called for each response whose client left too early; ``close`` is not counted.
    """

    request_queue_size = 128
    server_name: str
    server_port: int
    allow_reuse_address = False  # the port is always a fresh one

    def __init__(self, app: Callable[[Request], Response], on_hang_up: Callable[[], None] = _ignore) -> None:
        self.app = app
        self._on_hang_up = on_hang_up
        self._closing = False
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._listener = threading.Thread(
            target=self.serve_forever, args=(_POLL,), name="loopback", daemon=True
        )
        super().__init__(("127.0.0.1", 0), _Handler)

    def start(self) -> None:
        """Answer from now on."""
        self._listener.start()

    def close(self) -> None:
        """Stop listening, drop idle and busy connections, and wait for every thread to end."""
        self._closing = True
        if self._listener.is_alive():
            self.shutdown()
            self._listener.join()
        for thread, connection in list(self._connections.items()):
            with contextlib.suppress(OSError):  # the client, or the thread, was quicker
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
        self.server_close()

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's full name, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection in a thread that ``close`` knows of."""
        thread = threading.Thread(
            target=self._serve, args=(request, client_address), name="loopback", daemon=True
        )
        self._connections[thread] = request
        thread.start()

    def _serve(self, request: socket.socket, client_address: object) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._connections.pop(threading.current_thread(), None)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep quiet about a client that hung up, or was hung up on; show anything else."""
        error = sys.exception()
        if isinstance(error, ClientGone) and not self._closing:
            self._on_hang_up()
        if not isinstance(error, OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """Reads a request, asks the app, writes its response."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave in one write
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        """Answer any method the same way: what it means is for the app to say."""
        self._write(self._ask())

    do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 - http.server finds them by these names

    def _ask(self) -> Response:
        # The whole body is read first, whatever the answer will be: a kept connection must stay in step.
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > _LARGEST_BODY:
            self.close_connection = True
            return Response(400, b"a body needs a Content-Length of at most 16 MiB\n")
        body = self.rfile.read(int(length))
        headers = {name.lower(): value for name, value in self.headers.items()}
        app = cast("LoopbackServer", self.server).app
        return app(Request(self.command, self.path.partition("?")[0], headers, body))

    def _write(self, response: Response) -> None:
        if response.think:
            self._wait(Pause(response.think))
        whole = isinstance(response.body, bytes)
        chunked = not whole and self.request_version != "HTTP/1.0"
        if not (whole or chunked):
            self.close_connection = True  # the end of such a body is the end of the connection
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        if isinstance(response.body, bytes):
            self.send_header("Content-Length", str(len(response.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        try:
            if isinstance(response.body, bytes):
                self.wfile.write(response.body)
            else:
                self._write_pieces(response.body, chunked=chunked)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise ClientGone from error

    def _write_pieces(self, pieces: Iterator[Piece], *, chunked: bool) -> None:
        """Send each piece as soon as it is there; the last leaves together with the end of the body."""
        held = b""
        try:
            for piece in pieces:
                if held:
                    self.wfile.write(held)
                    self.wfile.flush()
                    held = b""
                self._wait(piece if isinstance(piece, Pause) else Pause(0.0))
                if isinstance(piece, bytes):
                    held = b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece
        except ClientGone:
            raise
        except ConnectionError:  # the app hangs up, after what it said
            self.wfile.write(held)
            self.wfile.flush()
            raise ConnectionAbortedError from None
        self.wfile.write(held + b"0\r\n\r\n" if chunked else held)

    def _wait(self, pause: Pause) -> None:
        """Wait, but no longer than the client does.

        Raises:
            ClientGone: the client hung up, or ``close`` did.
        """
        clock = SYSTEM.monotonic
        end = None if pause.seconds is None else clock() + pause.seconds
        while pause.until is None or not pause.until.is_set():
            left = None if end is None else max(end - clock(), 0.0)
            step = left if pause.until is None else min(_POLL, _POLL if left is None else left)
            if self._hears(step) or left == 0.0:
                return

    def _hears(self, seconds: float | None) -> bool:
        """Listen for so many seconds; True when the next request came early, which ends any pause."""
        self.connection.settimeout(seconds)
        try:
            ahead = self.connection.recv(1, socket.MSG_PEEK)
        except (TimeoutError, BlockingIOError):
            return False
        except OSError as error:
            raise ClientGone from error
        finally:
            with contextlib.suppress(OSError):
                self.connection.settimeout(None)
        if not ahead:
            raise ClientGone
        return True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own signature
        """Say nothing: the terminal is the caller's."""
