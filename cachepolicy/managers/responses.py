"""Answers as plain data, and plain data as answers: objects of SDKs are known by what they can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def plain(response: object) -> object:
    """Return an object of an SDK, or any pydantic model, as plain data; all else as it is."""
    dump = getattr(response, "model_dump", None)
    if dump is None or isinstance(response, type | Mapping):
        return response
    data: object = dump(mode="json", exclude_unset=True)
    return data


def rebuilt(kind: type[Any], data: object) -> Any:
    """Return plain data as an object of a class.

    An SDK's class is filled as the SDK itself fills it, without validation: vendors leave out and add fields.

    Args:
        kind: a class of the OpenAI or Anthropic SDK, or any pydantic model.
        data: what was kept.

    Raises:
        TypeError: it cannot be filled with what was kept.
    """
    if not isinstance(data, dict):
        if type(data) is kind:
            return data
        raise TypeError(
            f"what is cached is a {type(data).__name__}, and no {kind.__qualname__} is made of it"
        )
    maker = next((base for base in kind.__mro__ if "construct" in vars(base)), None)
    if maker is not None and not maker.__module__.startswith("pydantic"):
        return kind.construct(**data)
    validate = getattr(kind, "model_validate", None)
    if validate is None:
        raise TypeError(f"as_={kind.__qualname__}: expected a class of an SDK, or a pydantic model")
    return validate(data)
