"""An explanation as text, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

from cachepolicy.cli.explain_parts import Case, Difference, Explanation, Layer, Said, Value
from cachepolicy.cli.plain import nearby, printable


def as_json(told: Explanation) -> str:
    """Write all of it as JSON."""
    layers = [
        replace(each, values=[replace(v, file=nearby(v.file)) for v in each.values]) for each in told.layers
    ]
    whole = asdict(replace(told, source=nearby(told.source), layers=layers))
    return json.dumps(whole, indent=2, ensure_ascii=True) + "\n"


def as_text(told: Explanation) -> str:
    """Write it for people."""
    return "".join(f"{printable(line)}\n" for line in _lines(told))


def _lines(told: Explanation) -> Iterator[str]:
    environment = f", environment {told.environment}" if told.environment else ""
    yield f"{told.target}, by {nearby(told.source)}{environment}"
    for layer in told.layers:
        yield ""
        yield from _layer(layer)
    if told.difference is not None:
        yield ""
        yield from _difference(told.difference)


def _layer(layer: Layer) -> Iterator[str]:
    yield f"{layer.what} (namespace {layer.namespace})"
    yield f"  lies in: {layer.where}; keys begin with {layer.prefix}"
    yield "  policy:"
    width = max((len(value.path) for value in layer.values), default=0)
    wide = max((len(value.value) for value in layer.values if len(value.value) <= 30), default=0)
    for value in layer.values:
        yield f"    {value.path:<{width}}  {value.value:<{wide}}  {_place(value)}".rstrip()
    if layer.keys:
        yield "  keys:"
        yield from (f"    {key}" for key in layer.keys)
    if layer.cases:
        yield "  commands of a call:"
        for case in layer.cases:
            yield from _case(case)
    yield from (f"  {note}" for note in layer.notes)
    yield f"  eviction: {layer.eviction}"


def _place(value: Value) -> str:
    if value.origin == "decorator":
        return "(decorator)"
    if not value.line:
        return "(built in)"
    put_in = f" ({', '.join(value.variables)})" if value.variables else ""
    layer = "" if value.origin == "file" else f" [{value.origin}]"
    return f"{nearby(value.file)}:{value.line}:{value.column}{layer}{put_in}"


def _case(case: Case) -> Iterator[str]:
    trips = len(case.trips)
    much = {0: "none", 1: "1 round trip"}.get(trips, f"{trips} round trips")
    yield f"    {case.when}: {much}"
    for number, trip in enumerate(case.trips, 1):
        for said in trip:
            yield f"      {number}. {_said(said)}"


def _said(said: Said) -> str:
    name = f"{said.name} {said.script}" if said.script else said.name
    return " ".join((name, *said.keys, *(f"[{word}]" if " " in word else word for word in said.words)))


def _difference(found: Difference) -> Iterator[str]:
    yield f"the two calls have {'the same key' if found.same else 'different keys'}: {found.why}"
    if found.where:
        yield f"  {found.where}: {found.one}"
        yield f"  {' ' * len(found.where)}  {found.other}"
