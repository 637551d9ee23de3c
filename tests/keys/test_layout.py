"""The spelling of keys: what is stored today is looked up under the same name after the next release."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from cachepolicy.codec.envelope import fingerprint
from cachepolicy.keys.canonical import encode
from cachepolicy.keys.layout import digest, digest_seed, prefix


class Colour(enum.Enum):
    """An enum."""

    RED = "red"


class Pair(NamedTuple):
    """A named tuple."""

    x: int


@dataclass
class Point:
    """A dataclass."""

    x: int


class Model(BaseModel):
    """A model."""

    x: int = 1


for kind in (Colour, Pair, Point, Model):
    kind.__module__ = "m"

# The canonical encoding of one value of each kind, as digest. A change here empties every cache there is: it
# needs a new format in cachepolicy.keys.layout, on purpose.
ENCODED: dict[str, tuple[Any, str]] = {
    "chat": ([{"role": "user", "content": "größe"}, 1, -1, True, None, 1.5, b"x"], "c69b36818beeeb75"),
    "tuple": ((1, "a"), "5c7655f39c1658cc"),
    "big integer": (2**70, "558fc144f3e3dffc"),
    "set": ({1, "a"}, "e45e48cca2923b08"),
    "frozenset": (frozenset({1}), "4ccb5b02db34b7a5"),
    "mapping": ({1: "a", "b": 2}, "b1bac08d67391490"),
    "surrogate": ("\ud800", "0bbe4f29318f887c"),
    "datetime": (datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC), "d08413a7e27140a4"),
    "date": (datetime.date(2026, 1, 2), "f7927487286f22e0"),
    "time": (datetime.time(1, 2, 3), "a691d5e5e1cf138b"),
    "timedelta": (datetime.timedelta(1, 2, 3), "04d7c781f14493e0"),
    "uuid": (uuid.UUID(int=7), "66d436f96b4beaa3"),
    "decimal": (decimal.Decimal("1.50"), "16df5bb26860ef8a"),
    "complex": (1 + 2j, "a020bef02f8d10e6"),
    "range": (range(1, 9, 2), "55a9f10841f12413"),
    "ordered": (OrderedDict(a=1), "40b4416a2f5cb135"),
    "enum": (Colour.RED, "38223ab4def3a407"),
    "named tuple": (Pair(1), "a74f0bae4d6664ea"),
    "dataclass": (Point(1), "02d0714f4aeb0136"),
    "model": (Model(), "ff546ce3bb5bba66"),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_the_encoding_is_what_it_was(kind: str) -> None:
    """A key of an earlier release is a key of this one."""
    value, expected = ENCODED[kind]
    assert digest(b"", encode(value))[:16] == expected


def test_a_key_is_spelled_app_namespace_kind_digest() -> None:
    """Operators, ACL rules and other processes rely on the layout."""
    name = f"{prefix('app', 'llm')}llm_cache:{digest(digest_seed('m:f', '1'), encode([]))}"
    assert name == "app:llm:llm_cache:b05d63a5c2320e9a6225691bfe9216cc3f7bb3b0a1fe51571e0997f85a86813d"
    assert fingerprint(name).hex() == "c438f808eeaf8121"


@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_parts_of_an_identity_do_not_run_together(left: list[str], right: list[str]) -> None:
    """Identity and version are framed by their lengths."""
    assert (digest_seed(*left) == digest_seed(*right)) == (left == right)
