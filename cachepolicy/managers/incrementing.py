"""``increment_metric``, which is called most: a series that was counted before is found in one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MethodType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, overload

from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Known, Verb, Work

if TYPE_CHECKING:
    from cachepolicy.runtime.meters import Row

Labels: TypeAlias = Mapping[str, str]
Moment: TypeAlias = float | datetime
"""Seconds since the epoch, or a time that knows its zone."""

Begun: TypeAlias = Work[None] | Known[None]

NO_LABELS: Final[Labels] = {}
_LARGEST: Final = 2**53 - 1


class Increment:
    """``await thing.increment_metric(…)``; in code that does not await, ``….increment_metric.sync(…)``."""

    __slots__ = ("__weakref__", "_rows", "_verb")

    def __init__(self, begin: Callable[..., Begun]) -> None:
        self._verb: Verb[..., None] = Verb(begin)
        self.shut()
        current.register(self)

    def shut(self) -> None:
        """Send every call the long way, where its policy is looked up anew."""
        self._rows: Mapping[tuple[object, ...], Row] = {}

    def open(self, runtime: Any, rows: Mapping[tuple[object, ...], Any]) -> None:
        """Look for series among these (``Row``) from now on, until the policy of a ``Runtime`` is another."""

        def look_there() -> None:
            self._rows = rows

        if self._rows is not rows:
            current.open_fast_path(runtime, look_there)

    async def __call__(
        self, name: str, value: int = 1, labels: Labels | None = NO_LABELS, *, at: Moment | None = None
    ) -> None:
        """Do it on the running loop."""
        if at is not None or not self._counted(name, value, labels):
            await self._verb(name, value, labels, at=at)

    def sync(
        self, name: str, value: int = 1, labels: Labels | None = NO_LABELS, *, at: Moment | None = None
    ) -> None:
        """Do it in this thread."""
        if at is not None or not self._counted(name, value, labels):
            self._verb.sync(name, value, labels, at=at)

    def _counted(self, name: str, value: int, labels: Labels | None) -> bool:
        """Count an event in a series that was counted before, in this hour; False where it is none."""
        try:
            row = self._rows[name, *labels.items()]  # type: ignore[union-attr]  # None goes the long way
        except (KeyError, TypeError, AttributeError):
            return False
        return (
            type(value) is int
            and 0 <= value <= _LARGEST
            and row.begin <= row.now() < row.end
            and row.counts.add(row, value)
        )


class increments:  # noqa: N801 - a decorator
    """Make a method that begins a count into ``increment_metric``; as ``runtime.manage.verb`` does."""

    def __init__(self, method: Callable[..., Begun]) -> None:
        self._method = method
        self._name = method.__name__
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> increments: ...
    @overload
    def __get__(self, instance: object, owner: type) -> Increment: ...
    def __get__(self, instance: Any, owner: type) -> increments | Increment:
        if instance is None:
            return self
        bound = Increment(MethodType(self._method, instance))
        vars(instance)[self._name] = bound  # found there from now on, without asking here
        return bound
