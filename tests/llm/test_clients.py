"""M1: a client is known by where it sends a request, and by nothing else."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anthropic
import openai
import pytest

from cachepolicy import UnkeyableArgument, cached, configure, llm_cached
from cachepolicy.keys.canonical import encode
from tests.support.colour import Colour
from tests.support.policies import cache_policy

OpenAI = partial(openai.OpenAI, api_key="one")
Azure = partial(openai.AzureOpenAI, api_key="one", api_version="v1", azure_endpoint="https://a.test")
Anthropic = partial(anthropic.Anthropic, api_key="one")
Bedrock = partial(anthropic.AnthropicBedrock, aws_access_key="a", aws_secret_key="b", aws_region="eu-west-1")
Vertex = partial(anthropic.AnthropicVertex, access_token="a", project_id="p", region="global")

SAME: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "another key": (OpenAI, partial(OpenAI, api_key="other")),
    "another organization": (OpenAI, partial(OpenAI, organization="other")),
    "async": (OpenAI, partial(openai.AsyncOpenAI, api_key="other")),
    "async azure": (Azure, partial(openai.AsyncAzureOpenAI, **Azure.keywords)),
    "async anthropic": (Anthropic, partial(anthropic.AsyncAnthropic, api_key="other")),
    "timeouts": (Anthropic, partial(Anthropic, timeout=1, max_retries=9)),
    "headers": (OpenAI, partial(OpenAI, default_headers={"X-Trace": "1"})),
    "a slash": (
        partial(OpenAI, base_url="https://a.test/v1"),
        partial(OpenAI, base_url="https://a.test/v1/"),
    ),
    "a password": (
        partial(OpenAI, base_url="https://a.test"),
        partial(OpenAI, base_url="https://a:b@a.test"),
    ),
    "async bedrock": (Bedrock, partial(anthropic.AsyncAnthropicBedrock, **Bedrock.keywords)),
    "a part": (lambda: OpenAI().chat.completions, lambda: openai.AsyncOpenAI(api_key="b").chat.completions),
}
DIFFERENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "base_url": (partial(OpenAI, base_url="https://a.test"), partial(OpenAI, base_url="https://b.test")),
    "path": (partial(OpenAI, base_url="https://a.test/v1"), partial(OpenAI, base_url="https://a.test/v2")),
    "port": (partial(OpenAI, base_url="http://a.test:1"), partial(OpenAI, base_url="http://a.test:2")),
    "query": (OpenAI, partial(OpenAI, default_query={"route": "eu"})),
    "a shaping header": (Anthropic, partial(Anthropic, default_headers={"Anthropic-Beta": "a"})),
    "provider": (partial(OpenAI, base_url="https://a.test"), partial(Anthropic, base_url="https://a.test")),
    "deployment": (partial(Azure, azure_deployment="a"), partial(Azure, azure_deployment="b")),
    "api version": (Azure, partial(Azure, api_version="v2")),
    "azure endpoint": (Azure, partial(Azure, azure_endpoint="https://b.test")),
    "region": (Bedrock, partial(Bedrock, aws_region="us-east-1")),
    "project": (Vertex, partial(Vertex, project_id="q")),
    "a part": (lambda: OpenAI().chat.completions, lambda: OpenAI().responses),
    "a part and its client": (OpenAI, lambda: OpenAI().chat.completions),
    "parts of two": (lambda: OpenAI().chat, lambda: OpenAI(base_url="https://b.test").chat),
}


@pytest.fixture(scope="module", autouse=True)
def _clients_end_here() -> Iterator[None]:
    """Let go of clients here: a forgotten async one would add a task to whatever loop runs then."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_m1_clients_of_one_endpoint_are_one(one: Callable[[], Any], other: Callable[[], Any]) -> None:
    """Whoever asks, however long he waits, in whichever colour: the same request has the same answer."""
    assert encode(one()) == encode(other())


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_m1_clients_of_different_endpoints_differ(one: Callable[[], Any], other: Callable[[], Any]) -> None:
    """Another URL, region, deployment or version may be another model under the same name."""
    assert encode(one()) != encode(other())


