"""The one layer between a flow and Redis: deadline, breaker, and retries within a budget.

A command that succeeds costs a reading of the clock before and after, and an addition. Tenacity is asked, and
loaded, only after a first failure; whether a command may be repeated at all is its own class to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cachepolicy.chance import chance
from cachepolicy.clock import Clock
from cachepolicy.errors import Fault, StoreError, StoreUnavailable
from cachepolicy.flow.breaker import Breaker, BreakerRule
from cachepolicy.flow.effects import Ask, AskAll, Flow, Route, Sleep
from cachepolicy.flow.repeating import RetryRule, is_repeatable
from cachepolicy.telemetry.spans import NO_SPAN, Witness
from cachepolicy.tiers.commands import Command, Repeat

T = TypeVar("T")

_TOO_LITTLE: Final = 0.0005  # seconds: no reply comes sooner
_FLOOR: Final = 1.0  # retries a second that are allowed whatever the budget has earned
_MOST_TOKENS: Final = 10.0
_WAIT: Final = 0.004  # seconds before the first retry, at most; doubled, at random


@dataclass(slots=True)
class Budget:
    """How long the store may still hold up this call, in seconds, over all its operations.

    ``witness`` hears what they meet.
    """

    clock: Clock
    left: float
    witness: Witness = NO_SPAN

    def ask(self) -> float:
        """Return what is left.

        Raises:
            StoreUnavailable: nothing is.
        """
        if self.left < _TOO_LITTLE:
            raise StoreUnavailable("the call's deadline for Redis is spent", Fault.TIMEOUT, sent=False)
        return self.left


@dataclass(slots=True)
class Guard:
    """What is known of one Redis: its servers' breakers, and what retries have been earned."""

    retry: RetryRule
    breaker_rule: BreakerRule
    clock: Clock
    random: Callable[[], float]
    routed: bool = False  # a cluster: each of its servers has a breaker of its own
    breakers: dict[str, Breaker] = field(default_factory=dict)
    retries: int = 0
    first_share: float = 1.0  # of a call's time, for the first attempt
    sole: Breaker = field(init=False)  # where there is one server
    _tokens: float = _MOST_TOKENS
    _seen_calls: int = 0
    _seen_at: float = 0.0

    def __post_init__(self) -> None:
        self.sole = self.breaker("")
        self.renew(self.retry, self.breaker_rule)

    def renew(self, retry: RetryRule, breaker_rule: BreakerRule) -> None:
        """Go by other rules from now on."""
        self.retry, self.breaker_rule = retry, breaker_rule
        is_repeated = retry.attempts > 1 and retry.on_timeout  # a second attempt needs some time too
        self.first_share = 0.5 if is_repeated else 1.0
        for breaker in list(self.breakers.values()):
            breaker.renew(breaker_rule)

    def breaker(self, node: str) -> Breaker:
        """Return the breaker of a server."""
        breaker = self.breakers.get(node)
        if breaker is None:
            breaker = self.breakers.setdefault(node, Breaker(self.breaker_rule, self.clock, self.random))
        return breaker

    def grants_retry(self) -> bool:
        """Take one retry out of the budget, if there is one."""
        calls = sum(breaker.calls for breaker in list(self.breakers.values()))
        now = self.clock.monotonic()
        earned = self.retry.budget * (calls - self._seen_calls) + _FLOOR * (now - self._seen_at)
        self._tokens = min(_MOST_TOKENS, self._tokens + earned)
        self._seen_calls, self._seen_at = calls, now
        if self.retry.budget == 0 or self._tokens < 1:
            return False
        self._tokens -= 1
        self.retries += 1
        return True

    def after_fork(self) -> None:
        """Leave behind locks and probes of the parent's threads."""
        for breaker in self.breakers.values():
            breaker.after_fork()


def ask(guard: Guard, command: Command[T], budget: Budget) -> Flow[T]:
    """Carry out a command.

    Raises:
        StoreError: it could not be, within the budget.
    """
    breaker = guard.sole
    if guard.routed:
        node: str = yield Route(command.key)
        breaker = guard.breaker(node)
    if breaker.is_open:
        return (yield from _probe(breaker, command, budget))
    patience = budget.ask()
    if command.repeat is not Repeat.ONCE:
        patience *= guard.first_share
    breaker.calls += 1
    now = budget.clock.monotonic
    began = now()
    try:
        result: T = yield Ask(command, patience)
    except StoreError as error:
        fault = error
    else:
        budget.left -= now() - began
        return result
    budget.left -= now() - began
    return (yield from recover(guard, breaker, command, budget, fault))


