"""What type checkers see of counted functions: read by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, assert_type

from cachepolicy import cached, rate_limited, track_metric


def size_of(answer: str) -> int:
    """Measure an answer."""
    return len(answer)


@track_metric("answers", labels=("model",))
def plain(question: str, *, model: str | None = None) -> int:
    """Keep the parameters and the result."""
    return len(question)


@track_metric("answers", value=size_of, labels={"model": "result.model", "size": size_of}, on="always")
async def coroutine(question: str) -> str:
    """Keep the colour."""
    return question


@track_metric("answers", 0.5, duration=False, namespace="analytics")
@cached("answers")
async def above(question: str) -> int:
    """Keep the handle of what is below."""
    return len(question)


@cached("answers")
@track_metric("answers", value="question.size", on="error")
@rate_limited("chat")
def below(question: str, n: int = 5) -> int:
    """Be cached as any function."""
    return len(question)


@track_metric("answers")
async def chunks(question: str) -> AsyncIterator[str]:
    """Stay a generator."""
    yield question


@track_metric("answers")
def parts(question: str) -> Iterator[str]:
    """Stay a generator."""
    yield question


class Client:
    """Methods stay methods."""

    @track_metric("answers")
    def own(self, question: str) -> int:
        """Be bound."""
        return len(question)

    @classmethod
    @track_metric("answers")
    def of_class(cls, question: str) -> int:
        """Be bound to the class."""
        return len(question)

    @track_metric("answers")
    @staticmethod
    def static(question: str) -> int:
        """Be static."""
        return len(question)


async def use() -> None:
    """Use all of it."""
    assert_type(plain("q", model="m"), int)
    plain(5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    same: Callable[[str], Coroutine[Any, Any, str]] = coroutine
    assert_type(await same("q"), str)
    assert_type(await above("q"), int)
    assert_type(await above.invalidate("q"), bool)
    assert_type(below("q", n=1), int)
    assert_type(below.invalidate("q"), bool)
    async for chunk in chunks("q"):
        assert_type(chunk, str)
    for part in parts("q"):
        assert_type(part, str)
    assert_type(Client().own("q"), int)
    assert_type(Client.of_class("q"), int)
    assert_type(Client.static("q"), int)
    track_metric("answers", on="failure")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    track_metric("answers", labels=5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
