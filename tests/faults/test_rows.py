"""The fault matrix: whatever is wrong with Redis, decorated calls answer as if nothing were."""

from __future__ import annotations

import gc

import pytest

from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.testing.topologies import RedisSentinel
from tests.faults import data, network, operators, processes, topologies
from tests.faults.harness import Row, Servers, judge, measure
from tests.support.colour import Colour
from tests.support.tls import TlsServer


def _play(group: str, row: Row, colour: Colour, servers: Servers) -> None:
    gc.collect()  # what other tests left is not to be collected while calls are timed
    gc.freeze()
    figures = measure(group, row, colour, servers)
    figures.publish()
    judge(row, figures)


@pytest.mark.parametrize("row", network.ROWS, ids=lambda row: row.name)
def test_the_network(row: Row, colour: Colour, redis_server: RedisServer) -> None:
    """R1, R2, R5, R7: a bad network changes no result, costs the deadline at most, and is over at once."""
    _play(network.GROUP, row, colour, Servers(redis_server))


@pytest.mark.parametrize("row", processes.ROWS, ids=lambda row: row.name)
def test_the_server(row: Row, colour: Colour, redis_server: RedisServer) -> None:
    """R1, R2, R5, R7: a server that is gone, stopped, or refuses changes no result and costs little."""
    _play(processes.GROUP, row, colour, Servers(redis_server))


@pytest.mark.parametrize("row", processes.WATCHED, ids=lambda row: row.name)
def test_the_watched_server(
    row: Row, colour: Colour, redis_server: RedisServer, redis_sentinel: RedisSentinel
) -> None:
    """R1, R2, R5, R7: a failover changes no result; calls find the new master."""
    _play(processes.GROUP, row, colour, Servers(redis_server, sentinel=redis_sentinel))


@pytest.mark.parametrize("row", topologies.ROWS, ids=lambda row: row.name)
def test_many_servers(row: Row, colour: Colour, redis_server: RedisServer) -> None:
    """R1, R2, R5, R7: a master that dies, or a slot that moves, changes no result; the new place is found."""
    _play(topologies.GROUP, row, colour, Servers(redis_server))


@pytest.mark.parametrize("row", operators.ROWS, ids=lambda row: row.name)
def test_what_an_operator_must_mend(row: Row, colour: Colour, redis_server: RedisServer) -> None:
    """R1, R2, R5: what is set up wrongly changes no result, and Redis is asked about it seldom."""
    _play(operators.GROUP, row, colour, Servers(redis_server))


@pytest.mark.parametrize("row", operators.TLS, ids=lambda row: row.name)
def test_encryption(row: Row, colour: Colour, redis_server: RedisServer, tls_server: TlsServer) -> None:
    """R1, R2, R5: what cannot be encrypted as it should changes no result, and nothing is sent."""
    _play(operators.GROUP, row, colour, Servers(redis_server, tls_server))


@pytest.mark.parametrize("row", data.ROWS, ids=lambda row: row.name)
def test_the_data(row: Row, colour: Colour, redis_server: RedisServer) -> None:
    """R5, R6: whatever lies under a key, no call returns it; the good value takes the place of a bad one."""
    _play(data.GROUP, row, colour, Servers(redis_server))
