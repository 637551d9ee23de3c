"""What the library itself logged, apart from what asyncio says of garbage that other tests left."""

from __future__ import annotations

import logging

import pytest


def logged(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return the library's own records of this test."""
    return [record for record in caplog.records if record.name.partition(".")[0] == "cachepolicy"]
