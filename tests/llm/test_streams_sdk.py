"""M3 with the real SDKs: their stream objects pass, are shared, and come again as what they were."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.lib.streaming import (
    AsyncMessageStream,
    AsyncMessageStreamManager,
    MessageStream,
    MessageStreamManager,
)
from anthropic.types import RawMessageStreamEvent
from openai import AsyncOpenAI, OpenAI
from openai.lib.streaming.chat import AsyncChatCompletionStreamManager, ChatCompletionStreamManager
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import BaseModel

from cachepolicy import configure, llm_cached
from cachepolicy.testing.anthropic_server import AnthropicServer
from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.provider import ProviderServer
from cachepolicy.testing.replies import Reply, ToolCall
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.streams import END, Desk, forget, no_lease_is_left
from tests.support.waiting import until, until_async

PING: Any = [{"role": "user", "content": "ping"}]
SAID = "pong, then ping"


class Place(BaseModel):
    """What a parsed answer holds."""

    city: str


@pytest.fixture(autouse=True)
def _memory() -> None:
    policy = cache_policy()
    policy["namespaces"]["llm"] = policy["namespaces"].pop("answers")
    configure(policy)


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    """Speak OpenAI's wire format."""
    with OpenAIServer(think=0, answers={"ping": SAID}) as server:
        yield server


@pytest.fixture
def anthropic_server() -> Iterator[AnthropicServer]:
    """Speak Anthropic's."""
    with AnthropicServer(think=0, answers={"ping": SAID}) as server:
        yield server


class Clients:
    """The real clients, and functions that ask with them."""

    def __init__(self, desk: Desk, chat: OpenAIServer, messages: AnthropicServer) -> None:
        self._desk = desk
        keys: Any = {"api_key": "k", "max_retries": 0}
        self.openai: Any = (AsyncOpenAI if desk.is_async else OpenAI)(base_url=chat.base_url, **keys)
        self.anthropic: Any = (AsyncAnthropic if desk.is_async else Anthropic)(
            base_url=messages.base_url, **keys
        )

    def close(self) -> None:
        """Close their connections."""
        self._desk.do(self.openai.close)
        self._desk.do(self.anthropic.close)

    def chat(self) -> Any:
        """Ask for chunks of a chat completion."""
        asked: Any = {"model": "gpt-4.1-mini", "messages": PING, "stream": True}
        kind: Any = openai.AsyncStream if self._desk.is_async else openai.Stream
        return self._asking(self.openai.chat.completions.create, asked, kind[ChatCompletionChunk])

    def messages(self) -> Any:
        """Ask for the events of a message."""
        asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": PING, "stream": True}
        kind: Any = anthropic.AsyncStream if self._desk.is_async else anthropic.Stream
        return self._asking(self.anthropic.messages.create, asked, kind[RawMessageStreamEvent])

    def managed(self) -> Any:
        """Ask for the helper that accumulates a message."""
        asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": PING}
        kind: Any = AsyncMessageStreamManager if self._desk.is_async else MessageStreamManager
        return self._opening(self.anthropic.messages.stream, asked, kind[None])

    def completing(self, response_format: type[BaseModel]) -> Any:
        """Ask for the helper that accumulates a chat completion, and parses it to a place, as it says."""
        asked: Any = {"model": "gpt-4.1-mini", "messages": PING, "response_format": response_format}
        kind: Any = AsyncChatCompletionStreamManager if self._desk.is_async else ChatCompletionStreamManager
        return self._opening(self.openai.chat.completions.stream, asked, kind[Place])

    def _asking(self, method: Any, asked: Any, annotation: Any) -> Any:
        def ask(question: str) -> Any:
            return method(**asked)

        async def ask_async(question: str) -> Any:
            return await method(**asked)

        function: Any = ask_async if self._desk.is_async else ask
        function.__annotations__["return"] = annotation
        return llm_cached(function)

    def _opening(self, method: Any, asked: Any, annotation: Any) -> Any:
        def ask(question: str) -> Any:
            return method(**asked)

        ask.__annotations__["return"] = annotation
        return llm_cached(ask)