def test_m1_no_key_holds_a_secret() -> None:
    """Nothing that lets its holder in goes into what is hashed."""
    secret = "sk-never-in-a-key"
    clients = [
        OpenAI(api_key=secret, default_headers={"Authorization": secret}),
        OpenAI(base_url=f"https://user:{secret}@a.test"),
        Azure(api_key=secret),
        Bedrock(aws_secret_key=secret, aws_session_token=secret),
        Vertex(access_token=secret),
    ]
    assert not any(secret.encode() in encode(client) for client in clients)


class Own(openai.OpenAI):
    """A client that may send anything anywhere."""


def test_a_subclass_of_somebody_has_no_key() -> None:
    """What it does is not known: it is refused, and the error says what to do."""
    ask = llm_cached(namespace="answers")(lambda_free)
    with pytest.raises(UnkeyableArgument, match="ignore="):
        ask.key(Own(api_key="a"), "why?")


def lambda_free(client: Any, question: str) -> str:
    """Stand for a function that takes a client."""
    return question


def test_a_client_that_moves_is_another(colour: Colour) -> None:
    """M1: the endpoint is read at each call, so one that is set later is seen; ``@cached`` sees it too."""
    for decorator in (llm_cached(namespace="answers"), cached("answers")):
        calls: list[str] = []

        @colour.decorate(decorator)
        def ask(client: openai.OpenAI, question: str) -> str:
            calls.append(question)  # noqa: B023 - it is called in its own round
            return f"{question} {len(calls)}"  # noqa: B023 - as above

        client = OpenAI(base_url="https://a.test")
        for _ in range(3):
            assert colour.run(partial(ask, client, "why?")) == "why? 1"
        assert ask.stats().l1_hits == 2
        client.base_url = "https://b.test"
        assert colour.run(partial(ask, client, "why?")) == "why? 2"
        assert colour.run(partial(ask, OpenAI(base_url="https://a.test"), "why?")) == "why? 1"


def test_m1_a_method_of_a_client_is_known_by_its_endpoint() -> None:
    """A decorated ``create`` of another endpoint has other keys; its async twin has the same."""
    request: dict[str, Any] = {"model": "m", "messages": []}

    def key(client: Any) -> str:
        ask: Any = llm_cached(namespace="answers")(client.chat.completions.create)
        return str(ask.key(**request))

    here, there = (partial(kind, base_url="https://a.test") for kind in (OpenAI, openai.AsyncOpenAI))
    assert key(here()) == key(here(api_key="other")) == key(there(api_key="other"))
    assert key(here()) != key(OpenAI(base_url="https://b.test"))


def test_a_method_of_an_async_client_is_awaited() -> None:
    """The SDK checks arguments in a ``def`` around its ``async def``: the colour is that of the inner."""
    import inspect

    for client, is_async in ((OpenAI(), False), (openai.AsyncOpenAI(api_key="a"), True)):
        for function in (client.chat.completions.create, client.embeddings.create):
            for one in (function, partial(function, model="m")):
                assert inspect.iscoroutinefunction(llm_cached(namespace="answers")(one)) is is_async


def test_a_decorated_method_keeps_its_signature() -> None:
    """A bound method that a decorator of its class wraps does not take its object again."""
    import inspect

    create = OpenAI().chat.completions.create
    assert inspect.signature(llm_cached(namespace="answers")(create)) == inspect.signature(create)


def test_the_forms_of_an_sdks_objects_never_change() -> None:
    """A client, and what was not passed, are in keys that are stored: as they were in every release."""
    client = OpenAI(base_url="https://a.test/v1", default_query={"route": "eu"})
    assert encode(openai.omit).hex() == "c70019"
    assert (
        hashlib.sha256(encode(client)).hexdigest()
        == "18152d5e137fbdc71d472cab3c5f17b06947bc31dcec04399723593be740cf07"
    )
