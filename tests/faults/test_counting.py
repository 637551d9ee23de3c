"""What counts, counts once; and scripts, which a server may forget or refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import pytest
import redis

from cachepolicy.errors import Fault, StoreError
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.testing.fault_proxy import FaultProxy, Late, Refuse
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers.commands import Command, Repeat
from cachepolicy.tiers.scripts import Script
from tests.faults.harness import DEADLINE, Figures, Rig, colour_name
from tests.support.colour import Colour
from tests.support.waiting import until
from tests.tiers.store_contract import int_or_raise

GROUP = "Counters and scripts"
_INCREMENT = Script("return redis.call('INCR', KEYS[1])")
_STORE = Script("return redis.call('SET', KEYS[1], ARGV[1])")

PATIENCE: Final = 10.0  # seconds, where a test is not about time

Make = Callable[[], Command[int]]


def _incr() -> Command[int]:
    return Command(("INCR", "counter"), "counter", int_or_raise, Repeat.ONCE)


def _script() -> Command[int]:
    return _INCREMENT.call(["counter"], [], int_or_raise)


def _count(rig: Rig, make: Make, patience: float = PATIENCE) -> int:
    return rig.flow(ask(rig.plan.site.guard, make(), Budget(rig.time.clock, patience)))


def _counted(server: RedisServer) -> int:
    with redis.Redis(port=server.port, db=1) as client:
        return int(client.get("counter") or 0)


@pytest.mark.parametrize("make", [_incr, _script], ids=["INCR", "script"])
def test_q5_replies_later_than_the_timeout_count_nothing_twice(
    make: Make, colour: Colour, redis_url: str, redis_server: RedisServer
) -> None:
    """Q5: where replies come too late, a counter holds exactly as much as was sent, and never more."""
    never_opens = {"breaker": {"failures": 1000}}
    with FaultProxy(redis_url) as proxy, Rig(colour, proxy.url, never_opens) as rig:
        rig.fill()
        assert _count(rig, make) == 1
        sent = 0
        for _ in range(20):
            until(lambda: rig.known().fault is None, "a connection")
            proxy.fault = Late(math.inf)
            with pytest.raises(StoreError) as late:
                _count(rig, make, DEADLINE)
            assert late.value.fault is Fault.TIMEOUT
            sent += late.value.sent
            proxy.fault = None
        until(lambda: rig.known().fault is None, "a connection")
        until(lambda: _counted(redis_server) >= 1 + sent, "what is still under way")
        assert sent > 0  # all of them, but for a machine that let the time run out before
        assert _count(rig, make) == 1 + sent + 1
        note = f"{sent} increments sent, {sent} replies too late, {sent} counted"
        name = "replies later than the timeout: " + ("`INCR`" if make is _incr else "a script")
        Figures(
            GROUP, name, colour_name(colour), 20, unchanged=True, counted=["timeout"], note=note
        ).publish()


@pytest.mark.parametrize("how", ["flushed", "flushed, and clients killed"])
def test_a_script_that_the_server_forgot_is_brought_along(
    how: str, colour: Colour, own_redis: RedisServer
) -> None:
    """NOSCRIPT, after a flush, costs a round trip: the script counts, once."""
    with Rig(colour, own_redis.url) as rig:
        rig.fill()
        assert [_count(rig, _script) for _ in range(3)] == [1, 2, 3]
        own_redis.command("SCRIPT", "FLUSH")
        if how != "flushed":
            own_redis.command("CLIENT", "KILL", "TYPE", "normal")
        until(lambda: rig.known().fault is None, "a connection")
        assert [_count(rig, _script) for _ in range(3)] == [4, 5, 6]
        Figures(
            GROUP,
            f"`NOSCRIPT`: scripts {how}",
            colour_name(colour),
            6,
            unchanged=True,
            note="the script is sent along, and counts once",
        ).publish()


def test_late_writes_survive_a_script_flush(
    colour: Colour, redis_url: str, redis_server: RedisServer
) -> None:
    """What Redis did not hear of is made up for by a script that it no longer knows."""
    with FaultProxy(redis_url) as proxy, Rig(colour, proxy.url) as rig:
        rig.fill()
        proxy.fault = Refuse()
        proxy.cut()
        told = [rig.ask("unheard") for _ in range(3)]
        assert all(one.right and one.fault for one in told)
        assert len(rig.plan.site.replay) == 1
        redis_server.command("SCRIPT", "FLUSH")
        proxy.fault = None
        until(lambda: rig.known().fault is None and not len(rig.plan.site.replay), "late writes")
        before = rig.plan.counters.stats(0, 0).l2_hits
        assert rig.ask("unheard").right
        assert rig.plan.counters.stats(0, 0).l2_hits == before + 1


def test_a_full_server_refuses_inside_scripts(colour: Colour) -> None:
    """``maxmemory`` reached: a script is refused as a command is, told as ``oom``, and calls go on."""
    with RedisServer("--maxmemory-policy", "noeviction") as server, Rig(colour, server.url) as rig:
        rig.fill()
        server.command("CONFIG", "SET", "maxmemory", "1")
        command = _STORE.call(["key"], [b"x" * 100], lambda reply: reply)
        with pytest.raises(StoreError) as refused:
            rig.flow(ask(rig.plan.site.guard, command, Budget(rig.time.clock, PATIENCE)))
        assert refused.value.fault is Fault.OOM
        assert all(one.right for one in (rig.known(), rig.new()))
        assert not rig.plan.site.guard.sole.is_open
        server.command("CONFIG", "SET", "maxmemory", "0")
        assert rig.flow(ask(rig.plan.site.guard, command, Budget(rig.time.clock, PATIENCE))) == b"OK"
        Figures(
            GROUP,
            "`maxmemory` reached, inside a script",
            colour_name(colour),
            2,
            unchanged=True,
            counted=["oom"],
        ).publish()