def ask_all(guard: Guard, commands: Sequence[Command[Any]], budget: Budget) -> Flow[list[Any | StoreError]]:
    """Carry out several commands in one round trip; each has a result or an error of its own, in order.

    What fails is tried again by itself, as ``ask`` does; scripts that are not known are brought all at once.
    """
    breakers: list[Breaker] = []
    for command in commands:
        node: str = (yield Route(command.key)) if guard.routed else ""
        breakers.append(guard.breaker(node))
    if any(breaker.is_open for breaker in breakers):
        return (yield from _one_by_one(guard, commands, budget))
    patience = budget.ask() * guard.first_share
    for breaker in breakers:
        breaker.calls += 1
    results = yield from _all(commands, budget, patience)
    unknown = [at for at, result in enumerate(results) if _is_unknown(commands[at], result)]
    if unknown:
        again = yield from _all([commands[at].with_source() for at in unknown], budget, budget.ask())
        for at, result in zip(unknown, again, strict=True):
            results[at] = result
    for at, result in enumerate(results):
        if isinstance(result, StoreError):
            try:
                results[at] = yield from recover(guard, breakers[at], commands[at], budget, result)
            except StoreError as fault:
                results[at] = fault
    return results


def _one_by_one(
    guard: Guard, commands: Sequence[Command[Any]], budget: Budget
) -> Flow[list[Any | StoreError]]:
    results: list[Any | StoreError] = []
    for command in commands:
        try:
            results.append((yield from ask(guard, command, budget)))
        except StoreError as fault:
            results.append(fault)
    return results


def _all(commands: Sequence[Command[Any]], budget: Budget, patience: float) -> Flow[list[Any | StoreError]]:
    began = budget.clock.monotonic()
    try:
        results: list[Any | StoreError] = yield AskAll(commands, patience)
    finally:
        budget.left -= budget.clock.monotonic() - began
    return results


def _is_unknown(command: Command[Any], result: object) -> bool:
    return command.source is not None and isinstance(result, StoreError) and result.fault is Fault.NOSCRIPT


def _probe(breaker: Breaker, command: Command[T], budget: Budget) -> Flow[T]:
    """Be the one who finds out whether an open breaker can close, or be refused."""
    budget.ask()
    if not breaker.admits():
        raise StoreUnavailable("Redis is left alone: the breaker is open", Fault.OPEN, sent=False)
    breaker.calls += 1
    try:
        result = yield from _carry_out(command, budget)
    except StoreError as fault:
        _failed(breaker, fault, budget)
        raise
    finally:
        breaker.abandoned()  # cancelled, it leaves the probe to another
    breaker.succeeded()
    budget.witness.turned("closed")
    return result


def _failed(breaker: Breaker, fault: StoreError, budget: Budget) -> None:
    was_open = breaker.is_open
    breaker.failed(fault.fault)
    if breaker.is_open is not was_open:
        budget.witness.turned("open" if breaker.is_open else "closed")


def _attempt(command: Command[T], budget: Budget, share: float) -> Flow[T]:
    now = budget.clock.monotonic
    left = budget.ask()
    began = now()
    try:
        result: T = yield Ask(command, left * share)
    finally:
        budget.left -= now() - began
    return result


def _carry_out(command: Command[T], budget: Budget) -> Flow[T]:
    """Try once; a script that the server lost, or never knew, is brought along."""
    try:
        return (yield from _attempt(command, budget, 1.0))
    except StoreError as fault:
        if fault.fault is not Fault.NOSCRIPT or command.source is None:
            raise
    return (yield from _attempt(command.with_source(), budget, 1.0))


def recover(
    guard: Guard, breaker: Breaker, command: Command[T], budget: Budget, fault: StoreError
) -> Flow[T]:
    """Try again as long as it is safe, allowed, and in time."""
    if fault.fault is Fault.NOSCRIPT and command.source is not None:  # it was lost, or never known: tell it
        return (yield from _attempt(command.with_source(), budget, 1.0))
    try:
        from tenacity import (
            DoSleep,
            RetryCallState,
            Retrying,
            retry_if_exception,
            stop_after_attempt,
        )
    except (ImportError, OSError):  # a process out of file descriptors cannot read it
        _failed(breaker, fault, budget)
        raise fault from None

    def may_retry(error: BaseException) -> bool:
        return (
            isinstance(error, StoreError)
            and state.attempt_number < guard.retry.attempts
            and is_repeatable(guard.retry, command, error)
            and not breaker.is_open
            and budget.left > _TOO_LITTLE
            and guard.grants_retry()
        )

    retrying = Retrying(
        retry=retry_if_exception(may_retry),
        stop=stop_after_attempt(guard.retry.attempts),
        wait=lambda state: chance() * _WAIT * min(2, state.attempt_number),
        reraise=True,
    )
    state = RetryCallState(retrying, None, (), {})
    retrying.begin()
    while True:
        _failed(breaker, fault, budget)
        state.set_exception((type(fault), fault, fault.__traceback__))
        verdict = retrying.iter(state)  # raises the fault where it is final
        if isinstance(verdict, DoSleep):
            state.prepare_for_next_attempt()
            pause = min(float(verdict), budget.left)
            budget.left -= pause
            yield Sleep(pause)
        budget.witness.retried(state.attempt_number, str(fault.fault))
        try:
            return (yield from _carry_out(command, budget))
        except StoreError as error:
            fault = error
