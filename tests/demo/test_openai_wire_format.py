"""The local server against the real SDK: what a client sees of it is what it would see of the provider."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from cachepolicy.testing import openai_embeddings
from cachepolicy.testing.openai_server import MODELS, OpenAIServer

MODEL = "gpt-4.1-mini"
PING: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "Answer in one word."},
    {"role": "user", "content": "ping"},
]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """Run a server that knows one answer and thinks no time at all."""
    with OpenAIServer(answers={"ping": "pong"}, think=0) as running:
        yield running


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[OpenAI]:
    """Make the real SDK's client, told not to retry."""
    with OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0) as made:
        yield made


def test_sync_client_gets_a_whole_completion(client: OpenAI, server: OpenAIServer) -> None:
    """The SDK reads an answer with everything a real one carries."""
    got = client.chat.completions.create(model=MODEL, messages=PING)

    assert got.choices[0].message.content == "pong"
    assert got.choices[0].message.role == "assistant"
    assert got.choices[0].finish_reason == "stop"
    assert got.object == "chat.completion"
    assert got.id.startswith("chatcmpl-")
    assert got.model == MODELS[MODEL]
    assert got.system_fingerprint
    assert got._request_id is not None
    assert got._request_id.startswith("req_")
    assert got.model_extra == {}, "a field that the SDK does not know"
    assert server.requests == 1


async def _ask(server: OpenAIServer) -> ChatCompletion:
    async with AsyncOpenAI(base_url=server.base_url, api_key="sk-test") as client:
        return await client.chat.completions.create(model=MODEL, messages=PING)


def test_async_client_gets_the_same(client: OpenAI, server: OpenAIServer) -> None:
    """The async client reads what the sync client reads; only identity and time differ."""
    volatile = {"id", "created"}
    first = client.chat.completions.create(model=MODEL, messages=PING)
    second = asyncio.run(_ask(server))

    assert first.id != second.id
    assert first.model_dump(exclude=volatile) == second.model_dump(exclude=volatile)


def test_usage_is_counted_from_the_text(client: OpenAI) -> None:
    """The same request counts the same tokens, a longer one counts more, and the sum is right."""
    longer: list[ChatCompletionMessageParam] = [*PING, {"role": "user", "content": "ping"}]
    short, again, long = (
        client.chat.completions.create(model=MODEL, messages=m).usage for m in (PING, PING, longer)
    )

    assert short is not None
    assert long is not None
    assert short == again
    assert short.completion_tokens > 0
    assert long.prompt_tokens > short.prompt_tokens
    assert short.total_tokens == short.prompt_tokens + short.completion_tokens


def test_an_answer_is_cut_at_the_tokens_allowed(client: OpenAI) -> None:
    """A completion limited to fewer tokens than its text ends with ``length``."""
    got = client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Who are you?"}], max_completion_tokens=3
    )

    assert got.choices[0].finish_reason == "length"
    assert got.usage is not None
    assert got.usage.completion_tokens == 3


def test_several_choices_are_several_answers(client: OpenAI) -> None:
    """``n`` gives as many choices, numbered, and counts the tokens of each."""
    got = client.chat.completions.create(model=MODEL, messages=PING, n=3)

    assert [choice.index for choice in got.choices] == [0, 1, 2]
    assert got.usage is not None
    assert got.usage.completion_tokens == 3


def test_an_unknown_question_is_answered_honestly(client: OpenAI) -> None:
    """Without an answer to give, the server says that no model is there."""
    got = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "2 + 2?"}])

    assert "No model thinks here" in (got.choices[0].message.content or "")


def test_text_parts_are_read_as_text(client: OpenAI) -> None:
    """A content given in parts is the question that its texts make."""
    parts: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "pi"}, {"type": "text", "text": "ng"}]}
    ]

    assert client.chat.completions.create(model=MODEL, messages=parts).choices[0].message.content == "pong"


def test_models_can_be_listed_and_fetched(client: OpenAI) -> None:
    """The models endpoint names what can be asked for."""
    assert {model.id for model in client.models.list()} == {*MODELS, *openai_embeddings.MODELS}
    assert client.models.retrieve(MODEL).id == MODEL


