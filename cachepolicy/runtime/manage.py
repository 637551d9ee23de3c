"""Verbs of ready-made things: each is one flow, awaited as it is, or run in this thread by ``.sync``."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Concatenate, Generic, NamedTuple, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.stores import Site
    from cachepolicy.runtime.compose import Runtime

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class Work(NamedTuple, Generic[R]):
    """What a verb comes to under the policy in use: a flow, and where it runs."""

    runtime: Runtime
    site: Site
    flow: Flow[R]


class Known(NamedTuple, Generic[R]):
    """What a verb comes to where nothing is left to do."""

    result: R


class Verb(Generic[P, R]):
    """A verb of one thing. ``await thing.verb(…)``; in code that does not await, ``thing.verb.sync(…)``."""

    __slots__ = ("_begin",)

    def __init__(self, begin: Callable[P, Work[R] | Known[R]]) -> None:
        self._begin = begin

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it on the running loop."""
        begun = self._begin(*args, **kwargs)
        if isinstance(begun, Known):
            known: R = begun.result
            return known
        runtime, site, flow = begun
        result: R = await runtime.engine.arun(flow, runtime.stores.async_io(site))
        return result

    def sync(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Do it in this thread."""
        begun = self._begin(*args, **kwargs)
        if isinstance(begun, Known):
            known: R = begun.result
            return known
        runtime, site, flow = begun
        result: R = runtime.engine.run(flow, runtime.stores.sync_io(site))
        return result


class verb(Generic[S, P, R]):  # noqa: N801 - a decorator
    """Make a method that begins a piece of work a verb; the method says what the verb takes and returns."""

    def __init__(self, method: Callable[Concatenate[S, P], Work[R] | Known[R]]) -> None:
        self._method = method
        self._name = method.__name__
        self.__doc__ = method.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> verb[S, P, R]: ...
    @overload
    def __get__(self, instance: S, owner: type) -> Verb[P, R]: ...
    def __get__(self, instance: S | None, owner: type) -> verb[S, P, R] | Verb[P, R]:
        if instance is None:
            return self
        begin: Callable[P, Work[R] | Known[R]] = MethodType(self._method, instance)  # quicker than a partial
        bound = Verb(begin)
        vars(instance)[self._name] = bound  # found there from now on, without asking here
        return bound
