from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.prometheus import found
from tests.support.promql import labels_in, metrics_in, rules, told
from tests.support.source import ROOT

_FOLDER = ROOT / "docs/observability"
_CASES = sorted(_FOLDER.glob("alerts_*test.yml"))
_RULES = rules(_FOLDER / "prometheus-alerts.yml")
_PAGE = (ROOT / "docs/guide/dashboards.md").read_text(encoding="utf-8")
_TOLD = told()
_FIRING = re.compile(r'^count\(ALERTS\{alertname="(\w+)", alertstate="firing"\}\)$')


def _promtool(*words: str, folder: Path = _FOLDER) -> str:
    done = subprocess.run(
        [found("promtool"), *words], cwd=folder, capture_output=True, text=True, check=False, timeout=50
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_takes_the_rules() -> None:
    """Prometheus reads the rules and the configuration that are shipped."""
    assert f"{len(_RULES)} rules found" in _promtool("check", "rules", "prometheus-alerts.yml")
    assert "SUCCESS" in _promtool("check", "config", "prometheus.yml")


def test_alerts_fire_and_are_silent() -> None:
    """Each alert fires on what it is for, and is silent before: Prometheus' own unit tests of the rules."""
    assert _promtool("test", "rules", *(file.name for file in _CASES)).count("SUCCESS") == len(_CASES)


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """The unit tests fail where a rule no longer fires: here one whose threshold is beyond reach."""
    text = (_FOLDER / "prometheus-alerts.yml").read_text(encoding="utf-8")
    assert "> 0.95" in text
    (tmp_path / "prometheus-alerts.yml").write_text(text.replace("> 0.95", "> 9.5"), encoding="utf-8")
    cases = yaml.safe_load((_FOLDER / "alerts_test.yml").read_text(encoding="utf-8"))
    cases["tests"] = [case for case in cases["tests"] if case["name"] == "RedisMemoryCritical"]
    (tmp_path / "alerts_test.yml").write_text(yaml.safe_dump(cases), encoding="utf-8")
    with pytest.raises(AssertionError, match="CachepolicyRedisMemoryCritical"):
        _promtool("test", "rules", "alerts_test.yml", folder=tmp_path)


def test_every_alert_is_tested_both_ways() -> None:
    """No alert is without a case in which it fires, and one in which it does not."""
    cases = [yaml.safe_load(file.read_text(encoding="utf-8"))["tests"] for file in _CASES]
    seen: set[tuple[str, bool]] = set()
    for case in itertools.chain(*cases):
        for question in case["promql_expr_test"]:
            asked = _FIRING.match(question["expr"])
            assert asked is not None
            seen.add((asked[1], bool(question["exp_samples"])))
    assert seen == {(rule["alert"], fires) for rule in _RULES for fires in (True, False)}


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    """An alert has a severity, a summary that names only what it knows, and a part of the page about it."""
    assert rule["labels"]["severity"] in {"critical", "warning"}
    summary = rule["annotations"]["summary"]
    named = set(re.findall(r"\$labels\.(\w+)", summary))
    assert named
    assert named <= labels_in(rule["expr"])
    assert rule["annotations"]["runbook"] == f"docs/guide/dashboards.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in _PAGE


def test_every_runbook_is_of_an_alert() -> None:
    """The page tells of no alert that there is not."""
    assert sorted(re.findall(r"^### (Cachepolicy\w+)$", _PAGE, re.MULTILINE)) == sorted(
        rule["alert"] for rule in _RULES
    )


@pytest.mark.parametrize("rule", _RULES, ids=lambda rule: rule["alert"])
def test_every_alert_is_about_what_is_told(rule: dict[str, Any]) -> None:
    """Each metric that an alert asks for is one that the library tells Prometheus."""
    asked = metrics_in(rule["expr"])
    assert asked
    assert asked - _TOLD.keys() == set()
