"""Functions of a provider's SDK, by the module that they are of."""

from __future__ import annotations

from collections.abc import Callable

from cachepolicy.keys.clients import is_of_sdk
from cachepolicy.keys.signature import module_of, name_of


def is_provider(function: Callable[..., object]) -> bool:
    """Tell whether a function is an SDK's own, so that all its parameters are a provider's."""
    module = module_of(function)
    return is_of_sdk(module) or module.partition(".")[0] == "litellm"


def embeds(function: Callable[..., object]) -> bool:
    """Tell whether a function is an SDK's own for embeddings, where nothing is drawn."""
    return is_provider(function) and "embedding" in name_of(function).lower()
