"""Many flows in unison: one round trip for what they ask of Redis, one call for what of the origin.

Each flow is told as for a single call, and knows nothing of the others. Waiting comes last: none waits while
another has something to do, so a batch computes what others may wait for before it waits for theirs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from cachepolicy.clock import Clock
from cachepolicy.errors import StoreError
from cachepolicy.flow.detaching import Background, Detach, Volunteer
from cachepolicy.flow.effects import Ask, AskAll, Attempt, CallOrigin, Effect, Flow, Join, Route, Sleep
from cachepolicy.tiers.commands import Command

T = TypeVar("T")

MOST_AT_ONCE: Final = 100
"""Flows that go on together: each counts what Redis takes of its time, the others' share of it too."""

Gather = Callable[[Sequence[CallOrigin]], Flow[list[Attempt]]]
"""Makes one call of the origin out of several."""


class _Voice(Generic[T]):
    """One flow: what it wants, and what came of it."""

    def __init__(self, number: int, flow: Flow[T]) -> None:
        self.number = number
        self.flow = flow
        self.wants: Effect | None = None
        self.until = math.inf  # when it waits no longer, monotonic
        self.result: T | None = None
        self.error: BaseException | None = None

    def go_on(self, value: Any, *, threw: bool = False) -> None:
        """Send a result, or throw an error, and run to the next effect, or to the end."""
        self.wants = None
        try:
            self.wants = self.flow.throw(value) if threw else self.flow.send(value)
        except StopIteration as end:
            self.result = end.value
        except BaseException as error:  # noqa: BLE001 - raised once all the others have ended
            self.error = error


def together(flows: Iterable[Flow[T]], gather: Gather, clock: Clock) -> Flow[list[T]]:
    """Run flows to their end; return their results in order.

    Args:
        flows: not begun yet.
        gather: calls the origin for several of them.
        clock: the source of time.

    Raises:
        BaseException: the first that a flow raised, when all have ended.
    """
    voices = [_Voice(number, flow) for number, flow in enumerate(flows)]
    chorus = _Chorus(voices, gather, clock)
    try:
        yield from chorus.sing()
    finally:  # an exception from outside may come between two effects
        for voice in voices:
            voice.flow.close()
    errors = [chorus.outside, *(voice.error for voice in voices)]
    for error in errors:
        if error is not None:
            raise error
    return [voice.result for voice in voices]  # type: ignore[misc] # all have ended


