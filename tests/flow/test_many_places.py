"""Batches over several processes, and over the servers of a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cachepolicy import MISS, Outcome, Tier, cached_many, close, configure, observe
from cachepolicy.testing.topologies import RedisCluster
from tests.flow.test_many import in_turn
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.trips import Trips

PROCESS = """
import asyncio, json, sys, time
from cachepolicy import aclose, cached_many, close, configure

configure(json.loads(sys.argv[1]))
items = json.loads(sys.argv[3])
asked = []

@cached_many("answers", over="items", key="item:{items}")
def twice(items: list[int]) -> list[int]:
    asked.extend(items)
    time.sleep(0.3)
    return [2 * item for item in items]

@cached_many("answers", over="items", key="item:{items}")
async def later(items: list[int]) -> list[int]:
    asked.extend(items)
    await asyncio.sleep(0.3)
    return [2 * item for item in items]

async def main():
    await later([-1])
    print("ready", flush=True)
    sys.stdin.readline()
    results = await later(items)
    await aclose()
    return results

if sys.argv[2] == "def":
    twice([-1])
    print("ready", flush=True)
    sys.stdin.readline()
    results = twice(items)
    close()
else:
    results = asyncio.run(main())
print(json.dumps([results, asked]))
"""


def test_c3_two_processes_compute_each_item_once(colour: Colour, redis_url: str, tmp_path: Path) -> None:
    """C3: batches of two processes that overlap, in other orders, compute each item once in all."""
    script = tmp_path / "script.py"
    script.write_text(PROCESS)
    orders = [list(range(40)), list(reversed(range(20, 60)))]
    policy = json.dumps(cache_policy(redis_url))
    kind = "async def" if colour.is_async else "def"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", str(script), policy, kind, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for order in orders
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [json.loads(process.communicate(timeout=30)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [results for results, _ in outputs] == [[2 * item for item in order] for order in orders]
    asked = [item for _, items in outputs for item in items if item >= 0]
    assert sorted(asked) == list(range(60))


def test_a_cluster_is_asked_for_all_at_once(
    colour: Colour, redis_cluster: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster a batch is one round trip to each server: keys of all slots are read, stored, dropped."""
    for node in redis_cluster.masters():
        node.command("FLUSHALL")
    trips = Trips()
    trips.watch(monkeypatch)
    rule = {"db": 0, "local": {"enabled": False}}
    configure(cache_policy(redis_cluster.url, redis={"deadline": "5s"}, **rule))
    asked = []

    @colour.decorate(cached_many("answers", over="items"))
    def twice(items: list[int]) -> list[int]:
        asked.append(items)
        return [2 * item for item in items]

    items = list(range(60))
    with observe() as seen:
        some, answers, _, again, trips_of_hits, count, peeked = in_turn(
            colour,
            lambda: twice(items[::2]),
            lambda: twice(items),
            trips.take,
            lambda: twice(items),
            trips.take,
            lambda: twice.invalidate(items),
            lambda: twice.peek(items),
        )
    close()
    assert some == [2 * item for item in items[::2]]
    assert answers == again == [2 * item for item in items]
    assert asked == [items[::2], items[1::2]]
    assert (count, peeked) == (60, [MISS] * 60)
    assert {(one.outcome, one.tier) for one in seen[-60:]} == {(Outcome.HIT, Tier.L2)}
    assert len(trips_of_hits) == 1
    assert len({redis_cluster.master_of(key).port for key in twice.keys(items)}) == 3
