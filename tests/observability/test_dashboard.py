from __future__ import annotations

import itertools
import json
import re
from typing import Any

import pytest

from docs.observability import dashboard
from docs.observability.dashboard import ROWS
from docs.observability.panel import Panel
from tests.support.promql import labels_in, metrics_in, told

_PANELS = [panel for _, panels in ROWS for panel in panels]
_KINDS = {"timeseries", "stat", "bargauge", "state-timeline", "heatmap"}
_UNITS = {"s", "bytes", "Bps", "percentunit", "reqps", "ops", "cpm", "short", "none"}
_TOLD = told()


def _exprs() -> list[str]:
    return [query.expr for panel in _PANELS for query in panel.queries]


def _shown() -> list[dict[str, Any]]:
    """Return the panels of the file that are no rows."""
    shown = json.loads(dashboard.FILE.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in shown if panel["type"] != "row"]


def test_the_file_is_what_the_table_says() -> None:
    """The dashboard that is imported is the one of the table: ``python -m docs.observability.dashboard``."""
    assert dashboard.FILE.read_text(encoding="utf-8") == dashboard.text()


def test_links_to_the_dashboard_last() -> None:
    """Its uid stays, and it is no particular Grafana's: no id, its data source is a variable."""
    whole = dashboard.dashboard()
    assert whole["uid"] == "cachepolicy"
    assert "id" not in whole
    names = [variable["name"] for variable in whole["templating"]["list"]]
    assert names == ["datasource", "job", "instance", "namespace"]
    sources = {panel["datasource"]["uid"] for panel in _shown()}
    assert sources == {"${datasource}"}


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel.title)
def test_every_panel_says_what_it_shows(panel: Panel) -> None:
    """A panel has a title, a description that is a sentence, a unit that Grafana knows, and questions."""
    assert panel.title
    assert panel.description.endswith(".")
    assert panel.unit in _UNITS
    assert panel.kind in _KINDS
    assert panel.queries


def test_titles_are_told_apart() -> None:
    """No two panels have the same title, nor the same number."""
    titles = [panel.title for panel in _PANELS]
    assert len(set(titles)) == len(titles)
    ids = [panel["id"] for panel in dashboard.dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def test_panels_lie_beside_each_other() -> None:
    """No panel lies on another, nor beyond the edge."""
    places = [panel["gridPos"] for panel in dashboard.dashboard()["panels"]]
    for place in places:
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel.title)
def test_series_are_told_apart(panel: Panel) -> None:
    """The legend names each label by which a question is grouped, and no other."""
    for query in panel.queries:
        named = set(re.findall(r"\{\{(\w+)\}\}", query.legend))
        assert named == labels_in(query.expr) - {"le"} or query.form == "heatmap"
        if len(panel.queries) > 1:
            assert query.legend


@pytest.mark.parametrize("panel", _PANELS, ids=lambda panel: panel.title)
def test_every_question_is_about_what_is_told(panel: Panel) -> None:
    """Each metric that a panel asks for is one that the library tells Prometheus."""
    for query in panel.queries:
        asked = metrics_in(query.expr)
        assert asked
        assert asked - _TOLD.keys() == set()


def test_every_question_keeps_to_the_variables() -> None:
    """Who picks a job and an instance sees those only, in every panel."""
    for expr in _exprs():
        selectors = re.findall(r"\{[^{}]*\}", expr)
        assert selectors
        for selector in selectors:
            assert selector.startswith('{job=~"$job", instance=~"$instance"')


def test_all_that_is_told_is_shown() -> None:
    """No metric of the library is missing from the dashboard."""
    shown = {_TOLD[metric] for expr in _exprs() for metric in metrics_in(expr)}
    assert sorted(set(_TOLD.values()) - shown) == []


@pytest.mark.parametrize(
    ("expr", "metrics", "labels"),
    [
        (
            'sum by (le) (rate(cachepolicy_a_bucket{cachepolicy_tier="l2"}[1m]))',
            {"cachepolicy_a_bucket"},
            {"le"},
        ),
        (
            "redis_up / ignoring (cachepolicy_x) group_left () active_sessions",
            {"redis_up", "active_sessions"},
            set(),
        ),
        ("max by (job, server_port) (redis_x > 0)", {"redis_x"}, {"job", "server_port"}),
    ],
    ids=["selected", "joined", "grouped"],
)
def test_expressions_are_read(expr: str, metrics: set[str], labels: set[str]) -> None:
    """The reader of expressions, which the tests here trust, finds metrics and not labels."""
    assert metrics_in(expr) == metrics
    assert labels_in(expr) == labels
