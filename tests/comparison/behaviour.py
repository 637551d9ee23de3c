"""What happens with an answer after it was given: each probe asks a local provider, and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final, NamedTuple

from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.replies import Reply
from tests.comparison.clients import Client

Messages = list[dict[str, Any]]
SAID: Final = "Paris is the capital of France, and has been for a long time."


class Probe(NamedTuple):
    """One row: what is asked, and what tells."""

    row: str
    run: Callable[[Client], Coroutine[Any, Any, str]]
    best: str


def _asked(question: str, turns: int = 1) -> Messages:
    return [{"role": "user", "content": question}] * turns


def _server(**replies: Any) -> OpenAIServer:
    return OpenAIServer(
        answers={"truncated": Reply(text="Paris is", finish="length"), "empty": Reply(), **replies}, think=0
    )


async def _twice(client: Client, messages: Messages) -> str:
    with _server() as server:
        for _ in range(2):
            await client.ask(server.base_url, messages)
        return "kept" if server.requests == 1 else "not kept"


async def an_answer(client: Client) -> str:
    """Ask twice."""
    return await _twice(client, _asked("answer"))


async def a_conversation(client: Client) -> str:
    """Ask twice, five turns in."""
    return await _twice(client, _asked("long", turns=5))


async def a_truncated_answer(client: Client) -> str:
    """Ask twice for what is cut off."""
    return await _twice(client, _asked("truncated"))


async def an_empty_answer(client: Client) -> str:
    """Ask twice for nothing."""
    return await _twice(client, _asked("empty"))


async def another_endpoint(client: Client) -> str:
    """Ask two providers the same."""
    with _server(same="one") as one, _server(same="two") as two:
        answers = [client.text(await client.ask(server.base_url, _asked("same"))) for server in (one, two)]
    return "told apart" if answers == ["one", "two"] else "wrong hit"


async def ten_at_once(client: Client) -> str:
    """Ask ten times at once."""
    with OpenAIServer(think=0.3) as server:
        await asyncio.gather(*(client.ask(server.base_url, _asked("at once")) for _ in range(10)))
        return f"{server.requests} calls"


async def a_careless_caller(client: Client) -> str:
    """Change an answer that came from the cache."""
    with _server() as server:
        await client.ask(server.base_url, _asked("careless"))
        client.spoil(await client.ask(server.base_url, _asked("careless")))
        again = client.text(await client.ask(server.base_url, _asked("careless")))
    return "leaks" if again == "spoiled" else "a copy each"


async def _chunks(client: Client, url: str, question: str) -> list[str]:
    async with aclosing(client.stream(url, _asked(question))) as chunks:  # type: ignore[type-var] # a generator
        return [chunk async for chunk in chunks]


async def a_stream(client: Client) -> str:
    """Ask twice for a stream."""
    with _server(stream=SAID) as server:
        first, second = [await _chunks(client, server.base_url, "stream") for _ in range(2)]
        if server.requests == 2:
            return "not kept"
    return "chunk for chunk" if first == second else f"{len(first)} chunks come back as {len(second)}"


async def a_stream_left_early(client: Client) -> str:
    """Leave a stream after two chunks, and ask again."""
    with _server(left=SAID) as server:
        async with aclosing(client.stream(server.base_url, _asked("left"))) as chunks:  # type: ignore[type-var] # as above
            async for chunk in chunks:
                if chunk:
                    break
        again = "".join(await _chunks(client, server.base_url, "left"))
        return (
            "not kept" if again == SAID and server.requests == 2 else f"{len(again)} of {len(SAID)} letters"
        )


async def a_broken_stream(client: Client) -> str:
    """Have a stream break off, and ask again."""
    with _server(broken=SAID) as server:
        server.break_off(after=3)
        with suppress(Exception):
            await _chunks(client, server.base_url, "broken")
        again = "".join(await _chunks(client, server.base_url, "broken"))
        return (
            "not kept" if again == SAID and server.requests == 2 else f"{len(again)} of {len(SAID)} letters"
        )


PROBES: Final = (
    Probe("an answer", an_answer, "kept"),
    Probe("an answer in a conversation of five turns", a_conversation, "kept"),
    Probe("a truncated answer", a_truncated_answer, "not kept"),
    Probe("an empty answer", an_empty_answer, "not kept"),
    Probe("the same request to another endpoint", another_endpoint, "told apart"),
    Probe("ten equal calls at once", ten_at_once, "1 calls"),
    Probe("a caller changes what it was given", a_careless_caller, "a copy each"),
    Probe("a stream", a_stream, "chunk for chunk"),
    Probe("a stream that its reader left", a_stream_left_early, "not kept"),
    Probe("a stream that broke off", a_broken_stream, "not kept"),
)
