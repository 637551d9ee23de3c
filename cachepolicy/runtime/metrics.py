"""The metrics of one policy: each is made ready when it is first counted, or asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachepolicy import policy
from cachepolicy.errors import PolicyError, UnknownMetric
from cachepolicy.flow.cells import Kind
from cachepolicy.flow.series import Metric, Terms
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import MetricKeys, prefix
from cachepolicy.keys.periods import Resolution
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules import AnalyticsRule
from cachepolicy.policy.rules import analytics as rules
from cachepolicy.policy.rules.base import Kept
from cachepolicy.runtime.endpoints import deadline_of
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import fleet

DERIVED: Final = {
    "calls": Kind.COUNTER,
    "errors": Kind.COUNTER,
    "cancelled": Kind.COUNTER,
    "duration": Kind.HISTOGRAM,
}
"""What is counted besides, of a metric that is declared: ``name.calls`` has its labels and its retention."""


class Metrics:
    """Those of one policy.

    Args:
        loaded: the policy.
        site: says where a namespace lies.
    """

    def __init__(self, loaded: LoadedPolicy, site: Callable[[str, Kept], Site]) -> None:
        self._loaded = loaded
        self._site = site
        self._opened: Opened[tuple[str, str, Kind | None], Metric] = Opened()

    def rule(self, namespace: str, who: object) -> AnalyticsRule:
        """Return what the policy says of a namespace; ``who`` needs it, for the message.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is of another kind.
        """
        rule = policy.namespace(self._loaded.policy, namespace)
        if not isinstance(rule, AnalyticsRule):
            raise PolicyError(
                f"{who}: namespace {namespace!r} is of kind {rule.kind}; this needs one of kind analytics"
            )
        return rule

    def metric(self, namespace: str, name: str, who: object, kind: Kind | None = None) -> Metric:
        """Return a metric, made ready.

        Args:
            namespace: its namespace.
            name: its name.
            who: needs it, for the message.
            kind: what it is used as; None: as what it is declared, or else as a counter.

        Raises:
            UnknownNamespace: the policy does not declare the namespace.
            UnknownMetric: it does not declare the metric, and says ``undeclared: refuse``.
            PolicyError: the namespace, or the metric, is of another kind.
        """
        opened = self._opened.get((namespace, name, kind))
        if opened is not None:
            return opened
        made = self._open(namespace, name, who, kind)
        if kind is not None and made.terms.kind is not kind:
            raise PolicyError(f"{who}: metric {name!r} is of kind {made.terms.kind}, and used as {kind}")
        opened = self._opened.of((namespace, name, made.terms.kind), lambda: made)
        return self._opened.of((namespace, name, kind), lambda: opened)

    def inherit(self, before: Metrics, heritage: Heritage) -> None:
        """Take over the metrics of namespaces that are kept."""
        self._opened.inherit(before._opened, heritage)

    def after_fork(self) -> None:
        """Leave behind a lock of the parent's threads."""
        self._opened.after_fork()

    def _open(self, namespace: str, name: str, who: object, kind: Kind | None) -> Metric:
        rule, app = self.rule(namespace, who), self._loaded.policy.app
        terms = terms_of(rule, name, who, kind)
        return Metric(
            namespace=namespace,
            name=name,
            terms=terms,
            keys=MetricKeys(prefix(app, namespace), name, terms.kind),
            site=self._site(namespace, rule),
            deadline=deadline_of(self._loaded.policy, rule),
            witness=tracing(self._loaded.policy.telemetry).here,
        )


def declared(rule: AnalyticsRule, name: str) -> tuple[rules.Metric, Kind] | None:
    """Return how a metric is declared, by itself or as derived from one that is; None where it is not.

    The library's own are declared by itself.
    """
    own = fleet.OWN.get(name)
    if own is not None:
        return rules.Metric(kind=own.kind, labels=own.labels), Kind(own.kind)
    found = rule.metrics.get(name)
    if found is not None:
        return found, Kind(found.kind)
    base, _, derived = name.rpartition(".")
    found = rule.metrics.get(base)
    return None if found is None or derived not in DERIVED else (found, DERIVED[derived])


def terms_of(rule: AnalyticsRule, name: str, who: object, kind: Kind | None = None) -> Terms:
    """Return what the policy says of a metric; arguments and errors are as of ``Metrics.metric``."""
    found = declared(rule, name)
    if found is None:
        if rule.undeclared == "refuse":
            known = ", ".join(sorted(rule.metrics)) or "none"
            raise UnknownMetric(
                f"{who}: metric {name!r} is not declared, and undeclared says refuse; there are: {known}"
            )
        usual = DERIVED.get(name.rpartition(".")[2], Kind.COUNTER) if kind is None else kind
        return Terms(usual, None, _lives(rule, rule.retention), rule.max_series)
    metric, its_kind = found
    return Terms(
        its_kind,
        metric.labels,
        _lives(rule, metric.retention or rule.retention),
        metric.max_series or rule.max_series,
        metric.accuracy,
    )


def _lives(rule: AnalyticsRule, retention: rules.Retention) -> dict[Resolution, float | None]:
    hour = rule.ttl.default if retention.hour is None else retention.hour
    return {Resolution.HOUR: hour, Resolution.DAY: retention.day, Resolution.MONTH: retention.month}
