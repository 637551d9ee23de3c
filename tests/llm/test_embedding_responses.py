"""Responses of an embeddings endpoint, cached text by text (M4): the SDK's objects, and dicts of the wire."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CreateEmbeddingResponse, Embedding
from pydantic import BaseModel

from cachepolicy import MISS, ResultsMismatch, aclose, close, configure, embeddings_cached
from cachepolicy.testing.openai_server import OpenAIServer
from tests.flow.test_many import in_turn
from tests.support.colour import Colour
from tests.support.embedding import vector_of
from tests.support.policies import cache_policy

HERE: Any = embeddings_cached(namespace="answers")
MODEL = "text-embedding-3-small"
NO_L1 = {"enabled": False}


def wire(texts: list[str], **beside: Any) -> dict[str, Any]:
    """Return a response as it comes over the wire, a token a letter."""
    tokens = sum(map(len, texts))
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": at, "embedding": vector_of(text)}
            for at, text in enumerate(texts)
        ],
        "model": "small-2",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        **beside,
    }


def model(texts: list[str], **beside: Any) -> CreateEmbeddingResponse:
    """Return a response as the SDK builds it."""
    return CreateEmbeddingResponse.construct(**wire(texts, **beside))


def billed(response: dict[str, Any], tokens: int) -> dict[str, Any]:
    """Return a response under whose ``usage`` other tokens stand."""
    return {**response, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


@pytest.fixture(params=["L1", "L2"], autouse=True)
def _policy(request: pytest.FixtureRequest, redis_url: str) -> None:
    local = {} if request.param == "L1" else {"local": NO_L1}
    configure(cache_policy(redis_url, **local))


def test_m4_sdk_responses_are_put_together(colour: Colour) -> None:
    """M4: a response of the SDK comes back as one, in order, indexes and all; usage is this call's bill."""
    asked: list[list[str]] = []

    @colour.decorate(HERE)
    def embed(input: list[str]) -> CreateEmbeddingResponse:  # noqa: A002 - as the SDK calls it
        asked.append(input)
        return model(input)

    found = in_turn(
        colour, lambda: embed(["a", "bb"]), lambda: embed(["ccc", "bb", "ccc"]), lambda: embed(["ccc", "a"])
    )
    assert asked == [["a", "bb"], ["ccc"]]
    for response, texts, tokens in zip(
        found, (["a", "bb"], ["ccc", "bb", "ccc"], ["ccc", "a"]), (3, 3, 0), strict=True
    ):
        assert response == CreateEmbeddingResponse.construct(**billed(wire(texts), tokens))
        assert all(type(each) is Embedding for each in response.data)
        assert response.to_dict() == billed(wire(texts), tokens)


def test_m4_dicts_of_the_wire_are_put_together(colour: Colour) -> None:
    """M4: so does a response that is a dict, with whatever a vendor put beside the vectors."""
    asked: list[list[str]] = []

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> dict[str, Any]:
        asked.append(texts)
        return wire(texts, x_vendor={"region": "eu"})

    found = in_turn(colour, lambda: embed(["a", "bb"]), lambda: embed(["bb", "ccc"]), lambda: embed(["a"]))
    assert found == [
        billed(wire(["a", "bb"], x_vendor={"region": "eu"}), 3),
        billed(wire(["bb", "ccc"], x_vendor={"region": "eu"}), 3),
        billed(wire(["a"], x_vendor={"region": "eu"}), 0),
    ]
    assert asked == [["a", "bb"], ["ccc"]]
    found[2]["x_vendor"]["region"] = "us"
    assert in_turn(colour, lambda: embed(["a"]))[0]["x_vendor"] == {"region": "eu"}


def test_m4_a_provider_may_answer_in_another_order(colour: Colour) -> None:
    """M4: ``index`` says whose a vector is, wherever it stands."""

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> CreateEmbeddingResponse:
        response = model(texts)
        response.data.reverse()
        return response

    first, second = in_turn(colour, lambda: embed(["a", "b", "c"]), lambda: embed(["c", "a"]))
    assert [each.embedding for each in first.data] == [vector_of(text) for text in "abc"]
    assert [each.embedding for each in second.data] == [vector_of(text) for text in "ca"]
    assert [each.index for each in first.data] == [0, 1, 2]


def test_m4_vendor_variants_survive(colour: Colour) -> None:
    """M4: what would not pass the SDK's own validation comes back as it was built; so do further fields."""

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> CreateEmbeddingResponse:
        response = wire(
            texts, object="embeddings", id="e-1", usage={"total_tokens": 4, "meta": {"units": 1.5}}
        )
        for each in response["data"]:
            each["object"] = "vector"
            each["text_type"] = "query"
        return CreateEmbeddingResponse.construct(**response)

    first, second = in_turn(colour, lambda: embed(["a"]), lambda: embed(["a"]))
    assert (first.id, second.id) == ("e-1", "e-1")
    assert second.to_dict()["usage"] == {"total_tokens": 0, "meta": {"units": 0}}
    assert (second.object, second.data[0].object, second.data[0].text_type) == (
        "embeddings",
        "vector",
        "query",
    )
    assert second.data[0].embedding == vector_of("a")


