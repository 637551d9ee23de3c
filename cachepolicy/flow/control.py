"""What a caller wants of the cache for the calls of one context, beyond what the policy says."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Control:
    """One caller's wishes; durations in seconds.

    Attributes:
        no_cache: what is cached does not answer; the function is called, and its result kept.
        no_store: nothing is kept.
        refresh: as ``no_cache``, and loads that are under way store nothing.
        max_age: the oldest answer that will do; None: as old as the policy lets it be.
        ttl: how long a result is fresh; None: as the policy says.
        only_if_cached: the function is not called.
        tags: that results get besides the policy's.
        variant: which of several answers, where several are kept; None: not said.
        seed: what draws one of them; None: chance does.
    """

    no_cache: bool = False
    no_store: bool = False
    refresh: bool = False
    max_age: float | None = None
    ttl: float | None = None
    only_if_cached: bool = False
    tags: tuple[str, ...] = ()
    variant: int | None = None
    seed: str | None = None

    def within(self, outer: Control) -> Control:
        """Return what holds in a context inside another.

        That is the stricter of both, the inner TTL, all tags, and the inner choice among several answers.
        """
        chooses = self if self.variant is not None or self.seed is not None else outer
        ages = [age for age in (self.max_age, outer.max_age) if age is not None]
        return replace(
            self,
            no_cache=self.no_cache or outer.no_cache,
            no_store=self.no_store or outer.no_store,
            refresh=self.refresh or outer.refresh,
            max_age=min(ages) if ages else None,
            ttl=self.ttl if self.ttl is not None else outer.ttl,
            only_if_cached=self.only_if_cached or outer.only_if_cached,
            tags=tuple(dict.fromkeys((*outer.tags, *self.tags))),
            variant=chooses.variant,
            seed=chooses.seed,
        )


NO_CONTROL: Final = Control()
_CURRENT: ContextVar[Control] = ContextVar("cachepolicy_control", default=NO_CONTROL)


current_control: Final[Callable[[], Control]] = _CURRENT.get
"""Returns what holds in this context; the variable's own method, since every L1 hit asks it."""


def push(control: Control) -> Token[Control]:
    """Have wishes hold in this context; return what ``pop`` needs."""
    return _CURRENT.set(control.within(_CURRENT.get()))


def pop(token: Token[Control]) -> None:
    """Undo ``push``."""
    _CURRENT.reset(token)
