"""Text for terminals: nothing in it moves the cursor, changes colours, or turns the direction of reading."""

from __future__ import annotations

import os
from pathlib import Path


def printable(text: str) -> str:
    r"""Write what is no visible character as an escape: a file's own words may be in the text.

    >>> printable("a\x1b[31m")
    'a\\x1b[31m'
    """
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def nearby(path: str) -> str:
    """Write a file's path as seen from the working directory, where it is below it."""
    here = Path.cwd()
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are written
    return str(whole.relative_to(here)) if path and whole.is_relative_to(here) else path


def counted(number: int, word: str) -> str:
    """Write a number of things: ``1 error``, ``2 errors``."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
