"""Opening a connection: a socket, TLS where it is asked for, and the greeting, in one round trip.

The greeting speaks RESP3, logs in, names the client and selects the database; where sentinels named a master,
it makes sure that one answers. With ``databases: auto`` the first connection proves by a canary that database
numbers separate: some servers refuse SELECT, and some answer OK and ignore it.
"""

from __future__ import annotations

import asyncio
import encodings.idna  # noqa: F401 - for names of hosts: loaded by a thread amid a fork, it stays locked in the child
import functools
import logging
import secrets
import socket
import ssl
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hiredis import ReplyError

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreMisconfigured
from cachepolicy.telemetry.logs import Event, fields
from cachepolicy.tiers.endpoint import Endpoint, Host, Tls
from cachepolicy.tiers.replies import refused, store_error
from cachepolicy.tiers.resp import Word

if TYPE_CHECKING:
    from cachepolicy.tiers.embedded import LocalServer

_LOG: Final = logging.getLogger("cachepolicy")
_CANARY_TTL: Final = 5_000  # ms
_LEAST: Final = 0.001  # seconds: zero would mean "do not wait at all"
_EYEBALLS: Final = 0.05  # seconds after which another address of the name is tried too (RFC 8305)
_KEEP_ALIVE: Final[Mapping[str, int]] = MappingProxyType(
    {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
)

Words = tuple[Word, ...]
T = TypeVar("T")
Conversation = Generator[Sequence[Words], Sequence[object], T]
"""Yields commands to send in one write, and is sent their replies."""


@dataclass(slots=True)
class Place:
    """One database of one Redis, and what is known of it; its leaves share it.

    Attributes:
        endpoint: which Redis.
        db: the database that the policy names.
        prefix: what the canary's key begins with: an ACL may allow no other.
        local: the server of ``local://``, to be started; None where others run it.
        isolates: whether database numbers separate there; None until it is known.
    """

    endpoint: Endpoint
    db: int
    prefix: str = ""
    local: LocalServer | None = None
    isolates: bool | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.local is None and self.endpoint.url.startswith("local:"):
            from cachepolicy.tiers.embedded import LocalServer  # it needs the file locks of a Unix

            self.local = LocalServer(self.endpoint.address.path)
        if self.endpoint.databases == "prefix" or self.endpoint.is_cluster:  # a cluster has no numbers
            self.isolates = False
        elif self.endpoint.databases == "select":
            self.isolates = True

    @property
    def path(self) -> str:
        """The unix socket, where that is how the server is reached."""
        return self.endpoint.address.path if self.local is None else self.local.socket


async def open_stream(place: Place, host: Host | None) -> asyncio.StreamWriter:
    """Connect from the running loop.

    Args:
        place: where to.
        host: which server; None for a unix socket.
    """
    if host is None:
        _, stream = await asyncio.open_unix_connection(place.path)
        return stream
    context = encryption(place.endpoint)
    _, stream = await asyncio.open_connection(*host, ssl=context, happy_eyeballs_delay=_EYEBALLS)
    _keep_alive(stream.get_extra_info("socket"))
    return stream


def open_socket(place: Place, host: Host | None, timeout: float) -> socket.socket:
    """Connect, and wait for it.

    Args:
        place: where to.
        host: which server; None for a unix socket.
        timeout: seconds that it may take.
    """
    if host is None:
        return _connected(socket.AF_UNIX, place.path, timeout)
    end = SYSTEM.monotonic() + timeout
    plain = _connect_to_any(host, end)
    try:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _keep_alive(plain)
        context = encryption(place.endpoint)
        plain.settimeout(max(_LEAST, end - SYSTEM.monotonic()))
        return plain if context is None else context.wrap_socket(plain, server_hostname=host[0])
    except BaseException:
        plain.close()
        raise


def _connect_to_any(host: Host, end: float) -> socket.socket:
    """Try the addresses of a name in turn; each has an equal share of the time that is left."""
    found = socket.getaddrinfo(*host, type=socket.SOCK_STREAM)
    fault: OSError = ConnectionRefusedError()
    for number, (family, _, _, _, address) in enumerate(found):
        left = max(_LEAST, end - SYSTEM.monotonic())
        try:
            return _connected(family, address, left / (len(found) - number))
        except OSError as error:
            fault = error
    raise fault


def _connected(family: int, address: Any, timeout: float) -> socket.socket:
    plain = socket.socket(family)
    try:
        plain.settimeout(timeout)
        plain.connect(address)
    except BaseException:
        plain.close()
        raise
    return plain


def encryption(endpoint: Endpoint) -> ssl.SSLContext | None:
    """Return how to encrypt; None where nothing is encrypted.

    Raises:
        StoreMisconfigured: a file of the policy cannot be used.
    """
    tls = endpoint.encryption()
    if tls is None:
        return None
    try:
        changed = tuple(Path(file).stat().st_mtime_ns for file in (tls.ca, tls.cert, tls.key) if file)
        return _context(tls, changed)
    except OSError:  # SSLError is one
        raise StoreMisconfigured(
            "redis.tls: a file of ca, cert or key cannot be read, or is none", Fault.TLS, sent=False
        ) from None


@functools.lru_cache(8)
def _context(tls: Tls, changed: tuple[int, ...]) -> ssl.SSLContext:  # noqa: ARG001 - new files are read anew
    """Make a context once: reading the system's authorities takes some twenty milliseconds."""
    context = ssl.create_default_context(cafile=tls.ca)
    if tls.cert is not None:
        context.load_cert_chain(tls.cert, tls.key)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _keep_alive(plain: socket.socket) -> None:
    """Have the kernel notice a peer that is gone without a word."""
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEP_ALIVE.items():
        if hasattr(socket, name):  # not on every platform
            plain.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def hello(place: Place, *, log_in: bool = True) -> Words:
    """Return the words that begin every conversation: RESP3, who we are, and the password."""
    endpoint, address = place.endpoint, place.endpoint.address
    password = endpoint.password or address.password
    words: Words = ("HELLO", 3)
    if log_in and password is not None:
        words += ("AUTH", endpoint.username or address.username or "default", password)
    return (*words, "SETNAME", endpoint.client_name)


def greeting(place: Place) -> Conversation[None]:
    """Say what to send on a fresh connection before anything else, and judge the replies.

    Raises:
        StoreMisconfigured: the password or the database is refused.
        StoreUnavailable: it is not able to serve, or no master though sentinels said so.
    """
    isolates = place.isolates  # as this connection began with: another may find out meanwhile
    first = [hello(place)]
    if isolates and place.db:
        first.append(("SELECT", place.db))
    server, *selected = yield first
    if isinstance(server, ReplyError):
        raise refused(server)
    if not isinstance(server, dict) or server.get(b"proto") != 3:  # whoever it is, it is no Redis
        raise store_error(Fault.PROTOCOL, sent=False)
    if place.endpoint.address.scheme == "redis+sentinel" and server.get(b"role") != b"master":
        raise store_error(Fault.READONLY, sent=False)
    for reply in selected:
        if isinstance(reply, ReplyError):
            fault = refused(reply).fault
            raise StoreMisconfigured(
                f"Redis refuses database {place.db} ({fault}): set redis.databases to prefix or auto", fault
            )
    if isolates is None:
        if place.db:
            yield from _prove(place)
        else:
            place.isolates = True


def _prove(place: Place) -> Conversation[None]:
    """Find out whether a key of one database is seen in another."""
    key = f"{place.prefix}canary:{secrets.token_hex(8)}"
    select = ("SELECT", place.db)
    replies = yield [
        select,
        ("SET", key, "1", "PX", _CANARY_TTL),
        ("SELECT", 0),
        ("EXISTS", key),
        select,
        ("UNLINK", key),
    ]
    selected, _, _, seen, *_ = replies
    refusal = refused(selected).fault if isinstance(selected, ReplyError) else None
    if refusal is None and seen == 0:
        place.isolates = True
        return
    if refusal is None:
        yield [("SELECT", 0)]
    is_known = place.isolates is False  # another connection found out at the same time
    place.isolates = False  # from here on nothing can come between it and the word about it
    if is_known:
        return
    _LOG.warning(
        "Redis does not keep database %d apart (%s): its keys live in database 0, apart by their prefix",
        place.db,
        refusal or "SELECT has no effect",
        extra=fields(Event.DATABASES),
    )
