"""Preferences as paths (``ui.theme``) and as nested mappings, one into the other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from cachepolicy.errors import PolicyError

_PATH: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z_][A-Za-z0-9_-]*)*")
_LONGEST: Final = 256  # characters

Tree = dict[str, Any]


def check_path(path: object, who: str) -> str:
    """Return a path; errors name ``who`` asks, and do not show it.

    Raises:
        PolicyError: it is none.
    """
    if type(path) is str and len(path) <= _LONGEST and _PATH.fullmatch(path) is not None:
        return path
    raise PolicyError(
        f"{who}: expected a path such as ui.theme: words of letters, digits, _ and -, "
        f"{_LONGEST} characters at most"
    )


def leaves(changes: Mapping[str, object], who: str) -> Iterator[tuple[str, object]]:
    """Yield each path with its value; a mapping as a value stands for the paths below.

    Raises:
        PolicyError: a path is none, or a mapping is empty or goes on for ever.
    """
    waiting: list[tuple[object, object]] = list(changes.items())
    while waiting:
        path, value = waiting.pop()
        path = check_path(path, who)
        if not isinstance(value, Mapping):
            yield path, value
            continue
        if not value:
            raise PolicyError(f"{who}: an empty mapping says nothing: remove the path instead")
        waiting += [(f"{path}.{below}" if isinstance(below, str) else below, value[below]) for below in value]


def tree_of(defaults: Mapping[str, Any], chosen: Mapping[str, Any]) -> Tree:
    """Return nested mappings: what was chosen, and besides it those defaults that leave it whole."""
    tree: Tree = {}
    for path, value in chosen.items():
        _plant(tree, path, value)
    for path, value in defaults.items():
        _plant(tree, path, value)
    return tree


def below(tree: Tree, path: str, default: object) -> Any:
    """Return what stands under a path; ``default`` where nothing does."""
    here: object = tree
    for word in path.split("."):
        if not isinstance(here, dict) or word not in here:
            return default
        here = here[word]
    return here


def are_torn(path: str, defaults: Mapping[str, Any]) -> bool:
    """Tell whether a value under a path would hide a default above or below it."""
    return any(path.startswith(f"{other}.") or other.startswith(f"{path}.") for other in defaults)


def _plant(tree: Tree, path: str, value: object) -> None:
    *branches, leaf = path.split(".")
    for word in branches:
        branch = tree.setdefault(word, {})
        if not isinstance(branch, dict):  # a value: no mapping is one
            return
        tree = branch
    tree.setdefault(leaf, value)
