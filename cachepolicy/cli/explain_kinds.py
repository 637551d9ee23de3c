"""What the ready-made things of a namespace ask of Redis: sessions, limits, metrics, files, and any cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from cachepolicy.cli.explain_commands import case
from cachepolicy.cli.explain_parts import Case, Layer
from cachepolicy.cli.explain_values import eviction, values_of, where
from cachepolicy.cli.rehearsal import Rehearsal
from cachepolicy.keys.layout import prefix
from cachepolicy.managers.analytics import AnalyticsCache
from cachepolicy.managers.blacklist import TokenBlacklist
from cachepolicy.managers.limits import RateLimiter
from cachepolicy.managers.preferences import Preferences
from cachepolicy.managers.sessions import SessionManager
from cachepolicy.managers.temp import TempStore
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules import AnalyticsRule, RateLimitRule, SessionsRule, TempRule
from cachepolicy.runtime.namespaces import Namespace

Steps = list[tuple[str, Callable[[], object]]]
_WHO: Final = "USER"  # in place of a user, a subject, an owner


def namespace_layer(name: str, loaded: LoadedPolicy, rehearsal: Rehearsal) -> Layer:
    """Explain a namespace by itself.

    Args:
        name: of the namespace, which the policy declares.
        loaded: the policy.
        rehearsal: of it.
    """
    rule = loaded.policy.namespaces[name]
    layer = Layer(
        what=f"kind {rule.kind}",
        namespace=name,
        prefix=prefix(loaded.policy.app, name),
        where=where(loaded, rule),
        values=values_of(loaded, name),
        eviction=eviction(loaded, name),
    )
    cases = [Case(each.when, each.trips) for each in _cases(name, rule.kind, loaded, rehearsal)]
    note = _NOTES.get(rule.kind)
    return replace(layer, cases=cases, notes=() if note is None else (note,))


_NOTES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache": "keys and commands of calls: explain module:function --call '…'",
        "sessions": "keys hold hashes of tokens and users, never the tokens; those above are of made-up ones",
        "ratelimit": f"above, {_WHO} stands in place of who is counted",
        "temp": "keys hold a hash of the id that readers have; those above are of a made-up file",
    }
)


def _cases(name: str, kind: str, loaded: LoadedPolicy, rehearsal: Rehearsal) -> list[Case]:
    steps = _STEPS[kind](name, loaded)
    return [case(when, rehearsal.trips(step)) for when, step in steps]


def _of_cache(name: str, loaded: LoadedPolicy) -> Steps:  # noqa: ARG001 - as of the other kinds
    return [("all of it is invalidated", Namespace(name).purge_all.sync)]


def _of_sessions(name: str, loaded: LoadedPolicy) -> Steps:
    rule = loaded.policy.namespaces[name]
    assert isinstance(rule, SessionsRule)  # noqa: S101 - its kind says so
    sessions, revoked, preferred = SessionManager(name), TokenBlacklist(name), Preferences(name)
    tokens: list[str] = []
    return [
        ("a session is made", lambda: tokens.append(sessions.create_session.sync(_WHO).token)),
        ("it is loaded", lambda: sessions.get_session.sync(tokens[0])),
        ("it is changed", lambda: sessions.update_session.sync(tokens[0], {"theme": "dark"})),
        ("a user's sessions are listed", lambda: sessions.list_sessions.sync(_WHO)),
        ("it is ended", lambda: sessions.end_session.sync(tokens[0])),
        ("all of a user's sessions are ended", lambda: sessions.revoke_all.sync(_WHO)),
        ("it is asked whether a token is revoked", lambda: revoked.is_revoked.sync("TOKEN")),
        ("a user's preferences are read", lambda: preferred.get.sync(_WHO)),
    ]


def _of_limits(name: str, loaded: LoadedPolicy) -> Steps:
    rule, limiter = loaded.policy.namespaces[name], RateLimiter(name)
    assert isinstance(rule, RateLimitRule)  # noqa: S101 - its kind says so
    steps: Steps = []
    for each, limit in rule.rules.items():
        plan = next(iter(limit.plans), None)
        said = f"rule {each}" if plan is None else f"rule {each}, plan {plan}"
        terms = limit if plan is None else limit.plans[plan]
        if any((terms.requests, terms.tokens, terms.input_tokens, terms.output_tokens, terms.money)):
            steps.append((f"{said}: is checked", _checking(limiter, each, plan)))
        if terms.concurrency is not None:
            steps.append((f"{said}: a place is taken, and given back", _holding(limiter, each, plan)))
    return steps


def _checking(limiter: RateLimiter, rule: str, plan: str | None) -> Callable[[], object]:
    return lambda: limiter.check.sync(rule, _WHO, plan=plan)


def _holding(limiter: RateLimiter, rule: str, plan: str | None) -> Callable[[], object]:
    def hold() -> None:
        with limiter.acquire(rule, _WHO, plan):
            pass

    return hold


def _of_analytics(name: str, loaded: LoadedPolicy) -> Steps:
    rule, metrics = loaded.policy.namespaces[name], AnalyticsCache(name)
    assert isinstance(rule, AnalyticsRule)  # noqa: S101 - its kind says so
    found = next(
        (
            (each, dict.fromkeys(metric.labels, "x"))
            for each, metric in rule.metrics.items()
            if metric.kind == "counter"
        ),
        None if rule.undeclared == "refuse" else ("METRIC", {}),
    )
    if found is None:
        return []
    metric, labels = found

    def count() -> None:
        metrics.increment_metric.sync(metric, labels=labels)
        metrics.flush.sync()

    return [(f"counts of {metric} are sent", count)]


def _of_temp(name: str, loaded: LoadedPolicy) -> Steps:
    rule, files = loaded.policy.namespaces[name], TempStore(name)
    assert isinstance(rule, TempRule)  # noqa: S101 - its kind says so
    ids: list[str] = []
    return [
        ("a small file is put", lambda: ids.append(files.put.sync(b"content").id)),
        ("it is read", lambda: files.read.sync(ids[0])),
        ("it is deleted", lambda: files.delete.sync(ids[0])),
    ]


_STEPS: Final[Mapping[str, Callable[[str, LoadedPolicy], Steps]]] = MappingProxyType(
    {
        "cache": _of_cache,
        "sessions": _of_sessions,
        "ratelimit": _of_limits,
        "analytics": _of_analytics,
        "temp": _of_temp,
    }
)
