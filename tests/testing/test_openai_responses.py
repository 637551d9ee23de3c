"""The responses endpoint against the real SDK: whole, streamed, parsed, incomplete, failed."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.responses import Response, ResponseInputParam, ResponseStreamEvent
from pydantic import BaseModel

from cachepolicy.testing.openai_server import MODELS, OpenAIServer
from cachepolicy.testing.replies import Reply, ToolCall
from tests.support.colour import Colour

MODEL = "gpt-4.1-mini"
CALL = ToolCall("weather", '{"city": "Bern"}')


class Place(BaseModel):
    """What a parsed answer holds."""

    city: str


def streamed(server: OpenAIServer, colour: Colour, **options: Any) -> list[ResponseStreamEvent]:
    """Ask with ``stream=True``, by the client of this colour, and read to the end."""
    asked: dict[str, Any] = {"model": MODEL, "input": "ping", **options}
    if not colour.is_async:
        with OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return list(client.responses.create(stream=True, **asked))

    async def read() -> list[ResponseStreamEvent]:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return [event async for event in await client.responses.create(stream=True, **asked)]

    return asyncio.run(read())


def same(response: Response) -> dict[str, Any]:
    """Leave out what differs from answer to answer: identities and time."""
    dump = response.model_dump(exclude={"id", "created_at"})
    for item in dump["output"]:
        item.pop("id")
        item.pop("call_id", None)
    return dump


def test_a_response_is_whole(client: OpenAI) -> None:
    """The SDK reads a response with everything a real one carries."""
    got = client.responses.create(model=MODEL, input="ping", instructions="Answer in one word.")

    assert got.output_text == "pong, then"
    assert (got.object, got.status, got.model) == ("response", "completed", MODELS[MODEL])
    assert got.instructions == "Answer in one word."
    assert got.usage is not None
    assert got.usage.total_tokens == got.usage.input_tokens + got.usage.output_tokens
    assert got.model_extra == {}, "a field that the SDK does not know"


def test_a_stream_has_the_sequence_of_the_provider(server: OpenAIServer, colour: Colour) -> None:
    """Created, in progress, the item and its part opened, deltas, all of them closed, completed; numbered."""
    events = streamed(server, colour)

    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 3,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(11))
    assert all(event.model_extra == {} for event in events), "a field that the SDK does not know"


SAID = {
    "text": Reply(text="pong"),
    "many chunks": Reply(text="a long answer", chunks=500),
    "thoughts": Reply(text="pong", reasoning="What rhymes?"),
    "tools": Reply(text="Let me look.", tool_calls=[CALL, ToolCall("time", "{}", "call_1")]),
    "a refusal": Reply(refusal="I would rather not."),
    "cut": Reply(text="pong", finish="length"),
    "filtered": Reply(text="", finish="content_filter"),
    "failed": Reply(text="pong", finish="failed"),
}


@pytest.mark.parametrize("case", SAID)
def test_a_stream_says_what_a_whole_response_says(
    server: OpenAIServer, client: OpenAI, case: str, colour: Colour
) -> None:
    """The last event of a stream holds the response that is said without one; the deltas make up its text."""
    server.answers["ping"] = SAID[case]
    whole = client.responses.create(model=MODEL, input="ping")
    events = streamed(server, colour)

    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete", "response.failed")
    assert last.type == f"response.{whole.status}"
    assert same(last.response) == same(whole)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
)
def test_an_incomplete_response_says_why(
    server: OpenAIServer, client: OpenAI, finish: str, reason: str
) -> None:
    """A reply that was cut or filtered is incomplete, with the reason in the endpoint's own words."""
    server.answers["ping"] = Reply(text="pong", finish=finish)
    got = client.responses.create(model=MODEL, input="ping")

    assert got.status == "incomplete"
    assert got.incomplete_details is not None
    assert got.incomplete_details.reason == reason


def test_a_response_is_cut_at_the_tokens_allowed(client: OpenAI) -> None:
    """A response limited to fewer tokens than its text is incomplete."""
    got = client.responses.create(model=MODEL, input="ping", max_output_tokens=1)

    assert (got.output_text, got.status) == ("pong", "incomplete")


def test_a_failed_response_carries_an_error(server: OpenAIServer, client: OpenAI) -> None:
    """A reply that fails is a response with an error and no output."""
    server.answers["ping"] = Reply(finish="failed")
    got = client.responses.create(model=MODEL, input="ping")

    assert got.error is not None
    assert got.error.code == "server_error"
    assert got.output == []


def test_the_helpers_read_it(server: OpenAIServer, client: OpenAI) -> None:
    """``responses.parse`` and ``responses.stream`` give typed answers."""
    server.answers["ping"] = '{"city": "Bern"}'
    parsed = client.responses.parse(model=MODEL, input="ping", text_format=Place)
    with client.responses.stream(model=MODEL, input="ping", text_format=Place) as events:
        final = events.get_final_response()

    assert parsed.output_parsed == final.output_parsed == Place(city="Bern")


def test_the_async_helper_reads_tools(server: OpenAIServer) -> None:
    """The async ``responses.stream`` puts the calls of tools together."""
    server.answers["ping"] = Reply(tool_calls=[CALL])

    async def read() -> Response:
        async with (
            AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
            client.responses.stream(model=MODEL, input="ping") as events,
        ):
            return await events.get_final_response()

    (call,) = asyncio.run(read()).output
    assert call.type == "function_call"
    assert (call.name, call.arguments) == (CALL.name, CALL.arguments)


def test_the_input_may_be_a_conversation(server: OpenAIServer, client: OpenAI) -> None:
    """Messages, their parts, and what tools returned are read; the question is the user's last text."""
    conversation: ResponseInputParam = [
        {"role": "user", "content": [{"type": "input_text", "text": "ping"}]},
        {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
    ]

    assert client.responses.create(model=MODEL, input=conversation).output_text == "pong, then"


def test_logprobs_are_told_when_asked_for(client: OpenAI) -> None:
    """Every token of the text has its log-probability and as many alternatives as asked."""
    got = client.responses.create(
        model=MODEL, input="ping", include=["message.output_text.logprobs"], top_logprobs=2
    )

    (item,) = got.output
    assert item.type == "message"
    (part,) = item.content
    assert part.type == "output_text"
    assert "".join(token.token for token in part.logprobs or ()) == "pong, then"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": MODEL}, "input"),
        ({"model": MODEL, "input": 1}, "input"),
        ({"model": MODEL, "input": [{"role": "robot", "content": ""}]}, "input[0][0].role"),
        ({"model": MODEL, "input": "ping", "max_output_tokens": 0}, "max_output_tokens"),
    ],
    ids=["no input", "a number", "an unknown role", "no tokens allowed"],
)
def test_a_bad_request_is_refused(client: OpenAI, body: dict[str, Any], param: str) -> None:
    """Each mistake is a BadRequestError that names the field."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/responses", body=body, cast_to=object)
    assert caught.value.param == param


def test_an_error_can_come_in_mid_stream(server: OpenAIServer, colour: Colour) -> None:
    """A stream told to break off with a status ends with the endpoint's ``error`` event."""
    server.break_off(after=3, status=503)
    *_, last = streamed(server, colour)

    assert last.type == "error"
    assert last.sequence_number == 3


def test_a_stream_can_be_hung_up_on(server: OpenAIServer, colour: Colour) -> None:
    """A stream told to break off without a word is a lost connection."""
    server.break_off(after=3)

    with pytest.raises(openai.APIConnectionError):
        streamed(server, colour)
