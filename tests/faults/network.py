"""Rows of the network: what lies between a client and a Redis that is well."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

from cachepolicy.testing.fault_proxy import (
    BlackHole,
    Drip,
    Drop,
    FaultProxy,
    Fin,
    Garbage,
    HalfReply,
    Late,
    NetworkFault,
    Refuse,
    Reset,
)
from tests.faults.harness import Rig, Row, Scene, Servers


def _behind(
    fault: NetworkFault, redis: Mapping[str, Any] | None = None, *, cut: bool = False
) -> Callable[[Servers], AbstractContextManager[Scene]]:
    """Have a fault of the network; ``cut``: it meets new connections only, so end those that live."""

    @contextmanager
    def scene(servers: Servers) -> Iterator[Scene]:
        with FaultProxy(servers.url) as proxy:

            def begin(_: Rig) -> None:
                proxy.fault = fault
                if cut:
                    proxy.cut()

            def end(_: Rig) -> None:
                proxy.fault = None

            yield Scene(proxy.url, begin, end, redis or {})

    return scene


@contextmanager
def _killed_clients(servers: Servers) -> Iterator[Scene]:
    server = servers.redis

    def kill(_: Rig) -> None:
        server.command("CLIENT", "KILL", "TYPE", "normal")

    yield Scene(servers.url, kill, kill)


GROUP: Final = "The network"
ROWS: Final = (
    Row("refused", _behind(Refuse(), cut=True), frozenset({"refused", "lost"})),
    Row("accepted, then closed", _behind(Drop(), cut=True), frozenset({"lost", "refused"})),
    Row("accepted, never answered", _behind(BlackHole()), frozenset({"timeout"})),
    Row("slow replies", _behind(Late(0.5)), frozenset({"timeout"})),
    Row("reset (RST)", _behind(Reset()), frozenset({"lost"})),
    Row("closed (FIN)", _behind(Fin()), frozenset({"lost"})),
    Row("half a reply, then silence", _behind(HalfReply()), frozenset({"timeout"})),
    Row("half a reply, then closed", _behind(HalfReply(then_close=True)), frozenset({"lost"})),
    Row("garbage", _behind(Garbage()), frozenset({"protocol", "lost"})),
    Row("one byte at a time", _behind(Drip(0.02)), frozenset({"timeout"})),
    Row("`CLIENT KILL`", _killed_clients, frozenset({"lost"}), heals=True),
    Row("`CLIENT KILL` under load", _killed_clients, frozenset({"lost"}), heals=True, busy=True),
)
