"""Hits in Redis that come back as an SDK's object, beside what one would write by hand; L1 is off."""

from __future__ import annotations

import json
from itertools import cycle
from typing import Any

from openai.types.chat import ChatCompletion

import cachepolicy
from tests.benchmarks.harness import OURS, Row, Table, timed, timed_async
from tests.benchmarks.l2_decorated import configure
from tests.benchmarks.origins import Calls
from tests.benchmarks.stage import Stage, document, names

SEQUENTIAL = "sequential async L2 hit of a ChatCompletion"
SEQUENTIAL_SYNC = "sequential sync L2 hit of a ChatCompletion"
BY_HAND = "redis-py GET, json.loads, construct"

_NOTE = "2 KB, no L1, one after the other; client and server on one processor"


def sequential(stage: Stage, title: str) -> Table:
    """Compare one call after the other."""
    keys, client, calls = names(1_000), stage.redis_py(), Calls()
    _fill(stage, keys)

    @cachepolicy.cached("answers")
    async def asked(key: str) -> ChatCompletion:
        calls.count += 1
        return _made(_body(key))

    async def by_hand(key: str) -> ChatCompletion:
        return _made(json.loads(await client.get(key)))

    async def fill() -> None:
        for key in keys:
            assert await asked(key) == await by_hand(key)

    stage.run(fill())
    calls.count = 0
    rows = [
        Row(name, timed_async(stage.loop, "await f(next(turn))", f=f, turn=cycle(keys), next=next), of)
        for name, f, of in ((BY_HAND, by_hand, Calls()), (OURS, asked, calls))
    ]
    return Table(title, _NOTE, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def sequential_sync(stage: Stage, title: str) -> Table:
    """Compare one call after the other, without a loop."""
    import redis

    keys, calls = names(1_000), Calls()
    client = redis.Redis.from_url(f"{stage.address}/1")
    _fill(stage, keys)

    async def close() -> None:
        client.close()

    stage.at_end(close)

    @cachepolicy.cached("answers")
    def asked(key: str) -> ChatCompletion:
        calls.count += 1
        return _made(_body(key))

    def by_hand(key: str) -> ChatCompletion:
        return _made(json.loads(client.get(key)))  # type: ignore[arg-type] # of a sync client

    for key in keys:
        assert asked(key) == by_hand(key)
    calls.count = 0
    rows = [
        Row(name, timed("f(next(turn))", f=f, turn=cycle(keys), next=next), of)
        for name, f, of in ((BY_HAND, by_hand, Calls()), (OURS, asked, calls))
    ]
    return Table(title, _NOTE, rows, slice_seconds=0.03, server=stage.server.pid, pinned=True)


def _fill(stage: Stage, keys: list[str]) -> None:
    import redis

    configure(stage)
    with redis.Redis.from_url(f"{stage.address}/1") as client:
        client.mset({key: json.dumps(_body(key)) for key in keys})


def _body(key: str) -> dict[str, Any]:
    """Return 2 KB of an answer as OpenAI sends it."""
    text = document(key)
    content = " ".join(choice["message"]["content"] for choice in text["choices"])
    message = {"role": "assistant", "content": content, "refusal": None}
    return {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gpt-4.1-mini",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            **text["usage"],
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def _made(body: dict[str, Any]) -> ChatCompletion:
    return ChatCompletion.construct(**body)
