"""The watch over a policy's files by itself: how soon it reads, what it waits for, and its end."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from cachepolicy import ManualClock
from cachepolicy.policy.rules import ReloadRule
from cachepolicy.runtime import watching
from cachepolicy.runtime.watching import Watched, Watcher
from tests.support.waiting import until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that is there."""
    file = tmp_path / "policies.yaml"
    file.write_text("version: 1")
    return file


class Elapsing(threading.Event):
    """Who waits for it has waited at once: time goes on meanwhile."""

    def __init__(self, time: ManualClock) -> None:
        super().__init__()
        self._time = time

    def wait(self, timeout: float | None = None) -> bool:
        """Wait no time at all."""
        self._time.advance(timeout or 0.0)
        return self.is_set()


@pytest.mark.parametrize("after", [0.1, 0.5, 0.9, 1.0, 1.3])
def test_an_edit_is_read_within_a_second(
    after: float, file: Path, time: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the rules that are shipped, also one that is at no look as it was at the last."""
    monkeypatch.setattr(watching, "SYSTEM", time.clock)
    edited = time.now_monotonic + after
    read: list[float] = []

    def held(_: Path) -> bytes:
        now = time.now_monotonic
        return b"as it was" if now < edited else str(now).encode()

    def reload() -> None:
        read.append(time.now_monotonic)
        worker.stopped.set()

    monkeypatch.setattr(watching, "_stamp", lambda path: (0, 0, 0, hash(held(path))))
    watcher = Watcher(lambda: Watched(ReloadRule(), {file: b"as it was"}), reload, held)
    worker = watching._Worker(watcher._run)
    worker.stopped = Elapsing(time)
    watcher._run(worker)
    assert 0 <= read[0] - edited < 1


def test_files_are_read_when_they_stay_as_they_are(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read while files change from look to look: an edit in steps is taken when it is over."""
    monkeypatch.setattr(watching, "_LONGEST", 60.0)  # as long as it takes
    steps = iter([b"one", b"two", b"three"])
    found: list[bytes] = []
    rule = ReloadRule(interval=0.01, sighup=False)
    watcher = Watcher(
        lambda: Watched(rule, {file: b"before"}),
        lambda: found.append(next(steps, b"over")),
        lambda _: next(steps, b"after"),
    )
    watcher.wake()
    until(lambda: found, "a reload")
    watcher.stop()
    assert found[0] == b"over"


@pytest.mark.parametrize("by", ["a look", "SIGHUP"])
def test_what_is_stopped_amid_a_reload_does_not_begin_anew(by: str, file: Path) -> None:
    """A reload that ``close()`` overtook wakes nobody: the process has no thread then."""
    rule = ReloadRule(interval=0.01, sighup=False)
    begun, go_on, woken = threading.Event(), threading.Event(), threading.Event()

    def reload() -> None:
        begun.set()
        assert go_on.wait(20)
        watcher.wake()  # as whoever reloads does in the end
        woken.set()

    def held(_: Path) -> bytes:
        return b"another" if by == "a look" else b"as it was"

    def runs() -> bool:
        return watcher.running

    watcher = Watcher(lambda: Watched(rule, {file: b"as it was"}), reload, held)
    watcher.wake()
    if by == "SIGHUP":
        watcher._on_signal(signal.SIGHUP, None)
    assert begun.wait(20)
    stopping = threading.Thread(target=watcher.stop)
    stopping.start()
    until(lambda: not runs(), "the stop")
    go_on.set()
    assert woken.wait(20)
    stopping.join()
    assert not runs()
    watcher.wake()
    assert runs()
    watcher.stop()


def test_who_finds_nothing_to_watch_leaves_the_watch_to_others(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that ends as soon as it has begun, for the policy was closed just then, does not count."""
    watched = iter([Watched(ReloadRule(sighup=False), {file: b"as it was"})])
    monkeypatch.setattr(threading.Thread, "start", threading.Thread.run)  # it has ended when it has begun
    watcher = Watcher(lambda: next(watched, None), lambda: None, lambda _: b"as it was")
    watcher.wake()
    assert not watcher.running
