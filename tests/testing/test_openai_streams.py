"""Streams of chat completions against the real SDK: what arrives is what the provider would send."""

from __future__ import annotations

import asyncio
import http.client
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessage, ChatCompletionMessageParam
from pydantic import BaseModel

from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.replies import Reply, ToolCall
from tests.support.colour import Colour

MODEL = "gpt-4.1-mini"
PING: list[ChatCompletionMessageParam] = [{"role": "user", "content": "ping"}]
CALL = ToolCall("weather", '{"city": "Bern"}')


class Place(BaseModel):
    """What a parsed answer holds."""

    city: str


def streamed(server: OpenAIServer, colour: Colour, **options: Any) -> list[ChatCompletionChunk]:
    """Ask with ``stream=True``, by the client of this colour, and read to the end."""
    asked: dict[str, Any] = {"model": MODEL, "messages": PING, **options}
    if not colour.is_async:
        with OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return list(client.chat.completions.create(stream=True, **asked))

    async def read() -> list[ChatCompletionChunk]:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return [chunk async for chunk in await client.chat.completions.create(stream=True, **asked)]

    return asyncio.run(read())


def test_a_stream_is_role_deltas_and_finish(server: OpenAIServer, colour: Colour) -> None:
    """A role comes first, a delta a token next, the reason last; all share identity, model and time."""
    chunks = streamed(server, colour)

    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "pong", ",", " then", None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4 + ["stop"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    assert [chunk.model_extra for chunk in chunks] == [{}] * 5, "a field that the SDK does not know"
    assert all(chunk.usage is None for chunk in chunks)


def test_usage_comes_last_when_asked_for(server: OpenAIServer, client: OpenAI, colour: Colour) -> None:
    """With ``include_usage`` one more chunk, without choices, counts what a whole answer counts."""
    chunks = streamed(server, colour, stream_options={"include_usage": True})
    whole = client.chat.completions.create(model=MODEL, messages=PING)

    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage
    assert all(chunk.usage is None for chunk in chunks[:-1])


SAID = {
    "text": Reply(text="pong"),
    "many chunks": Reply(text="a long answer", chunks=500),
    "cut": Reply(text="pong", finish="length"),
    "filtered": Reply(finish="content_filter"),
    "a tool": Reply(tool_calls=[CALL]),
    "two tools": Reply(text="Let me look.", tool_calls=[CALL, ToolCall("time", "{}", "call_1")]),
    "a broken tool": Reply(tool_calls=[ToolCall("weather", '{"city": "Be')], finish="length"),
    "a refusal": Reply(refusal="I would rather not."),
    "json": Reply(text='{"answer": 42}'),
}


@pytest.mark.parametrize("case", SAID)
def test_a_stream_says_what_a_whole_answer_says(server: OpenAIServer, client: OpenAI, case: str) -> None:
    """The SDK's helper puts a stream together to the message that is said without one."""
    server.answers["ping"] = SAID[case]
    whole = client.chat.completions.create(model=MODEL, messages=PING, logprobs=True)
    with client.chat.completions.stream(model=MODEL, messages=PING, logprobs=True) as events:
        for _ in events:
            pass
        snapshot = events.current_completion_snapshot

    said, told = whole.choices[0], snapshot.choices[0]
    assert told.finish_reason == said.finish_reason
    assert (told.message.content or "") == (said.message.content or "")
    assert told.message.refusal == said.message.refusal
    assert _calls(told.message) == _calls(said.message)


def _calls(message: ChatCompletionMessage) -> list[tuple[str, str]]:
    functions = [call.model_dump()["function"] for call in message.tool_calls or ()]
    return [(function["name"], function["arguments"]) for function in functions]


def test_the_number_of_chunks_can_be_told(server: OpenAIServer, colour: Colour) -> None:
    """``chunks`` is how many deltas the text takes, however short it is; none of it is lost."""
    server.answers["ping"] = Reply(text="pong", chunks=7)
    deltas = [chunk.choices[0].delta.content for chunk in streamed(server, colour)]

    assert len(deltas) == 1 + 7 + 1
    assert "".join(filter(None, deltas)) == "pong"


def test_vendor_words_pass(server: OpenAIServer, client: OpenAI, colour: Colour) -> None:
    """A vendor's own reason and its ``reasoning_content`` reach the client, whole and streamed."""
    server.answers["ping"] = Reply(text="pong", finish="eos_token", reasoning="What rhymes?")
    whole = client.chat.completions.create(model=MODEL, messages=PING).choices[0]
    chunks = [chunk.choices[0] for chunk in streamed(server, colour)]

    assert (whole.finish_reason, chunks[-1].finish_reason) == ("eos_token", "eos_token")
    thought = "".join((chunk.delta.model_extra or {}).get("reasoning_content", "") for chunk in chunks)
    assert thought == (whole.message.model_extra or {})["reasoning_content"] == "What rhymes?"


def test_parsed_answers_are_typed(server: OpenAIServer, client: OpenAI) -> None:
    """``parse`` and the stream helper make the class of ``response_format`` of a text that is its JSON."""
    server.answers["ping"] = '{"city": "Bern"}'
    parsed = client.chat.completions.parse(model=MODEL, messages=PING, response_format=Place)
    with client.chat.completions.stream(model=MODEL, messages=PING, response_format=Place) as events:
        final = events.get_final_completion()

    assert parsed.choices[0].message.parsed == final.choices[0].message.parsed == Place(city="Bern")
    assert [body["response_format"]["type"] for body in server.received] == ["json_schema"] * 2


def test_choices_take_turns(server: OpenAIServer, colour: Colour) -> None:
    """Each of ``n`` choices gets a role, its deltas and a reason."""
    chunks = [chunk.choices[0] for chunk in streamed(server, colour, n=2)]

    assert [choice.index for choice in chunks] == [0, 1] * 5
    assert [choice.finish_reason for choice in chunks[-2:]] == ["stop", "stop"]


def test_logprobs_are_told_when_asked_for(server: OpenAIServer, client: OpenAI, colour: Colour) -> None:
    """Every token has its log-probability and as many alternatives as asked, the same whole and streamed."""
    whole = client.chat.completions.create(model=MODEL, messages=PING, logprobs=True, top_logprobs=2)
    chunks = streamed(server, colour, logprobs=True, top_logprobs=2)

    assert whole.choices[0].logprobs is not None
    said = whole.choices[0].logprobs.content or []
    told = [c.choices[0].logprobs.content or [] for c in chunks if c.choices[0].logprobs is not None]
    assert [token for some in told for token in some] == said
    assert "".join(token.token for token in said) == "pong, then"
    assert {len(token.top_logprobs) for token in said} == {2}
    assert all(token.logprob <= 0 and token.bytes == list(token.token.encode()) for token in said)


def test_answers_can_take_turns(server: OpenAIServer, client: OpenAI) -> None:
    """Several answers to one question are given one after another, the last again and again."""
    server.answers["ping"] = ["first", Reply(text="second")]
    said = [client.chat.completions.create(model=MODEL, messages=PING).choices[0].message for _ in range(3)]

    assert [message.content for message in said] == ["first", "second", "second"]


def test_what_was_received_can_be_read(server: OpenAIServer, client: OpenAI) -> None:
    """The bodies of all requests are kept, as they came."""
    client.chat.completions.create(model=MODEL, messages=PING, seed=7, extra_body={"min_p": 0.1})

    assert server.received == [{"model": MODEL, "messages": PING, "seed": 7, "min_p": 0.1}]


def test_an_error_can_come_in_mid_stream(server: OpenAIServer, colour: Colour) -> None:
    """A stream told to break off with a status says so after its chunks, as the SDK's own error."""
    server.break_off(after=2, status=500)

    with pytest.raises(openai.APIError, match="told to fail") as caught:
        streamed(server, colour)
    assert not isinstance(caught.value, openai.APIConnectionError)
    assert len(streamed(server, colour)) == 5


def test_a_stream_can_be_hung_up_on(server: OpenAIServer, client: OpenAI, colour: Colour) -> None:
    """A stream told to break off without a word is a lost connection, after the chunks that were sent."""
    server.break_off(after=2, times=2)

    stream = client.chat.completions.create(model=MODEL, messages=PING, stream=True)
    assert [next(stream).choices[0].delta.content for _ in range(2)] == ["", "pong"]
    with pytest.raises(openai.APIConnectionError):
        next(stream)
    with pytest.raises(openai.APIConnectionError):
        streamed(server, colour)
    assert server.hang_ups == 0, "the server hung up, not the client"


def test_what_is_no_stream_can_be_hung_up_on(server: OpenAIServer, client: OpenAI) -> None:
    """A whole answer told to break off is a lost connection."""
    server.break_off(after=2)

    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(model=MODEL, messages=PING)
    assert client.chat.completions.create(model=MODEL, messages=PING).choices


def test_a_client_that_leaves_is_seen(server: OpenAIServer, client: OpenAI) -> None:
    """A stream that its client closes early is noted at once, though the next chunk is an hour away."""
    server.pace = 3600
    with client.chat.completions.create(model=MODEL, messages=PING, stream=True) as stream:
        next(stream)
        assert server.hang_ups == 0

    assert server.wait_for_hang_ups(1)


def test_an_async_client_that_leaves_is_seen(server: OpenAIServer) -> None:
    """A task that is cancelled while it reads a stream closes it at the provider."""
    server.answers["ping"] = Reply(text="pong", hold_after=1)

    async def leave() -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            stream = await client.chat.completions.create(model=MODEL, messages=PING, stream=True)
            await anext(stream)
            reads = asyncio.ensure_future(anext(stream))
            await asyncio.sleep(0)
            reads.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reads
            await stream.close()
            assert await asyncio.to_thread(server.wait_for_hang_ups, 1)

    asyncio.run(leave())


def test_a_client_that_gives_up_on_a_thinking_server_is_seen() -> None:
    """A client whose patience ends before the first byte is noted as well."""
    with (
        OpenAIServer(think=3600) as server,
        OpenAI(base_url=server.base_url, api_key="k", max_retries=0, timeout=0.05) as client,
    ):
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model=MODEL, messages=PING)
        assert server.wait_for_hang_ups(1)


