"""From series of the fleet's metrics to the report."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from cachepolicy.cli.stats_report import (
    Answers,
    Failure,
    Limited,
    Moment,
    Report,
    Saving,
    SessionCount,
    Usage,
)
from cachepolicy.flow.cells import OTHER
from cachepolicy.telemetry import fleet
from cachepolicy.telemetry.limits import DECISIONS

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """One series.

    Attributes:
        labels: what tells it apart.
        values: in each step of the report's time, or of all of it together.
    """

    labels: Mapping[str, str]
    values: Sequence[int | Decimal]

    def of(self, label: str) -> str:
        """Return a label; that of what is counted together where there is none."""
        return self.labels.get(label, OTHER)

    @property
    def total(self) -> int:
        """All steps together."""
        return int(sum(self.values))


Lines = Mapping[str, Sequence[Line]]
"""The series of each metric of the fleet."""


def filled(head: Report, starts: Sequence[datetime], lines: Lines, namespace: str | None = None) -> Report:
    """Return a report with what was counted.

    Args:
        head: the report without numbers.
        starts: when each step begins, in order.
        lines: what was counted.
        namespace: the only one that is told of; None for all.
    """
    kept = {
        metric: [line for line in found if namespace is None or line.of("namespace") == namespace]
        for metric, found in lines.items()
    }
    requests = kept.get(fleet.FLEET_REQUESTS, ())
    return replace(
        head,
        usage=_usage(requests),
        savings=_savings(kept),
        limits=_limits(kept),
        failures=_failures(kept.get(fleet.FLEET_ERRORS, ())),
        sessions=_sessions(kept),
        timeline=_timeline(starts, requests),
    )


def _answers(outcome: str, tier: str, count: int) -> Answers:
    """Say where answers came from; what is not known counts as the function's, so that no hit is made up."""
    if tier == "l1":
        return Answers(l1=count)
    if outcome == "coalesced":
        return Answers(shared=count)
    return Answers(l2=count) if tier == "l2" else Answers(origin=count)


def _usage(lines: Iterable[Line]) -> tuple[Usage, ...]:
    found: dict[str, Usage] = {}
    for line in lines:
        namespace, outcome, total = line.of("namespace"), line.of("outcome"), line.total
        if not total:
            continue
        usage = found.get(namespace) or Usage(namespace, Answers())
        found[namespace] = replace(
            usage,
            answers=usage.answers + _answers(outcome, line.of("tier"), total),
            stale=usage.stale + total * (outcome == "stale"),
            bypass=usage.bypass + total * (outcome == "bypass"),
            fault=usage.fault + total * (outcome == "fault"),
        )
    return tuple(sorted(found.values(), key=lambda each: (-each.answers.calls, each.namespace)))


def _savings(kept: Lines) -> tuple[Saving, ...]:
    found: dict[tuple[str, str, str], Saving] = {}

    def of(line: Line) -> tuple[tuple[str, str, str], Saving]:
        key = (line.of("namespace"), line.of("model"), line.of("tenant"))
        return key, found.get(key) or Saving(*key)

    for line in kept.get(fleet.FLEET_TIME, ()):
        key, saving = of(line)
        found[key] = replace(saving, seconds=saving.seconds + line.total / _MILLION)
    for line in kept.get(fleet.FLEET_TOKENS, ()):
        key, saving = of(line)
        if line.of("type") == "input":
            found[key] = replace(saving, input_tokens=saving.input_tokens + line.total)
        else:
            found[key] = replace(saving, output_tokens=saving.output_tokens + line.total)
    priced: list[Saving] = []
    for line in kept.get(fleet.FLEET_COST, ()):
        key, saving = of(line)
        cost, currency = Decimal(sum(line.values)), line.of("currency")
        if saving.cost is None or saving.currency == currency:
            found[key] = replace(saving, cost=(saving.cost or Decimal(0)) + cost, currency=currency)
        elif cost:  # the policy's currency was changed meanwhile: each has a row of its own
            priced.append(Saving(*key, cost=cost, currency=currency))
    told = [each for each in (*found.values(), *priced) if each != Saving(*_key(each))]
    return tuple(sorted(told, key=lambda each: (-each.seconds, *_key(each), each.currency)))


def _key(saving: Saving) -> tuple[str, str, str]:
    return saving.namespace, saving.model, saving.tenant


def _limits(kept: Lines) -> tuple[Limited, ...]:
    decided: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in kept.get(fleet.FLEET_DECISIONS, ()):
        outcome = line.of("outcome")
        if outcome in DECISIONS:
            decided[line.of("namespace"), line.of("rule")][outcome] += line.total
    for line in kept.get(fleet.FLEET_EXCEEDED, ()):
        decided[line.of("namespace"), line.of("rule")]["exceeded"] += line.total
    return tuple(
        Limited(
            *key,
            allowed=counts["allowed"],
            denied=counts["denied"],
            shadow=counts["shadow"],
            degraded=counts["degraded"],
            exceeded=counts["exceeded"],
        )
        for key, counts in sorted(decided.items())
        if counts.total()
    )


def _failures(lines: Iterable[Line]) -> tuple[Failure, ...]:
    failures = [Failure(line.of("namespace"), line.of("error"), line.total) for line in lines if line.total]
    return tuple(sorted(failures, key=lambda each: (-each.count, each.namespace, each.error)))


def _sessions(kept: Lines) -> tuple[SessionCount, ...]:
    found: dict[str, SessionCount] = {}
    for line in kept.get(fleet.FLEET_SESSIONS, ()):
        namespace = line.of("namespace")
        found[namespace] = SessionCount(namespace, active=line.total)
    for line in kept.get(fleet.FLEET_ENDED, ()):
        namespace, outcome = line.of("namespace"), line.of("outcome")
        seen = found.get(namespace) or SessionCount(namespace)
        if outcome == "expired":
            found[namespace] = replace(seen, expired=seen.expired + line.total)
        else:
            found[namespace] = replace(seen, ended=seen.ended + line.total)
    told = [each for each in found.values() if each != SessionCount(each.namespace)]
    return tuple(sorted(told, key=lambda each: each.namespace))


def _timeline(starts: Sequence[datetime], lines: Sequence[Line]) -> tuple[Moment, ...]:
    moments = [Answers() for _ in starts]
    for line in lines:
        outcome, tier = line.of("outcome"), line.of("tier")
        for at, value in enumerate(line.values):
            moments[at] += _answers(outcome, tier, int(value))
    return tuple(Moment(start, answers) for start, answers in zip(starts, moments, strict=True))
