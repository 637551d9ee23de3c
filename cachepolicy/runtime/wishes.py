"""``control``: what a caller wishes for the calls of one context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from cachepolicy.errors import PolicyError
from cachepolicy.flow import control as controlling
from cachepolicy.flow.control import Control
from cachepolicy.runtime import current
from cachepolicy.runtime.decoration import Ttl


@contextmanager
def control(
    *,
    no_cache: bool = False,
    no_store: bool = False,
    refresh: bool = False,
    max_age: Ttl = None,
    ttl: Ttl = None,
    only_if_cached: bool = False,
    tags: Sequence[str] = (),
    variant: int | None = None,
    seed: str | None = None,
) -> Iterator[None]:
    """Say how the calls made in this context, and in tasks started from it, are to be answered.

    Inside another ``control`` the stricter of both holds, the inner ``ttl``, all tags, and the inner
    ``variant`` or ``seed``.

    Args:
        no_cache: what is cached does not answer; the function is called, and its result kept.
        no_store: no result is kept.
        refresh: as ``no_cache``, and loads that are under way store nothing.
        max_age: the oldest answer that will do: seconds, or such as ``"5m"``.
        ttl: how long results are fresh, within the range of their namespace.
        only_if_cached: what is not cached raises ``NotCached``; the function is not called.
        tags: by which the results can be invalidated, besides those of the policy.
        variant: which answer, from 0 on, to a call for which the policy keeps several; others do not mind.
        seed: draws one of them instead of chance: the same for the same call each time.

    Raises:
        PolicyError: a duration cannot be read, or the variant is no whole number from 0 on.
    """
    if variant is not None and (type(variant) is not int or variant < 0):
        raise PolicyError(f"control(variant={variant!r}): expected a whole number from 0 on")
    wishes = Control(
        no_cache=no_cache,
        no_store=no_store,
        refresh=refresh,
        max_age=_seconds("max_age", max_age),
        ttl=_seconds("ttl", ttl),
        only_if_cached=only_if_cached,
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        variant=variant,
        seed=seed,
    )
    current.use_controls()
    token = controlling.push(wishes)
    try:
        yield
    finally:
        controlling.pop(token)


def _seconds(name: str, duration: Ttl) -> float | None:
    from cachepolicy.policy.units import parse_duration  # loaded with the first policy

    if duration is None:
        return None
    try:
        return parse_duration(
            duration.total_seconds() if isinstance(duration, timedelta) else duration, zero=name == "max_age"
        )
    except ValueError as error:
        raise PolicyError(f"control({name}={duration!r}): {error}") from None