def test_a_client_that_reads_to_the_end_is_no_hang_up(server: OpenAIServer, colour: Colour) -> None:
    """Streams read whole, then closed, are not counted as left."""
    for _ in range(20):
        streamed(server, colour)

    assert server.hang_ups == 0


def test_a_held_stream_goes_on_when_released(server: OpenAIServer, client: OpenAI) -> None:
    """A stream gives what comes before the hold, then waits for ``release``."""
    server.answers["ping"] = Reply(text="pong, then", hold_after=2)
    with client.chat.completions.create(model=MODEL, messages=PING, stream=True) as stream:
        first = [next(stream), next(stream)]
        server.release()
        rest = list(stream)

    assert first[1].choices[0].delta.content == "pong"
    assert len(rest) == 3


def test_closing_ends_a_stream_under_way() -> None:
    """A server that is closed drops a paused stream at once; its client sees a lost connection."""
    server = OpenAIServer(answers={"ping": "pong"}, think=0, pace=3600).start()
    with OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(model=MODEL, messages=PING, stream=True)
        next(stream)
        server.close()
        with pytest.raises(openai.APIConnectionError):
            next(stream)
    assert server.hang_ups == 0


def test_an_old_client_reads_to_the_end_of_the_connection(server: OpenAIServer) -> None:
    """HTTP/1.0 knows no chunks: such a client gets the plain events, and the connection's end."""
    host = server.base_url.removeprefix("http://").removesuffix("/v1")
    body = b'{"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "ping"}]}'
    connection = http.client.HTTPConnection(host)
    connection._http_vsn, connection._http_vsn_str = 10, "HTTP/1.0"  # type: ignore[attr-defined]  # how http.client is told
    try:
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer k"})
        said = connection.getresponse().read()
    finally:
        connection.close()

    assert said.startswith(b"data: {")
    assert said.endswith(b"data: [DONE]\n\n")
