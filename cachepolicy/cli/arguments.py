"""What commands read their arguments with."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def checked(read: Callable[[str], T]) -> Callable[[str], T]:
    """Have argparse say what was expected, in the words of the ValueError."""

    def told(text: str) -> T:
        try:
            return read(text)
        except ValueError as wrong:
            raise ArgumentTypeError(str(wrong)) from None

    return told
