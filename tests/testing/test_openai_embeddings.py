"""The embeddings endpoint against the real SDK: vectors that depend on nothing but model, text and size."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types import CreateEmbeddingResponse

from cachepolicy.testing.openai_embeddings import MODELS
from cachepolicy.testing.openai_server import OpenAIServer

MODEL = "text-embedding-3-small"


def test_both_encodings_say_the_same(server: OpenAIServer, client: OpenAI) -> None:
    """The SDK's default, base64, and floats give the same vectors, in the order of the texts."""
    packed = client.embeddings.create(model=MODEL, input=["one", "two"])
    floats = client.embeddings.create(model=MODEL, input=["one", "two"], encoding_format="float")

    assert [each.embedding for each in packed.data] == [each.embedding for each in floats.data]
    assert [each.index for each in packed.data] == [0, 1]
    assert packed.data[0].embedding != packed.data[1].embedding
    assert [body["encoding_format"] for body in server.received] == ["base64", "float"]
    assert packed.model_extra == {}, "a field that the SDK does not know"


@pytest.mark.parametrize("model", MODELS)
def test_a_vector_has_the_size_of_its_model(client: OpenAI, model: str) -> None:
    """Each model has vectors of its own size, of length 1, and of its own numbers."""
    got = client.embeddings.create(model=model, input="one").data[0].embedding

    assert len(got) == MODELS[model]
    assert math.hypot(*got) == pytest.approx(1, abs=1e-5)


def test_fewer_dimensions_are_the_first_ones(client: OpenAI) -> None:
    """A shorter vector is the beginning of the long one, brought to length 1 again."""
    long = client.embeddings.create(model=MODEL, input="one").data[0].embedding
    short = client.embeddings.create(model=MODEL, input="one", dimensions=8).data[0].embedding

    scale = math.hypot(*long[:8])
    assert short == pytest.approx([number / scale for number in long[:8]], abs=1e-6)


def test_a_text_alone_is_the_text_among_others(client: OpenAI) -> None:
    """A vector does not depend on the texts beside it."""
    alone = client.embeddings.create(model=MODEL, input="two").data[0].embedding

    assert client.embeddings.create(model=MODEL, input=["one", "two"]).data[1].embedding == alone


def test_tokens_can_be_embedded(client: OpenAI) -> None:
    """A list of token numbers is one input; a list of such lists is several."""
    one = client.embeddings.create(model=MODEL, input=[1, 2, 3])
    two = client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4]])

    assert (one.usage.prompt_tokens, two.usage.prompt_tokens) == (3, 4)
    assert one.data[0].embedding == two.data[0].embedding


def test_the_async_client_reads_the_same(server: OpenAIServer, client: OpenAI) -> None:
    """The async client reads what the sync client reads."""

    async def ask() -> CreateEmbeddingResponse:
        async with AsyncOpenAI(base_url=server.base_url, api_key="k", max_retries=0) as made:
            return await made.embeddings.create(model=MODEL, input="one")

    assert asyncio.run(ask()) == client.embeddings.create(model=MODEL, input="one")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": MODEL}, "input"),
        ({"model": MODEL, "input": []}, "input"),
        ({"model": MODEL, "input": ["one", ""]}, "input"),
        ({"model": MODEL, "input": ["one", None]}, "input"),
        ({"model": MODEL, "input": "one", "dimensions": 1537}, "dimensions"),
        ({"model": MODEL, "input": "one", "encoding_format": "hex"}, "encoding_format"),
    ],
    ids=["no input", "nothing to embed", "an empty text", "no text", "too many dimensions", "encoding"],
)
def test_a_bad_request_is_refused(client: OpenAI, body: dict[str, Any], param: str) -> None:
    """Each mistake is a BadRequestError that names the field."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.post("/embeddings", body=body, cast_to=object)
    assert caught.value.param == param


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    """A model that embeds nothing is a NotFoundError."""
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="gpt-4.1", input="one")


STATUSES = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


@pytest.mark.parametrize("status", STATUSES)
def test_every_failure_has_its_class(server: OpenAIServer, client: OpenAI, status: int) -> None:
    """A failure told to happen is the SDK's error for its status, with code and Retry-After as told."""
    server.fail_with(status, retry_after=1.5, code="context_length_exceeded")

    with pytest.raises(STATUSES[status]) as caught:
        client.embeddings.create(model=MODEL, input="one")
    assert caught.value.code == "context_length_exceeded"
    assert caught.value.response.headers["retry-after"] == "1.5"
    assert client.embeddings.create(model=MODEL, input="one").data
