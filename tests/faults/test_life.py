"""What happens to the process itself: signals, forks, cancellations, loops, pools and descriptors."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cachepolicy import aclose, cached, close, configure, observe
from cachepolicy.runtime import current
from cachepolicy.testing.fault_proxy import FaultProxy, Late
from cachepolicy.testing.scripted import Scripted, Words
from tests.faults.harness import (
    DEADLINE,
    OPEN,
    OVERTAKEN,
    SHIPPED,
    SLACK,
    Figures,
    Rig,
    Told,
    colour_name,
    spread,
)
from tests.faults.processes import Shelf
from tests.support.colour import ASYNC, Colour
from tests.support.policies import cache_policy
from tests.support.source import ROOT
from tests.support.waiting import until

GROUP = "The process"
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="as Linux has it")


def _hammer(what: str, url: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-m", "tests.faults.hammer", what, url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=55,
    )
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    assert "Exception ignored" not in done.stderr
    report: dict[str, int] = json.loads(done.stdout)
    return report


@needs_linux
def test_c4_r5_the_hammer_of_crossed_replies(colour: Colour, redis_url: str) -> None:
    """C4, R5: ten thousand calls, interrupted or cancelled at any moment, and forks: none gets another's."""
    report = _hammer("async" if colour.is_async else "sync", redis_url)
    assert report["wrong"] == 0
    assert report["stuck"] == 0
    assert report["answered"] + report["interrupted"] >= 10_000
    assert report["interrupted"] >= (10_000 if colour.is_async else 1_000)
    assert report["hits"] >= 500
    assert report["children"] >= 5
    how = "cancelled" if colour.is_async else "interrupted by signals"
    Figures(
        GROUP,
        "hammer of crossed replies",
        colour_name(colour),
        report["answered"] + report["interrupted"],
        unchanged=True,
        note=f"{report['interrupted']:,} calls {how}, {report['children']} forks",
    ).publish()


@needs_linux
def test_a_process_out_of_descriptors(colour: Colour, redis_url: str) -> None:
    """R1: without a free file descriptor calls go on without Redis, and with one again, with it."""
    report = _hammer("descriptors-async" if colour.is_async else "descriptors", redis_url)
    assert report["wrong"] == 0
    assert report["lost"] + report.get("breaker_open", 0) == 10
    Figures(
        GROUP,
        "process out of file descriptors",
        colour_name(colour),
        report["answered"],
        unchanged=True,
        counted=["lost"],
    ).publish()


def test_a_pool_that_is_exhausted(colour: Colour, redis_url: str) -> None:
    """R1, R2: more callers than connections: who finds none in time goes on without, and is counted."""
    one = {**SHIPPED, "max_connections": 1, "pipeline": {"enabled": False}}
    with FaultProxy(redis_url) as proxy, Rig(colour, proxy.url, one) as rig:
        told: list[Told] = rig.fill()
        proxy.fault = Late(DEADLINE / 4)
        with rig.load(told, workers=16):
            until(lambda: rig.counted["backpressure"] >= 20, "callers without a connection")
        proxy.fault = None
        until(lambda: rig.known().fault is None, "a free connection")
        paid = spread(rig.took([one for one in told if one.fault not in {None, OPEN}]))
        assert all(one.right for one in told)
        assert paid[1] <= DEADLINE + SLACK
        assert set(rig.counted) <= {"backpressure", "timeout", OPEN, OVERTAKEN}
        Figures(
            GROUP,
            "pool exhausted: 16 callers, one slow connection",
            colour_name(colour),
            len(told),
            unchanged=True,
            paid=paid,
            counted=["backpressure"],
        ).publish()


@needs_linux
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the interrupted loop's
def test_ctrl_c_in_flight(colour: Colour) -> None:
    """Ctrl-C while Redis is asked is the caller's at once, and the next call is right."""
    main = threading.main_thread().ident
    assert main is not None
    shelf = Shelf()
    answers = shelf.answers()

    def interrupt(_: Words) -> None:
        server.answers.update(answers)
        signal.pthread_kill(main, signal.SIGINT)

    with Scripted(answers) as server:
        configure(cache_policy(server.url, local={"enabled": False}))

        @colour.decorate(cached("answers"))
        def answer(question: str) -> str:
            return f"answer to {question}"

        server.answers["GETRANGE"] = interrupt
        with pytest.raises(KeyboardInterrupt):
            colour.run(lambda: answer("why"))
        with observe() as seen:
            assert colour.run(lambda: _tidily(colour, answer)) == "answer to why"
        assert [one.fault for one in seen] == [None]
        close()
    gc.collect()  # while what it warns of is expected
    Figures(GROUP, "`KeyboardInterrupt` in flight", colour_name(colour), 3, unchanged=True).publish()


def _tidily(colour: Colour, answer: Any) -> Any:
    """Call, and close the connections that belong to the call's loop."""
    if not colour.is_async:
        return answer("why")

    async def call() -> Any:
        try:
            return await answer("why")
        finally:
            await aclose()

    return call()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # what a closed loop left open
def test_a_loop_that_was_closed_leaves_no_trace(redis_url: str) -> None:
    """Calls of a second loop work whether or not the first closed its connections."""
    configure(cache_policy(redis_url, local={"enabled": False}))

    @ASYNC.decorate(cached("answers"))
    def answer(question: str) -> str:
        return f"answer to {question}"

    async def calls(*, tidy: bool) -> None:
        questions = [f"question {number}" for number in range(20)]
        got = await asyncio.gather(*(answer(question) for question in questions))
        assert got == [f"answer to {question}" for question in questions]
        if tidy:
            await aclose()

    with observe() as seen:
        for tidy in (False, False, True, False, True):
            asyncio.run(calls(tidy=tidy))
            gc.collect()
    assert {one.fault for one in seen} == {None}
    assert len(current.current().stores._async) == 0
    Figures(
        GROUP, "closed loop, then another", "async def", len(seen), unchanged=True, note="nothing counted"
    ).publish()


def test_two_loops_at_once(redis_url: str) -> None:
    """Loops in several threads, and sync code beside them, share a function and never a connection."""
    with Rig(ASYNC, redis_url) as rig:
        rig.fill()

        async def calls(thread: int) -> int:
            wrong = 0
            for number in range(100):
                question = f"known {(thread + number) % 12}"
                wrong += await rig.answer(question) != rig.right(question)
            await aclose()
            return wrong

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(lambda thread: asyncio.run(calls(thread)), range(4))) == [0] * 4
        Figures(GROUP, "four loops at once", "async def", 400, unchanged=True).publish()
