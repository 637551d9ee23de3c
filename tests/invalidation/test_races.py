"""C5: an invalidation wins over every load that began before it."""

from __future__ import annotations

from typing import Any

import pytest

from cachepolicy import control
from tests.support.colour import Colour
from tests.support.racing import APART, PATIENCE, WAYS, Invalidation, another_process, race

by = pytest.mark.parametrize("by", WAYS.values(), ids=WAYS)
local = pytest.mark.parametrize("local", APART.values(), ids=APART)
purge = pytest.mark.parametrize("purge", [True, False], ids=["purge", "expire"])


@by
@purge
@local
def test_c5_a_load_that_was_overtaken_is_not_served_later(
    colour: Colour, redis_url: str, by: Invalidation, purge: bool, local: dict[str, Any]
) -> None:
    """C5: a load that ends after an invalidation answers its caller and nobody else, here or elsewhere."""
    with race(colour, redis_url, local) as racing:
        load = racing.overtaken(by, purge=purge)
        racing.release.set()
        assert load.result(PATIENCE) == 0
        assert racing.ask() == 1
        another_process(redis_url, local)
        assert racing.ask() == 1
        assert racing.truth.loads == 2


@by
@purge
@local
def test_c5_nobody_joins_a_load_from_before_an_invalidation(
    colour: Colour, redis_url: str, by: Invalidation, purge: bool, local: dict[str, Any]
) -> None:
    """C5: who calls after an invalidation does not wait for, nor get, what was begun before it (FC#535)."""
    with race(colour, redis_url, local) as racing:
        load = racing.overtaken(by, purge=purge)
        assert racing.ask() == 1
        racing.release.set()
        assert load.result(PATIENCE) == 0
        assert racing.ask() == 1
        another_process(redis_url, local)
        assert racing.ask() == 1
        assert racing.truth.loads == 2


@by
@purge
def test_c5_in_memory_too(colour: Colour, by: Invalidation, purge: bool) -> None:
    """C5: it holds where Redis is in this process."""
    with race(colour, "memory://", {}) as racing:
        load = racing.overtaken(by, purge=purge)
        assert racing.ask() == 1
        racing.release.set()
        assert load.result(PATIENCE) == 0
        assert racing.ask() == 1


@by
@purge
@local
def test_c5_an_l1_hit_ends_with_the_invalidation(
    colour: Colour, redis_url: str, by: Invalidation, purge: bool, local: dict[str, Any]
) -> None:
    """C5: once a verb has returned, L1 of the same process answers nothing old, not for a moment."""
    with race(colour, redis_url, local) as racing:
        for number in range(3):
            assert racing.ask() == number
            assert racing.ask() == number
            racing.truth.now += 1
            by(racing, purge)


@by
def test_c5_a_refresh_that_was_overtaken_stores_nothing(
    colour: Colour, redis_url: str, by: Invalidation
) -> None:
    """C5: ``refresh()`` is a load like any other: what it began with before an invalidation does not stay."""
    with race(colour, redis_url, {}) as racing:
        assert racing.ask() == 0
        release = racing.truth.hold()
        again = racing.pool.submit(racing.run, lambda: racing.answer.refresh("why?", "small"))
        assert racing.truth.began.wait(PATIENCE)
        racing.truth.now += 1
        by(racing, True)
        release.set()
        assert again.result(PATIENCE) == 0
        assert racing.ask() == 1
        another_process(redis_url, {})
        assert racing.ask() == 1


@by
@purge
def test_c5_a_background_refresh_that_was_overtaken_stores_nothing(
    colour: Colour, redis_url: str, by: Invalidation, purge: bool
) -> None:
    """C5: what is computed anew behind callers' backs is stamped with its beginning, not its end (FC#628)."""
    rule: dict[str, Any] = {"stale": {"while_revalidate": "1h"}}
    with race(colour, redis_url, {"enabled": False}, **rule) as racing:
        assert racing.ask() == 0
        racing.run(lambda: racing.answer.expire("why?", "small"))
        release = racing.truth.hold()

        stale = racing.pool.submit(racing.run, lambda: racing.answer("why?", "small"))
        assert racing.truth.began.wait(PATIENCE)
        racing.truth.now += 1
        by(racing, purge)
        release.set()
        assert stale.result(PATIENCE) == 0
        if purge:
            assert racing.ask() == 1
        racing.run(lambda: racing.answer.refresh("why?", "small"))
        assert racing.ask() == 1


@by
def test_c5_what_is_purged_does_not_stand_in(colour: Colour, redis_url: str, by: Invalidation) -> None:
    """C5: a purge leaves nothing for ``if_error`` to serve (FC#648, bento#71); an expiry does."""
    rule: dict[str, Any] = {"stale": {"if_error": "1h", "while_revalidate": "0s"}}
    with race(colour, redis_url, {}, **rule) as racing:
        assert racing.ask() == 0
        racing.truth.fails = LookupError("down")
        by(racing, False)
        assert racing.ask() == 0
        by(racing, True)
        with pytest.raises(LookupError):
            racing.ask()


@by
@purge
def test_c5_a_load_without_a_lease_that_was_overtaken_is_not_served_later(
    colour: Colour, redis_url: str, by: Invalidation, purge: bool
) -> None:
    """C5: what ``no_cache`` computes has no lease; an invalidation wins by the server's clock."""
    with race(colour, redis_url, {}) as racing:
        assert racing.ask() == 0

        def without_cache() -> int:
            with control(no_cache=True):
                return racing.ask()

        release = racing.truth.hold()
        load = racing.pool.submit(without_cache)
        assert racing.truth.began.wait(PATIENCE)
        racing.truth.now += 1
        by(racing, purge)
        release.set()
        assert load.result(PATIENCE) == 0
        assert racing.ask() == 1
        another_process(redis_url, {})
        assert racing.ask() == 1
