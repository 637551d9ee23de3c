"""The store that fails as planned: without a plan a store like any other, with one exactly as bad as told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, TypeVar

import pytest

from cachepolicy.clock import ManualClock
from cachepolicy.errors import Fault, StoreError, StoreMisconfigured, StoreUnavailable
from cachepolicy.testing.faulty_store import FaultyAsync, FaultyServer, FaultySync, Trouble
from cachepolicy.tiers import ports
from cachepolicy.tiers.commands import Command, head, put, unlink
from tests.support.colour import Colour
from tests.tiers.store_contract import PATIENCE, Store, StoreContract

T = TypeVar("T")


class _Store(Store):
    """A store of either colour over one faulty server."""

    def __init__(self, server: FaultyServer, loop: asyncio.AbstractEventLoop | None) -> None:
        self.sync: ports.SyncStore = server.connect_sync(1)
        self.asynchronous: ports.AsyncStore = server.connect_async(1)
        self.loop = loop

    def do(self, command: Command[T], timeout: float = PATIENCE) -> T:
        if self.loop is None:
            return self.sync.execute(command, timeout)
        return self.loop.run_until_complete(self.asynchronous.execute(command, timeout))

    def all(self, *commands: Command[Any]) -> list[Any]:
        if self.loop is None:
            return self.sync.execute_all(commands, PATIENCE)
        return self.loop.run_until_complete(self.asynchronous.execute_all(commands, PATIENCE))


@pytest.fixture
def clock() -> ManualClock:
    """Give a clock that delays move."""
    return ManualClock()


@pytest.fixture
def server(clock: ManualClock) -> FaultyServer:
    """Give a server without a plan."""
    return FaultyServer(clock=clock)


@pytest.fixture
def store(server: FaultyServer, colour: Colour) -> Iterator[_Store]:
    """Give an empty store of each colour."""
    loop = asyncio.new_event_loop() if colour.is_async else None
    yield _Store(server, loop)
    if loop is not None:
        loop.close()


class TestWithoutAPlan(StoreContract):
    """It keeps what every store promises."""

    @pytest.fixture
    def store(self, server: FaultyServer, colour: Colour) -> Iterator[Store]:
        """Give an empty store of each colour."""
        loop = asyncio.new_event_loop() if colour.is_async else None
        yield _Store(server, loop)
        if loop is not None:
            loop.close()


def test_both_colours_are_ports() -> None:
    """The leaves have the types that the flow asks for."""
    server = FaultyServer()
    sync: ports.SyncStore = server.connect_sync(1)
    asynchronous: ports.AsyncStore = server.connect_async(1)
    assert (type(sync), type(asynchronous)) == (FaultySync, FaultyAsync)


def test_troubles_come_in_turn(store: _Store, server: FaultyServer) -> None:
    """A sequence is used up, one command each; after it all is well."""
    server.plan([Trouble(Fault.OOM), None, Trouble(Fault.AUTH)])
    with pytest.raises(StoreUnavailable) as oom:
        store.do(put("key", b"value", 60))
    assert store.do(head("key")) is None
    with pytest.raises(StoreMisconfigured) as auth:
        store.do(head("key"))
    assert (oom.value.fault, auth.value.fault) == (Fault.OOM, Fault.AUTH)
    assert store.do(head("key")) is None
    assert [command.words[0] for command in server.asked] == ["SET", "GETRANGE", "GETRANGE", "GETRANGE"]


def test_a_function_decides_by_the_command(store: _Store, server: FaultyServer) -> None:
    """Only the commands that it names fail, in a batch too."""
    server.plan(lambda command: Trouble(Fault.READONLY) if command.words[0] == "SET" else None)
    failed, found, removed = store.all(put("key", b"value", 60), head("key"), unlink("key"))
    assert isinstance(failed, StoreError)
    assert (failed.fault, found, removed) == (Fault.READONLY, None, False)


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_lost_reply(store: _Store, server: FaultyServer, carried_out: bool) -> None:
    """The caller gets the error either way; whether the command was carried out is the plan's."""
    server.plan([Trouble(Fault.LOST, carried_out=carried_out)])
    with pytest.raises(StoreError) as lost:
        store.do(put("key", b"value", 60))
    assert lost.value.sent
    assert store.do(head("key")) == (b"value" if carried_out else None)


@pytest.mark.parametrize(("fault", "sent"), [(Fault.REFUSED, False), (Fault.TIMEOUT, True)])
def test_it_says_whether_it_was_sent(store: _Store, server: FaultyServer, fault: Fault, sent: bool) -> None:
    """A refused connection has sent nothing; a timeout may have."""
    server.plan([Trouble(fault)])
    with pytest.raises(StoreError) as error:
        store.do(head("key"))
    assert error.value.sent is sent


def test_a_delay_is_the_clocks(store: _Store, server: FaultyServer, clock: ManualClock) -> None:
    """A delay moves the clock; a longer one than the command may take is a timeout at its deadline."""
    server.plan([Trouble(delay=0.5), Trouble(delay=0.5, carried_out=True)])
    began = clock.now_monotonic
    store.do(put("key", b"value", 60), timeout=1.0)
    assert clock.now_monotonic == began + 0.5
    with pytest.raises(StoreUnavailable) as late:
        store.do(unlink("key"), timeout=0.125)
    assert late.value.fault is Fault.TIMEOUT
    assert clock.now_monotonic == began + 0.625
    assert store.do(head("key")) is None  # it was carried out
