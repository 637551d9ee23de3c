"""Every part of the library, called with canaries in all that it is told: a scenario for both colours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cachepolicy import (
    AnalyticsCache,
    CachePolicyError,
    LLMCacheManager,
    Preferences,
    SessionManager,
    TempStore,
    TokenBlacklist,
    aclose,
    cached,
    cached_many,
    close,
    control,
    embeddings_cached,
    llm_cached,
    namespace,
    rate_limited,
    scope,
    track_metric,
)
from tests.support.canaries import PROMPT, SECRET
from tests.support.colour import Colour

Step = Callable[[], Any]
Scenario = Generator[Step, Any, None]


class Boom(Exception):
    """An error of the decorated function: its caller's own, whatever it says."""


@dataclass
class Outcome:
    """What came of it: errors of the library, and secrets that it made itself."""

    errors: list[BaseException] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    steps: int = 0


def play(colour: Colour) -> Outcome:
    """Make all the calls; go on after each error."""
    outcome = Outcome()
    scenario = _everything(colour, outcome)

    async def run_async() -> None:
        result: Any = None
        while (step := _next(scenario, result)) is not None:
            try:
                made = step()
                result = await made if isinstance(made, Awaitable) else made
            except Exception as error:  # noqa: BLE001 - what it says is looked at
                result = None
                _note(outcome, error)
            outcome.steps += 1
        await aclose()

    def run() -> None:
        result: Any = None
        while (step := _next(scenario, result)) is not None:
            try:
                result = step()
            except Exception as error:  # noqa: BLE001 - what it says is looked at
                result = None
                _note(outcome, error)
            outcome.steps += 1
        close()

    with scope(tenant=SECRET, user=SECRET):
        if colour.is_async:
            asyncio.run(run_async())
        else:
            run()
    return outcome


def _next(scenario: Scenario, result: Any) -> Step | None:
    try:
        return scenario.send(result)
    except StopIteration:
        return None


def _note(outcome: Outcome, error: BaseException) -> None:
    if isinstance(error, CachePolicyError):
        outcome.errors.append(error)
    elif not isinstance(error, Boom):
        raise error


def _everything(colour: Colour, outcome: Outcome) -> Scenario:
    yield from _functions(colour)
    yield from _streams(colour)
    yield from _limits(colour)
    yield from _sessions(colour, outcome)
    yield from _tokens(colour)
    yield from _preferences(colour)
    yield from _files(colour, outcome)
    yield from _metrics(colour)


def _functions(colour: Colour) -> Scenario:
    @colour.decorate(cached("answers", key="q:{question}", tags=["question"]))
    def answer(question: str, *, secret: str = SECRET) -> dict[str, str]:
        if question.endswith("fail"):
            raise Boom(f"{question} {secret}")
        return {"said": PROMPT}

    @colour.decorate(cached("answers"))
    def keyed(question: object) -> str:
        return PROMPT

    @colour.decorate(cached("answers"))
    def unfit(question: str) -> object:
        return _Unfit(PROMPT)

    @colour.decorate(cached_many("answers", over="questions"))
    def many(questions: list[str]) -> list[str]:
        return [PROMPT for _ in questions]

    @colour.decorate(llm_cached)
    def ask(messages: list[dict[str, str]], model: str = "gpt-4o", user: str = SECRET) -> dict[str, Any]:
        return {"model": model, "text": PROMPT, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}

    @colour.decorate(embeddings_cached)
    def embed(texts: list[str], model: str = "small") -> list[list[float]]:
        return [[1.0, 2.0] for _ in texts]

    for question in (PROMPT, PROMPT, f"{PROMPT} fail"):
        yield partial(answer, question)
    with control(tags=[SECRET], refresh=True):
        yield lambda: answer(PROMPT)
    with control(only_if_cached=True):
        yield lambda: answer(f"{PROMPT} not kept")
    yield lambda: keyed(_Unfit(PROMPT))
    yield lambda: keyed({PROMPT: {"deep": _Unfit(SECRET)}})
    yield lambda: unfit(PROMPT)
    yield lambda: many([PROMPT, f"{PROMPT} 2"])
    for _ in range(2):
        yield lambda: ask([{"role": "user", "content": PROMPT}])
    yield lambda: embed([PROMPT, SECRET])
    yield lambda: answer.invalidate(PROMPT)
    yield lambda: answer.peek(PROMPT)
    yield lambda: _verb(colour, namespace("answers").purge_tag)(SECRET)
    yield lambda: _verb(colour, namespace("answers").purge_key)(f"app:answers:{SECRET}")
    manager = LLMCacheManager()
    yield lambda: _verb(colour, manager.cache_response)(PROMPT, "gpt-4o", {"text": PROMPT}, temperature=0)
    yield lambda: _verb(colour, manager.get_cached_response)(PROMPT, "gpt-4o", temperature=0)


