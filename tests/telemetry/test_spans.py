from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from cachepolicy import ManualClock, aclose, cached, configure
from tests.support.colour import Colour
from tests.support.exported import exported_spans
from tests.support.policies import cache_policy


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """Collect spans of a provider of this test's own: the global one can be set only once a process."""
    with exported_spans(monkeypatch) as exporter:
        yield exporter


def _attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def _answer(colour: Colour) -> Any:
    tracer = trace.get_tracer("origin")

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        tracer.start_span("model call").end()
        if question == "fail":
            raise LookupError(question)
        return question

    return answer


def test_one_internal_span_for_each_lookup_that_leaves_l1(
    colour: Colour, exporter: InMemorySpanExporter
) -> None:
    """A miss and an L2 hit make a span each, an L1 hit none."""
    time = ManualClock()
    configure(cache_policy(local={"ttl": "1s"}), clock=time.clock)
    answer = _answer(colour)
    for _ in range(3):
        colour.run(lambda: answer("why?"))
    time.advance(2)
    colour.run(lambda: answer("why?"))
    lookups = [span for span in exporter.get_finished_spans() if span.name == "cache.get answers"]
    assert [_attributes(span)["cachepolicy.tier"] for span in lookups] == ["origin", "l2"]
    assert lookups[0].kind is SpanKind.INTERNAL
    assert _attributes(lookups[0]) | {"cachepolicy.function": ""} == {
        "cachepolicy.namespace": "answers",
        "cachepolicy.function": "",
        "cachepolicy.outcome": "miss",
        "cachepolicy.tier": "origin",
        "cachepolicy.age_s": 0.0,
        "cache.hit": False,
        "cache.item_size": 4,
    }


def test_what_the_origin_traces_hangs_on_the_lookup(colour: Colour, exporter: InMemorySpanExporter) -> None:
    """Spans that the function makes hang on the span of its call, and that on the lookup's."""
    configure(cache_policy())
    answer = _answer(colour)
    colour.run(lambda: answer("why?"))
    look, inner, origin, lookup = exporter.get_finished_spans()
    assert [look.name, origin.name] == ["cache.l2 answers", "cache.origin answers"]
    assert inner.parent == origin.context
    assert origin.parent == look.parent == lookup.context
    assert origin.kind is SpanKind.INTERNAL
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_an_l2_hit_is_a_hit(colour: Colour, exporter: InMemorySpanExporter) -> None:
    """The span of an answer from Redis says so, and how old it is."""
    configure(cache_policy(local={"enabled": False}))
    answer = _answer(colour)
    for _ in range(2):
        colour.run(lambda: answer("why?"))
    attributes = _attributes(exporter.get_finished_spans()[-1])
    assert (attributes["cache.hit"], attributes["cachepolicy.tier"]) == (True, "l2")
    assert attributes["cachepolicy.age_s"] >= 0


def test_spans_all_traces_l1_hits_too(colour: Colour, exporter: InMemorySpanExporter) -> None:
    """O1: with ``spans: all`` an L1 hit makes a span."""
    configure({**cache_policy(), "telemetry": {"spans": "all"}})
    answer = _answer(colour)
    for _ in range(2):
        colour.run(lambda: answer("why?"))
    lookups = [span for span in exporter.get_finished_spans() if span.name == "cache.get answers"]
    assert [_attributes(span)["cachepolicy.tier"] for span in lookups] == ["origin", "l1"]


@pytest.mark.parametrize("telemetry", [{"spans": "none"}, {"enabled": False}])
def test_spans_can_be_turned_off(colour: Colour, exporter: InMemorySpanExporter, telemetry: Any) -> None:
    """``spans: none`` and ``enabled: false`` leave no span but the origin's."""
    configure({**cache_policy(), "telemetry": telemetry})
    answer = _answer(colour)
    colour.run(lambda: answer("why?"))
    assert [span.name for span in exporter.get_finished_spans()] == ["model call"]


def test_an_error_of_the_function_marks_the_span(colour: Colour, exporter: InMemorySpanExporter) -> None:
    """The span of a failed call has the status error, and the class of the error, not its text."""
    configure(cache_policy())
    answer = _answer(colour)
    with pytest.raises(LookupError):
        colour.run(lambda: answer("fail"))
    span = exporter.get_finished_spans()[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "LookupError"


def test_a_coalesced_caller_links_to_its_leader(exporter: InMemorySpanExporter) -> None:
    """A caller that shared another's load has a span of its own that points to the leader's."""
    import asyncio

    configure(cache_policy())
    answer = _answer(Colour(is_async=True))

    async def main() -> None:
        await asyncio.gather(answer("why?"), answer("why?"))
        await aclose()

    asyncio.run(main())
    lookups = [span for span in exporter.get_finished_spans() if span.name.startswith("cache.get")]
    by_outcome = {_attributes(span)["cachepolicy.outcome"]: span for span in lookups}
    assert by_outcome.keys() == {"miss", "coalesced"}
    assert [link.context for link in by_outcome["coalesced"].links] == [by_outcome["miss"].context]


def test_o2_spans_hold_nothing_of_a_call(colour: Colour, exporter: InMemorySpanExporter) -> None:
    """O2: no argument, key, value or error text is in any exported span."""
    configure(cache_policy())
    answer = _answer(colour)
    for question in ("canary-prompt", "fail"):
        try:
            colour.run(partial(answer, question))
        except LookupError:
            continue
    exported = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert exported
    assert "canary" not in exported
    assert answer.key("canary-prompt") not in exported


def test_c1_a_span_processor_that_fails_changes_nothing(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: an application's broken telemetry does not fail its calls."""

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            raise RuntimeError("broken on start")

        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("broken on end")

    provider = TracerProvider()
    provider.add_span_processor(Broken())
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    configure(cache_policy())

    @colour.decorate(cached("answers"))
    def answer(question: str) -> str:
        return question

    assert colour.run(lambda: answer("why?")) == "why?"
    provider.shutdown()
