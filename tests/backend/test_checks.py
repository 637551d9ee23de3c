"""What the backend check holds a backend against, tried on traces that are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from tests.backend.checks import MODEL, ROOTS, failures, scenarios
from tests.backend.phoenix import Span

OUTCOME = "cachepolicy.outcome"
Spans = list[Span]


def _sound() -> tuple[Spans, dict[str, float]]:
    numbers = map(str, count(1))
    spans: Spans = []
    costs: dict[str, float] = {}

    def add(called: str, under: Span | None, kind: str = "CHAIN", status: str = "UNSET", **said: Any) -> Span:
        identity = next(numbers)
        attributes = {name.replace("__", "."): value for name, value in said.items()}
        trace = identity if under is None else under.trace
        parent = None if under is None else under.identity
        spans.append(Span(called, kind, identity, parent, trace, status, attributes))
        if kind == "LLM":
            costs[identity] = 0.5
        return spans[-1]

    miss, hit, both, failed, limit, session = (add(name, None) for name in ROOTS)
    lookup = "cache.get llm"
    asked = add(lookup, miss, cachepolicy__outcome="miss")
    add(MODEL, add("cache.origin llm", asked), "LLM")
    spared: dict[str, Any] = {"cachepolicy.saved.output_tokens": 9, "cachepolicy.tier": "l2", OUTCOME: "hit"}
    add(lookup, hit, **spared)
    add(MODEL, add("cache.origin llm", add(lookup, both, cachepolicy__outcome="miss")), "LLM")
    add(lookup, both, cachepolicy__outcome="coalesced")
    add(lookup, failed, status="ERROR", cachepolicy__outcome="miss")
    for outcome in ("allowed", "denied"):
        add("limit.check ratelimit", limit, cachepolicy__outcome=outcome)
    for verb in ("create", "get", "end"):
        add(f"session.{verb} sessions", session)
    return spans, costs


def _at(spans: Spans, name: str, root: str) -> int:
    trace = next(span.trace for span in spans if span.name == root)
    return next(at for at, span in enumerate(spans) if span.name == name and span.trace == trace)


def _change(called: str, root: str, **changes: Any) -> Callable[[Spans, dict[str, float]], None]:
    def change(spans: Spans, costs: dict[str, float]) -> None:
        at = _at(spans, called, root)
        spans[at] = replace(spans[at], **changes)

    return change


def _bill_the_hit(spans: Spans, costs: dict[str, float]) -> None:
    costs[spans[_at(spans, "cache.get llm", "the same question")].identity] = 0.5


def _lose_a_trace(spans: Spans, costs: dict[str, float]) -> None:
    del spans[_at(spans, "a session", "a session")]


def test_sound_traces_pass() -> None:
    """Traces that are as they should be have no failures."""
    spans, costs = _sound()
    assert failures(scenarios(spans, costs)) == []


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (_bill_the_hit, "a hit costs nothing"),
        (_lose_a_trace, "there is no trace 'a session'"),
        (_change("cache.get llm", "the same question", kind="LLM"), "cache.get llm is of kind LLM"),
        (_change("cache.get llm", "first question", kind="UNKNOWN"), "cache.get llm is of kind UNKNOWN"),
        (
            _change("cache.get llm", "first question", attributes={"llm.model_name": "x"}),
            "billable attribute",
        ),
        (_change("cache.get llm", "first question", attributes={"gen_ai": {}}), "gen_ai"),
        (_change("cache.get llm", "first question", parent=None), "hangs on the application's span"),
        (_change("cache.origin llm", "first question", parent=None), "hangs on its lookup"),
        (_change("cache.get llm", "the model fails", status="OK"), "a failure of the model"),
        (_change(MODEL, "two ask at once", name="another"), "... which is one"),
    ],
)
def test_a_fault_is_named(fault: Callable[[Spans, dict[str, float]], None], named: str) -> None:
    """Each kind of fault in what a backend shows is a failure that says what is wrong."""
    spans, costs = _sound()
    fault(spans, costs)
    assert any(named in failure for failure in failures(scenarios(spans, costs)))