@pytest.fixture
def clients(desk: Desk, openai_server: OpenAIServer, anthropic_server: AnthropicServer) -> Iterator[Clients]:
    """Give clients in the colour of the test."""
    made = Clients(desk, openai_server, anthropic_server)
    yield made
    made.close()


Ask = Callable[[Clients], Any]
RAW: dict[str, Ask] = {"openai": Clients.chat, "anthropic": Clients.messages}


@pytest.fixture(params=RAW)
def vendor(request: pytest.FixtureRequest) -> str:
    """Run the test for each provider."""
    name: str = request.param
    return name


@pytest.fixture
def server(vendor: str, openai_server: OpenAIServer, anthropic_server: AnthropicServer) -> ProviderServer:
    """Give the provider's server."""
    return openai_server if vendor == "openai" else anthropic_server


def test_m3_raw_streams_come_again_chunk_for_chunk(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """M3: a raw stream is one of its SDK, first and again: its chunks equal, fresh, of their classes."""
    ask = RAW[vendor](clients)
    sdk = openai if vendor == "openai" else anthropic
    kind = sdk.AsyncStream if desk.is_async else sdk.Stream
    told = []
    for _ in range(3):
        stream = desk.do(lambda: ask("why?"))
        assert isinstance(stream, kind)
        told.append(desk.rest(stream))
        assert desk.rest(stream) == []
        if len(told) == 2:
            forget(ask)
    assert server.requests == 1
    assert len(told[0]) > 3
    assert told[0] == told[1] == told[2]
    assert [type(chunk) for chunk in told[0]] == [type(chunk) for chunk in told[2]]
    assert not {id(chunk) for chunk in told[0]} & {id(chunk) for chunk in told[1]}


def test_m3_raw_streams_have_the_habits_of_their_sdk(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """M3: ``with``, close(), iteration in two goes, and what the response says hold for both."""
    ask = RAW[vendor](clients)

    def read() -> int:
        with ask("why?") as stream:
            assert stream.response.status_code == 200
            assert stream.response.headers.get("nothing") is None
            next(stream)
            for _ in stream:
                break
            count = 2 + sum(1 for _ in stream)
        assert next(stream, None) is None
        return count

    async def read_async() -> int:
        async with await ask("why?") as stream:
            assert stream.response.status_code == 200
            assert stream.response.headers.get("nothing") is None
            await anext(stream)
            async for _ in stream:
                break
            count = 2 + len([chunk async for chunk in stream])
        assert await anext(stream, None) is None
        return count

    counts = {desk.do(read_async if desk.is_async else read) for _ in range(2)}
    assert len(counts) == 1
    assert server.requests == 1


def test_m3_a_closed_stream_hangs_up(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """M3: leaving ``with`` early closes the connection, keeps nothing, and gives the lease back."""
    server.answers["ping"] = Reply(text=SAID, hold_after=1)
    ask = RAW[vendor](clients)

    def read() -> None:
        with ask("why?") as stream:
            next(stream)

    async def read_async() -> None:
        async with await ask("why?") as stream:
            await anext(stream)

    desk.do(read_async if desk.is_async else read)
    until(lambda: server.hang_ups, "the hang-up")
    no_lease_is_left()
    server.answers["ping"] = SAID
    assert len(desk.rest(desk.do(lambda: ask("why?")))) > 3
    assert server.requests == 2


def test_m3_a_dropped_stream_hangs_up(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """M3: a stream that is dropped in the middle, without close(), closes the connection too."""
    server.answers["ping"] = Reply(text=SAID, hold_after=1)
    ask = RAW[vendor](clients)
    stream = desk.do(lambda: ask("why?"))
    desk.next(stream)
    del stream
    desk.turn()
    until(lambda: server.hang_ups, "the hang-up")


def test_m3_late_callers_share_one_request(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """C3: who asks while chunks come gets those that have come, and then the others, of one request."""
    server.answers["ping"] = Reply(text=SAID, hold_after=3)
    ask = RAW[vendor](clients)
    first = desk.do(lambda: ask("why?"))
    begun = [desk.next(first) for _ in range(2)]
    late = desk.do(lambda: ask("why?"))
    assert [desk.next(late) for _ in range(2)] == begun
    desk.do(first.close)
    server.release()
    rest = desk.rest(late)
    assert len(rest) > 2
    assert server.requests == 1
    assert server.hang_ups == 0
    assert desk.rest(desk.do(lambda: ask("why?"))) == begun + rest


def test_m3_a_disconnect_in_mid_stream_is_told_and_not_kept(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """M3: a connection that breaks off raises what the SDK raises, after the chunks before it."""
    server.break_off(after=3)
    ask = RAW[vendor](clients)
    stream = desk.do(lambda: ask("why?"))
    chunks = [desk.next(stream) for _ in range(2)]
    assert END not in chunks
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each SDK has its own, and httpx besides
        desk.rest(stream)
    assert type(raised.value).__module__.partition(".")[0] in {
        "openai",
        "anthropic",
        "httpx",
        "httpx2",
        "httpcore",
    }
    assert len(desk.rest(desk.do(lambda: ask("why?")))) > 3
    assert server.requests == 2


def test_m3_an_error_event_is_told_and_not_kept(
    desk: Desk, clients: Clients, vendor: str, server: ProviderServer
) -> None:
    """M3: an error that the provider sends in mid-stream is raised as the SDK raises it; nothing is kept."""
    server.break_off(after=3, status=500)
    ask = RAW[vendor](clients)
    stream = desk.do(lambda: ask("why?"))
    errors: Any = (openai.APIError, anthropic.APIStatusError)
    with pytest.raises(errors):
        desk.rest(stream)
    assert len(desk.rest(desk.do(lambda: ask("why?")))) > 3
    assert server.requests == 2


@pytest.mark.parametrize("finish", ["length", "content_filter"])
def test_m2_a_stream_that_was_cut_off_is_not_kept(
    desk: Desk, clients: Clients, openai_server: OpenAIServer, finish: str
) -> None:
    """M2: a stream that ended properly, but with an answer not worth keeping, is asked for again."""
    openai_server.answers["ping"] = Reply(text=SAID, finish=finish)
    ask = clients.chat()
    for requests in (1, 2):
        chunks = desk.rest(desk.do(lambda: ask("why?")))
        assert chunks[-1].choices[0].finish_reason == finish
        assert openai_server.requests == requests


def test_m3_anthropics_helper_works_over_a_replay(
    desk: Desk, clients: Clients, anthropic_server: AnthropicServer
) -> None:
    """M3: text_stream, the snapshot, until_done and the final message say the same, first and again."""
    ask = clients.managed()

    def read() -> Any:
        with ask("why?") as stream:
            assert isinstance(stream, MessageStream)
            text = "".join(stream.text_stream)
            stream.until_done()
            final = stream.get_final_message()
            return text, final, stream.current_message_snapshot

    async def read_async() -> Any:
        async with ask("why?") as stream:
            assert isinstance(stream, AsyncMessageStream)
            text = "".join([part async for part in stream.text_stream])
            await stream.until_done()
            final = await stream.get_final_message()
            return text, final, stream.current_message_snapshot

    told = []
    for _ in range(3):
        told.append(desk.do(read_async if desk.is_async else read))
        if len(told) == 2:
            forget(ask)
    assert anthropic_server.requests == 1
    assert told[0] == told[1] == told[2]
    assert told[0][0] == SAID
    assert told[0][1].stop_reason == "end_turn"


def test_m3_a_manager_opens_nothing_before_it_is_entered(
    desk: Desk, clients: Clients, anthropic_server: AnthropicServer
) -> None:
    """M3: a manager asks when it is entered, as the SDK's does; one that was left early hangs up."""
    anthropic_server.answers["ping"] = Reply(text=SAID, hold_after=1)
    ask = clients.managed()
    manager: Any = ask("why?")
    kind: type[Any] = AsyncMessageStreamManager if desk.is_async else MessageStreamManager
    assert isinstance(manager, kind)
    assert anthropic_server.requests == 0

    def read() -> None:
        with manager as stream:
            next(stream)

    async def read_async() -> None:
        async with manager as stream:
            await anext(stream)

    desk.do(read_async if desk.is_async else read)
    until(lambda: anthropic_server.hang_ups, "the hang-up")


def test_m3_an_entered_helper_may_be_returned(
    desk: Desk, clients: Clients, anthropic_server: AnthropicServer
) -> None:
    """M3: a function may return the helper itself, entered."""
    stream = clients.anthropic.messages.stream
    asked: Any = {"model": "claude-haiku-4-5", "max_tokens": 99, "messages": PING}

    def enter(question: str) -> MessageStream[None]:
        return stream(**asked).__enter__()  # type: ignore[no-any-return] # a client of either colour

    async def enter_async(question: str) -> AsyncMessageStream[None]:
        return await stream(**asked).__aenter__()  # type: ignore[no-any-return] # as above

    ask: Any = llm_cached(enter_async) if desk.is_async else llm_cached(enter)
    for _ in range(2):
        helper = desk.do(lambda: ask("why?"))
        assert desk.do(helper.get_final_text) == SAID
        desk.do(helper.close)
    assert anthropic_server.requests == 1


def test_m5_openais_helper_parses_to_the_class_of_the_annotation(
    desk: Desk, clients: Clients, openai_server: OpenAIServer
) -> None:
    """M5: what a stream is parsed to is the class that the annotation names, first and again."""
    openai_server.answers["ping"] = Reply(text='{"city": "Bern"}')
    ask = clients.completing(Place)

    def read() -> Any:
        with ask("why?") as stream:
            return stream.get_final_completion()

    async def read_async() -> Any:
        async with ask("why?") as stream:
            return await stream.get_final_completion()

    for _ in range(2):
        completion = desk.do(read_async if desk.is_async else read)
        assert completion.choices[0].message.parsed == Place(city="Bern")
    assert openai_server.requests == 1


def test_m5_what_the_annotation_does_not_say_is_not_kept(
    desk: Desk, clients: Clients, openai_server: OpenAIServer, caplog: pytest.LogCaptureFixture
) -> None:
    """M5: a helper that parses to another class than its annotation says passes as it is, and is told of."""
    openai_server.answers["ping"] = Reply(text='{"country": "CH"}')

    class Country(BaseModel):
        country: str

    ask = clients.completing(Country)

    def read() -> Any:
        with ask("why?") as stream:
            return stream.get_final_completion()

    async def read_async() -> Any:
        async with ask("why?") as stream:
            return await stream.get_final_completion()

    for requests in (1, 2):
        completion = desk.do(read_async if desk.is_async else read)
        assert completion.choices[0].message.parsed == Country(country="CH")
        assert openai_server.requests == requests
    assert "not cached" in caplog.text


@pytest.mark.parametrize("spelt", ["parameter", "keywords"])
def test_m3_the_argument_says_which_shape_comes(
    desk: Desk, clients: Clients, openai_server: OpenAIServer, spelt: str
) -> None:
    """M3: a function that gives either is kept as what the call's ``stream`` asked for."""
    create = clients.openai.chat.completions.create
    asked: Any = {"model": "gpt-4.1-mini", "messages": PING}

    def either(question: str, *, stream: bool = False) -> ChatCompletion | openai.Stream[ChatCompletionChunk]:
        return create(stream=stream, **asked)  # type: ignore[no-any-return] # a client of either colour

    def either_more(question: str, **more: Any) -> ChatCompletion | openai.Stream[ChatCompletionChunk]:
        return create(**more, **asked)  # type: ignore[no-any-return] # as above

    async def either_async(
        question: str, *, stream: bool = False
    ) -> ChatCompletion | openai.AsyncStream[ChatCompletionChunk]:
        return await create(stream=stream, **asked)  # type: ignore[no-any-return] # as above

    async def either_more_async(
        question: str, **more: Any
    ) -> ChatCompletion | openai.AsyncStream[ChatCompletionChunk]:
        return await create(**more, **asked)  # type: ignore[no-any-return] # as above

    sync, later = (either, either_async) if spelt == "parameter" else (either_more, either_more_async)
    decorate: Any = llm_cached
    ask = decorate(later if desk.is_async else sync)
    for _ in range(2):
        whole = desk.do(lambda: ask("why?"))
        assert whole.choices[0].message.content == SAID
        chunks = desk.rest(desk.do(lambda: ask("why?", stream=True)))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == SAID
        peeked = desk.do(lambda: ask.peek("why?", stream=True))
        assert desk.rest(peeked) == chunks
        forget(ask)
    assert openai_server.requests == 2
    assert ask.key("why?") != ask.key("why?", stream=True)
    assert (
        desk.rest(desk.do(lambda: ask.refresh("why?", stream=True)))[0].choices[0].delta.role == "assistant"
    )
    assert desk.do(lambda: ask.refresh("why?")).choices[0].message.content == SAID
    assert openai_server.requests == 4


def test_m3_tool_calls_and_usage_survive(desk: Desk, clients: Clients, openai_server: OpenAIServer) -> None:
    """M5: every field of every chunk comes back, calls of tools included."""
    openai_server.answers["ping"] = Reply(tool_calls=[ToolCall("weather", '{"city": "Bern"}')])
    ask = clients.chat()
    first = desk.rest(desk.do(lambda: ask("why?")))
    forget(ask)
    again = desk.rest(desk.do(lambda: ask("why?")))
    assert [chunk.to_dict() for chunk in again] == [chunk.to_dict() for chunk in first]
    assert any(chunk.choices[0].delta.tool_calls for chunk in again)
    assert openai_server.requests == 1


def test_m3_chunks_may_be_passed_on_by_a_generator(
    colour: Colour, desk: Desk, clients: Clients, openai_server: OpenAIServer
) -> None:
    """M3: a generator function that reads an SDK's stream is the usual way, and works alike."""
    create = clients.openai.chat.completions.create
    asked: Any = {"model": "gpt-4.1-mini", "messages": PING, "stream": True}

    def tell(question: str) -> Iterator[str]:
        with create(**asked) as stream:
            for chunk in stream:
                yield chunk.choices[0].delta.content or ""

    async def tell_async(question: str) -> AsyncIterator[str]:
        async with await create(**asked) as stream:
            async for chunk in stream:
                yield chunk.choices[0].delta.content or ""

    decorate: Any = llm_cached
    ask = decorate(tell_async if colour.is_async else tell)
    for _ in range(2):
        stream = ask("why?")
        assert inspect.isasyncgen(stream) if colour.is_async else inspect.isgenerator(stream)
        assert "".join(desk.rest(stream)) == SAID
    assert openai_server.requests == 1


async def _alone() -> bool:
    return len(asyncio.all_tasks()) == 1


def test_m3_no_task_outlives_an_abandoned_stream(openai_server: OpenAIServer) -> None:
    """M3: after a stream was left in the middle, nothing of it runs on its loop any more."""
    openai_server.answers["ping"] = Reply(text=SAID, hold_after=1)

    async def main() -> None:
        async with AsyncOpenAI(base_url=openai_server.base_url, api_key="k", max_retries=0) as client:

            @llm_cached
            async def ask(question: str) -> openai.AsyncStream[ChatCompletionChunk]:
                return await client.chat.completions.create(model="gpt-4.1-mini", messages=PING, stream=True)

            async with await ask("why?") as stream:
                await anext(stream)
            del stream
            await until_async(_alone, "the stream's task")

    asyncio.run(main())
