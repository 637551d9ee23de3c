"""``@cached`` and ``@llm_cached``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Any, cast, overload

from cachepolicy.decorators.handle import (
    AsyncCachedFunction,
    CachedFunction,
    Decorator,
    P,
    R,
)
from cachepolicy.decorators.many import decorate_many
from cachepolicy.decorators.many_handle import ManyDecorator
from cachepolicy.decorators.methods import Form, opened, refuse_implicit_self
from cachepolicy.decorators.verbs import decorate
from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import collects, identity_of, name_of, shape_of
from cachepolicy.runtime.decoration import Decoration, Key, Options, Ttl


def cached(
    namespace: str,
    key: Key | None = None,
    ttl: Ttl = None,
    version: int = 1,
    ignore: Sequence[str] = (),
    tags: Sequence[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]] = (),
) -> Decorator:
    """Answer calls of a function from the cache of a namespace.

    Args:
        namespace: a namespace of kind ``cache`` in the policy.
        key: what identifies a call, if not all its arguments: a template, ``"model:{provider}:{name}"``,
            or a callable that takes the same arguments and returns plain data.
        ttl: how long an answer is fresh, such as ``"30m"`` or seconds; within the namespace's range.
        version: raise it when the function's answers change meaning: older entries are no longer found.
        ignore: parameters that do not identify a call, such as ``("self",)``: any object may be passed there.
        tags: parameters by whose values entries can be invalidated together, besides those of the policy.
        cache_if: takes a result and tells whether it is kept; it is given to its callers in any case.
        negative: exceptions that are answers, kept and raised again: their classes, or a mapping from classes
            to how long each is kept, where None is as long as the policy says.

    Raises:
        DecorationError: the function cannot be cached this way.
    """

    def apply(function: Callable[..., Any]) -> Any:
        return _decorate(function, "cache", options)

    options = Options(namespace, key, ttl, version, ignore, tags, cache_if, negative)
    return cast("Decorator", apply)


def cached_many(
    namespace: str,
    over: str,
    key: Key | None = None,
    ttl: Ttl = None,
    version: int = 1,
    ignore: Sequence[str] = (),
    tags: Sequence[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]] = (),
) -> ManyDecorator:
    """Answer calls of a function that takes many items from the cache, item by item.

    The function takes a sequence of items and returns a list of one result for each, in their order, or a
    mapping from items to results. It is called once, with the items that are not cached; calls of the
    decorated function return a list.

    Args:
        namespace: a namespace of kind ``cache`` in the policy.
        over: the parameter that takes the items. An item's entry is that of a call with the item in the place
            of all, so every other argument is part of it.
        key: as for ``cached``; the parameter's value is one item.
        ttl: how long a result is fresh, such as ``"30m"`` or seconds; within the namespace's range.
        version: raise it when the function's results change meaning: older entries are no longer found.
        ignore: parameters that do not identify a call.
        tags: parameters by whose values entries can be invalidated together; that of the items is one item.
        cache_if: takes one item's result and tells whether it is kept.
        negative: exceptions that, returned in an item's place, are kept as its result, and how long. One that
            is raised is nobody's result and is never kept.

    Raises:
        DecorationError: the function cannot be cached this way.
    """

    def apply(function: Callable[..., Any]) -> Any:
        return _decorate(function, "cache", options)

    options = Options(namespace, key, ttl, version, ignore, tags, cache_if, negative, over)
    return cast("ManyDecorator", apply)


@overload
def llm_cached(  # type: ignore[overload-overlap] # a coroutine function is a function too: first match wins
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> AsyncCachedFunction[P, R]: ...
@overload
def llm_cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def llm_cached(
    *,
    namespace: str = "llm",
    key: Key | None = None,
    ttl: Ttl = None,
    version: int = 1,
    ignore: Sequence[str] = (),
    tags: Sequence[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]] = (),
) -> Decorator: ...
def llm_cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    namespace: str = "llm",
    key: Key | None = None,
    ttl: Ttl = None,
    version: int = 1,
    ignore: Sequence[str] = (),
    tags: Sequence[str] = (),
    cache_if: Callable[[Any], object] | None = None,
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]] = (),
) -> Any:
    """Answer calls of an LLM function from the cache; bare, or called with the arguments of ``cached``."""

    def apply(function: Callable[..., Any]) -> Any:
        return _decorate(function, "llm_cache", options)

    options = Options(namespace, key, ttl, version, ignore, tags, cache_if, negative)
    return apply if function is None else apply(function)


def _decorate(decorated: object, kind: str, options: Options) -> Any:
    function, form = opened(decorated)
    _refuse_what_is_no_function(function)
    name, key, ignore, version = name_of(function), options.key, options.ignore, options.version
    if type(version) is not int or version < 1:
        raise DecorationError(f"{name}: version={version!r}: expected a whole number from 1 on")
    takes_class = form in {Form.CLASS_METHOD, Form.UNDER_CLASS_METHOD}
    shape = shape_of(function, ignore, takes_class=takes_class and key is None)
    _check_names(ignore, "ignore", shape.names, name)
    _check_names(options.tags, "tags", shape.names, name)
    if options.over is not None:
        _check_over(options.over, function, shape.names, name, ignore)
    if ignore and key is not None:
        raise DecorationError(f"{name}: key= says all that identifies a call; leave ignore= out")
    _refuse_slow_judge(options.cache_if, name)
    if key is None:
        refuse_implicit_self(function, form, ignore)
    decoration = Decoration(
        function=function,
        shape=shape,
        name=name,
        identity=identity_of(function, has_own_key=key is not None),
        is_async=_is_async(function),
        namespace=options.namespace,
        kind=kind,
        version=version,
        ttl=_plain(options.ttl),
        tags=tuple(options.tags),
        cache_if=options.cache_if,
        negative=_negative(options.negative, name),
        ignore=tuple(ignore),
        over=options.over,
    )
    return (
        decorate(decoration, key, form)
        if options.over is None
        else decorate_many(decoration, key, form, options.over)
    )


def _check_over(
    over: str, function: Callable[..., Any], names: Sequence[str], name: str, ignore: Sequence[str]
) -> None:
    _check_names((over,), "over", names, name)
    if collects(function, over):
        raise DecorationError(f"{name}: over={over!r}: expected a parameter that takes a sequence, without *")
    if over in ignore:
        raise DecorationError(f"{name}: over={over!r} is also in ignore=, so all items would share one entry")


def _refuse_slow_judge(cache_if: object, function: str) -> None:
    """Refuse a ``cache_if`` that cannot say at once whether a result is kept."""
    if cache_if is not None and (not callable(cache_if) or _is_async(cache_if)):
        raise DecorationError(f"{function}: cache_if: expected a def function that takes the result")


def _is_exception(kind: object) -> bool:
    """Tell whether this is a class of exceptions."""
    return isinstance(kind, type) and issubclass(kind, Exception)


def _plain(ttl: Ttl) -> str | float | None:
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl


def _negative(
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]], function: str
) -> dict[type[Exception], str | float | None]:
    pairs = negative if isinstance(negative, Mapping) else dict.fromkeys(negative)
    for kind in pairs:
        if not _is_exception(kind):
            raise DecorationError(f"{function}: negative={kind!r}: expected classes of exceptions")
    return {kind: _plain(ttl) for kind, ttl in pairs.items()}


def _is_async(function: object) -> bool:
    call = getattr(type(function), "__call__", None)  # noqa: B004 - an instance with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _refuse_what_is_no_function(function: object) -> None:
    kind: type = type(function)
    if kind in {functools.partialmethod, property, functools.cached_property} or not callable(function):
        raise DecorationError(
            f"a {kind.__name__} cannot be cached; put the decorator directly above the function"
        )
    if inspect.isclass(function):
        raise DecorationError(
            f"{name_of(function)}: a class cannot be cached; decorate a function that makes it"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        message = "a generator's answer comes in parts and cannot be cached yet; return it whole"
        raise DecorationError(f"{name_of(function)}: {message}")


def _check_names(wanted: Sequence[str], option: str, names: Sequence[str], function: str) -> None:
    if isinstance(wanted, str):
        raise DecorationError(
            f"{function}: {option}={wanted!r}: expected several names: {option}=({wanted!r},)"
        )
    for name in wanted:
        if name not in names:
            from cachepolicy.policy.words import did_you_mean  # loaded with the first policy, or an error

            known = did_you_mean(name, names) or f"; there are: {', '.join(names) or 'none'}"
            raise DecorationError(f"{function}: {option}={name!r}: no such parameter{known}")