class _Unfit:
    """Of a type that nothing can be made of; says what it is told."""

    def __init__(self, word: str) -> None:
        self.word = word

    def __repr__(self) -> str:
        return self.word


def _streams(colour: Colour) -> Scenario:
    if colour.is_async:

        @llm_cached
        async def tell(question: str) -> AsyncIterator[dict[str, object]]:
            yield {"delta": PROMPT, "finish_reason": None}
            if question.endswith("fail"):
                raise Boom(SECRET)
            yield {"delta": "", "finish_reason": "stop"}

        async def read(question: str) -> list[Any]:
            return [part async for part in tell(question)]

        for question in (PROMPT, PROMPT, f"{PROMPT} fail"):
            yield partial(read, question)
    else:

        @llm_cached
        def say(question: str) -> Iterator[dict[str, object]]:
            yield {"delta": PROMPT, "finish_reason": None}
            if question.endswith("fail"):
                raise Boom(SECRET)
            yield {"delta": "", "finish_reason": "stop"}

        for question in (PROMPT, PROMPT, f"{PROMPT} fail"):
            yield partial(_all_of, say, question)


def _all_of(stream: Callable[[str], Iterator[Any]], question: str) -> list[Any]:
    return list(stream(question))


def _limits(colour: Colour) -> Scenario:
    @colour.decorate(rate_limited("chat"))
    def say(user_id: str) -> str:
        return PROMPT

    for _ in range(3):
        yield lambda: say(SECRET)


def _sessions(colour: Colour, outcome: Outcome) -> Scenario:
    sessions = SessionManager()
    made = yield lambda: _verb(colour, sessions.create_session)(
        SECRET, {SECRET: SECRET}, device=SECRET, permissions=[SECRET]
    )
    token = "none was made" if made is None else made.token
    outcome.secrets.append(token)
    yield lambda: _verb(colour, sessions.get_session)(token)
    yield lambda: _verb(colour, sessions.get_session)(SECRET)
    yield lambda: _verb(colour, sessions.update_session)(token, {SECRET: _Unfit(SECRET)})
    yield lambda: _verb(colour, sessions.list_sessions)(SECRET)
    renewed = yield lambda: _verb(colour, sessions.rotate)(token)
    if renewed is not None:
        outcome.secrets.append(renewed.token)
    yield lambda: _verb(colour, sessions.revoke_all)(SECRET)


def _tokens(colour: Colour) -> Scenario:
    blacklist = TokenBlacklist()
    claims = {"jti": SECRET, "sub": SECRET, "iat": time.time(), "exp": time.time() + 900}
    yield lambda: _verb(colour, blacklist.revoke_token)(claims)
    yield lambda: _verb(colour, blacklist.is_revoked)(claims)
    yield lambda: _verb(colour, blacklist.is_revoked)({"sub": SECRET, "secret": SECRET})
    first = yield lambda: _verb(colour, blacklist.begin_family)(SECRET)
    if first is not None:
        for _ in range(2):
            yield lambda: _verb(colour, blacklist.use_refresh)(first.family, first.jti)


def _preferences(colour: Colour) -> Scenario:
    preferences = Preferences()
    yield lambda: _verb(colour, preferences.set)(SECRET, {"mail": SECRET})
    yield lambda: _verb(colour, preferences.set)(SECRET, {"mail": SECRET}, if_version=99)
    yield lambda: _verb(colour, preferences.set)(SECRET, {"mail": _Unfit(SECRET)})
    yield lambda: _verb(colour, preferences.get_path)(SECRET, f"mail.{SECRET}")


def _files(colour: Colour, outcome: Outcome) -> Scenario:
    files = TempStore()
    blob = yield lambda: _verb(colour, files.put)(
        SECRET.encode() * 50, owner=SECRET, name=f"{SECRET}.pdf", content_type="text/plain"
    )
    identity = "no file was kept" if blob is None else blob.id
    outcome.secrets.append(identity)
    yield lambda: _verb(colour, files.read)(identity)
    yield lambda: _verb(colour, files.read)(SECRET)
    yield lambda: _verb(colour, files.read)("x" * len(identity))


def _metrics(colour: Colour) -> Scenario:
    analytics = AnalyticsCache()

    @colour.decorate(track_metric("tokens", value="result.tokens", labels={"plan": "plan"}))
    def answer(question: str, plan: object = SECRET) -> Any:
        return _Answer()

    yield lambda: answer(PROMPT)
    yield lambda: answer(PROMPT, _Unfit(SECRET))
    yield lambda: _verb(colour, analytics.increment_metric)("tokens", 1, {"plan": SECRET})
    yield lambda: _verb(colour, analytics.increment_metric)("tokens", 1, {SECRET: SECRET})
    yield _verb(colour, analytics.flush)


class _Answer:
    tokens = SECRET  # no number


def _verb(colour: Colour, method: Any) -> Callable[..., Any]:
    """Give a method in this colour."""
    return method if colour.is_async else method.sync  # type: ignore[no-any-return] # of any manager
