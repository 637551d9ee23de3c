"""What type checkers see of embeddings: read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, assert_type

from cachepolicy import AsyncEmbeddingsFunction, EmbeddingsFunction, embeddings_cached


@embeddings_cached
def lists(texts: list[str], *, model: str = "small") -> list[list[float]]:
    """Be a ``def``."""
    return [[float(len(text + model))] for text in texts]


@embeddings_cached(namespace="answers", over="input", ttl="7d", precision="float16")
async def response(model: str, input: list[str] | str) -> dict[str, Any]:  # noqa: A002 - as the SDK calls it
    """Be an ``async def``."""
    return {"data": [], "model": model, "input": input}


class Model:
    """Has methods."""

    @embeddings_cached(ignore=("self",))
    def embed(self, texts: list[str]) -> list[list[float]]:
        """Be a method."""
        return [[float(len(text))] for text in texts]

    @embeddings_cached(ignore=("self",))
    async def later(self, texts: list[str]) -> list[list[float]]:
        """Be a method, later."""
        return [[float(len(text))] for text in texts]


def take(
    handle: EmbeddingsFunction[..., list[list[float]]],
    function: Callable[[list[str]], list[list[float]]],
    later: AsyncEmbeddingsFunction[..., dict[str, Any]],
    coroutine: Callable[[str, list[str]], Coroutine[Any, Any, dict[str, Any]]],
) -> None:
    """Take what functions are typed as."""


async def use() -> None:
    """Use all of it."""
    assert_type(lists(["a"], model="large"), list[list[float]])
    assert_type(lists.refresh(["a"]), list[list[float]])
    assert_type(lists.bypass(["a"]), list[list[float]])
    assert_type(lists.peek(["a"]), list[Any])
    assert_type(lists.invalidate(["a"]), int)
    assert_type(lists.expire(["a"]), int)
    assert_type(lists.keys(["a"]), list[str])
    assert_type(await response("small", ["a"]), dict[str, Any])
    assert_type(await response.refresh("small", "a"), dict[str, Any])
    assert_type(await response.invalidate("small", input=["a"]), int)
    assert_type(Model().embed(["a"]), list[list[float]])
    assert_type(Model().embed.peek(["a"]), list[Any])
    assert_type(await Model().later(["a"]), list[list[float]])
    take(lists, lists, response, response)
    lists(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] - it takes texts
    embeddings_cached(precision="float8")  # type: ignore[call-overload]  # pyright: ignore - there is no such
