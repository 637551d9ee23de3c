"""A function that is counted, and its policy: bound on the first call, anew after ``configure()``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from cachepolicy.decorators.limit_options import Signature, Values
from cachepolicy.decorators.limited_form import Form
from cachepolicy.decorators.metric_options import NO_RESULT, MetricOptions, measures
from cachepolicy.decorators.passing import passing
from cachepolicy.decorators.tracked_form import compiled_tracking, compiled_watch
from cachepolicy.decorators.tracked_parts import LastPart, Parts, Watch, comes_in_parts, generator_form
from cachepolicy.errors import PolicyError
from cachepolicy.flow.cells import Outcome
from cachepolicy.keys.signature import Shape
from cachepolicy.runtime import current

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.tracking import Tracker


class Bound(NamedTuple):
    """What counts a function's calls under one policy."""

    runtime: Runtime
    tracker: Tracker
    now: Callable[[], float]
    waits: bool


class Tracked:
    """What stands behind one function that is counted."""

    def __init__(
        self, function: Callable[..., Any], shape: Shape, name: str, options: MetricOptions, form: Form
    ) -> None:
        self.function = function
        self.name = name
        self.options = options
        self._bound: Bound | None = None
        self._watches: dict[Form, Callable[..., Any]] = {}
        self.wrapper, passed_on = compiled_tracking(shape, self, form, NO_RESULT)
        self._measures = measures(options, Signature(name, shape, passed_on))
        self._pick = self._measures.pick

    def begin(self) -> Bound:
        """Say what counts now.

        Raises:
            UnknownNamespace, UnknownMetric, PolicyError, Uncountable: the policy has no such metric.
        """
        bound = self._bound
        if bound is None or bound.runtime is not current.current():
            bound = self._bound = self._bind()
        return bound

    def _bind(self) -> Bound:
        from cachepolicy.runtime import tracking  # loaded with the first policy

        runtime, options, measures = current.current(), self.options, self._measures
        tracked = tracking.Tracked(
            self.name, options.namespace, options.metric, measures.names, options.duration
        )
        tracker = tracking.Tracker(runtime.analytics, runtime.metrics, tracked)
        if measures.value is None and not tracker.takes(measures.constant):
            raise PolicyError(
                f"{self.name}: value={measures.constant!r} is none for metric {options.metric!r}, "
                f"a {tracker.value.kind}"
            )
        return Bound(runtime, tracker, tracker.site.clock.monotonic, tracker.value.is_sync)

    def ended(self, bound: Bound, began: float, values: Values, result: Any) -> Any:
        """Count a call that returned, or watch what it returned, where that comes in parts."""
        if comes_in_parts(result):
            return self._watched(bound, began, values, result)
        flow = self._noted(bound, began, values, Outcome.SUCCESS, result)
        if flow is not None:
            self._sent(bound, flow)
        return result

    def exhausted(self, bound: Bound, began: float, values: Values, last: object) -> None:
        """Count a call that has given all its parts."""
        flow = self._noted(bound, began, values, Outcome.SUCCESS, last)
        if flow is not None:
            self._sent(bound, flow)

    def failed(
        self, bound: Bound, began: float, values: Values, error: BaseException | None, last: object
    ) -> None:
        """Count a call that raised, or whose parts nobody wants any more."""
        flow = self._noted(bound, began, values, _outcome(error), last)
        if flow is not None:
            self._sent(bound, flow)

    async def aended(self, bound: Bound, began: float, values: Values, result: Any) -> Any:
        """As ``ended``."""
        if comes_in_parts(result):
            return self._watched(bound, began, values, result)
        await self._asent(bound, self._noted(bound, began, values, Outcome.SUCCESS, result))
        return result

    async def aexhausted(self, bound: Bound, began: float, values: Values, last: object) -> None:
        """As ``exhausted``."""
        await self._asent(bound, self._noted(bound, began, values, Outcome.SUCCESS, last))

    async def afailed(
        self, bound: Bound, began: float, values: Values, error: BaseException | None, last: object
    ) -> None:
        """As ``failed``."""
        await self._asent(bound, self._noted(bound, began, values, _outcome(error), last))

    def parts(self, generator: Any) -> Parts:
        """Return what gives the parts of a generator."""
        return (LastPart if self._measures.of_result else Parts)(generator, NO_RESULT)

    def _noted(
        self, bound: Bound, began: float, values: Values, outcome: Outcome, result: object
    ) -> Flow[None] | None:
        """Count a call; return what is left to do, where that waits for Redis."""
        tracker = bound.tracker
        try:
            seconds = bound.now() - began
            when = tracker.now()
            try:
                tally = None if self._pick is None else tracker.known(self._pick(values, result), when)
            except Exception:  # noqa: BLE001 - what is not there, what has no hash: they are read one by one
                tally = None
            if tally is None:
                tally = tracker.tally(self._measures.texts(values, result, tracker.strange), when)
            if self._measures.value is None and outcome in self._measures.counts:
                value: object = self._measures.constant
            else:
                value = self._measures.amount(values, result, outcome, tracker.strange)
            return tracker.track(tally, outcome, value, seconds, when)
        except Exception as bug:  # noqa: BLE001 - whatever it is: the call has ended, and has its result
            tracker.bug(bug)
            return None

    @staticmethod
    def _sent(bound: Bound, flow: Flow[None]) -> None:
        """Bring to Redis what does not wait."""
        try:
            bound.runtime.engine.run(flow, bound.runtime.stores.sync_io(bound.tracker.site))
        except Exception as bug:  # noqa: BLE001 - as above
            bound.tracker.bug(bug)

    @staticmethod
    async def _asent(bound: Bound, flow: Flow[None] | None) -> None:
        if flow is not None:
            try:
                await bound.runtime.engine.arun(flow, bound.runtime.stores.async_io(bound.tracker.site))
            except Exception as bug:  # noqa: BLE001 - as above
                bound.tracker.bug(bug)

    def _watched(self, bound: Bound, began: float, values: Values, stream: Any) -> Any:
        """Return a stream that is counted at its end."""
        form = generator_form(stream)
        if form is not None:
            watch = self._watches.get(form)
            if watch is None:
                watch = self._watches[form] = compiled_watch(self, form, NO_RESULT)
            return watch(bound, began, values, stream)
        return passing(stream, lambda: Watch(self, (bound, began, values), NO_RESULT))


def _outcome(error: BaseException | None) -> Outcome:
    return Outcome.ERROR if isinstance(error, Exception) else Outcome.CANCELLED
