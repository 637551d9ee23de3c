"""What a policy has made ready: once each, and handed on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened


def test_what_many_threads_ask_for_is_made_once() -> None:
    """However many threads need a thing that is not open yet, one makes it, and all get the same."""
    opened: Opened[str, object] = Opened()
    together = threading.Barrier(8)
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    def ask(_: int) -> object:
        together.wait(20)
        return opened.of("answers", make)

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(ask, range(8)))
    assert found == [made[0]] * 8
    assert len(made) == 1


def test_what_cannot_be_made_is_tried_again() -> None:
    """An error is the caller's, and nothing of it stays: the next one tries anew."""
    opened: Opened[str, int] = Opened()

    def fail() -> int:
        raise LookupError

    with pytest.raises(LookupError):
        opened.of("answers", fail)
    assert opened.of("answers", lambda: 1) == 1


def test_one_may_be_made_of_another() -> None:
    """What is made may ask for another of its kind meanwhile."""
    opened: Opened[str, int] = Opened()
    assert opened.of("second", lambda: opened.of("first", lambda: 1) + 1) == 2
    assert list(opened) == [1, 2]


def test_an_heir_goes_on_with_what_is_kept() -> None:
    """The next policy has what belongs to namespaces that are kept; only the rest is to be closed."""
    before: Opened[tuple[str, str], object] = Opened()
    kept, gone, replaced = (before.of((name, "chat"), object) for name in ("kept", "gone", "replaced"))
    after: Opened[tuple[str, str], object] = Opened()
    after.inherit(before, Heritage(kept=frozenset({"kept"})))
    after.of(("replaced", "chat"), object)
    assert after.get(("kept", "chat")) is kept
    assert after.get(("gone", "chat")) is None
    assert before.but(after) == [gone, replaced]
    assert before.but(None) == [kept, gone, replaced]


def test_a_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    """After a fork, a lock that another thread held is nobody's."""
    opened: Opened[str, int] = Opened()
    held, done = threading.Event(), threading.Event()

    def make() -> int:
        held.set()
        assert done.wait(20)
        return 1

    holder = threading.Thread(target=opened.of, args=("first", make))
    holder.start()
    assert held.wait(20)
    opened.after_fork()
    assert opened.of("second", lambda: 2) == 2
    done.set()
    holder.join()
