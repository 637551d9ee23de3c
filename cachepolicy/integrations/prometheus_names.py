"""What metrics are called in Prometheus: as OpenTelemetry's translation has it, whoever exports them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from cachepolicy.telemetry.instruments import Instrument, Kind

Type = Literal["counter", "gauge", "histogram"]

_UNITS: Final = {"s": "seconds", "By": "bytes"}


def type_of(instrument: Instrument) -> Type:
    """Return the type of a metric: what adds up and may fall is a gauge there."""
    return "counter" if instrument.kind is Kind.COUNTER else "gauge"


def name_of(name: str, unit: str, kind: Type) -> str:
    """Return the name of a metric; of a counter without its ``_total``, which is of its samples."""
    word = "ratio" if unit == "1" and kind == "gauge" else _UNITS.get(unit)
    name = label_of(name)
    return name if word is None or word in name.split("_") else f"{name}_{word}"


def label_of(attribute: str) -> str:
    """Return the label that an attribute is told as."""
    return attribute.replace(".", "_")


def labels_of(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the labels of a series."""
    return {label_of(name): value for name, value in attributes.items()}
