"""The redis-server with TLS that our own tests use."""

from __future__ import annotations

import os
import ssl

import pytest

from cachepolicy.testing.redis_server import RedisServer
from tests.support.tls import NoTls, TlsServer, greet


def test_it_answers_who_trusts_its_authority(tls_server: TlsServer) -> None:
    """With its authority it answers by TLS, and without encryption at its plain port."""
    assert greet(tls_server, tls_server.ca) == b"+PONG\r\n"
    assert tls_server.server.command("PING") == b"+PONG\r\n"


def test_another_authority_does_not_vouch_for_it(tls_server: TlsServer) -> None:
    """A client that trusts another authority does not talk to it."""
    with pytest.raises(ssl.SSLCertVerificationError):
        greet(tls_server, tls_server.other_ca)


def test_a_certificate_for_another_host(tls_server: TlsServer) -> None:
    """A client finds out that the certificate is another host's."""
    with TlsServer("redis.example").start() as wrong, pytest.raises(ssl.SSLCertVerificationError):
        greet(wrong, wrong.ca)


def test_a_build_without_tls_is_told_apart(redis_binary: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis-server that knows no TLS is a clear error, and leaves nothing."""
    server = TlsServer()
    monkeypatch.setattr(RedisServer, "log", "Bad directive or wrong number of arguments")
    monkeypatch.setattr(server.server, "_extra", ("--no-such-option", "1"))
    with pytest.raises(NoTls, match="without TLS"):
        server.start()
    assert not os.path.lexists(server.server.folder)
