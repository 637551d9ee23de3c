"""O2: what a call was about is told by spans only where the policy asks for it, and not much of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from cachepolicy import cached, cached_many, configure
from tests.support.colour import Colour
from tests.support.policies import cache_policy
from tests.support.traces import Traces, told


def _use(**telemetry: Any) -> None:
    configure({**cache_policy(local={"enabled": False}), "telemetry": telemetry})


def test_o2_content_is_told_only_where_it_is_asked_for(colour: Colour, traces: Traces) -> None:
    """O2: with ``content: true`` arguments and result stand on the lookup's span; else on none."""

    @colour.decorate(cached("answers"))
    def answer(question: str, words: int = 5) -> dict[str, Any]:
        return {"said": question, "words": words}

    _use()
    colour.run(lambda: answer("canary", words=3))
    assert traces.spans
    assert not any({"input.value", "output.value"} & told(span).keys() for span in traces.spans)
    traces.forget()
    _use(content=True)
    for _ in range(2):  # a miss, a hit
        colour.run(lambda: answer("canary", words=3))
    for span in traces.all("cache.get answers"):
        assert json.loads(told(span)["input.value"]) == {"question": "canary", "words": 3}
        assert json.loads(told(span)["output.value"]) == {"said": "canary", "words": 3}
    assert not any("input.value" in told(span) for span in traces.spans if "get" not in span.name)


def test_content_is_cut_at_four_kibibytes(colour: Colour, traces: Traces) -> None:
    """However long arguments and result are, a span has 4 KiB of each at most, in whole characters."""
    _use(content=True)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> list[str]:
        return [question] * 50

    colour.run(lambda: answer("ü" * 10_000))
    span = traces.one("cache.get answers")
    for name in ("input.value", "output.value"):
        assert 4000 < len(told(span)[name].encode()) <= 4096
        assert "ü" in told(span)[name]


@dataclass
class _Point:
    x: int


class _Model(BaseModel):
    name: str


def test_content_that_is_not_json_is_told_by_its_type(colour: Colour, traces: Traces) -> None:
    """Models and dataclasses are told by their fields, other objects by their type, never by their repr."""
    _use(content=True)

    @colour.decorate(cached("answers", ignore=("client",)))
    def answer(model: _Model, point: _Point, raw: bytes, client: object = None) -> str:
        return model.name

    client = type("Client", (), {"__repr__": lambda _: "canary"})()
    colour.run(lambda: answer(_Model(name="a"), _Point(1), b"canary", client=client))
    text = told(traces.one("cache.get answers"))["input.value"]
    assert json.loads(text) == {
        "model": {"name": "a"},
        "point": {"x": 1},
        "raw": "<bytes>",
        "client": "<Client>",
    }


def test_o2_credentials_are_withheld_even_then(colour: Colour, traces: Traces) -> None:
    """O2: arguments that carry keys, passwords or headers are not told even with ``content: true``."""
    _use(content=True)

    @colour.decorate(cached("answers", ignore=("api_key", "options")))
    def answer(question: str, api_key: str, options: dict[str, Any]) -> str:
        return question

    options = {"extra_headers": {"Authorization": "canary"}, "depth": 1}
    colour.run(lambda: answer("why?", api_key="canary", options=options))
    text = told(traces.one("cache.get answers"))["input.value"]
    assert "canary" not in text
    assert json.loads(text)["options"] == {"extra_headers": "withheld", "depth": 1}


def test_c1_content_that_cannot_be_told_fails_no_call(colour: Colour, traces: Traces) -> None:
    """C1: an object that raises while it is told costs its span the content, and its caller nothing."""
    _use(content=True)

    class Sly:
        def model_dump(self) -> object:
            raise RuntimeError("canary")

    @colour.decorate(cached("answers", ignore=("sly",)))
    def answer(question: str, sly: object) -> str:
        return question

    assert colour.run(lambda: answer("why?", Sly())) == "why?"
    span = traces.one("cache.get answers")
    assert "input.value" not in told(span)
    assert told(span)["cachepolicy.outcome"] == "miss"


def test_content_of_a_batch_is_its_items(colour: Colour, traces: Traces) -> None:
    """A call for many items tells of those that L1 did not hold, and of their results."""
    _use(content=True)

    @colour.decorate(cached_many("answers", over="words"))
    def length(words: list[str]) -> list[int]:
        return [len(word) for word in words]

    colour.run(lambda: length(["a", "bb"]))
    span = traces.one("cache.get answers")
    assert (told(span)["input.value"], told(span)["output.value"]) == ('["a", "bb"]', "[1, 2]")


def test_content_of_a_stream_is_its_question(traces: Traces) -> None:
    """A stream has not been read when its span ends, so its answer is not told."""
    _use(content=True)

    @cached("answers")
    def chunks(question: str) -> Iterator[str]:
        yield question

    assert list(chunks("why?")) == ["why?"]
    span = traces.one("cache.get answers")
    assert "why?" in told(span)["input.value"]
    assert "output.value" not in told(span)


def test_key_hash_tells_entries_apart(colour: Colour, traces: Traces) -> None:
    """With ``key_hash: true`` calls for one entry have the same eight digits, none of them the key's own."""

    @colour.decorate(cached("answers", key="q:{question}"))
    def answer(question: str) -> str:
        return question

    _use()
    colour.run(lambda: answer("a"))
    assert "cachepolicy.key.hash" not in told(traces.one("cache.get answers"))
    traces.forget()
    _use(key_hash=True)
    for question in "aab":
        colour.run(partial(answer, question))
    first, second, other = [told(span)["cachepolicy.key.hash"] for span in traces.all("cache.get answers")]
    assert first == second != other
    assert len(first) == len(other) == 8
    assert first not in answer.key("a")


@pytest.mark.parametrize("telemetry", [{}, {"dialect": "openinference"}])
def test_the_dialect_says_what_kind_of_step_a_span_is(
    colour: Colour, traces: Traces, telemetry: dict[str, Any]
) -> None:
    """``dialect: openinference`` calls each span a CHAIN, which no backend prices; without it none is."""
    _use(**telemetry)

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    colour.run(lambda: answer("why?"))
    kinds = {told(span).get("openinference.span.kind") for span in traces.spans}
    assert kinds == ({"CHAIN"} if telemetry else {None})
