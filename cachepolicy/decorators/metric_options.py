"""What ``@track_metric`` was asked for, and how it is read from a call and its result."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

from cachepolicy.decorators.limit_options import Signature, Values
from cachepolicy.errors import DecorationError, UnkeyableArgument
from cachepolicy.flow.cells import Outcome
from cachepolicy.keys.clients import is_absent

Value: TypeAlias = int | float | str | Callable[..., object]
Label: TypeAlias = str | Callable[..., object]
On: TypeAlias = Literal["success", "error", "always"]
Measure: TypeAlias = Callable[[Values, object], object]
"""Reads something of a call's arguments and its result, which is ``NO_RESULT`` where there is none."""

Pick: TypeAlias = Callable[[Values, object], tuple[object, ...]]
Strange: TypeAlias = Callable[[str, str], None]
"""Is told what cannot be read of a call: ``label`` or ``value``, and why."""

NO_RESULT: Final = object()
UNKNOWN: Final = "unknown"
"""The value of a label that a call does not tell."""

_RESULT: Final = "result"
_ROOT: Final = re.compile(rf"{_RESULT}\b")


_COUNTS: Final[Mapping[str, frozenset[Outcome]]] = {
    "success": frozenset({Outcome.SUCCESS}),
    "error": frozenset({Outcome.ERROR}),
    "always": frozenset(Outcome),
}


@dataclass(frozen=True, slots=True)
class MetricOptions:
    """What a decorator was asked for; see ``track_metric``."""

    metric: str
    value: Value = 1
    labels: Sequence[str] | Mapping[str, Label] = ()
    on: On = "success"
    duration: bool = True
    namespace: str = "analytics"


@dataclass(frozen=True, slots=True)
class Measures:
    """What is read of each call of one function.

    Attributes:
        labels: each, and what reads it, in the order of their names.
        value: what reads the value; None: it is always the same.
        constant: the value that is always the same.
        counts: the outcomes with which the value counts.
        of_result: whether anything is read of the result.
        pick: reads all labels at once, as they come, if they can be; None: they are not to be read twice.
    """

    labels: tuple[tuple[str, Measure], ...]
    value: Measure | None
    constant: int | float
    counts: frozenset[Outcome]
    of_result: bool
    pick: Pick | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the labels."""
        return tuple(name for name, _ in self.labels)

    def texts(self, values: Values, result: object, strange: Strange) -> tuple[str, ...]:
        """Return the labels of a call, in the order of their names.

        Args:
            values: its arguments.
            result: what it returned, or gave last; ``NO_RESULT``.
            strange: is told what cannot be read.
        """
        return tuple([_text(label, read, values, result, strange) for label, read in self.labels])

    def amount(self, values: Values, result: object, outcome: Outcome, strange: Strange) -> object:
        """Return the value of a call; None: there is nothing to count."""
        if outcome not in self.counts:
            return None
        if self.value is None:
            return self.constant
        try:
            value = self.value(values, result)
        except Exception as error:  # noqa: BLE001 - an object's own attributes, or user code: counted
            strange("value", _why(error))
            return None
        if value is None and outcome is Outcome.SUCCESS:
            strange("value", "there is none")
        return value


def measures(options: MetricOptions, signature: Signature) -> Measures:
    """Say how what was asked for is read.

    Raises:
        DecorationError: it cannot be read of this function's calls.
    """
    name, on, value = signature.name, options.on, options.value
    if on not in _COUNTS:
        raise DecorationError(f"{name}: on={on!r}: expected one of {', '.join(_COUNTS)}")
    read = None
    if isinstance(value, str) or callable(value):
        if on == "error" and _is_of_result(value, signature):
            raise DecorationError(f"{name}: value: a call that failed has no result to read it of")
        read = _measure(signature, value, "value")
    elif not is_amount(value):
        raise DecorationError(
            f"{name}: value={value!r}: expected a number from 0 on, an expression, or what takes the result"
        )
    labels = _labels(options.labels, name)
    reads = [(label, _measure(signature, labels[label], f"labels: {label}")) for label in sorted(labels)]
    return Measures(
        labels=tuple(reads),
        value=read,
        constant=value if isinstance(value, int | float) else 0,
        counts=_COUNTS[on],
        of_result=any(_is_of_result(each, signature) for each in (value, *labels.values())),
        pick=_pick([labels[label] for label, _ in reads], [read for _, read in reads], signature.shape.names),
    )


def is_amount(value: object) -> bool:
    """Tell whether this is a number from 0 on."""
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 <= value < math.inf


def text_of(found: object) -> str | None:
    """Return a label's value as text, ``UNKNOWN`` where there is none; None: such a thing is no label."""
    kind = type(found)
    if kind is str:
        return found or UNKNOWN  # type: ignore[return-value] # a str it is
    if found is None or is_absent(found):
        return UNKNOWN
    if isinstance(found, Enum):
        return text_of(found.value)
    if isinstance(found, str):
        return str.__str__(found) or UNKNOWN
    if kind is bool:
        return "true" if found else "false"
    if isinstance(found, int):
        return int.__repr__(found)
    return repr(found) if kind is float else None


def _text(label: str, read: Measure, values: Values, result: object, strange: Strange) -> str:
    try:
        found = read(values, result)
        text = text_of(found)
    except Exception as error:  # noqa: BLE001 - as above
        strange("label", f"{label}: {_why(error)}")
        return UNKNOWN
    if text is None:
        strange("label", f"{label}: expected text, a number, a bool or an enum, not a {type(found).__name__}")
        return UNKNOWN
    return text


def _why(error: Exception) -> str:
    """Say what went wrong: of user code its class only, which may know more than a log should."""
    return str(error) if isinstance(error, UnkeyableArgument) else f"{type(error).__name__} was raised"


def _pick(labels: Sequence[Label], reads: Sequence[Measure], names: Sequence[str]) -> Pick | None:
    if any(map(callable, labels)):
        return None  # what a call's result is asked, it is asked once
    places = [names.index(label) for label in labels if isinstance(label, str) and label in names]
    if len(places) < len(labels):
        return lambda values, result: tuple([read(values, result) for read in reads])
    if len(places) == 2:
        one, other = places
        return lambda values, _: (values[one], values[other])
    return lambda values, _: tuple([values[at] for at in places])


def _labels(labels: Sequence[str] | Mapping[str, Label], name: str) -> dict[str, Label]:
    if isinstance(labels, Mapping):
        return dict(labels)
    if isinstance(labels, str):
        raise DecorationError(f"{name}: labels={labels!r}: expected several names: labels=({labels!r},)")
    for label in labels:
        if type(label) is not str or not label.isidentifier():
            raise DecorationError(
                f"{name}: labels: {label!r}: expected parameters; of anything else say what it is called: "
                'labels={"plan": "request.user.plan"}'
            )
    return {label: label for label in labels}


def _measure(signature: Signature, what: Label, option: str) -> Measure:
    if callable(what):
        call = what
        return lambda _, result: None if result is NO_RESULT else call(result)
    if _is_of_result(what, signature):
        take = signature.path(what, option).take
        return lambda _, result: None if result is NO_RESULT else take(result)
    read = signature.reader(what, option)
    return lambda values, _: read(values)


def _is_of_result(what: object, signature: Signature) -> bool:
    """Tell whether something is read of the result; a parameter of that name goes before it."""
    if not isinstance(what, str):
        return callable(what)
    return _ROOT.match(what) is not None and _RESULT not in signature.shape.names
