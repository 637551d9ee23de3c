"""One small use of each kind of namespace, in either colour: what tests of ``guarantee`` call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cachepolicy import RateLimiter, aclose, cached, configure
from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.resilience import Budget, ask
from cachepolicy.policy.rules import AnalyticsRule, SessionsRule, TempRule
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Work, verb
from cachepolicy.testing.redis_server import RedisServer
from cachepolicy.tiers import commands
from tests.support.colour import Colour
from tests.support.policies import PATIENT

KINDS: Mapping[str, dict[str, Any]] = {
    "cache": {"scope": "global", "jitter": "0%", "local": {"enabled": False}},
    "sessions": {},
    "ratelimit": {"denied": 0, "rules": {"chat": {"by": "user_id", "requests": "1000000/hour"}}},
    "analytics": {},
    "temp": {},
}
"""Every kind, and what a namespace of it must say."""


def keep(
    url: str, kind: str, guarantee: str, *, clock: Clock = SYSTEM, redis: Any = None, **rule: Any
) -> None:
    """Use a policy with one namespace, ``kept``, of a kind."""
    configure(
        {
            "version": 1,
            "app": "test",
            "redis": {"url": url, **PATIENT, **(redis or {})},
            "namespaces": {"kept": {"kind": kind, "guarantee": guarantee, **KINDS[kind], **rule}},
        },
        clock=clock,
    )


class Writer:
    """Writes under a key of a namespace of records, as their managers do."""

    @verb
    def record(self, kind: type[SessionsRule | TempRule], key: str) -> Work[None]:
        """Write a key."""
        runtime = current.current()
        records = runtime.archive.records("kept", kind, self)
        flow = records.ask(commands.put(f"{records.prefix}{key}", b"x", 60.0))
        return Work(runtime, records.site, records.watched("record", flow))

    @verb
    def count(self, key: str) -> Work[None]:
        """Write a key of a namespace of analytics."""
        runtime = current.current()
        rule = runtime.loaded.policy.namespaces["kept"]
        assert isinstance(rule, AnalyticsRule)
        site = runtime.site("kept", rule)

        def flow() -> Flow[None]:
            command = commands.put(f"test:kept:{key}", b"x", 60.0)
            yield from ask(site.guard, command, Budget(site.clock, 5.0))

        return Work(runtime, site, runtime.guarantees.over("kept", flow()))


class User:
    """Uses the namespace ``kept``, whatever its kind, in one colour."""

    def __init__(self, colour: Colour, kind: str) -> None:
        self.colour = colour
        self._kind = kind
        self._uses = 0

        @colour.decorate(cached("kept"))
        def answer(question: str) -> str:
            return question

        self._answer: Callable[[str], Any] = answer

    def again(self) -> None:
        """Begin with the first key again."""
        self._uses = 0

    def use(self, times: int = 1) -> list[Any]:
        """Use it so often, on one loop; return what became of each use, or the error that it raised."""

        async def all_of_them() -> list[Any]:
            try:
                return [await _outcome(self._begin) for _ in range(times)]
            finally:
                await aclose()

        if self.colour.is_async:
            return asyncio.run(all_of_them())
        return [_outcome_here(self._begin) for _ in range(times)]

    def _begin(self) -> Any:
        self._uses += 1
        key = f"key-{self._uses}"
        if self._kind == "cache":
            return self._answer(key)
        if self._kind == "ratelimit":
            return self._verb(RateLimiter("kept").check, "chat", key)
        if self._kind == "analytics":
            return self._verb(Writer().count, key)
        return self._verb(Writer().record, SessionsRule if self._kind == "sessions" else TempRule, key)

    def _verb(self, verb: Any, *args: Any) -> Any:
        return verb(*args) if self.colour.is_async else verb.sync(*args)


async def _outcome(begin: Callable[[], Any]) -> Any:
    try:
        outcome = begin()
        return await outcome if isinstance(outcome, Awaitable) else outcome
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error


def _outcome_here(begin: Callable[[], Any]) -> Any:
    try:
        return begin()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return error


def set_memory(server: RedisServer, limit: str, policy: str) -> None:
    """Say what a server does when its memory is full."""
    assert server.command("CONFIG", "SET", "maxmemory", limit, "maxmemory-policy", policy) == b"+OK\r\n"


def spent(server: RedisServer) -> dict[str, int]:
    """Return how often each command was carried out since the last ``CONFIG RESETSTAT``."""
    lines = server.command("INFO", "commandstats").decode().splitlines()
    return {
        name.removeprefix("cmdstat_"): int(rest.split(",")[0].removeprefix("calls="))
        for name, _, rest in (line.partition(":") for line in lines if line.startswith("cmdstat_"))
    }
