"""An application that uses all that is counted: it answers, looks things up, limits, logs in, exports."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from cachepolicy import (
    AnalyticsCache,
    CallDenied,
    RateLimitExceeded,
    SessionManager,
    StoreError,
    TempStore,
    cached,
    llm_cached,
    rate_limited,
    track_metric,
)

_MODELS: Final = ("gpt-4.1-mini", "gpt-4o")
_QUESTIONS: Final = 40
_PAGES: Final = 60
_PAGE: Final = " ".join(f"word {number} of a page that compresses as pages do;" for number in range(200))


@dataclass(frozen=True)
class App:
    """The application's functions, decorated as an application would.

    Attributes:
        client: of the provider.
        chance: decides who asks what; a seed makes runs alike.
    """

    client: OpenAI
    chance: random.Random = field(default_factory=random.Random)
    sessions: SessionManager = field(default_factory=SessionManager)
    exports: TempStore = field(default_factory=TempStore)
    counts: AnalyticsCache = field(default_factory=AnalyticsCache)

    def parts(self) -> Mapping[str, Callable[[], object]]:
        """Return what goes on beside each other, each as one step of it."""
        return {
            "chat": self._chat,
            "news": self._news,
            "page": self._page,
            "visit": self._visit,
            "export": self._export,
        }

    def _chat(self) -> None:
        number = min(int(self.chance.expovariate(0.1)), _QUESTIONS - 1)  # some are asked all the time
        user, model = f"u{number % 3}", self.chance.choice(_MODELS)
        self.counts.increment_metric.sync("questions", 1, {"model": model})
        try:
            limited(user=user)
        except RateLimitExceeded:
            return
        answer(self.client, [{"role": "user", "content": f"question {number}"}], model=model)

    def _news(self) -> None:
        """Ask what every process asks in this half second: one of them asks the model, the others wait."""
        asked = f"what is new at {2 * time.time():.0f}?"
        answer(self.client, [{"role": "user", "content": asked}], model=_MODELS[0])

    def _page(self) -> None:
        number = self.chance.randrange(_PAGES)
        page(number)
        if number == 0:
            page.invalidate(number + 1)

    def _visit(self) -> None:
        token, _ = self.sessions.create_session.sync(f"u{self.chance.randrange(5)}", {"cart": []})
        self.sessions.get_session.sync(token)
        if self.chance.random() < 0.7:
            self.sessions.end_session.sync(token)

    def _export(self) -> None:
        blob = self.exports.put.sync(_PAGE.encode() * 4, owner="u1", one_time=True)
        self.exports.read.sync(blob.id)


@llm_cached(ignore=("client",))
@track_metric("answers", labels={"model": "model"})
def answer(client: OpenAI, messages: list[ChatCompletionMessageParam], *, model: str) -> ChatCompletion:
    """Ask the provider."""
    return client.chat.completions.create(model=model, messages=messages)


@cached("catalogue")
def page(number: int) -> str:
    """Look up a page; now and then its source fails."""
    if random.random() < 0.05:  # noqa: S311 - weather, not a secret
        raise ConnectionError("the catalogue does not answer")
    return f"{number}: {_PAGE}"


@rate_limited("chat")
def limited(*, user: str) -> None:
    """Pass, as often as the user may."""


def keep_doing(step: Callable[[], object], until: threading.Event, pause: float) -> threading.Thread:
    """Do a step again and again, in a thread, until told to end; what fails is tried anew."""

    def work() -> None:
        while not until.wait(random.uniform(0, 2 * pause)):  # noqa: S311 - or processes would march in step
            try:
                step()
            except (StoreError, CallDenied, ConnectionError):  # as the weather has it
                continue

    thread = threading.Thread(target=work, name=f"example-{step.__name__}")
    thread.start()
    return thread
