"""``@cached`` and ``@cached_many``: answers of any function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from cachepolicy.decorators.accept import accept
from cachepolicy.decorators.handle import Decorator
from cachepolicy.decorators.many_handle import ManyDecorator
from cachepolicy.runtime.decoration import Key, Options, Ttl


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
        return accept(function, options)

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
        return accept(function, options)

    options = Options(namespace, key, ttl, version, ignore, tags, cache_if, negative, over)
    return cast("ManyDecorator", apply)
