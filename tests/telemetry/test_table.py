"""The table of metrics says what the pages say."""

from __future__ import annotations

import re

import pytest

from cachepolicy.integrations.prometheus_families import described
from cachepolicy.telemetry import names
from cachepolicy.telemetry.instruments import Kind
from cachepolicy.telemetry.metrics import ALL, HISTOGRAMS
from tests.support.source import ROOT

_NAMES = {value for name, value in vars(names).items() if name.startswith("METRIC_")}
_UNITS = {**{metric.name: metric.unit for metric in ALL}, **{one.name: one.unit for one in HISTOGRAMS}}
_KINDS = {
    **{metric.name: metric.kind.value for metric in ALL},
    **{one.name: "histogram" for one in HISTOGRAMS},
}
_WORDS = {"up-down": Kind.UP_DOWN.value}


def _rows(page: str) -> dict[str, list[str]]:
    """Return the rows of a page's tables that begin with names of metrics, by name."""
    text = (ROOT / "docs/guide" / page).read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        told = re.findall(r"`([^`]+)`", cells[0]) if line.startswith("|") else []
        family = told[0].rpartition(".")[0] if told else ""
        for name in told:
            whole = family + name if name.startswith(".") else name
            if whole in _NAMES:
                found[whole] = [str(len(told)), *cells[1:]]
    return found


def test_every_name_is_a_metric() -> None:
    """Each name of the table of names is a metric that is told, and only these are."""
    assert _KINDS.keys() == _NAMES
    assert len(_KINDS) == len(ALL) + len(HISTOGRAMS)


@pytest.mark.parametrize("name", sorted(_NAMES))
def test_the_pages_say_its_unit_and_kind(name: str) -> None:
    """Whoever builds a dashboard by the guide finds each metric with the unit and the kind that it says."""
    rows = {page: _rows(page).get(name) for page in ("telemetry-names.md", "observing.md", "savings.md")}
    told = {page: row for page, row in rows.items() if row is not None}
    assert told
    if (row := rows["telemetry-names.md"]) is not None:
        assert _WORDS.get(row[1], row[1]) == _KINDS[name]
    for page, row in told.items():
        units = re.findall(r"`([^`]+)`", row[2] if page == "telemetry-names.md" else row[1])
        assert _UNITS[name] in units, page


def test_prometheus_has_no_name_twice() -> None:
    """No two families have one name, none has a unit twice, and none ends as a sample of another does."""
    families = [family.name for family in described()]
    assert len(families) == len(set(families))
    for name in families:
        words = name.split("_")
        assert not name.endswith("_total"), name
        assert all(words.count(unit) == 1 for unit in {"seconds", "bytes", "ratio"} & set(words)), name
    samples = {f"{family.name}_total" for family in described() if family.type == "counter"}
    assert not samples & set(families)
