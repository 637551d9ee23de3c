"""What type checkers see of methods, partials and wrappers: read by mypy and pyright, never run.

A wrong line carries an ignore comment: were it let pass, the ignore would be an error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, assert_type

from cachepolicy import cached, llm_cached
from cachepolicy.flow.answer import Missing
from cachepolicy.telemetry.counters import Stats

P = ParamSpec("P")
R = TypeVar("R")


def wrapped(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap, as people do."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return wrapper


class Client:
    """Has every kind of method."""

    @cached("answers", ignore=("self",))
    def ask(self, question: str, *, times: int = 1) -> list[str]:
        """Be a method."""
        return [question] * times

    @cached("answers", key="ask:{question}")
    async def aask(self, question: str) -> str:
        """Be an ``async def`` method."""
        return question

    @llm_cached(ignore=("self",))
    async def chat(self, prompt: str) -> str:
        """Be one of an LLM."""
        return prompt

    @cached("answers")
    @staticmethod
    def upper(word: str) -> str:
        """Be static."""
        return word.upper()

    @cached("answers")
    @staticmethod
    async def aupper(word: str) -> str:
        """Be static and ``async def``."""
        return word.upper()

    @staticmethod
    @cached("answers")
    def lower(word: str) -> str:
        """Be static the other way round."""
        return word.lower()

    @cached("answers")
    @classmethod
    def named(cls, word: str) -> str:
        """Be a class method."""
        return f"{cls.__name__} {word}"

    @cached("answers")
    @classmethod
    async def anamed(cls, word: str) -> str:
        """Be an ``async def`` class method."""
        return f"{cls.__name__} {word}"

    @classmethod
    @cached("answers")
    def counted(cls, word: str) -> int:
        """Be a class method the other way round."""
        return len(cls.__name__ + word)

    @llm_cached
    @staticmethod
    def prompt(word: str) -> str:
        """Be static, bare."""
        return word

    @llm_cached
    @classmethod
    async def model(cls, word: str) -> str:
        """Be a class method, bare."""
        return word

    @cached("answers", ignore=("self",))
    @wrapped
    def loud(self, word: str) -> str:
        """Be wrapped."""
        return word.upper()

    twice = functools.partialmethod(ask, times=2)

    def __call__(self, question: str) -> str:
        """Be called itself."""
        return question


class Other(Client):
    """Overrides what it inherits."""

    @cached("answers", ignore=("self",))
    def ask(  # pyright: ignore[reportIncompatibleVariableOverride] # it compares before it binds
        self, question: str, *, times: int = 1
    ) -> list[str]:
        """Ask the parent too."""
        return super().ask(question, times=times)


async def use(client: Client, other: Other) -> None:
    """Use all of it, through instances and classes."""
    assert_type(client.ask("a", times=2), list[str])
    assert_type(client.ask.invalidate("a"), bool)
    assert_type(client.ask.refresh("a"), list[str])
    assert_type(client.ask.peek("a"), list[str] | Missing)
    assert_type(client.ask.key("a"), str)
    assert_type(client.ask.bypass("a"), list[str])
    assert_type(client.ask.stats(), Stats)
    assert_type(Client.ask(client, "a"), list[str])
    assert_type(Client.ask.invalidate(client, "a"), bool)
    assert_type(other.ask("a"), list[str])

    assert_type(await client.aask("a"), str)
    assert_type(await client.aask.invalidate("a"), bool)
    assert_type(await client.aask.refresh("a"), str)
    assert_type(await Client.aask.refresh(client, "a"), str)
    assert_type(await client.chat("a"), str)
    assert_type(await client.chat.refresh("a"), str)

    assert_type(Client.upper("a"), str)
    assert_type(client.upper("a"), str)
    assert_type(client.upper.invalidate("a"), bool)
    assert_type(await Client.aupper.refresh("a"), str)
    assert_type(client.lower("a"), str)
    assert_type(Client.lower("a"), str)

    assert_type(Client.named("a"), str)
    assert_type(client.named("a"), str)
    assert_type(Other.named.invalidate("a"), bool)
    assert_type(await other.anamed("a"), str)
    assert_type(await Client.anamed.invalidate("a"), bool)
    assert_type(Client.counted("a"), int)
    assert_type(client.counted("a"), int)
    assert_type(Client.prompt.key("a"), str)
    assert_type(await Client.model("a"), str)

    assert_type(client.loud("a"), str)
    assert_type(client.loud.invalidate("a"), bool)
    assert_type(client.twice("a"), list[str])

    bound = cached("answers", key="ask:{question}")(client.aask)
    assert_type(await bound.refresh("a"), str)
    called = cached("answers", key="ask:{question}")(client)
    assert_type(called.peek("a"), str | Missing)

    client.ask(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    client.ask.invalidate(client, "a")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]
    Client.ask.invalidate("a")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue, reportArgumentType]
    client.upper.key(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    Client.named.key(Client, "a")  # type: ignore[call-arg, arg-type] # pyright: ignore[reportCallIssue]
    await client.chat.refresh(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
