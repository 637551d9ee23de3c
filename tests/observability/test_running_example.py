from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docs.observability.dashboard import ROWS
from tests.support.prometheus import Prometheus, has_data, until
from tests.support.promql import metrics_in, rules
from tests.support.source import ROOT

_FOLDER = ROOT / "docs/observability"
_LONGEST = 60.0  # seconds that panels are waited for: each kind of trouble comes every few
_VARIABLES = {
    "$job": ".*",
    "$instance": ".*",
    "$namespace": ".*",
    "$__rate_interval": "20s",
    "$__range": "20s",
}


def _filled(expr: str) -> str:
    """Fill in what Grafana does."""
    for name, value in _VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


def _panels() -> dict[str, str]:
    """Return all questions of the dashboard, by where they are asked."""
    return {
        f"{panel.title}, {query.legend}": _filled(query.expr)
        for _, panels in ROWS
        for panel in panels
        for query in panel.queries
    }


def _alerts() -> dict[str, str]:
    return {rule["alert"]: rule["expr"] for rule in rules(_FOLDER / "prometheus-alerts.yml")}


@contextmanager
def _example(log: Path) -> Iterator[str]:
    """Run the example; give the address of its endpoint."""
    command = [sys.executable, "-m", "docs.observability.example", "--port", "0", "--seconds", "180"]
    with (
        log.open("w") as complaints,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"http://([\d.:]+)/metrics", line)
            assert found is not None, log.read_text()
            yield found[1]
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def _config(target: str) -> str:
    """Return the configuration that is shipped, for another target and with less patience."""
    text = (_FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    for shipped, here in (
        ("127.0.0.1:9464", target),
        ("15s", "1s"),
        ("[prometheus-alerts.yml]", f"[{_FOLDER / 'prometheus-alerts.yml'}]"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    return text


def _rejected(prometheus: Prometheus) -> str | None:
    """Return what the alert about a rejected policy says; None while it does not fire."""
    for alert in prometheus.ask("alerts")["alerts"]:
        if alert["labels"]["alertname"] == "CachepolicyConfigRejected" and alert["state"] == "firing":
            summary: str = alert["annotations"]["summary"]
            return summary.partition(",")[0]
    return None


@pytest.mark.timeout(180)
def test_every_panel_has_data_from_the_running_example(tmp_path: Path) -> None:
    """A real Prometheus that scrapes the example has numbers for every panel, and no error in a rule."""
    log = tmp_path / "example.log"
    with _example(log) as target, Prometheus(_config(target)) as prometheus:
        empty = _panels()

        def all_shown() -> bool:
            for place, expr in list(empty.items()):
                if has_data(prometheus.query(expr)):
                    del empty[place]
            return not empty

        until(all_shown, _LONGEST)
        assert "\n".join(sorted(empty)) == ""
        for expr in _alerts().values():
            prometheus.query(expr)
        told = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        assert {rule["name"] for rule in told} == _alerts().keys()
        assert [rule["lastError"] for rule in told if rule["health"] == "err"] == []
        assert until(lambda: _rejected(prometheus) == f"{target} refused a policy that has mistakes", 30.0)
        known = set(prometheus.ask("label/__name__/values"))
        asked = {metric for expr in (*_panels().values(), *_alerts().values()) for metric in metrics_in(expr)}
        assert sorted(asked - known) == []
    assert "Traceback" not in log.read_text(encoding="utf-8")
