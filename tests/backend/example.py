"""The application that the backend is asked about.

``python -m tests.backend.example REDIS COLLECTOR PROJECT``. Each scenario is a trace of its own. The calls of
the model are spans as an instrumented client makes them, with their tokens; the backend says what they cost.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from cachepolicy import RateLimitExceeded, SessionManager, aclose, configure, llm_cached, rate_limited
from cachepolicy.telemetry import setup
from tests.support.waiting import rest

PROJECT = "openinference.project.name"
KIND = "openinference.span.kind"
TOKENS = {"prompt": 12000, "completion": 3400}


class ModelDown(Exception):
    """The model failed."""


@contextmanager
def step(name: str, kind: str = "CHAIN") -> Iterator[trace.Span]:
    """Be in a span of the application's own."""
    tracer = trace.get_tracer("app")
    with tracer.start_as_current_span(name, attributes={KIND: kind}, set_status_on_exception=False) as span:
        yield span


@llm_cached
async def ask(question: str, *, model: str = "gpt-4o") -> dict[str, Any]:
    """Ask the model; a question without a mark is one too many for it."""
    with step(f"chat {model}", "LLM") as span:
        await rest(0.4)  # models take their time
        span.set_attributes({"llm.model_name": model, "llm.provider": "openai", "llm.system": "openai"})
        if not question.endswith("?"):
            span.set_status(Status(StatusCode.ERROR, "ModelDown"))
            raise ModelDown
        span.set_attributes({f"llm.token_count.{part}": count for part, count in TOKENS.items()})
        usage = {f"{part}_tokens": count for part, count in TOKENS.items()}
        return {"model": model, "text": question.upper(), "usage": usage}


@rate_limited("chat")
async def say(user: str) -> str:
    """Say something."""
    return user


async def main(redis: str, collector: str, project: str) -> None:
    """Play every scenario, and send what it looked like."""
    configure(policy(redis, collector, project))
    telemetry = setup()
    assert telemetry.traces.state == "started", telemetry
    with step("first question"):
        await ask("why?")
    with step("the same question"):
        await ask("why?")
    with step("two ask at once"):
        await asyncio.gather(ask("when?"), ask("when?"))
    with step("the model fails"), suppress(ModelDown):
        await ask("no question")
    with step("a limit of one"):
        for _ in range(2):
            with suppress(RateLimitExceeded):
                await say("ann")
    with step("a session"):
        sessions = SessionManager()
        token, _ = await sessions.create_session("ann")
        await sessions.get_session(token)
        await sessions.end_session(token)
    await aclose()
    assert telemetry.shutdown(30), "not everything was sent in time"


def policy(redis: str, collector: str, project: str) -> dict[str, Any]:
    """Return the policy: without L1, so that a hit has a span."""
    return {
        "version": 1,
        "app": "backend-check",
        "redis": {"url": redis},
        "namespaces": {
            "llm": {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h", "local": {"enabled": False}},
            "ratelimit": {
                "kind": "ratelimit",
                "db": 2,
                "rules": {"chat": {"by": "user", "requests": "1/hour"}},
            },
            "sessions": {"kind": "sessions", "db": 3, "absolute": "1d"},
        },
        "telemetry": {
            "dialect": "openinference",
            "otlp": {"endpoint": collector, "timeout": "20s"},
            "resource": {PROJECT: project, "service.name": "backend-check"},
        },
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
