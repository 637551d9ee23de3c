"""What a PromQL expression names, as far as a test must know: metrics, and labels that its answer has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from cachepolicy.integrations.prometheus_families import described
from cachepolicy.integrations.prometheus_names import label_of

_SELECTOR = re.compile(r"\{.*?\}")
_GROUPED = re.compile(r"\b(?:by|ignoring|group_left|without|on)\s*\(([^)]*)\)")
_BY = re.compile(r"\bby\s*\(([^)]*)\)")
_TEXT = re.compile(r'"[^"]*"')
_WORD = re.compile(r"[a-z_]{4,}")
_OWN = re.compile(r"cachepolicy_|redis_|active_sessions|session_duration|rate_limit_exceeded")


_SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}


def told() -> dict[str, str]:
    """Return what Prometheus is told by the translated names of OpenTelemetry, each with its metric."""
    return {
        family.name + suffix: family.metric
        for family in described()
        for suffix in _SUFFIXES[family.type]
        if family.name.startswith(label_of(family.metric))  # others are by the names of an exporter
    }


def metrics_in(expr: str) -> set[str]:
    """Return the names of metrics that are asked for."""
    bare = _GROUPED.sub("", _SELECTOR.sub("", _TEXT.sub("", expr)))
    return {word for word in _WORD.findall(bare) if _OWN.match(word)}


def labels_in(expr: str) -> set[str]:
    """Return the labels by which something is grouped."""
    return {label.strip() for group in _BY.findall(expr) for label in group.split(",") if label.strip()}


def rules(file: Path) -> list[dict[str, Any]]:
    """Read all rules of a file."""
    return [
        rule
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]
