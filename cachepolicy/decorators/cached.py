"""``@cached`` and ``@llm_cached``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any, cast, overload

from cachepolicy.decorators.handle import AsyncCachedFunction, CachedFunction, Decorator, P, R
from cachepolicy.decorators.verbs import decorate
from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import identity_of, name_of, shape_of
from cachepolicy.runtime.decoration import Decoration

Key = str | Callable[..., object]


def cached(
    namespace: str,
    key: Key | None = None,
    ttl: str | float | timedelta | None = None,
    version: int = 1,
) -> Decorator:
    """Answer calls of a function from the cache of a namespace.

    Args:
        namespace: a namespace of kind ``cache`` in the policy.
        key: what identifies a call, if not all its arguments: a template, ``"model:{provider}:{name}"``,
            or a callable that takes the same arguments and returns plain data.
        ttl: how long an answer is fresh, such as ``"30m"`` or seconds; within the namespace's range.
        version: raise it when the function's answers change meaning: older entries are no longer found.

    Raises:
        DecorationError: the function cannot be cached this way.
    """

    def apply(function: Callable[..., Any]) -> Any:
        return decorate(
            _decoration(function, namespace=namespace, kind="cache", key=key, ttl=ttl, version=version), key
        )

    return cast("Decorator", apply)


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
    ttl: str | float | timedelta | None = None,
    version: int = 1,
) -> Decorator: ...
def llm_cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    namespace: str = "llm",
    key: Key | None = None,
    ttl: str | float | timedelta | None = None,
    version: int = 1,
) -> Any:
    """Answer calls of an LLM function from the cache; bare, or called with the arguments of ``cached``."""

    def apply(function: Callable[..., Any]) -> Any:
        return decorate(
            _decoration(function, namespace=namespace, kind="llm_cache", key=key, ttl=ttl, version=version),
            key,
        )

    return apply if function is None else apply(function)


def _decoration(
    function: object,
    *,
    namespace: str,
    kind: str,
    key: Key | None,
    ttl: str | float | timedelta | None,
    version: int,
) -> Decoration:
    kind_of_object = type(function)
    if not callable(function) or kind_of_object in {staticmethod, classmethod}:
        raise DecorationError(
            f"a {kind_of_object.__name__} cannot be cached; put the decorator directly above the function"
        )
    name = name_of(function)
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise DecorationError(
            f"{name}: a generator's answer comes in parts and cannot be cached yet; return it whole"
        )
    if inspect.isclass(function):
        raise DecorationError(f"{name}: a class cannot be cached; decorate a function that makes it")
    if type(version) is not int or version < 1:
        raise DecorationError(f"{name}: version={version!r}: expected a whole number from 1 on")
    call = getattr(type(function), "__call__", None)  # noqa: B004 - an instance with an async __call__
    return Decoration(
        function=function,
        shape=shape_of(function),
        name=name,
        identity=identity_of(function, has_own_key=key is not None),
        is_async=inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call),
        namespace=namespace,
        kind=kind,
        version=version,
        ttl=ttl.total_seconds() if isinstance(ttl, timedelta) else ttl,
    )
