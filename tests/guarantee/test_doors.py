"""However a namespace with ``guarantee: required`` is used, it is refused on a server that may evict."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from cachepolicy import (
    LLMCacheManager,
    PolicyError,
    Preferences,
    RateLimiter,
    SessionManager,
    TokenBlacklist,
    aclose,
    cached,
    cached_many,
    close,
    configure,
    llm_cached,
    rate_limited,
)
from cachepolicy.llm.model_info import Models
from cachepolicy.testing.redis_server import RedisServer
from tests.support.colour import Colour
from tests.support.keeping import set_memory
from tests.support.policies import PATIENT


def _call(decorator: Any, *args: Any) -> Callable[[Colour], Any]:
    def door(colour: Colour) -> Any:
        @colour.decorate(decorator)
        def function(user_id: str) -> Any:
            return user_id

        return function(*args)

    return door


def _many(colour: Colour) -> Any:
    @colour.decorate(cached_many("answers", over="questions"))
    def answers(questions: list[str]) -> list[str]:
        return questions

    return answers(["why?", "how?"])


def _handle(colour: Colour) -> Any:
    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    return answer.peek("why?")


def _verb(made: Any, name: str, *args: Any) -> Callable[[Colour], Any]:
    def door(colour: Colour) -> Any:
        verb = getattr(made, name)
        return verb(*args) if colour.is_async else verb.sync(*args)

    return door


def _reserve(colour: Colour) -> Any:
    async def later() -> None:
        async with RateLimiter("limits").reserve("tokens", "user", 5):
            pass

    def now() -> None:
        with RateLimiter("limits").reserve("tokens", "user", 5):
            pass

    return later() if colour.is_async else now()


DOORS: dict[str, Callable[[Colour], Any]] = {
    "@cached": _call(cached("answers"), "user"),
    "@llm_cached": _call(llm_cached(namespace="answers"), "user"),
    "@cached_many": _many,
    ".peek": _handle,
    "LLMCacheManager": _verb(LLMCacheManager("answers"), "cache_response", "why?", "gpt", "so"),
    "Models": _verb(Models("answers"), "get_info", "openai", "gpt"),
    "@rate_limited": _call(rate_limited("chat", namespace="limits"), "user"),
    "batch": _call(rate_limited("batched", namespace="limits"), "user"),
    "check_all": _verb(RateLimiter("limits"), "check_all", [("chat", "user"), ("tokens", "user")]),
    "peek": _verb(RateLimiter("limits"), "peek", "chat", "user"),
    "SessionManager": _verb(SessionManager("logins"), "create_session", "user"),
    "TokenBlacklist": _verb(TokenBlacklist("logins"), "revoke_token", "a token"),
    "TokenBlacklist.is_revoked": _verb(TokenBlacklist("logins"), "is_revoked", "a token"),
    "Preferences": _verb(Preferences("logins"), "set", "user", {"ui.theme": "dark"}),
    "check_rate_limit": _verb(RateLimiter("limits"), "check_rate_limit", "user", "read", 5),
    "reserve": _reserve,
}


@pytest.fixture
def evicting(redis_server: RedisServer) -> Iterator[RedisServer]:
    """Give the shared server, emptied, with a policy that evicts; it is mended after the test."""
    redis_server.command("FLUSHALL")
    set_memory(redis_server, "200mb", "allkeys-lru")
    yield redis_server
    set_memory(redis_server, "0", "noeviction")


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_no_door_leads_past_it(colour: Colour, evicting: RedisServer, door: Callable[[Colour], Any]) -> None:
    """Each decorator, handle and manager raises PolicyError, `on_fault` or not, and nothing is written."""
    rules = {
        "chat": {"by": "user_id", "requests": "10/minute"},
        "tokens": {"by": "user_id", "tokens": "1000/minute"},
        "batched": {"by": "user_id", "requests": "1000/minute", "batch": "10%"},
    }
    configure(
        {
            "version": 1,
            "app": "test",
            "redis": {"url": evicting.url, **PATIENT},
            "namespaces": {
                "answers": {"kind": "cache", "scope": "global", "guarantee": "required"},
                "logins": {"kind": "sessions", "guarantee": "required"},
                "limits": {"kind": "ratelimit", "guarantee": "required", "on_fault": "local", "rules": rules},
            },
        }
    )

    async def later() -> Any:
        try:
            outcome = door(colour)
            return await outcome if isinstance(outcome, Awaitable) else outcome
        finally:
            await aclose()

    with pytest.raises(PolicyError, match="guarantee: required, but its Redis may evict"):
        asyncio.run(later()) if colour.is_async else door(colour)
    close()
    assert evicting.command("DBSIZE") == b":0\r\n"
