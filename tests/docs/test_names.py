"""The pages name every span, metric and attribute that there is."""

from __future__ import annotations

import pytest

from cachepolicy.telemetry import names
from tests.support.source import ROOT

_PAGES = "\n".join(page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs/guide").glob("*.md")))
_TOLD = {
    name: value
    for name, value in vars(names).items()
    if name.startswith(("METRIC_", "ATTRIBUTE_", "SPAN_", "EVENT_")) and isinstance(value, str)
}


def _is_told(value: str, pages: str) -> bool:
    """Look for a name, whole or as one of a family: ``cachepolicy.saved.*``, ``cachepolicy.x.a`` ``.b``."""
    family, _, last = value.rpartition(".")
    return (
        f"`{value}`" in pages
        or f"`{family}.*`" in pages
        or (f"`{family}." in pages and f"`.{last}`" in pages)
    )


@pytest.mark.parametrize("name", _TOLD)
def test_every_name_is_in_the_guide(name: str) -> None:
    """Whoever sees a metric, a span or an attribute in a backend finds it in the guide."""
    assert _is_told(_TOLD[name], _PAGES)


@pytest.mark.parametrize(
    ("value", "told"), [("a.b", True), ("a.c.d", True), ("e.f.h", True), ("a.d", False), ("e.f.i", False)]
)
def test_the_gate_bites(value: str, told: bool) -> None:
    """A name that no page has is found; one that is told in short is not."""
    assert _is_told(value, "`a.b` `a.c.*` `e.f.g` `.h`") is told
