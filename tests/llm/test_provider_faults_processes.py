"""A provider that fails several processes: what one was told, all know; real Redis, real time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

from cachepolicy import configure, llm_cached
from cachepolicy.testing.openai_server import OpenAIServer
from tests.support.asking import ask_once
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.source import ROOT
from tests.support.vendors import OPENAI, Provider
from tests.support.waiting import until

NO_L1 = {"enabled": False}
KEEPS = {"bad_requests": True, "ttl": "1h"}  # a process may take its time to start
PROCESS = """
import json, sys
from cachepolicy import close, configure, llm_cached, observe

rule, url, load = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3] == "loaded"
configure(rule)
if load:
    import openai

@llm_cached(namespace="answers", key="q:{question}")
def answer(question: str) -> str:
    import openai
    with openai.OpenAI(base_url=url, api_key="any", max_retries=0) as client:
        messages = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(model="gpt-4.1-mini", messages=messages)
    return answer.choices[0].message.content

for line in sys.stdin:
    with observe() as seen:
        try:
            said = answer(line.strip())
        except Exception as error:
            said = [type(error).__name__, str(error), error.body, error.request_id, error.response.json()]
    print(json.dumps([said, seen[0].outcome, seen[0].reason]), flush=True)
close()
"""


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """Run one for other processes."""
    with OpenAIServer(answers={"why?": ["answer 1", "answer 2", "answer 3"]}, think=0) as running:
        yield running


class Process:
    """Another process with the same function, which asks what it is told to."""

    def __init__(self, rule: dict[str, Any], server: OpenAIServer, load: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-c", PROCESS, json.dumps(rule), server.base_url, load],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str = "why?") -> Any:
        """Have it call the function; return what came, the outcome and its reason."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(question + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())


@contextmanager
def _process(rule: dict[str, Any], server: OpenAIServer, load: str = "loaded") -> Iterator[Process]:
    process = Process(rule, server, load)
    with process.child as child:
        yield process
        assert child.stdin is not None
        child.stdin.close()
    assert process.child.returncode == 0


def test_another_process_raises_the_same(redis_url: str, colour: Colour, server: OpenAIServer) -> None:
    """What one process was refused another one raises, without a request of its own."""
    rule = cache_policy(redis_url, negative=KEEPS)
    configure(rule)
    asker = Provider(OPENAI, server).asker(colour)
    answer = llm_cached(namespace="answers", key="q:{question}")(asker)
    server.fail_with(400, code="context_length_exceeded")
    with pytest.raises(OPENAI.sdk.BadRequestError) as raised:
        ask_once(colour, answer, "why?")
    first: Any = raised.value
    with _process(rule, server) as other:
        said, outcome, _ = other.ask()
    assert said == ["BadRequestError", str(first), first.body, first.request_id, first.response.json()]
    assert outcome == "hit"
    assert server.requests == 1


def test_a_process_without_the_sdk_asks_for_itself(redis_url: str, server: OpenAIServer) -> None:
    """Nothing is imported to make an error: where its SDK is not loaded yet, the function is asked."""
    rule = cache_policy(redis_url, negative=KEEPS)
    server.fail_with(400, 2)
    with _process(rule, server) as first, _process(rule, server, "later") as second:
        first.ask()
        assert [second.ask()[1] for _ in range(2)] == ["miss", "hit"]
    assert server.requests == 2


def test_processes_leave_a_provider_alone_together(redis_url: str, server: OpenAIServer) -> None:
    """A provider that told one process to wait is asked by no other, and by one when the time is over."""
    stale = {"if_error": "1h", "throttle": "1ms"}
    rule = cache_policy(redis_url, ttl="200ms", stale=stale, local=NO_L1)
    with _process(rule, server) as first, _process(rule, server) as second:
        first.ask("warm")  # what is slow about a first call is over
        second.ask("warm too")
        before = server.requests
        assert first.ask() == ["answer 1", "miss", None]
        server.fail_with(429, retry_after=60)
        until(lambda: first.ask()[1] == "stale", "the answer to end")
        for _ in range(10):
            assert second.ask() == ["answer 1", "stale", "origin_error"]
            assert first.ask() == ["answer 1", "stale", "origin_error"]
        assert server.requests == before + 2
        with redis.Redis.from_url(redis_url.replace("/0", "/1")) as client:
            (lease,) = client.keys("*:~lease:*")
            client.pexpire(lease, 1)  # a minute, of Redis' own time
        until(lambda: second.ask()[1] != "stale", "the provider to be asked again")
        assert server.requests == before + 3
