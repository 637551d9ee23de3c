"""Records the spans of this process, and draws a trace as a tree.

An application sets up OpenTelemetry once and exports to its backend; here the backend is a list in memory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from openai import DefaultAsyncHttpxClient
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.text import Text
from rich.tree import Tree

TRACER = trace.get_tracer("cachepolicy.demo")


@dataclass(frozen=True, slots=True)
class Span:
    """What the demo shows of one span; plain data, so that it can cross to the process that draws."""

    trace: str
    identity: str
    parent: str | None
    name: str
    kind: str
    start: int
    seconds: float
    attributes: Mapping[str, Any]


def record_spans() -> InMemorySpanExporter:
    """Install a tracer provider that keeps every span of this process."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


def flatten(span: ReadableSpan) -> Span:
    """Reduce a finished span to what is shown of it."""
    context, start, end = span.get_span_context(), span.start_time or 0, span.end_time or 0
    return Span(
        trace=f"{context.trace_id:032x}" if context else "",
        identity=f"{context.span_id:016x}" if context else "",
        parent=f"{span.parent.span_id:016x}" if span.parent else None,
        name=span.name,
        kind=span.kind.name.lower(),
        start=start,
        seconds=(end - start) / 1e9,
        attributes=dict(span.attributes or {}),
    )


def find_trace(spans: Sequence[Span], **wanted: str) -> list[Span]:
    """The first trace that has a span with these ``cachepolicy.*`` attributes; its spans by start."""
    for span in sorted(spans, key=lambda span: span.start):
        if all(span.attributes.get(f"cachepolicy.{name}") == value for name, value in wanted.items()):
            return sorted((each for each in spans if each.trace == span.trace), key=lambda each: each.start)
    return []


def draw(title: str, spans: Sequence[Span]) -> Tree:
    """Draw one trace, children below their parents."""
    tree = Tree(Text(title, style="bold"), guide_style="dim")
    branches: dict[str | None, Tree] = {None: tree}
    for span in spans:
        branch = branches.get(span.parent, tree).add(_label(span))
        branches[span.identity] = branch
    return tree


def _label(span: Span) -> Text:
    label = Text.assemble(
        (span.name, "cyan"), (f"  {span.kind}", "dim"), (f"  {span.seconds * 1000:,.1f} ms", "bold")
    )
    for name, value in sorted(span.attributes.items()):
        label.append(f"\n{name} = {f'{value:.3g}' if isinstance(value, float) else value}", "dim")
    return label


class _Message(Protocol):
    """What a hook needs of an HTTP request."""

    method: str
    extensions: Any

    @property
    def url(self) -> Any: ...


class _Response(Protocol):
    status_code: int

    @property
    def request(self) -> _Message: ...


def traced_http_client() -> DefaultAsyncHttpxClient:
    """The SDK's own HTTP client with a span for each request, as an instrumentation package would add."""
    return DefaultAsyncHttpxClient(event_hooks={"request": [_before], "response": [_after]})


async def _before(request: _Message) -> None:
    request.extensions["demo.span"] = TRACER.start_span(
        f"{request.method} {request.url.path}",
        kind=trace.SpanKind.CLIENT,
        attributes={"http.request.method": request.method, "server.address": request.url.host},
    )


async def _after(response: _Response) -> None:
    span: trace.Span = response.request.extensions["demo.span"]
    span.set_attribute("http.response.status_code", response.status_code)
    span.end()
