"""A call that is answered in parts: its flight lands with the first chunk, and goes on until the last.

::

    first chunk ──▶ the flight lands: all who wait become readers, and who asks later joins
         │
         ▼ chunk by chunk, as readers want them; the lease is renewed
    a proper end ──▶ kept as any result, then the readers are told
    an error, or nobody reads ──▶ nothing is kept; the origin is closed, the lease given back
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cachepolicy.codec import recording, serialize
from cachepolicy.codec.serialize import Form, Serialized
from cachepolicy.errors import CorruptValue
from cachepolicy.flow import accounting, incidents, lease
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.drive import run
from cachepolicy.flow.effects import Attempt, Flow, pump
from cachepolicy.flow.keep import Result, keep, refusal, times
from cachepolicy.flow.lookup import Lookup
from cachepolicy.flow.resilience import Budget
from cachepolicy.flow.single_flight import Flight
from cachepolicy.flow.streaming import Opening
from cachepolicy.flow.tape import End, Tape
from cachepolicy.flow.tee import ABANDONED, LIVE, Begun, Tee
from cachepolicy.flow.tee_async import AsyncTee
from cachepolicy.telemetry.names import Outcome, Tier


@dataclass(frozen=True, slots=True)
class Running:
    """A running stream, and what it is run for.

    Attributes:
        lookup: whose.
        flight: that it goes on from.
        tape: what has been read of it.
        created: when its load began, wall clock.
        renewal: of its lease.
    """

    lookup: Lookup
    flight: Flight
    tape: Tape
    created: float
    renewal: lease.Renewal

    def abandon(self) -> None:
        """Keep nothing of it. It waits for no lock: garbage collection may call."""
        self.renewal.abandon()
        self.lookup.plan.flights.forget(self.lookup.call.key, self.flight)


def stream(
    lookup: Lookup, flight: Flight, opening: Opening, created: float, renewal: lease.Renewal
) -> Flow[Answer]:
    """Land a flight with a stream that has begun, and see it to its end.

    Args:
        lookup: whose.
        flight: of all who wait for it.
        opening: the stream, up to its first chunk.
        created: when its load began, wall clock.
        renewal: of its lease.
    """
    plan, call = lookup.plan, lookup.call
    streaming, patience = plan.streaming, plan.patience.wait
    assert streaming is not None  # noqa: S101 - only such a plan's function opens streams
    tape = Tape(streaming.chunks, plan.codec.limit)
    running = Running(lookup, flight, tape, created, renewal)
    begun = Begun(opening, streaming, tape, flight, plan.clock, patience)
    tee = AsyncTee(begun) if plan.is_async else Tee(begun)
    outcome = Outcome.MISS if lookup.fault is None else Outcome.FAULT
    live = Serialized(LIVE, b"", tee.join)
    answer = Answer(outcome, Tier.ORIGIN, serialized=live, age=0.0, fault=lookup.fault, span=lookup.span)
    flight.running = tee
    plan.flights.land(call.key, flight, answer, running=True)
    if isinstance(tee, AsyncTee):
        tee.drains = lookup.behind
        yield from _see_to(running, tee)
    else:
        tee.conclude = lambda end: run(_conclude(running, end), plan.site.sync_io())
        tee.abandon = running.abandon
        if lookup.behind:
            tee.drain()
        elif not flight.party:
            tee.forsake()
    return answer


def seated(answer: Answer) -> Answer | None:
    """Return an answer with a stream for one caller, where it is a stream's; None: that has ended early."""
    if answer.serialized is None or answer.serialized.form != LIVE:
        return answer
    try:
        return answer._replace(value=serialize.read(answer.serialized))
    except CorruptValue:
        return None


def _see_to(running: Running, tee: AsyncTee) -> Flow[None]:
    end = ABANDONED
    try:
        end = yield from pump(tee.pump, tee.shut)
        yield from _conclude(running, end)
    except GeneratorExit:  # its loop is gone, so nothing can be asked of Redis here
        running.renewal.abandon()
        raise
    except BaseException:
        yield from _conclude(running, ABANDONED)
        raise
    finally:
        tee.tell(end)


def _conclude(running: Running, end: End) -> Flow[None]:
    """Keep what is to be kept; let nobody join any more."""
    lookup, flight = running.lookup, running.flight
    plan = lookup.plan
    lookup.budget = Budget(plan.clock, plan.patience.deadline, lookup.budget.witness)
    running.renewal.end()
    try:
        if end.error is None and not end.abandoned:
            yield from _keep(running)
        yield from lease.give_back(lookup, cooling=plan.life.throttle if lookup.behind else 0.0)
    finally:
        plan.flights.land(lookup.call.key, flight, None)
    if not end.abandoned:
        attempt = Attempt(error=end.error)
        yield from accounting.after_origin(plan, lookup.call, attempt, running.tape.cost)


def _keep(running: Running) -> Flow[None]:
    lookup, tape = running.lookup, running.tape
    plan = lookup.plan
    if tape.unfit is not None:
        incidents.unserializable(plan, tape.unfit)
        return
    try:
        payload = tape.recording()
        attempt = Attempt(_chunks(lookup, payload))
        if refusal(lookup, running.flight, attempt) is not None:
            return
        serialized = serialize.load(plan.codec.serializer, Form.STREAM, payload)
        usage = accounting.usage_of(plan, lookup.call, attempt.value)
        result = Result(attempt, serialized, times(lookup, attempt, running.created, tape.cost), usage)
        yield from keep(lookup, running.flight, result)
    except Exception as bug:  # noqa: BLE001 - counted; the readers have had their stream all the same
        lookup.note(incidents.bug(plan, bug))


def _chunks(lookup: Lookup, payload: bytes) -> Sequence[object]:
    """Return the chunks, where somebody asks what they are worth, or what they took."""
    plan = lookup.plan
    streaming = plan.streaming
    asked = (plan.admission.judge, plan.admission.if_, plan.accounting.usage)
    if streaming is None or asked == (None, None, None):
        return []
    return recording.unpack(streaming.chunks, payload).chunks
