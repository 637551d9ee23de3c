"""What a decorator and the rule of its namespace come to, together."""

from __future__ import annotations

import builtins
import functools
import logging
import math
import operator
import pkgutil
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace

from cachepolicy.clock import lifetime_ms
from cachepolicy.codec.raised import Errors
from cachepolicy.codec.serialize import ABSENT, Form, Serializer, serializer_for
from cachepolicy.codec.streamed import Streamed, kind_of
from cachepolicy.errors import DecorationError, PolicyError, Problem, UnserializableValue
from cachepolicy.flow.collation import Collation
from cachepolicy.flow.failure import Failure, FailureKind
from cachepolicy.flow.plan import Admission, Life
from cachepolicy.keys.layout import sizes_key
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.policy.tree import problem
from cachepolicy.policy.units import format_duration, parse_duration
from cachepolicy.policy.words import did_you_mean
from cachepolicy.runtime.decoration import Decoration
from cachepolicy.telemetry.logs import Event, fields
from cachepolicy.tiers.quota import Quota

_LOG = logging.getLogger("cachepolicy")


def serializer(decoration: Decoration) -> Serializer:
    """Choose by the return annotation; one that cannot be read leaves the plain forms, and is told."""
    try:
        annotation = returned(decoration.function)
    except (NameError, TypeError, AttributeError) as error:  # imported for checkers only…
        # Python's own words may quote what a partial holds; ours name types only.
        _tell_unreadable(decoration, type(error).__name__)
        return serializer_for(ABSENT)
    if decoration.over is not None:
        return serializer_of(decoration, _of_an_item(annotation))
    kind = kind_of(decoration.function, annotation, is_async=decoration.is_async)
    if kind is not None:
        annotation = kind.chunk if isinstance(kind, Streamed) else kind.whole
    return serializer_of(decoration, annotation)


def serializer_of(decoration: Decoration, annotation: object) -> Serializer:
    """Choose by an annotation, as ``serializer`` does."""
    try:
        return serializer_for(annotation)
    except UnserializableValue as error:
        _tell_unreadable(decoration, str(error))
        return serializer_for(ABSENT)


def _tell_unreadable(decoration: Decoration, why: str) -> None:
    message = "%s: its return annotation cannot be read, so only results of JSON's types are cached: %s"
    beside = fields(Event.UNREADABLE_TYPE, namespace=decoration.namespace, function=decoration.name)
    _LOG.warning(message, decoration.name, why, extra=beside)


def returned(function: Callable[..., object]) -> object:
    """Return the annotation of what a function returns, resolved; ``ABSENT``: it has none.

    Raises:
        NameError, TypeError, AttributeError: it cannot be read.
    """
    return typing.get_type_hints(function, include_extras=True).get("return", ABSENT)


def results(decoration: Decoration, admission: Admission) -> tuple[Collation | None, Serializer, Admission]:
    """Say how results are put together, written, and kept. Raises as ``_collation`` does."""
    collation = _collation(decoration)
    if collation is None:
        return None, serializer(decoration), admission
    return collation, collation.serializer, replace(admission, if_=collation.judge(admission.if_))


