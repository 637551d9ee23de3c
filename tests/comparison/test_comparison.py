"""What the comparison says of this library."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

import cachepolicy
from cachepolicy import policy
from tests.comparison.behaviour import PROBES, Probe
from tests.comparison.clients import CachePolicy
from tests.comparison.page import PAGE
from tests.comparison.read import ROWS
from tests.comparison.requests import DIFFERENT, SAME, Pair
from tests.comparison.subjects import of_cachepolicy
from tests.support.policies import PATIENT


@pytest.fixture(autouse=True)
def configured() -> Iterator[None]:
    """Under the shipped policy, in memory, with time for a busy machine."""
    shipped = {"version": 1, "extends": str(policy.shipped()), "redis": dict(PATIENT)}
    cachepolicy.configure(shipped, environment="test")
    yield
    cachepolicy.close()


@pytest.mark.parametrize("pair", DIFFERENT, ids=lambda pair: pair.what)
def test_requests_that_ask_for_something_else_have_two_keys(pair: Pair) -> None:
    """M1: no two requests that differ in what they ask for share an entry."""
    make = of_cachepolicy()
    assert make(pair.left) != make(pair.right)


@pytest.mark.parametrize("pair", SAME, ids=lambda pair: pair.what)
def test_requests_that_ask_for_the_same_have_one_key(pair: Pair) -> None:
    """M1: what does not shape an answer costs no second call."""
    make = of_cachepolicy()
    assert make(pair.left) == make(pair.right)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.row)
def test_answers_are_kept_as_one_would_wish(probe: Probe) -> None:
    """M2, M3, M5: each probe of the comparison comes out as its page says."""
    assert asyncio.run(probe.run(CachePolicy())) == probe.best


def test_each_page_that_the_comparison_names_is_there() -> None:
    """What the comparison says there is has a page that says how it is used."""
    pages = {cell.split("](")[1].rstrip(")") for row in ROWS for cell in row.cells if "](" in cell}
    assert [page for page in sorted(pages) if not (PAGE.parent / page).exists()] == []
