"""The local Anthropic server against the real SDK: messages whole and streamed, tools, thoughts, errors."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import Message, MessageParam, RawMessageStreamEvent

from cachepolicy.testing.anthropic_server import MODELS, AnthropicServer
from cachepolicy.testing.replies import Reply, ToolCall
from tests.support.colour import Colour

MODEL = "claude-haiku-4-5"
PING: list[MessageParam] = [{"role": "user", "content": "ping"}]
ASKED: dict[str, Any] = {"model": MODEL, "max_tokens": 100, "messages": PING}
CALL = ToolCall("weather", '{"city": "Bern"}')


@pytest.fixture
def server() -> Iterator[AnthropicServer]:
    """Run a server that knows one answer, of three tokens, and thinks no time at all."""
    with AnthropicServer(answers={"ping": "pong, then"}, think=0) as running:
        yield running


@pytest.fixture
def client(server: AnthropicServer) -> Iterator[Anthropic]:
    """Make the real SDK's client, told not to retry."""
    with Anthropic(base_url=server.base_url, api_key="sk-test", max_retries=0) as made:
        yield made


def streamed(server: AnthropicServer, colour: Colour, **options: Any) -> list[RawMessageStreamEvent]:
    """Ask with ``stream=True``, by the client of this colour, and read to the end."""
    asked = {**ASKED, **options}
    if not colour.is_async:
        with Anthropic(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return list(client.messages.create(stream=True, **asked))

    async def read() -> list[RawMessageStreamEvent]:
        async with AsyncAnthropic(base_url=server.base_url, api_key="k", max_retries=0) as client:
            return [event async for event in await client.messages.create(stream=True, **asked)]

    return asyncio.run(read())


def put_together(server: AnthropicServer, colour: Colour) -> Message:
    """Ask by the SDK's stream helper of this colour."""
    if not colour.is_async:
        with (
            Anthropic(base_url=server.base_url, api_key="k", max_retries=0) as client,
            client.messages.stream(**ASKED) as stream,
        ):
            return stream.get_final_message()

    async def read() -> Message:
        async with (
            AsyncAnthropic(base_url=server.base_url, api_key="k", max_retries=0) as client,
            client.messages.stream(**ASKED) as stream,
        ):
            return await stream.get_final_message()

    return asyncio.run(read())


def test_a_message_is_whole(client: Anthropic, server: AnthropicServer) -> None:
    """The SDK reads a message with everything a real one carries."""
    got = client.messages.create(**ASKED, system="Answer in one word.")

    (block,) = got.content
    assert block.type == "text"
    assert block.text == "pong, then"
    assert (got.type, got.role, got.model) == ("message", "assistant", MODELS[MODEL])
    assert (got.stop_reason, got.stop_sequence) == ("end_turn", None)
    assert got.id.startswith("msg_")
    assert got._request_id is not None
    assert got.model_extra == {}, "a field that the SDK does not know"
    assert server.requests == 1
    assert server.received == [{**ASKED, "system": "Answer in one word."}]


def test_a_stream_has_the_sequence_of_the_provider(server: AnthropicServer, colour: Colour) -> None:
    """A message starts, its block starts, grows and stops, the message gets its reason, and stops."""
    events = streamed(server, colour)

    assert [event.type for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all((event.model_extra or {}) == {} for event in events), "a field that the SDK does not know"


SAID = {
    "text": Reply(text="pong"),
    "nothing": Reply(),
    "many chunks": Reply(text="a long answer", chunks=500),
    "thoughts": Reply(text="pong", reasoning="What rhymes?"),
    "tools": Reply(text="Let me look.", tool_calls=[CALL, ToolCall("time", "{}", "toolu_1")]),
    "cut": Reply(text="pong", finish="max_tokens"),
    "a refusal": Reply(refusal="I would rather not."),
    "a refusal in the middle": Reply(text="Well, ", refusal="I would rather not."),
    "cached": Reply(text="pong", cached_tokens=4),
}
REASONS = {
    "tools": "tool_use",
    "cut": "max_tokens",
    "a refusal": "refusal",
    "a refusal in the middle": "refusal",
}


@pytest.mark.parametrize("case", SAID)
def test_a_stream_says_what_a_whole_message_says(
    server: AnthropicServer, client: Anthropic, case: str, colour: Colour
) -> None:
    """The SDK's helper puts a stream together to the message that is said without one."""
    server.answers["ping"] = SAID[case]
    whole = client.messages.create(**ASKED)
    told = put_together(server, colour)

    assert whole.stop_reason == REASONS.get(case, "end_turn")
    assert _same(told) == _same(whole)


def _same(message: Message) -> dict[str, Any]:
    dump = message.model_dump(exclude={"id"})
    return {**dump, "content": [{**block, "id": None} for block in dump["content"]]}


def test_a_tool_is_called_in_json(server: AnthropicServer, client: Anthropic) -> None:
    """The arguments of a tool are an object; those that are no JSON are an empty one."""
    server.answers["ping"] = Reply(tool_calls=[CALL, ToolCall("broken", '{"city": "Be')])
    first, second = client.messages.create(**ASKED).content

    assert first.type == second.type == "tool_use"
    assert (first.input, second.input) == ({"city": "Bern"}, {})


def test_an_answer_is_cut_at_the_tokens_allowed(client: Anthropic) -> None:
    """A message limited to fewer tokens than its text ends with ``max_tokens``."""
    got = client.messages.create(model=MODEL, messages=PING, max_tokens=1)

    assert got.stop_reason == "max_tokens"
    assert got.usage.output_tokens == 1


def test_cached_tokens_are_not_counted_twice(server: AnthropicServer, client: Anthropic) -> None:
    """What the provider read from its own cache is counted beside the input, not in it."""
    whole = client.messages.create(**ASKED).usage
    server.answers["ping"] = Reply(text="pong", cached_tokens=4)
    part = client.messages.create(**ASKED).usage

    assert part.cache_read_input_tokens == 4
    assert part.input_tokens + 4 == whole.input_tokens


def test_a_conversation_is_read(client: Anthropic) -> None:
    """Blocks of text and results of tools are read; the question is the user's last text."""
    conversation: list[MessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "ping"}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "sunny"}]},
    ]
    (block,) = client.messages.create(model=MODEL, max_tokens=9, messages=conversation).content

    assert block.type == "text"
    assert block.text == "pong, then"