def _collation(decoration: Decoration) -> Collation | None:
    """Say how results for many items are put together, where that is more than a list.

    Raises:
        DecorationError: the function's return annotation cannot be read, or is of no such result.
    """
    make = decoration.traits.collation
    if make is None or decoration.over is None:
        return None
    try:
        hints = typing.get_type_hints(decoration.function, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise DecorationError(
            f"{decoration.name}: its annotations cannot be read ({type(error).__name__}), and what it "
            "returns is known by them; import what they name where the module runs"
        ) from None
    return make(hints.get("return", ABSENT), hints.get(decoration.over) is str, decoration.name)


def _of_an_item(annotation: object) -> object:
    """Return the annotation of one result, from that of all: of a list's items, of a mapping's values.

    Classes of exceptions are no part of it: those that are kept have a form of their own.
    """
    arguments = typing.get_args(annotation)
    origin = typing.get_origin(annotation)
    if not arguments or not isinstance(origin, type):
        return ABSENT
    if origin is tuple and arguments[1:] != (...,):
        return ABSENT
    item = arguments[1 if issubclass(origin, Mapping) else 0]
    if typing.get_origin(item) in {typing.Union, types.UnionType}:
        kinds = [kind for kind in typing.get_args(item) if not _is_exception(kind)]
        item = functools.reduce(operator.or_, kinds) if kinds else ABSENT
    return item


def _is_exception(kind: object) -> typing.TypeGuard[type[Exception]]:
    return isinstance(kind, type) and issubclass(kind, Exception)


def readable(serializer: Serializer, errors: Errors) -> Serializer:
    """Return a serializer whose values may be exceptions too."""
    return replace(serializer, loaders={**serializer.loaders, Form.ERROR: errors.load})


def blind_ttl(rule: CacheRule) -> float:
    """Return how long an entry stays in L1 while no changes are heard of, in seconds."""
    local = rule.local
    return local.ttl if local.coherence == "off" else min(local.ttl, local.blind_ttl)


def life(decoration: Decoration, rule: CacheRule) -> Life:
    """Say how long values may serve.

    Raises:
        PolicyError: the decorator's TTL is outside what the namespace allows.
    """
    return Life(
        ttl=_ttl(decoration, rule),
        shortest=rule.ttl.min or 0.001,
        longest=rule.ttl.max or math.inf,
        jitter=rule.jitter,
        if_error=rule.stale.if_error,
        while_revalidate=rule.stale.while_revalidate,
        throttle=rule.stale.throttle,
        early=rule.stampede.early,
    )


def admission(decoration: Decoration, rule: CacheRule, loaded: LoadedPolicy) -> Admission:
    """Say what is kept.

    Raises:
        PolicyError: ``negative.errors`` names what is no class of exceptions; all such names are told.
    """
    ttls: dict[type[Exception], float] = {}
    problems: list[Problem] = []
    for index, name in enumerate(rule.negative.errors):
        kind = _exception(name)
        if kind is None:
            problems.append(_no_exception(loaded, decoration.namespace, index, name))
        else:
            ttls[kind] = rule.negative.ttl
    if problems:
        raise PolicyError(problems)
    for kind, ttl in decoration.negative.items():
        ttls[kind] = rule.negative.ttl if ttl is None else _duration(ttl, f"{decoration.name}: negative")
    judge = _judge(decoration.traits.failures, rule.negative.ttl if rule.negative.bad_requests else None)
    of_results = decoration.traits.judge
    return Admission(
        rule.admit.none,
        decoration.cache_if,
        Errors(ttls, judge),
        None if of_results is None else of_results(rule.admit),
    )


def _judge(
    failures: Callable[[BaseException], Failure], refused: float | None
) -> Callable[[BaseException, float | None], float | None]:
    """Return what says how long an error is kept.

    Args:
        failures: says what an error comes from.
        refused: how long one is kept that refuses the request itself, in seconds; None: not by that alone.
    """

    def judge(error: BaseException, listed: float | None) -> float | None:
        kind = failures(error).kind
        if kind is FailureKind.AUTH:
            return None
        return refused if listed is None and kind is FailureKind.DETERMINISTIC else listed

    return judge


def _exception(name: str) -> type[Exception] | None:
    """Return the class of exceptions that a name of the policy means, if there is one."""
    try:
        found = pkgutil.resolve_name(name if "." in name else f"builtins.{name}")
    except (ImportError, AttributeError, ValueError):
        return None
    return found if _is_exception(found) else None


def _no_exception(loaded: LoadedPolicy, namespace: str, index: int, name: str) -> Problem:
    path = f"namespaces.{namespace}.negative.errors"
    place = loaded.provenance.get(f"{path}[{index}]") or loaded.provenance[path]
    known = (word for word, kind in vars(builtins).items() if isinstance(kind, type))
    meant = did_you_mean(name, known) if "." not in name else ""
    expected = "expected the full name of a class of exceptions, such as LookupError or shop.errors.NotFound"
    return problem(place, path, f"{name}: {expected}{meant}")


def _duration(value: str | float, where: str) -> float:
    try:
        return parse_duration(value)
    except ValueError as error:
        raise PolicyError(f"{where}: {error}") from None


def _ttl(decoration: Decoration, rule: CacheRule) -> float:
    if decoration.ttl is None:
        return rule.ttl.default
    where = f"{decoration.name}: ttl={decoration.ttl!r}"
    ttl = _duration(decoration.ttl, where)
    if rule.ttl.min is not None and ttl < rule.ttl.min:
        allowed = f"at least {format_duration(rule.ttl.min)}"
    elif rule.ttl.max is not None and ttl > rule.ttl.max:
        allowed = f"at most {format_duration(rule.ttl.max)}"
    else:
        return ttl
    raise PolicyError(f"{where} is outside what namespace {decoration.namespace!r} allows: {allowed}")


def longest(rule: CacheRule) -> float:
    """Return for how long an entry can stay in Redis, in seconds."""
    stale = max(rule.stale.if_error, rule.stale.while_revalidate)
    return max(rule.ttl.default, rule.ttl.max or 0.0) + stale


def quota(rule: CacheRule, keys: str) -> Quota | None:
    """Make the quota of a namespace; None where it has none.

    Args:
        rule: of the namespace.
        keys: what each of its keys begins with.
    """
    most = rule.eviction.max_bytes
    return None if most is None else Quota(sizes_key(keys), most, lifetime_ms(longest(rule)))
