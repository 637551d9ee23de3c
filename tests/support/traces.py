"""Spans by their names, and who hangs on whom."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


class Traces:
    """What an exporter has got so far."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    @property
    def spans(self) -> list[ReadableSpan]:
        """All of them, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.spans]

    def forget(self) -> None:
        """Begin anew."""
        self._exporter.clear()

    def all(self, name: str) -> list[ReadableSpan]:
        """Return those of a name."""
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        """Return the only one of a name."""
        (span,) = self.all(name)
        return span

    def parent(self, span: ReadableSpan) -> str | None:
        """Return the name of the span that one hangs on; None: it is a root."""
        if span.parent is None:
            return None
        for each in self.spans:
            if each.context is not None and each.context.span_id == span.parent.span_id:
                return each.name
        return "somebody else's"


def told(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes."""
    return dict(span.attributes or {})


def happened(span: ReadableSpan) -> list[tuple[str, dict[str, Any]]]:
    """Return a span's events."""
    return [(event.name, dict(event.attributes or {})) for event in span.events]


def linked(span: ReadableSpan) -> list[Any]:
    """Return what a span points to."""
    return [link.context for link in span.links]