class _Chorus(Generic[T]):
    def __init__(self, voices: Sequence[_Voice[T]], gather: Gather, clock: Clock) -> None:
        self._ready: deque[tuple[_Voice[T], object, bool]] = deque((voice, None, False) for voice in voices)
        self._waiting: list[_Voice[T]] = []
        self._gather = gather
        self._clock = clock
        self.outside: BaseException | None = None  # what came from outside: a cancellation, an interrupt

    def sing(self) -> Flow[None]:
        """Let all go on, in turns, until each has ended."""
        while self._ready or self._waiting:
            group = (yield from self._turn()) if self._ready else self._next()
            if not group:
                continue
            try:
                outcomes = yield from self._carry_out(group)
            except GeneratorExit:
                raise
            except Exception as error:  # noqa: BLE001 - each flow decides what it means
                self._resume([(voice, error, True) for voice in group])
            except BaseException as error:  # noqa: BLE001 - each flow ends, then it is raised
                self._interrupt(group, error)
            else:
                self._resume(
                    [
                        (voice, outcome, isinstance(outcome, StoreError))
                        for voice, outcome in zip(group, outcomes, strict=True)
                    ]
                )

    def _resume(self, voices: Sequence[tuple[_Voice[T], object, bool]]) -> None:
        """Have a group go on before the others: each measures what Redis takes until it does."""
        self._ready.extendleft(reversed(voices))

    def _turn(self) -> Flow[list[_Voice[T]]]:
        """Let some go on to their next effects; return those who ask Redis."""
        asking: list[_Voice[T]] = []
        for _ in range(min(MOST_AT_ONCE, len(self._ready))):
            voice, value, threw = self._ready.popleft()
            voice.go_on(value, threw=threw)
            while type(voice.wants) is Route:
                node: str = yield voice.wants
                voice.go_on(node)
            wants = voice.wants
            if wants is None:
                error = voice.error
                if error is not None and not isinstance(error, Exception) and error is not self.outside:
                    self._interrupt(asking, error)
                    return []
            elif type(wants) is Ask or type(wants) is AskAll:
                asking.append(voice)
            else:
                if type(wants) is Join and wants.timeout is not None:
                    voice.until = self._clock.monotonic() + wants.timeout
                else:
                    voice.until = math.inf
                self._waiting.append(voice)
        return asking

    def _interrupt(self, group: Iterable[_Voice[T]], error: BaseException) -> None:
        """Throw what came from outside into every flow that has not ended."""
        self.outside = self.outside or error
        others = [voice for voice, _, _ in self._ready] + self._waiting
        self._ready.clear()
        self._waiting.clear()
        self._ready.extend((voice, error, True) for voice in (*group, *others))

    def _next(self) -> list[_Voice[T]]:
        """Take those whose turn it is among all who wait: whoever only waits for others comes last."""
        for kind in (Background, Volunteer, Detach, CallOrigin, Sleep):
            group = [voice for voice in self._waiting if type(voice.wants) is kind]
            if group:
                self._waiting = [voice for voice in self._waiting if type(voice.wants) is not kind]
                return sorted(group, key=lambda voice: voice.number)
        now, still = self._clock.monotonic(), []
        for voice in self._waiting:
            if _has_happened(voice) or voice.until <= now:
                self._ready.append((voice, _has_happened(voice), False))
            else:
                still.append(voice)
        self._waiting = still
        if self._ready:
            return []
        soonest = min(range(len(still)), key=lambda at: still[at].until)
        return [still.pop(soonest)]

    def _carry_out(self, group: Sequence[_Voice[T]]) -> Flow[Sequence[Any]]:
        """Do what a group wants, which is of one kind; return what each of it gets."""
        first: Any = group[0].wants
        wanted: list[Any] = [voice.wants for voice in group]
        match first:
            case Ask() | AskAll() if len(group) > 1:
                return (yield from _ask(wanted))
            case Detach():
                flow = together([each.flow for each in wanted], self._gather, self._clock)
                yield first.of(flow, lambda: _end([each.ended for each in wanted]))
                return [None] * len(group)
            case CallOrigin():
                return (yield from self._gather(wanted))
            case Sleep():
                yield Sleep(max(each.seconds for each in wanted))
                return [None] * len(group)
            case Join() if first.timeout is not None:
                left = max(0.0, group[0].until - self._clock.monotonic())
                return [(yield Join(first.signal, left))]
        return [(yield first)]


def _has_happened(voice: _Voice[T]) -> bool:
    return type(voice.wants) is Join and voice.wants.signal.is_set


def _ask(wanted: Sequence[Ask | AskAll]) -> Flow[list[Any]]:
    """Ask Redis for all in one round trip."""
    commands: list[Command[Any]] = []
    for each in wanted:
        commands += [each.command] if type(each) is Ask else each.commands  # type: ignore[union-attr] # it is the other
    results: list[Any] = yield AskAll(commands, max(each.timeout for each in wanted))
    outcomes: list[Any] = []
    at = 0
    for each in wanted:
        if type(each) is Ask:
            outcomes.append(results[at])
            at += 1
        else:
            count = len(each.commands)  # type: ignore[union-attr] # it is the other
            outcomes.append(results[at : at + count])
            at += count
    return outcomes


def _end(callbacks: Sequence[Callable[[], None]]) -> None:
    for ended in callbacks:
        ended()
