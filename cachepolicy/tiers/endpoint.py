"""Which Redis, as the policy describes it: the address read, and everything a connection needs to know."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal
from urllib.parse import SplitResult, unquote, urlsplit

from cachepolicy.errors import PolicyError
from cachepolicy.telemetry.servers import Server

Host = tuple[str, int]

_UNREADABLE: Final = (
    "redis.url: not an address such as redis://user:password@host:6379 or unix:///path; "
    "in a password write / ? # @ : % as %2F %3F %23 %40 %3A %25"
)
_PORTS: Final[Mapping[str, int]] = MappingProxyType(
    {"redis": 6379, "rediss": 6379, "redis+cluster": 6379, "redis+sentinel": 26379}
)
_SERVED: Final = frozenset({"memory", "unix", "local", *_PORTS})


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted; files as paths.

    Without ``ca`` the system's authorities are trusted. ``verify=False`` trusts anybody.
    """

    ca: str | None = None
    cert: str | None = None
    key: str | None = field(repr=False, default=None)
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """An address, read.

    Attributes:
        scheme: ``redis``, ``unix``, ``redis+cluster``, …
        hosts: one server, or those to begin with.
        path: of a socket or a folder.
        service: the name that sentinels know the master by.
    """

    scheme: str
    hosts: tuple[Host, ...] = ()
    path: str = ""
    username: str | None = field(repr=False, default=None)
    password: str | None = field(repr=False, default=None)
    service: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One Redis address as the policy describes it; times in seconds."""

    url: str = field(repr=False)
    username: str | None = field(repr=False, default=None)
    password: str | None = field(repr=False, default=None)
    tls: Tls | None = None
    max_connections: int = 20
    deadline: float = 0.1
    connect_timeout: float = 0.25
    client_name: str = "cachepolicy"
    databases: Literal["select", "prefix", "auto"] = "select"
    pipelined: bool = True
    pipeline_size: int = 100

    @property
    def address(self) -> Address:
        """The address, read.

        Raises:
            PolicyError: it cannot be read, its scheme is not served, or it says what only the policy may say.
        """
        scheme, found, _ = self.url.partition("://")
        if scheme not in _SERVED:
            what = f"{scheme}://" if found else "an address without a scheme"
            raise PolicyError(
                f"redis.url: {what} is not served; use redis://, rediss://, unix://, redis+cluster://, "
                "redis+sentinel://, local:// or memory://"
            )
        if scheme == "local" and sys.platform == "win32":
            raise PolicyError("redis.url: local:// needs a Unix; use redis:// or memory:// here")
        try:
            parts = urlsplit(self.url)
            return _read(parts)
        except ValueError:  # its text holds a part of the address, perhaps of the password
            raise PolicyError(_UNREADABLE) from None

    @property
    def in_memory(self) -> bool:
        """Tell whether the address is ``memory://``."""
        return self.url.startswith("memory:")

    @property
    def is_cluster(self) -> bool:
        """Tell whether keys are spread over several masters."""
        return self.url.startswith("redis+cluster:")

    def encryption(self) -> Tls | None:
        """Return how connections are encrypted; None where they are not."""
        return self.tls or (Tls() if self.url.startswith("rediss:") else None)

    def server(self, node: str = "") -> Server:
        """Return how one of its servers is called in telemetry: no user, no password.

        Args:
            node: ``host:port``; empty: all of them, where it has several.
        """
        if node:
            host, _, port = node.rpartition(":")
            return Server(host, port)
        address = self.address
        if address.service or not address.hosts:
            return Server(address.service or address.path or address.scheme)
        names = [(host, str(port)) for host, port in address.hosts]
        return Server(*names[0]) if len(names) == 1 else Server(",".join(map(":".join, names)))

    def check(self) -> None:
        """See that the address can be used as it stands; nothing is connected.

        Raises:
            PolicyError: it cannot.
        """
        _ = self.address


def _read(parts: SplitResult) -> Address:
    if parts.fragment:
        raise PolicyError(_UNREADABLE)
    if parts.query:
        raise PolicyError(
            "redis.url: options after '?' would override the policy; set them under redis: instead"
        )
    user = None if parts.username is None else unquote(parts.username) or None
    password = None if parts.password is None else unquote(parts.password) or None
    path = unquote(parts.path)
    if parts.scheme == "memory":
        return Address("memory")
    if parts.scheme == "local":
        return Address("local", path=unquote(parts.netloc) + path)
    if parts.scheme == "unix":
        if not path.strip("/"):
            raise PolicyError(_UNREADABLE)
        return Address("unix", path=path, username=user, password=password)
    service = path.strip("/") if parts.scheme == "redis+sentinel" else ""
    if parts.scheme != "redis+sentinel" and path.strip("/") not in {"", "0"}:
        raise PolicyError("redis.url: the database is each namespace's own (db:); remove it from the url")
    hosts = tuple(_host(text, _PORTS[parts.scheme]) for text in parts.netloc.rpartition("@")[2].split(","))
    if not all(name for name, _ in hosts) or (parts.scheme in {"redis", "rediss"} and len(hosts) != 1):
        raise PolicyError(_UNREADABLE)
    return Address(parts.scheme, hosts, username=user, password=password, service=service)


def _host(text: str, port: int) -> Host:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port or port
