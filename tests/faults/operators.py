"""Rows of what is set up wrongly: only an operator can mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from cachepolicy.testing.fault_proxy import FaultProxy
from cachepolicy.testing.redis_server import RedisServer
from tests.faults.harness import Rig, Row, Scene, Servers
from tests.support.tls import TlsServer

Play = Callable[[Servers], AbstractContextManager[Scene]]

SECRET: Final = "right"


def as_admin(server: RedisServer, *words: str) -> Any:
    """Run a command as who knows the password."""
    import redis

    with redis.Redis(port=server.port, password=SECRET, decode_responses=True) as client:
        return client.execute_command(*words)


def _password(of_policy: str) -> Play:
    """Have a policy whose password the server does not take, until an operator sets it there."""

    @contextmanager
    def scene(_: Servers) -> Iterator[Scene]:
        with RedisServer("--requirepass", SECRET) as server:
            yield Scene(
                server.url,
                lambda _: None,
                lambda _: as_admin(server, "CONFIG", "SET", "requirepass", of_policy),
                {"password": of_policy} if of_policy else {},
            )

    return scene


@contextmanager
def _forbidden(_: Servers) -> Iterator[Scene]:
    with RedisServer() as server:
        yield Scene(
            server.url,
            lambda _: server.command("ACL", "SETUSER", "default", "-getrange", "-set"),
            lambda _: server.command("ACL", "SETUSER", "default", "+@all"),
        )


@contextmanager
def _switch(scheme: str, right: int, wrong: int, redis: Mapping[str, Any]) -> Iterator[Scene]:
    """Have an address lead to a wrong port for a while."""
    with FaultProxy(f"redis://127.0.0.1:{right}") as proxy:

        def lead_to(port: int) -> Callable[[Rig], None]:
            def lead(_: Rig) -> None:
                proxy._upstream = urlsplit(f"redis://127.0.0.1:{port}")
                proxy.cut()

            return lead

        yield Scene(f"{scheme}://127.0.0.1:{proxy.port}", lead_to(wrong), lead_to(right), redis)


def _trusting(ca: object) -> dict[str, Any]:
    return {"tls": {"enabled": True, "ca": str(ca)}}


@contextmanager
def _unknown_authority(servers: Servers) -> Iterator[Scene]:
    right = servers.tls
    assert right is not None
    with (
        TlsServer().start() as wrong,
        _switch("rediss", right.port, wrong.port, _trusting(right.ca)) as scene,
    ):
        yield scene


@contextmanager
def _another_host(servers: Servers) -> Iterator[Scene]:
    right = servers.tls
    assert right is not None
    with TlsServer("redis.example").start() as wrong:
        both = wrong.server.folder / "both.pem"
        both.write_bytes(right.ca.read_bytes() + wrong.ca.read_bytes())
        with _switch("rediss", right.port, wrong.port, _trusting(both)) as scene:
            yield scene


@contextmanager
def _plain_to_tls(servers: Servers) -> Iterator[Scene]:
    server = servers.tls
    assert server is not None
    with _switch("redis", server.server.port, server.port, {}) as scene:
        yield scene


@contextmanager
def _tls_to_plain(servers: Servers) -> Iterator[Scene]:
    server = servers.tls
    assert server is not None
    with _switch("rediss", server.port, server.server.port, _trusting(server.ca)) as scene:
        yield scene


@contextmanager
def _no_such_database(servers: Servers) -> Iterator[Scene]:
    with (
        RedisServer("--databases", "1") as wrong,
        _switch("redis", servers.redis.port, wrong.port, {"databases": "select"}) as scene,
    ):
        yield scene


GROUP: Final = "What an operator must mend"
ROWS: Final = (
    Row("wrong password", _password("wrong"), frozenset({"auth"}), at_start=True, hopeless=True),
    Row("`NOAUTH`: a password is missing", _password(""), frozenset({"auth"}), at_start=True, hopeless=True),
    Row("`NOPERM`: the ACL forbids it", _forbidden, frozenset({"forbidden"})),
    Row("`SELECT` refused", _no_such_database, frozenset({"database", "lost"}), hopeless=True),
)
TLS: Final = (
    Row("TLS: unknown authority", _unknown_authority, frozenset({"tls", "lost"}), hopeless=True),
    Row("TLS: certificate of another host", _another_host, frozenset({"tls", "lost"}), hopeless=True),
    Row("TLS: plain client, encrypted port", _plain_to_tls, frozenset({"lost", "protocol", "refused"})),
    Row(
        "TLS: encrypted client, plain port",
        _tls_to_plain,
        frozenset({"tls", "lost", "timeout"}),
        hopeless=True,
    ),
)
