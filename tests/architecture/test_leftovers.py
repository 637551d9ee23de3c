"""The watch over what tests leave behind sees what it is there for."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.support import leftovers
from tests.support.leftovers import Leftovers


def test_a_running_thread_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that runs on is named; one that has ended, or is a daemon, is not."""
    monkeypatch.setattr(leftovers, "_GRACE", 0.01)
    before, end = Leftovers.now(), threading.Event()
    runs = threading.Thread(target=end.wait, name="runs on")
    daemon = threading.Thread(target=end.wait, name="daemon", daemon=True)
    for thread in (runs, daemon):
        thread.start()
    try:
        assert before.remains() == ["thread 'runs on'"]
    finally:
        end.set()
        runs.join()
        daemon.join()
    assert before.remains() == []


@pytest.mark.skipif(sys.platform != "linux", reason="children are read from /proc")
def test_a_running_child_is_seen() -> None:
    """A child process that runs on is named, until it is waited for."""
    before = Leftovers.now()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert [f"process {child.pid}"] == [" ".join(name.split()[:2]) for name in before.remains()]
    assert before.remains() == []
