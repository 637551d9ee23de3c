"""The door of the package: what ``__all__`` says is what there is."""

from __future__ import annotations

import ast
import importlib
import pkgutil

import pytest

import cachepolicy
from tests.support.source import PACKAGE, Source, sources

MODULES = [
    "cachepolicy",
    *(module.name for module in pkgutil.walk_packages(cachepolicy.__path__, "cachepolicy.")),
]


def imported_names(source: Source) -> set[str]:
    """Name what a module imports from its own package, for the type checkers or for real."""
    return {
        alias.asname or alias.name
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cachepolicy")
        for alias in node.names
    }


def test_the_door_is_complete() -> None:
    """Every name the package imports for its users is in ``__all__``, and the other way round."""
    (door,) = (source for source in sources(PACKAGE) if source.path == "cachepolicy/__init__.py")
    public = {name for name in imported_names(door) if not name.startswith("_")}
    assert public == {name for name in cachepolicy.__all__ if not name.startswith("_")}


def test_the_door_shows_what_it_has() -> None:
    """``dir(cachepolicy)``, which an interactive shell completes from, lists every public name."""
    assert set(cachepolicy.__all__) <= set(dir(cachepolicy))


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_all_is_sorted_and_importable(module: str) -> None:
    """Where a module has ``__all__``, it is sorted, has no name twice, and each name is there."""
    loaded = importlib.import_module(module)
    names = list(getattr(loaded, "__all__", ()))
    assert names == sorted(set(names))
    assert [name for name in names if not hasattr(loaded, name)] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name the package does not have raises AttributeError, lazy door or not."""
    with pytest.raises(AttributeError):
        _ = cachepolicy.no_such_name  # type: ignore[attr-defined]  # that is the point