STATUSES: dict[int, tuple[type[anthropic.APIStatusError], str]] = {
    400: (anthropic.BadRequestError, "invalid_request_error"),
    401: (anthropic.AuthenticationError, "authentication_error"),
    403: (anthropic.PermissionDeniedError, "permission_error"),
    404: (anthropic.NotFoundError, "not_found_error"),
    429: (anthropic.RateLimitError, "rate_limit_error"),
    500: (anthropic.InternalServerError, "api_error"),
    503: (anthropic.InternalServerError, "api_error"),
    529: (anthropic.InternalServerError, "overloaded_error"),
}


@pytest.mark.parametrize("status", STATUSES)
def test_every_failure_has_its_class(server: AnthropicServer, client: Anthropic, status: int) -> None:
    """A failure told to happen is the SDK's error for its status, with the provider's word for it."""
    server.fail_with(status, retry_after=1.5)

    with pytest.raises(STATUSES[status][0]) as caught:
        client.messages.create(**ASKED)
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["error"]["type"] == STATUSES[status][1]
    assert caught.value.response.headers["retry-after"] == "1.5"
    assert caught.value.status_code == status
    assert client.messages.create(**ASKED).content


def test_an_error_can_come_in_mid_stream(server: AnthropicServer, colour: Colour) -> None:
    """A stream told to break off with a status ends with the ``error`` event, as the SDK's own error."""
    server.break_off(after=3, status=529)

    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        streamed(server, colour)


def test_a_stream_can_be_hung_up_on(server: AnthropicServer, client: Anthropic, colour: Colour) -> None:
    """A stream told to break off without a word is a lost connection, after the events that were sent."""
    server.break_off(after=4, times=2)

    stream = client.messages.create(**ASKED, stream=True)
    assert [next(stream).type for _ in range(3)] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
    ]
    # The SDK lets its HTTP client's own error through here.
    with pytest.raises(Exception, match="closed connection"):
        next(stream)
    with pytest.raises(Exception, match="closed connection"):
        streamed(server, colour)


def test_a_client_that_leaves_is_seen(server: AnthropicServer, client: Anthropic) -> None:
    """A stream that its client closes early is noted at once, though the next event is an hour away."""
    server.pace = 3600
    with client.messages.create(**ASKED, stream=True) as stream:
        next(stream)

    assert server.wait_for_hang_ups(1)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"x-api-key": "right"}, 200),
        ({"Authorization": "Bearer right"}, 200),
        ({"x-api-key": "wrong"}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic right"}, 401),
        ({}, 401),
    ],
    ids=["x-api-key", "bearer token", "wrong", "wrong token", "another scheme", "none"],
)
def test_a_key_is_asked_for(header: dict[str, str], status: int) -> None:
    """A server that wants one key takes it in either header, and refuses others, and none, uncounted."""
    with AnthropicServer(answers={"ping": "pong"}, think=0, api_key="right") as server:
        connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"))
        try:
            versioned = {"anthropic-version": "2023-06-01", **header}
            connection.request("POST", "/v1/messages", json.dumps(ASKED), versioned)
            assert connection.getresponse().status == status
        finally:
            connection.close()
        assert server.requests == (status == 200)


BAD_REQUESTS: dict[str, dict[str, Any]] = {
    "no model": {"max_tokens": 1, "messages": PING},
    "no max_tokens": {"model": MODEL, "messages": PING},
    "no messages": {"model": MODEL, "max_tokens": 1},
    "a system message": {**ASKED, "messages": [{"role": "system", "content": "Be brief."}]},
    "too hot": {**ASKED, "temperature": 1.5},
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused(client: Anthropic, case: str) -> None:
    """Each mistake is a BadRequestError."""
    with pytest.raises(anthropic.BadRequestError):
        client.post("/v1/messages", body=BAD_REQUESTS[case], cast_to=object)


def test_what_is_not_served_is_not_found(client: Anthropic) -> None:
    """An unknown model and an unknown path are a NotFoundError."""
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="claude-0", max_tokens=1, messages=PING)
    with pytest.raises(anthropic.NotFoundError):
        client.post("/v1/complete", body={}, cast_to=object)


def test_models_can_be_listed(client: Anthropic) -> None:
    """The models endpoint names what can be asked for."""
    assert [model.id for model in client.models.list()] == list(MODELS)
