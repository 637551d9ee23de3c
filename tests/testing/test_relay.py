"""One proxied connection: what it opened it closes, whenever it is told to end."""

from __future__ import annotations

import asyncio
import socket

import pytest

from cachepolicy.testing.fault_proxy import Connection
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.relay import Relay, Streams, Weather


@pytest.mark.parametrize("reset", [False, True])
def test_one_who_is_cut_at_the_moment_that_the_server_answers_leaves_nothing_open(
    redis_server: RedisServer, reset: bool
) -> None:
    """A connection that ends between the server's answer and the hand-over closes the server's side too."""

    async def cut_on_connect() -> asyncio.StreamWriter:
        ours, theirs = socket.socketpair()
        with ours:
            client = await asyncio.open_connection(sock=theirs)
            opened: list[Streams] = []

            async def dial() -> Streams:
                opened.append(await asyncio.open_connection("127.0.0.1", redis_server.port))
                relay.hang_up(reset=reset)
                return opened[0]

            relay = Relay(Weather(), Connection(), client, dial)
            ours.send(b"PING\r\n")
            await relay.serve()
            return opened[0][1]

    assert asyncio.run(cut_on_connect()).is_closing()
