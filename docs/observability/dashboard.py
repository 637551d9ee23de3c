"""The dashboard as Grafana reads it. ``python -m docs.observability.dashboard`` writes it anew."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from docs.observability import panels_above as above
from docs.observability import panels_below as below
from docs.observability.panel import Panel
from docs.observability.queries import PROCESS, Query

FILE = Path(__file__).with_name("grafana-dashboard.json")
ROWS = (
    ("Overview", above.OVERVIEW),
    ("Answers", above.ANSWERS),
    ("Latency", above.LATENCY),
    ("Savings", above.SAVINGS),
    ("Faults", above.FAULTS),
    ("This process's own tier", below.LOCAL),
    ("Coherence", below.COHERENCE),
    ("Limits", below.LIMITS),
    ("Sessions", below.SESSIONS),
    ("Protected keys", below.SWEEPS),
    ("Counts", below.ANALYTICS),
    ("Policy", below.CONFIG),
    ("Redis", below.REDIS),
)
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_HEIGHTS = {"stat": 4}
_HEIGHT = 8  # in Grafana's units of 30 pixels
_REDUCED: dict[str, Any] = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_LEGEND = {"legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": True}}
_COLOURS = {
    "mode": "scheme",
    "scheme": "Turbo",
    "fill": "dark-orange",
    "exponent": 0.5,
    "steps": 64,
    "reverse": False,
}
_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {**_LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {
        **_REDUCED,
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
        "orientation": "auto",
    },
    "bargauge": {**_REDUCED, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True},
    "state-timeline": {**_LEGEND, "showValue": "never", "mergeValues": True, "rowHeight": 0.8},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": _COLOURS},
}


def dashboard() -> dict[str, Any]:
    """Return the whole dashboard."""
    return {
        "uid": "cachepolicy",
        "title": "cachepolicy",
        "description": "What the cache answers, how fast, what it spares and survives; and how its Redis is.",
        "tags": ["cachepolicy", "cache", "redis", "llm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": _variables()},
        "panels": list(_panels()),
    }


def text() -> str:
    """Return it as it lies in the file."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


def _variables() -> list[dict[str, Any]]:
    every = "cachepolicy_requests_total"
    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"},
        _variable("job", f"label_values({every}, job)"),
        _variable("instance", f'label_values({every}{{job=~"$job"}}, instance)'),
        _variable("namespace", f"label_values({every}{{{PROCESS}}}, cachepolicy_namespace)"),
    ]


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = top = 0
    for title, panels in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        top += 1
        for line in _lines(panels):
            left, height = 0, max(_HEIGHTS.get(panel.kind, _HEIGHT) for panel in line)
            for panel in line:
                number += 1
                place = {"x": left, "y": top, "w": panel.width, "h": height}
                yield {"id": number, **_panel(panel), "gridPos": place}
                left += panel.width
            top += height


def _lines(panels: Sequence[Panel]) -> Iterator[list[Panel]]:
    """Put panels beside each other, as far as there is room."""
    line: list[Panel] = []
    for panel in panels:
        if sum(each.width for each in line) + panel.width > _COLUMNS:
            yield line
            line = []
        line.append(panel)
    yield line


def _panel(panel: Panel) -> dict[str, Any]:
    named = {str(value): {"text": text, "color": colour} for value, text, colour in panel.states}
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "mappings": [{"type": "value", "options": named}] if named else [],
        "color": {"mode": "palette-classic"},
        "custom": {"fillOpacity": 10} if panel.kind == "timeseries" else {},
    }
    if panel.unit == "percentunit":
        defaults |= {"min": 0, "max": 1}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [_target(ref, query) for ref, query in zip("ABCDEF", panel.queries, strict=False)],
    }


def _target(ref: str, query: Query) -> dict[str, Any]:
    return {
        "refId": ref,
        "datasource": _SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "format": query.form,
        "instant": query.instant,
        "range": not query.instant,
        "exemplar": query.expr.startswith("histogram_quantile"),  # dots that lead to traces
    }


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
