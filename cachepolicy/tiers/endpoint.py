"""From an address to the arguments that redis-py's connections are built with.

redis-py's own defaults retry ten times with five-second timeouts, skip the check for unread replies while
maintenance notifications are on, and let URL options override arguments. None of that is wanted here: the
one layer of retries and deadlines is ours, and the policy is the one place to configure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import PythonRespSerializer, parse_url
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry
from redis.utils import str_if_bytes

from cachepolicy.errors import PolicyError, StoreError, StoreMisconfigured, StoreUnavailable

FAULTS: Final = (
    RedisError,
    RedisClusterException,  # not a RedisError
    OSError,  # TimeoutError included
    RuntimeError,  # "Event loop is closed", a pool bound to another loop
    AttributeError,  # a connection torn down while it is read: 'NoneType' has no attribute 'readline'
    ValueError,  # a reply that is no RESP: int(b"…") in the parser
    IndexError,  # the same, for an empty line
)
"""Everything redis-py has been seen to raise for a fault of the server or the connection."""

_MISCONFIGURED: Final = (AuthenticationError, AuthorizationError, NoPermissionError)
_UNREADABLE: Final = (
    "redis.url: not an address such as redis://user:password@host:6379 or unix:///path; "
    "in a password write / ? # @ : % as %2F %3F %23 %40 %3A %25"
)
_SERVED: Final = frozenset({"memory", "redis", "rediss", "unix"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis address as the policy describes it; times in seconds."""

    url: str = field(repr=False)
    password: str | None = field(repr=False, default=None)
    tls: bool = False
    max_connections: int = 20
    deadline: float = 0.1
    connect_timeout: float = 0.25
    client_name: str = "cachepolicy"

    @property
    def in_memory(self) -> bool:
        """Tell whether the address is ``memory://``."""
        return self.url.startswith("memory:")

    def check(self) -> None:
        """See that the address can be used as it stands; nothing is connected.

        Raises:
            PolicyError: it cannot be read, its scheme is not served, or it says what only the policy may say.
        """
        scheme, found, _ = self.url.partition("://")
        if scheme not in _SERVED:
            what = f"{scheme}://" if found else "an address without a scheme"
            raise PolicyError(
                f"redis.url: {what} is not served yet; use redis://, rediss://, unix:// or memory://"
            )
        try:
            address = urlsplit(self.url)
            path = None if scheme == "memory" else parse_url(self.url).get("path")
        except ValueError:  # its text holds a part of the address, perhaps of the password
            raise PolicyError(_UNREADABLE) from None
        if address.fragment or bool(path) is not (scheme == "unix"):
            raise PolicyError(_UNREADABLE)
        if address.query:
            raise PolicyError(
                "redis.url: options after '?' would override the policy; set them under redis: instead"
            )
        if scheme != "unix" and address.path.strip("/") not in {"", "0"}:
            raise PolicyError("redis.url: the database is each namespace's own (db:); remove it from the url")


def connection_arguments(endpoint: Endpoint, db: int) -> dict[str, Any]:
    """Return keyword arguments for a redis-py connection pool, sync or asyncio, without its class."""
    location = {
        name: value
        for name, value in parse_url(endpoint.url).items()
        if name not in {"connection_class", "db"}
    }
    if endpoint.password is not None:
        location["password"] = endpoint.password
    return location | {
        "db": db,
        "socket_timeout": endpoint.deadline,
        "socket_connect_timeout": min(endpoint.connect_timeout, endpoint.deadline),
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        "client_name": endpoint.client_name,
        "max_connections": endpoint.max_connections,
        "timeout": endpoint.deadline,  # to wait for a free connection
    }


def uses_tls(endpoint: Endpoint) -> bool:
    """Tell whether connections are encrypted."""
    return endpoint.tls or endpoint.url.startswith("rediss:")


def python_packer() -> PythonRespSerializer:
    """Return a packer for the sync leaf; hiredis' crashes when a signal handler raises in it."""
    return PythonRespSerializer(6000, _encode)


def _encode(argument: object) -> bytes:
    if isinstance(argument, bytes | memoryview):
        return bytes(argument)
    return str_if_bytes(argument).encode() if isinstance(argument, str) else str(argument).encode()


def translate(fault: BaseException) -> StoreError:
    """Turn redis-py's error into ours, without its text: that may hold an address, a key or a password."""
    name = type(fault).__name__
    if isinstance(fault, _MISCONFIGURED) or (isinstance(fault, ResponseError) and _is_refusal(fault)):
        return StoreMisconfigured(
            f"Redis refuses: {name}; check the password, the ACL and the database number"
        )
    return StoreUnavailable(f"Redis gives no usable answer: {name}")


def _is_refusal(fault: ResponseError) -> bool:
    return any(
        text in str(fault) for text in ("SELECT is not allowed", "DB index is out of range", "WRONGPASS")
    )


def as_bytes(reply: object) -> bytes | None:
    """Check the reply to GET: a crossed connection may answer with anything."""
    if reply is None or isinstance(reply, bytes):
        return reply
    raise StoreUnavailable(f"Redis gives no usable answer: {type(reply).__name__} for GET")
