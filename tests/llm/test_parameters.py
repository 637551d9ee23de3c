"""M1: every parameter of the installed SDKs has a class, chosen by a person."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from cachepolicy.keys.clients import SHAPING_HEADERS
from cachepolicy.llm.parameters import NULLABLE, SECRET, SERVER_STATE, UNMISTAKABLE, VOLATILE
from tests.support.sdk import FUNCTIONS, SHAPING


def parameters(function: Callable[..., Any]) -> dict[str, str]:
    """Return the names of a function's parameters, and their annotations as text."""
    return {one.name: str(one.annotation) for one in inspect.signature(function).parameters.values()}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_m1_every_parameter_of_the_sdks_is_classed(name: str) -> None:
    """A parameter that an SDK adds is keyed, and this fails until somebody has said whether it must be."""
    assert parameters(FUNCTIONS[name]).keys() - (SHAPING | VOLATILE | SERVER_STATE) == set()


def test_no_parameter_has_two_classes() -> None:
    """Each name is in one class alone."""
    assert not SHAPING & VOLATILE
    assert not SHAPING & SERVER_STATE
    assert not VOLATILE & SERVER_STATE


def test_smaller_lists_hold_what_the_classes_hold() -> None:
    """What cannot mean anything else has a class; what is a secret is volatile; what may be None shapes."""
    assert UNMISTAKABLE <= VOLATILE | SERVER_STATE
    assert SECRET <= VOLATILE
    assert NULLABLE <= SHAPING
    assert {name.lower() for name in SHAPING_HEADERS} == SHAPING_HEADERS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_none_means_not_passed_only_where_the_sdk_says_so(name: str) -> None:
    """M1: each SDK that has such a parameter lets it be None."""
    for parameter, annotation in parameters(FUNCTIONS[name]).items():
        if parameter in NULLABLE:
            assert re.search(r"Optional\[|\bNone\b", annotation), parameter
