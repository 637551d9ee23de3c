from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from cachepolicy.clock import SYSTEM, ManualClock
from cachepolicy.errors import Fault, StoreError, StoreUnavailable
from cachepolicy.flow.detaching import Detach
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Ask, AskAll, Attempt, CallOrigin, Flow, Join, SyncIO, call_origin, join
from cachepolicy.flow.signal import Signal
from cachepolicy.flow.unison import MOST_AT_ONCE, together
from cachepolicy.tiers.commands import Command, Repeat


class Echo:
    """A store that answers with the command's key; keys that begin with ``!`` fail. It counts round trips."""

    def __init__(self) -> None:
        self.trips: list[int] = []

    def execute(self, command: Command[Any], timeout: float) -> Any:
        (outcome,) = self.execute_all([command], timeout)
        if isinstance(outcome, StoreError):
            raise outcome
        return outcome

    def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any]:
        self.trips.append(len(commands))
        return [
            StoreUnavailable("down", Fault.LOST) if command.key.startswith("!") else command.key
            for command in commands
        ]

    def node(self, key: str) -> str:
        return ""

    def spread(self) -> list[str]:
        return [""]

    def close(self) -> None:
        """Do nothing."""


def ask(key: str) -> Flow[str]:
    """Ask the store for one key."""
    answer: str = yield Ask(Command(("GET", key), key, str, Repeat.READ), 1.0)
    return answer


def no_origin(calls: Sequence[CallOrigin]) -> Flow[list[Attempt]]:
    """Have no origin."""
    yield from ()
    raise AssertionError(calls)


def drive(flow: Flow[Any], store: Echo) -> Any:
    """Run a flow with a store."""

    def spawn(flow: Flow[object], ended: Callable[[], None]) -> bool:
        raise AssertionError("nothing goes on behind here")

    io = SyncIO(store, lambda flow: run(flow, io), spawn)
    return run(flow, io)


def wait_in_vain(flow: Flow[Any], clock: ManualClock) -> Any:
    """Run a flow that does nothing but wait; nothing that it waits for happens."""
    try:
        effect = next(flow)
        while True:
            assert isinstance(effect, Join)
            assert effect.timeout is not None
            clock.advance(effect.timeout)
            effect = flow.send(False)
    except StopIteration as end:
        return end.value


def test_what_flows_ask_at_once_is_one_round_trip() -> None:
    """Flows that ask for one key, and for several, each get their own; a failure reaches only its own."""

    def several(*keys: str) -> Flow[list[Any]]:
        found: list[Any] = yield AskAll([Command(("GET",), key, str, Repeat.READ) for key in keys], 1.0)
        return [found, (yield from ask("later"))]

    def survives(key: str) -> Flow[str]:
        try:
            return (yield from ask(key))
        except StoreError as fault:
            return str(fault.fault)

    store = Echo()
    flows: list[Flow[Any]] = [ask("a"), several("b", "c"), survives("!d"), several()]
    assert drive(together(flows, no_origin, SYSTEM), store) == [
        "a",
        [["b", "c"], "later"],
        "lost",
        [[], "later"],
    ]
    assert store.trips == [4, 2]


def test_a_round_trip_has_its_limit() -> None:
    """Very many flows go on in parts, so that each round trip meets its deadline."""
    store = Echo()
    flows = [ask(str(number)) for number in range(3 * MOST_AT_ONCE)]
    assert drive(together(flows, no_origin, SYSTEM), store) == [str(at) for at in range(3 * MOST_AT_ONCE)]
    assert store.trips == [MOST_AT_ONCE] * 3


def test_each_counts_the_time_of_its_own_round_trip_only() -> None:
    """What Redis takes of a flow's deadline is its own round trip, however many go before and after."""
    clock = ManualClock()

    class Slow(Echo):
        def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any]:
            clock.advance(1)
            return super().execute_all(commands, timeout)

    def measures() -> Flow[float]:
        began = clock.now_monotonic
        yield from ask("x")
        return clock.now_monotonic - began

    flows = [measures() for _ in range(3 * MOST_AT_ONCE)]
    assert set(drive(together(flows, no_origin, clock.clock), Slow())) == {1.0}


def test_the_origin_is_called_once_in_the_order_of_the_flows() -> None:
    """Flows that come to the origin along different ways are one call, in their order."""
    calls = []

    def gather(wanted: Sequence[CallOrigin]) -> Flow[list[Attempt]]:
        yield from ()
        calls.append([one.args[0] for one in wanted])
        return [Attempt(one.args[0]) for one in wanted]

    def flow(number: int) -> Flow[object]:
        for _ in range(3 - number):
            yield from ask("x")
        return (yield from call_origin(len, (number,), {})).value

    assert drive(together([flow(number) for number in range(3)], gather, SYSTEM), Echo()) == [0, 1, 2]
    assert calls == [[0, 1, 2]]


def test_nobody_waits_while_another_has_something_to_do() -> None:
    """A flow that waits for what another of them does gets it: waiting comes last, in whatever order."""
    signal = Signal(threading.Lock())

    def work() -> Flow[None]:
        signal.set()
        yield from ()

    def waits() -> Flow[bool]:
        return (yield from join(signal, None))

    def does() -> Flow[bool]:
        yield from ask("x")
        yield Detach(work(), lambda: None)
        return True

    assert drive(together([waits(), waits(), does()], no_origin, SYSTEM), Echo()) == [True] * 3


def test_each_waits_as_long_as_it_wants() -> None:
    """Of several waits that end in vain each ends in its own time, all of them at the same time."""
    clock = ManualClock()

    def waits(seconds: float) -> Flow[tuple[bool, float]]:
        happened = yield from join(Signal(threading.Lock()), seconds)
        return happened, clock.now_monotonic

    began = clock.now_monotonic
    found = wait_in_vain(together([waits(2), waits(1), waits(1)], no_origin, clock.clock), clock)
    assert found == [(False, began + 2), (False, began + 1), (False, began + 1)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_from_outside_ends_every_flow(error: type[BaseException]) -> None:
    """What is thrown where flows wait is thrown into all of them; each cleans up, with effects of its own."""
    cleaned = []

    def flow(key: str) -> Flow[None]:
        try:
            yield from ask(key)
        finally:
            cleaned.append((yield from ask(f"{key} again")))

    class Interrupted(Echo):
        def execute_all(self, commands: Sequence[Command[Any]], timeout: float) -> list[Any]:
            if not self.trips:
                self.trips.append(0)
                raise error
            return super().execute_all(commands, timeout)

    store = Interrupted()
    with pytest.raises(error):
        drive(together([flow("a"), flow("b")], no_origin, SYSTEM), store)
    assert cleaned == ["a again", "b again"]
    assert store.trips == [0, 2]


def test_an_error_of_one_flow_waits_for_the_others() -> None:
    """A flow that fails does not keep another from what it has to finish; then its error is raised."""
    done = []

    def fails() -> Flow[str]:
        yield from ()
        raise LookupError("mine")

    def works() -> Flow[str]:
        done.append((yield from ask("x")))
        return "x"

    with pytest.raises(LookupError, match="mine"):
        drive(together([fails(), works()], no_origin, SYSTEM), Echo())
    assert done == ["x"]


def test_flows_are_closed_when_theirs_is() -> None:
    """A flow that is given up closes the flows in it: what they hold is let go of."""
    closed = []

    def flow() -> Flow[None]:
        try:
            yield from ask("x")
        finally:
            closed.append(True)

    chorus = together([flow(), flow()], no_origin, SYSTEM)
    next(chorus)
    chorus.close()
    assert closed == [True, True]
