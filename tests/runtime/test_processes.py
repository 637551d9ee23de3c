from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import Tier, aclose, cached, close, configure, observe
from tests.support.policies import cache_policy
from tests.support.waiting import until

PROCESS = """
import asyncio, json, sys
from cachepolicy import aclose, cached, close, configure, observe

configure(json.loads(sys.argv[1]))

@cached("answers")
def answer(question: str) -> dict[str, str]:
    return {"asked": question}

@cached("answers")
async def later(question: str) -> dict[str, str]:
    return {"asked": question}

async def main():
    answers = [await later("why?") for _ in range(2)]
    await aclose()
    return answers

with observe() as seen:
    answers = [answer("why?") for _ in range(2)]
    answers += asyncio.run(main())
close()
print(json.dumps([[one.tier for one in seen], answers]))
"""


def _process(script: Path, policy: dict[str, Any]) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script), json.dumps(policy)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _computed(tiers: list[str]) -> list[bool]:
    """Tell which calls ran the function; L1 may miss its first fill, which makes the version of a tag."""
    return [tier == "origin" for tier in tiers]


def test_a_second_process_is_answered_from_redis(redis_url: str, tmp_path: Path) -> None:
    """Two processes that share a Redis share answers: the first asks the function, the second does not."""
    script = tmp_path / "script.py"
    script.write_text(PROCESS)
    tiers, answers = _process(script, cache_policy(redis_url))
    assert _computed(tiers) == [True, False, True, False]
    tiers, again = _process(script, cache_policy(redis_url))
    assert _computed(tiers) == [False] * 4
    assert (tiers[0], tiers[2]) == ("l2", "l2")
    assert answers == again == [{"asked": "why?"}] * 4


def test_two_scripts_do_not_share_answers(redis_url: str, tmp_path: Path) -> None:
    """Functions of one name in two scripts are two functions, though both live in ``__main__``."""
    tiers = []
    for name in ("one.py", "two.py"):
        script = tmp_path / name
        script.write_text(PROCESS)
        tiers.append(_process(script, cache_policy(redis_url))[0])
    assert [_computed(one) for one in tiers] == [[True, False, True, False]] * 2


def test_loops_come_and_go(redis_url: str) -> None:
    """One function works on one event loop after another: each has connections of its own."""
    configure(cache_policy(redis_url, local={"enabled": False}))

    @cached("answers")
    async def answer(question: str) -> str:
        return question

    async def ask() -> None:
        await asyncio.gather(*[answer("why?") for _ in range(20)])
        await aclose()

    with observe() as seen:
        for _ in range(3):
            asyncio.run(ask())
    assert {one.fault for one in seen} == {None}
    assert [one.tier for one in seen].count(
        Tier.ORIGIN
    ) == 20  # the first loop's: one miss, the others coalesced
    close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # 3.12 warns of forking beside threads
def test_a_forked_child_goes_on(redis_url: str) -> None:
    """A child forked amid a load, with connections open, goes on; so does its parent."""
    configure(cache_policy(redis_url))
    asked, gate = threading.Event(), threading.Event()

    @cached("answers")
    def answer(question: str) -> str:
        if question == "slow" and threading.current_thread() is not threading.main_thread():
            asked.set()
            assert gate.wait(20)
        return question

    answer("warm")
    loading = threading.Thread(target=answer, args=("slow",))
    loading.start()
    assert asked.wait(20)
    child = os.fork()
    if child == 0:  # the flight's leader does not exist here
        ok = False
        try:
            ok = answer("slow") == "slow" and answer("warm") == "warm" and answer("new") == "new"
        finally:  # whatever is raised: the rest of the tests is its parent's
            os._exit(0 if ok else 1)
    gate.set()  # the child waits for its parent's load, as any other process would
    _, status = os.waitpid(child, 0)
    loading.join()
    assert os.waitstatus_to_exitcode(status) == 0
    with observe() as seen:
        assert answer("new") == "new"
        until(lambda: answer("slow") == "slow" and seen[-1].tier is Tier.L1, "L1")  # it may begin anew
    assert seen[0].tier is Tier.L2
    assert Tier.ORIGIN not in [one.tier for one in seen]
    close()