def test_models_of_ones_own(colour: Colour) -> None:
    """A pydantic model of a response serves as well, and is not validated again."""

    class Row(BaseModel):
        index: int
        embedding: list[float]

    class Usage(BaseModel):
        tokens: int

    class Response(BaseModel):
        data: list[Row]
        usage: Usage | None = None

    def embed(texts: list[str]) -> Any:
        rows = [Row(index=at, embedding=vector_of(text)) for at, text in enumerate(texts)]
        return Response(data=rows, usage=Usage(tokens=len(texts)))

    embed.__annotations__["return"] = Response
    cached = colour.decorate(HERE)(embed)
    first, second = in_turn(colour, lambda: cached(["a", "b"]), lambda: cached(["b", "a"]))
    assert first == embed(["a", "b"])
    assert second == embed(["b", "a"]).model_copy(update={"usage": Usage(tokens=0)})


@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda _: None, "NoneType that is no response"),
        (lambda texts: {"data": [{"vector": vector_of(text)} for text in texts]}, "dict that is no response"),
        (lambda texts: {"data": wire(texts)["data"][1:]}, "indexes are not 0 to 0"),
        (lambda texts: wire(texts[1:]), "1 vectors for 2 texts"),
        (lambda texts: {"data": wire(texts)["data"][:1] * 2}, "indexes are not 0 to 1"),
        (lambda _: {"data": [{"embedding": [1.0]}, {"embedding": [1.0, 2.0]}]}, "different dimensions"),
    ],
)  # fmt: skip
def test_m4_what_is_no_response_is_an_error(colour: Colour, give: Any, says: str) -> None:
    """M4: a response without one vector for each text, known by its index, is an error; nothing is kept."""

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> dict[str, Any]:
        return give(texts)  # type: ignore[no-any-return] # by its kind

    with pytest.raises(ResultsMismatch, match=says):
        in_turn(colour, lambda: embed(["a", "b"]))
    assert in_turn(colour, lambda: embed.peek(["a", "b"])) == [[MISS, MISS]]


def test_peek_shows_vectors(colour: Colour) -> None:
    """``peek`` is about texts: it gives each one's vector, without the response around it."""

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> CreateEmbeddingResponse:
        return model(texts)

    _, seen = in_turn(colour, lambda: embed(["a"]), lambda: embed.peek(["b", "a"]))
    assert seen == [MISS, vector_of("a")]


@pytest.mark.parametrize("encoding", ["omitted", "float", "base64"])
def test_m4_through_the_real_client(encoding: str) -> None:
    """M4: OpenAI's client, ``def``: hits equal what the client gave, and cost no request."""
    with (
        OpenAIServer(think=0) as server,
        OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0) as client,
    ):
        options: dict[str, Any] = {} if encoding == "omitted" else {"encoding_format": encoding}

        @embeddings_cached(namespace="answers")
        def embed(input: list[str] | str, model: str = MODEL) -> CreateEmbeddingResponse:  # noqa: A002 - as the SDK calls it
            return client.embeddings.create(input=input, model=model, **options)

        given = client.embeddings.create(input=["one", "two"], model=MODEL, **options)
        assert embed(["one", "two"]) == given
        hit = embed(["two", "one"])
        assert [each.embedding for each in hit.data] == [given.data[1].embedding, given.data[0].embedding]
        assert (hit.usage.total_tokens, hit.model, server.requests) == (0, MODEL, 2)
        partial = embed(["three", "one"])
        assert server.received[-1]["input"] == ["three"]
        assert (partial.usage.prompt_tokens, partial.data[1].embedding) == (2, given.data[0].embedding)
        assert embed("one").data[0].embedding == given.data[0].embedding
        assert server.requests == 3
        close()


def test_m4_through_the_real_async_client() -> None:
    """M4: OpenAI's client, ``async def``: as above, with vectors of both callers their own."""

    async def use(server: OpenAIServer) -> None:
        async with AsyncOpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0) as client:

            @embeddings_cached(namespace="answers")
            async def embed(input: list[str], model: str = MODEL) -> CreateEmbeddingResponse:  # noqa: A002 - as above
                return await client.embeddings.create(input=input, model=model)

            given = await client.embeddings.create(input=["one", "two", "three"], model=MODEL)
            first = await embed(["one", "two"])
            hit, partial = await asyncio.gather(embed(["two", "one"]), embed(["three", "one"]))
            assert first.data == given.data[:2]
            assert [each.embedding for each in hit.data] == [given.data[1].embedding, given.data[0].embedding]
            assert [each.embedding for each in partial.data] == [
                given.data[2].embedding,
                given.data[0].embedding,
            ]
            assert server.requests == 3
        await aclose()

    with OpenAIServer(think=0) as server:
        asyncio.run(use(server))
