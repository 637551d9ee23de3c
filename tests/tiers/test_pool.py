from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from cachepolicy.clock import SYSTEM
from cachepolicy.errors import Fault, StoreUnavailable
from cachepolicy.tiers.pool import Permit, Pool

PATIENCE = 10.0


@dataclass(eq=False)
class Line:
    """A connection as the pool sees it."""

    fit: bool = True
    closed: list[bool] = field(default_factory=list)

    def is_fit(self) -> bool:
        return self.fit

    def close(self) -> None:
        self.closed.append(True)


def _refused(pool: Pool[Line]) -> bool:
    with pytest.raises(StoreUnavailable) as refusal:
        pool.permit(0.03)
    return refusal.value.fault is Fault.BACKPRESSURE and not refusal.value.sent


def test_as_many_permits_as_the_size_and_no_more() -> None:
    """The pool's size bounds how many connections are in use; one that is given back can be had again."""
    pool: Pool[Line] = Pool(3)
    held = [pool.permit(PATIENCE) for _ in range(3)]
    assert _refused(pool)
    pool.give_back(held.pop())
    held.append(pool.permit(PATIENCE))
    assert _refused(pool)


def test_waiting_for_a_permit_is_bounded() -> None:
    """A caller who finds all in use waits as long as it was told to, and is then refused as unsent."""
    pool: Pool[Line] = Pool(1)
    held = pool.permit(PATIENCE)
    for timeout in (0.1, 0.0, -1.0):
        began = SYSTEM.monotonic()
        with pytest.raises(StoreUnavailable):
            pool.permit(timeout)
        assert timeout - 0.01 <= SYSTEM.monotonic() - began < PATIENCE
    pool.give_back(held)


def test_who_waits_gets_the_permit_that_comes_back() -> None:
    """One given back while others wait goes to one of them."""
    pool: Pool[Line] = Pool(1)
    held = pool.permit(PATIENCE)
    served: list[Permit] = []

    def wait() -> None:
        permit = pool.permit(PATIENCE)
        served.append(permit)
        pool.give_back(permit)

    waiting = [threading.Thread(target=wait) for _ in range(3)]
    for thread in waiting:
        thread.start()
    pool.give_back(held)
    for thread in waiting:
        thread.join(PATIENCE)
    assert served == [held] * 3


def test_a_lost_permit_is_issued_anew_exactly_once() -> None:
    """P6: a permit that nobody holds any more cannot make the pool smaller, nor can it make it larger."""
    pool: Pool[Line] = Pool(3)
    for _ in range(100):
        pool.permit(PATIENCE)  # and nobody gives it back
    held = [pool.permit(PATIENCE) for _ in range(3)]
    assert len(set(map(id, held))) == 3
    assert _refused(pool)


def test_who_waits_gets_a_permit_that_is_lost_meanwhile() -> None:
    """P6: a permit that is lost while others wait for one is not missed until their time is up."""
    pool: Pool[Line] = Pool(1)
    held = [pool.permit(PATIENCE)]
    got: list[Permit] = []
    thread = threading.Thread(target=lambda: got.append(pool.permit(PATIENCE)))
    thread.start()
    began = SYSTEM.monotonic()
    held.clear()
    thread.join(PATIENCE)
    assert len(got) == 1
    assert SYSTEM.monotonic() - began < PATIENCE / 2


def test_the_last_used_is_taken_first_and_the_unfit_are_closed() -> None:
    """A connection with unread bytes, or one that was hung up, is closed on the way, not handed out."""
    pool: Pool[Line] = Pool(4)
    first, unfit, last = Line(), Line(fit=False), Line()
    pool.idle.extend([first, unfit, last])
    assert pool.take() is last
    assert pool.take() is first
    assert pool.take() is None
    assert (first.closed, unfit.closed, last.closed) == ([], [True], [])


def test_what_was_in_use_when_the_pool_closed_is_not_found_again() -> None:
    """After a failover a connection to the old master is not kept, also one that was in use meanwhile."""
    pool: Pool[Line] = Pool(2)
    idle, kept, busy = pool.idle, Line(), Line()
    idle.append(kept)
    pool.close()
    idle.append(busy)
    assert kept.closed == [True]
    assert pool.take() is None


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, RuntimeError])
def test_a_connection_that_cannot_be_looked_at_is_not_kept(interrupt: Callable[[], BaseException]) -> None:
    """An exception while a connection is checked drops that connection; the others stay."""

    class Cut(Line):
        def is_fit(self) -> bool:
            raise interrupt()

    pool: Pool[Line] = Pool(2)
    other = Line()
    pool.idle.extend([other, Cut()])
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        pool.take()
    assert pool.take() is other
