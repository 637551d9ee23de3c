"""The metrics of one loaded policy, as this process counts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachepolicy.errors import Uncountable, UnknownMetric
from cachepolicy.flow.cells import Kind
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules.analytics import RESERVED
from cachepolicy.policy.units import LARGEST
from cachepolicy.runtime.desk import Desk
from cachepolicy.runtime.guarantees import Guarantees
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.meters import Meter, record
from cachepolicy.runtime.metrics import Metrics, declared
from cachepolicy.runtime.opened import Opened
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import metrics
from cachepolicy.telemetry.names import SPAN_FLUSH

__all__ = ["Analytics", "Meter", "record"]

_MOST_METERS: Final = 10_000
"""Names of metrics come from code; so many come from data that somebody else makes up."""


class Analytics:
    """Those of one policy; each namespace and each metric is made ready when it is first counted.

    Args:
        loaded: the policy.
        metrics: as Redis has them.
        guarantees: of the policy.
    """

    def __init__(self, loaded: LoadedPolicy, metrics: Metrics, guarantees: Guarantees) -> None:
        self._telemetry = loaded.policy.telemetry
        self._metrics = metrics
        self._guarantees = guarantees
        self.desks: Opened[str, Desk] = Opened()
        self._meters: Opened[tuple[str, str, Kind], Meter] = Opened()

    def meter(self, namespace: str, name: str, who: object, kind: Kind = Kind.COUNTER) -> Meter:
        """Return what counts a metric.

        Args:
            namespace: its namespace.
            name: its name.
            who: needs it, for the message.
            kind: what its values are.

        Raises:
            UnknownNamespace, UnknownMetric: the policy does not declare it.
            PolicyError: the namespace, or the metric, is of another kind.
            Uncountable: it can be no name, or there are too many metrics.
        """
        meter = self._meters.get((namespace, name, kind))
        return self._open_meter(namespace, name, who, kind) if meter is None else meter

    def desk(self, namespace: str, who: object) -> Desk:
        """Return where a namespace is counted; arguments and errors are as of ``meter``."""
        return self.desks.of(namespace, lambda: self._open_desk(namespace, who))

    def inherit(self, before: Analytics, heritage: Heritage) -> None:
        """Go on counting where namespaces that are kept are counted."""
        self.desks.inherit(before.desks, heritage)
        self._meters.inherit(before._meters, heritage)

    def close(self, retired: Callable[[], None] | None = None, heir: Analytics | None = None) -> None:
        """Send what was counted; ``retired`` is as of ``Desk.close``. What another goes on with is left."""
        for desk in self.desks.but(None if heir is None else heir.desks):
            desk.close(retired)

    def after_fork(self) -> None:
        """Leave to the parent what it has counted."""
        self.desks.after_fork()
        self._meters.after_fork()
        for desk in self.desks:
            desk.after_fork()

    def _open_desk(self, namespace: str, who: object) -> Desk:
        rule = self._metrics.rule(namespace, who)
        guarantee = self._guarantees.of(namespace, rule)
        desk = Desk(namespace, rule, guarantee, tracing(self._telemetry, SPAN_FLUSH))
        if self._telemetry.enabled:
            metrics.export_all()
        return desk

    def _open_meter(self, namespace: str, name: str, who: object, kind: Kind) -> Meter:
        if type(name) is not str or not name or len(self._meters) >= _MOST_METERS:
            raise Uncountable(f"{who}: expected the name of a metric, as text, and at most {_MOST_METERS}")
        if name.startswith(f"{RESERVED}."):
            raise UnknownMetric(f"{who}: metric {name[:64]!r} is the library's own: it can be read only")
        return self._meters.of((namespace, name, kind), lambda: self.new_meter(namespace, name, who, kind))

    def new_meter(
        self,
        namespace: str,
        name: str,
        who: object,
        kind: Kind,
        refuse: Callable[[], None] | None = None,
    ) -> Meter:
        """Return what counts a metric, the library's own too.

        Arguments and errors are as of ``meter``; ``refuse`` is called where no more can be held, instead of
        counting it as dropped.
        """
        metric, desk = self._metrics.metric(namespace, name, who, kind), self.desk(namespace, who)
        rule = declared(desk.rule, name)
        mode = None if rule is None else rule[0].mode
        usual = "sync" if kind is Kind.MONEY else desk.rule.mode
        values = {} if rule is None else {label: frozenset(some) for label, some in rule[0].values.items()}
        is_sync = (mode or usual) == "sync"
        return Meter(
            metric=metric,
            values=values,
            max_label=desk.rule.max_label,
            is_sync=is_sync,
            counts=desk.buffer.of(metric),
            now=metric.site.clock.wall,
            refuse=refuse or desk.refuse,
            post=desk.post,
            shared=desk.rows if kind is Kind.COUNTER and not is_sync and refuse is None else None,
            least=-LARGEST if kind is Kind.MONEY else 0,
        )