BAD_REQUESTS: dict[str, tuple[dict[str, Any], str | None, str | None]] = {
    "no model": ({"messages": PING}, None, None),
    "no messages": ({"model": MODEL}, "messages", "missing_required_parameter"),
    "empty messages": ({"model": MODEL, "messages": []}, "messages", "empty_array"),
    "messages of a wrong type": ({"model": MODEL, "messages": "ping"}, "messages", "invalid_type"),
    "message of a wrong type": ({"model": MODEL, "messages": ["ping"]}, "messages[0]", "invalid_type"),
    "no role": (
        {"model": MODEL, "messages": [{"content": "ping"}]},
        "messages[0].role",
        "missing_required_parameter",
    ),
    "unknown role": (
        {"model": MODEL, "messages": [{"role": "robot", "content": "ping"}]},
        "messages[0].role",
        "invalid_value",
    ),
    "no content": (
        {"model": MODEL, "messages": [{"role": "user"}]},
        "messages[0].content",
        "missing_required_parameter",
    ),
    "content of a wrong type": (
        {"model": MODEL, "messages": [{"role": "user", "content": 1}]},
        "messages[0].content",
        "invalid_type",
    ),
    "temperature of a wrong type": (
        {"model": MODEL, "messages": PING, "temperature": "hot"},
        "temperature",
        "invalid_type",
    ),
    "temperature too high": (
        {"model": MODEL, "messages": PING, "temperature": 3},
        "temperature",
        "decimal_above_max_value",
    ),
    "no tokens allowed": (
        {"model": MODEL, "messages": PING, "max_tokens": 0},
        "max_tokens",
        "integer_below_min_value",
    ),
    "stream of a wrong type": ({"model": MODEL, "messages": PING, "stream": "yes"}, "stream", "invalid_type"),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_a_bad_request_is_refused_as_the_provider_does(client: OpenAI, case: str) -> None:
    """Each mistake is a BadRequestError that names the field and the kind of mistake."""
    body, param, code = BAD_REQUESTS[case]

    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)

    assert caught.value.type == "invalid_request_error"
    assert caught.value.param == param
    assert caught.value.code == code
    assert caught.value.request_id is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[" * 100_000, b"[]"],
    ids=["empty", "cut", "not utf-8", "deep", "not an object"],
)
def test_malformed_json_is_refused(server: OpenAIServer, body: bytes) -> None:
    """Bytes that are no JSON object are a 400 in the wire's error format, and the connection lives on."""
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://").removesuffix("/v1"))
    try:
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer k"})
            response = connection.getresponse()
            assert response.status == 400
            assert json.loads(response.read())["error"]["type"] == "invalid_request_error"
    finally:
        connection.close()


def test_no_key_is_an_authentication_error(server: OpenAIServer) -> None:
    """A request without a bearer token is refused before it is counted."""
    with (
        OpenAI(base_url=server.base_url, api_key="unsent", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.post("/chat/completions", body={}, cast_to=object, options={"headers": {"Authorization": ""}})
    assert server.requests == 0


def test_a_wrong_key_is_an_authentication_error() -> None:
    """A server that wants one key refuses any other."""
    with (
        OpenAIServer(think=0, api_key="right") as server,
        OpenAI(base_url=server.base_url, api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model=MODEL, messages=PING)
    assert caught.value.code == "invalid_api_key"


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    """A model that is not served is a NotFoundError with the provider's code."""
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-0", messages=PING)
    assert caught.value.code == "model_not_found"


def test_an_unknown_path_is_not_found(client: OpenAI) -> None:
    """A path that is not served is a NotFoundError that names it."""
    with pytest.raises(openai.NotFoundError, match="/v1/audio/speech"):
        client.post("/audio/speech", body={}, cast_to=object)


def test_injected_faults_come_in_order_and_end(client: OpenAI, server: OpenAIServer) -> None:
    """Failures are given as often as told, in the order told, and then the server answers again."""
    server.fail_with(500, times=2)
    server.fail_with(429, retry_after=0.5)

    for _ in range(2):
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model=MODEL, messages=PING)
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=MODEL, messages=PING)
    assert caught.value.response.headers["retry-after"] == "0.5"
    assert client.chat.completions.create(model=MODEL, messages=PING).choices
    assert server.requests == 4


def test_threads_share_a_server(client: OpenAI, server: OpenAIServer) -> None:
    """Requests from many threads are all answered, and all counted."""
    with ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(client.chat.completions.create, model=MODEL, messages=PING) for _ in range(40)
        ]
    assert [each.result().choices[0].message.content for each in asked] == ["pong"] * 40
    assert server.requests == 40


def test_closing_drops_a_thinking_request_and_every_thread() -> None:
    """A closed server leaves nobody waiting, no thread running, and can be closed again."""
    before = set(threading.enumerate())
    server = OpenAIServer(think=3600).start()
    with (
        OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client,
        ThreadPoolExecutor(1) as threads,
    ):
        asked = threads.submit(client.chat.completions.create, model=MODEL, messages=PING)
        assert server.wait_for(requests=1)
        server.close()
        assert isinstance(asked.exception(), openai.APIConnectionError)
    server.close()
    assert set(threading.enumerate()) <= before
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.base_url


def test_a_closed_server_can_start_again(server: OpenAIServer) -> None:
    """Closing and starting again gives a server that answers, perhaps on another port."""
    server.close()
    server.start()
    with OpenAI(base_url=server.base_url, api_key="k", max_retries=0) as client:
        assert client.chat.completions.create(model=MODEL, messages=PING).choices
    with pytest.raises(RuntimeError, match="already running"):
        server.start()
