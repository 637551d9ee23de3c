"""What a tracing backend must show of each scenario of the example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.backend.phoenix import Span

ROOTS = (
    "first question",
    "the same question",
    "two ask at once",
    "the model fails",
    "a limit of one",
    "a session",
)
MODEL = "chat gpt-4o"
BILLABLE = ("llm", "gen_ai", "model", "operation")  # first parts of names by which backends know a bill


@dataclass(frozen=True)
class Scenario:
    """A trace as the backend shows it."""

    root: Span
    spans: Sequence[Span]
    costs: Mapping[str, float]

    def named(self, name: str) -> list[Span]:
        """Give the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def said(self, name: str, attribute: str) -> list[object]:
        """Give what an attribute says of each span of a name, sorted."""
        return sorted((_read(span.attributes, attribute) for span in self.named(name)), key=str)

    def is_under(self, name: str, above: str) -> bool:
        """Tell whether each span of a name hangs on one of another, however far up."""
        return bool(self.named(name)) and all(above in self._above(span) for span in self.named(name))

    def cost(self, name: str) -> float:
        """Add up what the spans of a name have cost."""
        return sum(self.costs.get(span.identity, 0.0) for span in self.named(name))

    def _above(self, span: Span) -> list[str]:
        by_identity = {each.identity: each for each in self.spans}
        names = []
        while span.parent in by_identity:
            span = by_identity[span.parent]
            names.append(span.name)
        return names


def scenarios(spans: Sequence[Span], costs: Mapping[str, float]) -> dict[str, Scenario]:
    """Put the spans together to traces, by the name of each trace's root."""
    roots = [span for span in spans if span.parent is None]
    return {
        root.name: Scenario(root, [span for span in spans if span.trace == root.trace], costs)
        for root in roots
    }


def failures(seen: Mapping[str, Scenario]) -> list[str]:
    """Name all that is not as it should be."""
    if missing := set(ROOTS) - seen.keys():
        return [f"there is no trace {name!r}" for name in sorted(missing)]
    miss, hit, both, failed, limit, session = (seen[name] for name in ROOTS)
    outcome = "cachepolicy.outcome"
    found = {
        "a miss is one lookup": miss.said("cache.get llm", outcome) == ["miss"],
        "the model's call hangs on that of the function": miss.is_under(MODEL, "cache.origin llm"),
        "the function's call hangs on its lookup": miss.is_under("cache.origin llm", "cache.get llm"),
        "the lookup hangs on the application's span": miss.is_under("cache.get llm", miss.root.name),
        "the model's call costs": miss.cost(MODEL) > 0,
        "the lookup of a miss costs nothing": miss.cost("cache.get llm") == 0,
        "a hit is one lookup": hit.said("cache.get llm", outcome) == ["hit"],
        "a hit comes from Redis": hit.said("cache.get llm", "cachepolicy.tier") == ["l2"],
        "a hit calls no model": not hit.named(MODEL),
        "a hit costs nothing": sum(hit.costs.get(span.identity, 0.0) for span in hit.spans) == 0,
        "a hit says what it spared": all(
            isinstance(saved, int | float) and saved > 0
            for saved in hit.said("cache.get llm", "cachepolicy.saved.output_tokens")
        ),
        "who asks at once shares a call": both.said("cache.get llm", outcome) == ["coalesced", "miss"],
        "... which is one": len(both.named(MODEL)) == 1,
        "a failure of the model is one of its lookup": [span.status for span in failed.named("cache.get llm")]
        == ["ERROR"],
        "a limit is decided twice": limit.said("limit.check ratelimit", outcome) == ["allowed", "denied"],
        "decisions hang on the application's span": limit.is_under("limit.check ratelimit", limit.root.name),
        "verbs of sessions are spans": session.is_under("session.create sessions", session.root.name)
        and session.is_under("session.get sessions", session.root.name),
    }
    return [promise for promise, holds in found.items() if not holds] + _of_every_span(seen)


def _of_every_span(seen: Mapping[str, Scenario]) -> list[str]:
    found = []
    for scenario in seen.values():
        for span in scenario.spans:
            ours = span.name != MODEL and span is not scenario.root
            if ours and span.kind != "CHAIN":
                found.append(f"{span.name} is of kind {span.kind}")
            if ours and (billed := sorted(set(span.attributes) & set(BILLABLE))):
                found.append(f"{span.name} has {billed}")
            if ours and any(name.startswith(f"{part}.") for name in span.attributes for part in BILLABLE):
                found.append(f"{span.name} has a billable attribute")
            if span.name == MODEL and span.kind != "LLM":
                found.append(f"{span.name} is of kind {span.kind}")
    return found


def _read(attributes: Mapping[str, object], name: str) -> object:
    """Read an attribute, which a backend may keep under its whole name or in parts."""
    if name in attributes:
        return attributes[name]
    inside: object = attributes
    for part in name.split("."):
        inside = inside.get(part) if isinstance(inside, Mapping) else None
    return inside
