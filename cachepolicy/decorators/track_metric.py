"""``@track_metric``: calls of a function, counted over time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from cachepolicy.decorators.around import around
from cachepolicy.decorators.limited_form import Form
from cachepolicy.decorators.metric_options import Label, MetricOptions, On, Value
from cachepolicy.decorators.tracked import Tracked
from cachepolicy.keys.signature import Shape

F = TypeVar("F", bound=Callable[..., Any])


def track_metric(
    name: str,
    value: Value = 1,
    labels: Sequence[str] | Mapping[str, Label] = (),
    on: On = "success",
    *,
    duration: bool = True,
    namespace: str = "analytics",
) -> Callable[[F], F]:
    """Count the calls of a function, what they took and how they ended, by hour, for all processes.

    Besides the metric itself there are ``<name>.calls``, ``<name>.errors`` (calls that raised),
    ``<name>.cancelled`` (that were cancelled, or whose rest nobody wanted) and ``<name>.duration``, all with
    the same labels. What comes in parts is counted at its end. What goes wrong with a metric is no error of a
    call: it is counted, and told once.

    Args:
        name: of the metric.
        value: what each call adds: a number; an expression of its arguments, ``request.size``, or its result,
            ``result.usage.total_tokens``; or what takes the result. Of what comes in parts the result is the
            last part.
        labels: parameters; or a mapping from labels to expressions of the arguments or the result, or to what
            takes the result. What is None, or cannot be read, is ``unknown``.
        on: whether the value counts with calls that returned, that raised, or with all.
        duration: whether durations are kept.
        namespace: a namespace of kind ``analytics`` in the policy.

    Where the policy does not fit, the function raises before it does anything:
        UnknownNamespace, UnknownMetric, PolicyError, Uncountable: there is no such metric, or not
            of this kind, or not with these labels.

    Raises:
        DecorationError: the function cannot be decorated this way.
    """
    options = MetricOptions(name, value, labels, on, duration, namespace)

    def wrap(function: Callable[..., Any], shape: Shape, who: str, form: Form) -> Tracked:
        return Tracked(function, shape, who, options, form)

    return lambda decorated: around(decorated, wrap, "counted")
