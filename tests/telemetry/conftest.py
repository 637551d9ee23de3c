from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.exported import exported_spans
from tests.support.traces import Traces


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """Collect spans of a provider of this test's own."""
    with exported_spans(monkeypatch) as exporter:
        yield Traces(exporter)
