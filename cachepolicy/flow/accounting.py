"""What an answer took of a model, and what one that was not made again spares.

L1 hits are not told here: an entry counts its own hits, and what they spare is worked out when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachepolicy.flow import incidents
from cachepolicy.flow.answer import Answer
from cachepolicy.flow.detaching import volunteer
from cachepolicy.flow.effects import Attempt, Flow
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.keys.scope import current_tenant
from cachepolicy.telemetry.names import (
    ANSWERED_WITHOUT_ORIGIN,
    ATTRIBUTE_MODEL,
    ATTRIBUTE_SAVED_COST,
    ATTRIBUTE_SAVED_CURRENCY,
    ATTRIBUTE_SAVED_INPUT,
    ATTRIBUTE_SAVED_OUTPUT,
    ATTRIBUTE_SAVED_SECONDS,
    Outcome,
    Tier,
)
from cachepolicy.telemetry.prices import money
from cachepolicy.telemetry.savings import Ledger, Savings, total
from cachepolicy.telemetry.spans import Attribute
from cachepolicy.telemetry.usage import Usage

_L1 = Tier.L1
_L2 = Tier.L2
_HIT = Outcome.HIT


def tenant_of(plan: Plan, call: Call) -> str | None:
    """Return whose answer this is; None where it is everybody's: an L1 hit does not ask who asks."""
    return None if plan.scope == "global" else call.tenant or current_tenant()


def model_of(plan: Plan, call: Call) -> str:
    """Return the model that a call names in its argument ``model``, or its function; empty: neither does."""
    at = plan.accounting.model_at
    model = call.args[at] if at is not None and at < len(call.args) else call.kwargs.get("model")
    return model if isinstance(model, str) else plan.accounting.model


def usage_of(plan: Plan, call: Call, value: object) -> Usage | None:
    """Return what a result took; None where it does not say, and names no model."""
    read = plan.accounting.usage
    if read is None:
        return None
    try:
        return read(value, model_of(plan, call))
    except Exception as error:  # noqa: BLE001 - a result's own attributes may raise anything: counted
        incidents.bug(plan, error)
        return None


def count(plan: Plan, call: Call, answer: Answer) -> None:
    """Count what an answer spares that came from beyond L1."""
    if answer.tier is not _L1 and answer.outcome in ANSWERED_WITHOUT_ORIGIN:
        plan.counters.saved.add(1, answer.cost, answer.usage, tenant_of(plan, call))


def count_all(plan: Plan, call: Call, answers: Sequence[Answer]) -> None:
    """Count what answers to one caller spare: hits in Redis that took no tokens, most of them, in one sum."""
    hits, seconds = 0, 0.0
    for answer in answers:
        if answer.outcome is _HIT and answer.tier is _L2 and answer.usage is None:
            hits += 1
            seconds += answer.cost
        else:
            count(plan, call, answer)
    if hits:
        plan.counters.saved.add(hits, seconds / hits, None, tenant_of(plan, call))


def tell(told: dict[str, Attribute], plan: Plan, answer: Answer) -> None:
    """Add what an answer spares to what a span tells; no name of it means a billable call to anybody."""
    usage = answer.usage
    told[ATTRIBUTE_SAVED_SECONDS] = answer.cost
    if usage is None:
        return
    told |= {ATTRIBUTE_SAVED_INPUT: usage.input, ATTRIBUTE_SAVED_OUTPUT: usage.output}
    if usage.model:
        told[ATTRIBUTE_MODEL] = usage.model
    price = plan.accounting.prices.of(usage.model)
    if price is not None:
        told[ATTRIBUTE_SAVED_COST] = float(money(price.of(usage)))
        told[ATTRIBUTE_SAVED_CURRENCY] = plan.accounting.prices.currency


def ledger(plan: Plan) -> Ledger:
    """Return what a function's answers have spared, L1 included."""
    book = Ledger(plan.accounting.accounts)
    book.merge(plan.counters.saved)
    plan.table.add_savings(book)
    return book


def savings(plan: Plan) -> Savings:
    """Return the same as one sum."""
    return total(ledger(plan), plan.accounting.prices)


def after_origin(plan: Plan, call: Call, attempt: Attempt, seconds: float) -> Flow[None]:
    """Tell who wants to know how the function did; no caller waits for it."""
    plan.measures.originated(seconds, ok=attempt.error is None)
    tell = plan.accounting.after_origin
    if tell is None:
        return
    flow = tell(plan, call, attempt, seconds)
    if flow is not None:
        yield from volunteer(flow, _nothing)


def _nothing() -> None:
    """Nobody waits for the end."""
