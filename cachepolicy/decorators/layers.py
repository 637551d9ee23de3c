"""What was put around a function, from the outermost decorator in: for tools that explain calls."""

from __future__ import annotations

from typing import Any, Final

_LAYERS: Final = "_cachepolicy_layers"


def put_around(wrapper: Any, layer: object, function: object) -> None:
    """Note on a wrapper what stands behind it, before what stands behind the function that it wraps."""
    setattr(wrapper, _LAYERS, (layer, *layers_of(function)))


def layers_of(function: object) -> tuple[object, ...]:
    """Return what stands behind a function: a ``Binding``, ``Limited``, ``Tracked`` for each decorator."""
    found: tuple[object, ...] = getattr(function, _LAYERS, ())
    return found
