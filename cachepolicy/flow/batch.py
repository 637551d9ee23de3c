"""One call for many items, and the one call of the function that answers for some of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from cachepolicy.errors import ResultsMismatch
from cachepolicy.flow.control import Control
from cachepolicy.flow.effects import Attempt, CallOrigin, Flow
from cachepolicy.flow.plan import Call, Plan
from cachepolicy.flow.spanned import spanned_origin
from cachepolicy.telemetry.names import ATTRIBUTE_BATCH_SIZE, ATTRIBUTE_NAMESPACE, SPAN_ORIGIN
from cachepolicy.telemetry.spans import NO_SPAN, Attribute, LookupSpan

Arguments = tuple[tuple[object, ...], Mapping[str, object]]


def _never_called(items: list[Any]) -> Arguments:
    raise NotImplementedError(len(items))


class Batch(NamedTuple):
    """One call for many items.

    Attributes:
        local_keys: of the items in L1, in order; equal ones are one item.
        control: what its caller wants.
        call: returns the call for the item at a place; its one argument is the item.
        arguments: returns what to pass to the function for some items.
    """

    local_keys: Sequence[Hashable]
    control: Control
    call: Callable[[int], Call]
    arguments: Callable[[list[Any]], Arguments] = _never_called

    def places(self) -> tuple[list[int], list[int]]:
        """Return where each different item stands first, and for each place which of them is there."""
        numbers: dict[Hashable, int] = {}
        at = [numbers.setdefault(key, len(numbers)) for key in self.local_keys]
        if len(numbers) == len(at):
            return at, at
        firsts = [0] * len(numbers)
        for place in range(len(at) - 1, -1, -1):
            firsts[at[place]] = place
        return firsts, at


class Origin:
    """Calls the function once for several items.

    Attributes:
        results: what it returned, where results are put together again.
    """

    def __init__(self, plan: Plan, batch: Batch) -> None:
        self.plan = plan
        self.batch = batch
        self.span: LookupSpan = NO_SPAN  # of the call for all items
        self.results: list[object] = []

    def __call__(self, calls: Sequence[CallOrigin]) -> Flow[list[Attempt]]:
        """Return what became of each."""
        items = [call.args[0] for call in calls]
        args, kwargs = self.batch.arguments(items)
        plan, behind = self.plan, calls[0].behind  # then what is current is the refresh
        span = plan.tracing.part(SPAN_ORIGIN, plan.namespace) if behind else self.span.child(SPAN_ORIGIN)
        told: dict[str, Attribute] = {ATTRIBUTE_NAMESPACE: plan.namespace, ATTRIBUTE_BATCH_SIZE: len(items)}
        attempt = yield from spanned_origin(span, told, CallOrigin(plan.function, args, kwargs, behind))
        if attempt.error is not None:
            return [Attempt(error=attempt.error, of_many=True)] * len(items)
        try:
            results = self._results(attempt.value, items)
        except ResultsMismatch as error:
            return [Attempt(error=error, of_many=True)] * len(items)
        return [self._attempt(result) for result in results]

    def _results(self, value: object, items: Sequence[Any]) -> list[object]:
        name, collation = self.plan.name, self.plan.collation
        if collation is None:
            return results_of(name, value, items)
        parts = collation.split(name, value, len(items))
        self.results.append(value)
        return parts

    def _attempt(self, result: object) -> Attempt:
        """Take a result; an exception that the policy keeps is one too."""
        if isinstance(result, Exception) and self.plan.admission.errors.ttl(result) is not None:
            return Attempt(error=result)
        return Attempt(result)


def results_of(name: str, value: object, items: Sequence[Any]) -> list[object]:
    """Return the result for each item, from what the function returned for all.

    Raises:
        ResultsMismatch: it is not one for each.
    """
    if isinstance(value, Mapping):
        try:
            return [value[item] for item in items]
        except (KeyError, TypeError):
            raise ResultsMismatch(f"{name} returned a mapping without a result for each item") from None
    if isinstance(value, (str, bytes)) or not (hasattr(value, "__len__") and hasattr(value, "__getitem__")):
        kind = type(value).__qualname__
        raise ResultsMismatch(f"{name} returned a {kind}; expected a list of one result for each item")
    results: list[object] = list(value)  # type: ignore[call-overload] # it can be indexed
    if len(results) != len(items):
        raise ResultsMismatch(f"{name} returned {len(results)} results for {len(items)} items")
    return results
