"""``@cached`` and ``@llm_cached``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, cast, overload

from cachepolicy.decorators.handle import (
    AsyncCachedFunction,
    CachedFunction,
    Decorator,
    P,
    R,
)
from cachepolicy.decorators.methods import Form, opened, refuse_implicit_self
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
    ignore: Sequence[str] = (),
) -> Decorator:
    """Answer calls of a function from the cache of a namespace.

    Args:
        namespace: a namespace of kind ``cache`` in the policy.
        key: what identifies a call, if not all its arguments: a template, ``"model:{provider}:{name}"``,
            or a callable that takes the same arguments and returns plain data.
        ttl: how long an answer is fresh, such as ``"30m"`` or seconds; within the namespace's range.
        version: raise it when the function's answers change meaning: older entries are no longer found.
        ignore: parameters that do not identify a call, such as ``("self",)``: any object may be passed there.

    Raises:
        DecorationError: the function cannot be cached this way.
    """

    def apply(function: Callable[..., Any]) -> Any:
        return _decorate(
            function, namespace=namespace, kind="cache", key=key, ttl=ttl, version=version, ignore=ignore
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
    ignore: Sequence[str] = (),
) -> Decorator: ...
def llm_cached(
    function: Callable[..., Any] | None = None,
    /,
    *,
    namespace: str = "llm",
    key: Key | None = None,
    ttl: str | float | timedelta | None = None,
    version: int = 1,
    ignore: Sequence[str] = (),
) -> Any:
    """Answer calls of an LLM function from the cache; bare, or called with the arguments of ``cached``."""

    def apply(function: Callable[..., Any]) -> Any:
        return _decorate(
            function, namespace=namespace, kind="llm_cache", key=key, ttl=ttl, version=version, ignore=ignore
        )

    return apply if function is None else apply(function)


def _decorate(
    decorated: object,
    *,
    namespace: str,
    kind: str,
    key: Key | None,
    ttl: str | float | timedelta | None,
    version: int,
    ignore: Sequence[str],
) -> Any:
    function, form = opened(decorated)
    _refuse_what_is_no_function(function)
    name = name_of(function)
    if type(version) is not int or version < 1:
        raise DecorationError(f"{name}: version={version!r}: expected a whole number from 1 on")
    takes_class = form in {Form.CLASS_METHOD, Form.UNDER_CLASS_METHOD}
    shape = shape_of(function, ignore, takes_class=takes_class and key is None)
    _check_ignored(ignore, shape.names, name, has_own_key=key is not None)
    if key is None:
        refuse_implicit_self(function, form, ignore)
    decoration = Decoration(
        function=function,
        shape=shape,
        name=name,
        identity=identity_of(function, has_own_key=key is not None),
        is_async=_is_async(function),
        namespace=namespace,
        kind=kind,
        version=version,
        ttl=ttl.total_seconds() if isinstance(ttl, timedelta) else ttl,
        ignore=tuple(ignore),
    )
    return decorate(decoration, key, form)


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


def _check_ignored(ignore: Sequence[str], names: Sequence[str], function: str, *, has_own_key: bool) -> None:
    if isinstance(ignore, str):
        raise DecorationError(f"{function}: ignore={ignore!r}: expected several names: ignore=({ignore!r},)")
    if ignore and has_own_key:
        raise DecorationError(f"{function}: key= says all that identifies a call; leave ignore= out")
    for name in ignore:
        if name not in names:
            from cachepolicy.policy.words import did_you_mean  # loaded with the first policy, or an error

            known = did_you_mean(name, names) or f"; there are: {', '.join(names) or 'none'}"
            raise DecorationError(f"{function}: ignore={name!r}: no such parameter{known}")
