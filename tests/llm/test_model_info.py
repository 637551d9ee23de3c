"""What is known of a model: set, read, and kept up to date by decorated functions."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest
import redis

from cachepolicy import ManualClock, ModelInfo, Models, StoreError, aclose, configure, llm_cached, models
from cachepolicy.errors import PolicyError, UnknownNamespace
from cachepolicy.llm.reporting import EVERY, WEIGHT
from cachepolicy.runtime import current
from tests.support.colour import Colour
from tests.support.origin import settled
from tests.support.policies import cache_policy

INFO = ModelInfo("ok", 1_700_000_000.5, 1.25)


def _known(colour: Colour, provider: str, model: str, of: Models | None = None) -> ModelInfo | None:
    known = Models("answers") if of is None else of
    info: ModelInfo | None = _do(colour, known.get_info, provider, model)
    return info


def _do(colour: Colour, verb: Any, *args: Any) -> Any:
    if not colour.is_async:
        return verb.sync(*args)

    async def main() -> Any:
        try:
            return await verb(*args)
        finally:
            await aclose()

    return asyncio.run(main())


def test_what_is_set_is_read(colour: Colour, redis_url: str) -> None:
    """Status, time and average come back as they were set; of another model nothing is known."""
    configure(cache_policy(redis_url))
    known = Models("answers")
    _do(colour, known.set_info, "openai", "gpt-4o", INFO)
    assert _known(colour, "openai", "gpt-4o") == INFO
    assert _known(colour, "openai", "gpt-4o-mini") is None
    assert _known(colour, "azure", "gpt-4o") is None
    _do(colour, known.set_info, "openai", "gpt-4o", ModelInfo("down", 5.0))
    assert _known(colour, "openai", "gpt-4o") == ModelInfo("down", 5.0, None)


def test_it_lies_under_the_names_of_the_seed(redis_url: str) -> None:
    """The key is {app}:{namespace}:model_info:{provider}:{model}, and it lives as long as an answer."""
    configure(cache_policy(redis_url, ttl="1h"))
    Models("answers").set_info.sync("openai", "gpt-4o", INFO)
    Models("answers").set_info.sync("a:b", "c", INFO)
    assert Models("answers").get_info.sync("a", "b:c") is None
    with redis.Redis.from_url(redis_url.replace("/0", "/1"), decode_responses=True) as client:
        assert client.hgetall("test:answers:model_info:openai:gpt-4o")["status"] == "ok"
        assert 3_500_000 < client.pttl("test:answers:model_info:openai:gpt-4o") <= 3_600_000


def test_the_shipped_namespace_is_llm(colour: Colour) -> None:
    """``models`` is what is known in the namespace ``llm``."""
    policy = cache_policy()
    policy["namespaces"] = {"llm": policy["namespaces"]["answers"]}
    configure(policy)
    models.set_info.sync("openai", "gpt-4o", INFO)
    assert _known(colour, "openai", "gpt-4o", models) == INFO


def test_nothing_of_it_is_hidden(colour: Colour) -> None:
    """A fault is told to who asks, and so is a namespace that is none."""
    configure(cache_policy("redis://127.0.0.1:1"))
    with pytest.raises(StoreError):
        _known(colour, "openai", "gpt-4o")
    with pytest.raises(StoreError):
        _do(colour, Models("answers").set_info, "openai", "gpt-4o", INFO)
    with pytest.raises(UnknownNamespace):
        _known(colour, "openai", "gpt-4o", Models("nowhere"))
    policy = cache_policy()
    policy["namespaces"]["temp"] = {"kind": "temp"}
    configure(policy)
    with pytest.raises(PolicyError, match="kind temp"):
        _known(colour, "openai", "gpt-4o", Models("temp"))


class Watched:
    """A function that takes as long as it is told to, or fails."""

    def __init__(self, colour: Colour, **rule: Any) -> None:
        self.time, self.colour = ManualClock(), colour
        configure(cache_policy(**rule), clock=self.time.clock)
        self.takes = 1.0
        self.error: Exception | None = None
        self.number = 0

        @colour.decorate(llm_cached(namespace="answers", provider="openai"))
        def answer(number: int, model: str = "gpt-4o") -> str:
            self.time.advance(self.takes)
            if self.error is not None:
                raise self.error
            return "yes"

        self.answer = answer

    def ask(self) -> None:
        """Ask what was not asked before."""
        self.number += 1
        settled(self.colour, partial(self.answer, self.number))

    @property
    def info(self) -> ModelInfo | None:
        """What is known by now."""
        return Models("answers").get_info.sync("openai", "gpt-4o")


def test_a_function_keeps_it_up_to_date(colour: Colour) -> None:
    """The first call is told at once; hits say nothing of the model."""
    watched = Watched(colour)
    watched.takes = 2.0
    watched.ask()
    first = watched.info
    assert first == ModelInfo("ok", watched.time.clock.wall(), 2.0)
    watched.time.advance(EVERY)
    colour.run(lambda: watched.answer(watched.number))
    assert watched.info == first


def test_it_is_told_now_and_then(colour: Colour) -> None:
    """Calls within a few seconds are told together, and the average is that of all of them."""
    watched = Watched(colour)
    watched.takes = 1.0
    for _ in range(3):
        watched.ask()
    assert watched.info is not None
    assert watched.info.avg_response_time == 1.0
    watched.takes = 3.0
    watched.time.advance(EVERY)
    watched.ask()  # with the two that were not told: 1, 1 and 3 seconds
    expected = 1.0 + (1 - (1 - WEIGHT) ** 3) * (5 / 3 - 1.0)
    assert watched.info.avg_response_time == pytest.approx(expected, abs=1e-5)


def test_an_error_is_the_status(colour: Colour) -> None:
    """A call that fails leaves the class of its error, and the average alone."""
    watched = Watched(colour)
    watched.ask()
    watched.time.advance(EVERY)
    watched.error = ConnectionError("secret")
    with pytest.raises(ConnectionError):
        watched.ask()
    assert watched.info == ModelInfo("ConnectionError", watched.time.clock.wall(), 1.0)


def test_c1_a_fault_is_nobodys(colour: Colour) -> None:
    """C1: where Redis is out, callers get their answers, and nothing is raised behind their backs."""
    configure(cache_policy("redis://127.0.0.1:1"))

    @colour.decorate(llm_cached(namespace="answers", provider="openai"))
    def answer(number: int, model: str = "gpt-4o") -> str:
        return "yes"

    assert settled(colour, lambda: answer(1)) == "yes"


def test_processes_do_not_lose_what_others_told(redis_url: str) -> None:
    """Reports that come at the same time all count: each moves the average, in one step at the server."""
    configure(cache_policy(redis_url))
    runtime = current.current()
    from cachepolicy.flow.resilience import Budget, ask
    from cachepolicy.tiers.models import Facts, add

    site = runtime.home("answers", runtime.cache("answers", "", "")).site
    known = Models("answers")
    known.set_info.sync("openai", "gpt-4o", ModelInfo("ok", 1.0, 0.0))

    def tell() -> None:
        for _ in range(10):
            command = add("test:answers:model_info:openai:gpt-4o", Facts("ok", 2.0, 1.0), 0.01, 60.0)
            runtime.engine.run(
                ask(site.guard, command, Budget(site.clock, 20.0)), runtime.stores.sync_io(site)
            )

    threads = [threading.Thread(target=tell) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    info = known.get_info.sync("openai", "gpt-4o")
    assert info is not None
    assert info.avg_response_time == pytest.approx(1 - 0.99**40, abs=1e-4)


def test_an_older_status_does_not_replace_a_newer_one(redis_url: str) -> None:
    """What a slow process tells late moves the average, and not the status."""
    from cachepolicy.flow.resilience import Budget, ask
    from cachepolicy.tiers.models import Facts, add

    configure(cache_policy(redis_url))
    runtime = current.current()
    known = Models("answers")
    known.set_info.sync("openai", "gpt-4o", ModelInfo("ok", 10.0, 1.0))
    site = runtime.home("answers", runtime.cache("answers", "", "")).site
    command = add("test:answers:model_info:openai:gpt-4o", Facts("Timeout", 9.0, None), 0.2, 60.0)
    runtime.engine.run(ask(site.guard, command, Budget(site.clock, 20.0)), runtime.stores.sync_io(site))
    assert known.get_info.sync("openai", "gpt-4o") == ModelInfo("ok", 10.0, 1.0)
