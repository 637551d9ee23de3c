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


def imported_names(source: Source) -> dict[str, str]:
    """Name what a module imports from its own package, and from where, for the type checkers or for real."""
    return {
        alias.asname or alias.name: node.module
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cachepolicy")
        for alias in node.names
    }


def test_the_door_is_complete() -> None:
    """Every name the package imports for its users is in ``__all__``, and the other way round."""
    (door,) = (source for source in sources(PACKAGE) if source.path == "cachepolicy/__init__.py")
    imported = imported_names(door)
    assert imported.keys() == set(cachepolicy.__all__)
    for name, module in imported.items():
        assert getattr(cachepolicy, name) is getattr(importlib.import_module(module), name)


def test_the_door_shows_what_it_has() -> None:
    """``dir(cachepolicy)``, which an interactive shell completes from, lists every public name."""
    assert set(cachepolicy.__all__) <= set(dir(cachepolicy))


@pytest.mark.parametrize("module", [name for name in MODULES if not name.endswith("__main__")])
def test_all_is_importable(module: str) -> None:
    """Where a module has ``__all__``, each name in it is there, and once; ruff keeps it sorted."""
    loaded = importlib.import_module(module)
    names: list[str] = list(getattr(loaded, "__all__", ()))
    assert len(names) == len(set(names))
    assert [name for name in names if not hasattr(loaded, name)] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name the package does not have raises AttributeError, lazy door or not."""
    with pytest.raises(AttributeError):
        _ = cachepolicy.no_such_name
