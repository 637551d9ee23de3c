"""Objects of a provider's SDK, known by where they send a request; no SDK is imported.

An object is one of an SDK's if its own class is: a subclass in an application may send anything anywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

_SDKS: Final = frozenset({"openai", "anthropic"})
_ABSENT: Final = frozenset({"Omit", "NotGiven"})
_PLACE: Final = ("_azure_endpoint", "_azure_deployment", "_api_version", "aws_region", "region", "project_id")
"""What besides its URL says where a client sends a request: Azure's, Bedrock's, Vertex'."""

SHAPING_HEADERS: Final = frozenset(
    {
        "anthropic-beta",
        "anthropic-version",
        "openai-beta",
        "openai-version",
        "x-amzn-bedrock-guardrailidentifier",
        "x-amzn-bedrock-guardrailversion",
    }
)
"""Headers that change what a provider answers, in lower case."""


def is_of_sdk(module: str) -> bool:
    """Tell whether a module is one of a provider's SDK."""
    return module.partition(".")[0] in _SDKS


def is_absent(value: object) -> bool:
    """Tell whether a value is an SDK's way to say that an argument was not passed."""
    kind = type(value)
    return kind.__qualname__ in _ABSENT and is_of_sdk(kind.__module__)


def shaping(headers: Mapping[str, object], also: Collection[str] = ()) -> dict[str, object]:
    """Return the headers that identify a request, by their names in lower case.

    Args:
        headers: of a request.
        also: names, in lower case, of those that do besides ``SHAPING_HEADERS``.
    """
    wanted = SHAPING_HEADERS.union(also)
    return {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in wanted and value is not None and not is_absent(value)
    }


def endpoint(value: Any) -> list[object] | None:
    """Return what identifies a client, or a part of one such as ``client.chat``; None: it is neither.

    Not its key: whoever may use it asks the same model. A sync and an async one of an endpoint are the same.
    """
    kind = type(value)
    if not is_of_sdk(kind.__module__):
        return None
    if _is_client(value):
        return _of_client(value)
    client = getattr(value, "_client", None)
    if client is None or not is_of_sdk(type(client).__module__) or not _is_client(client):
        return None
    return [*_of_client(client), f"{kind.__module__}:{without_colour(kind.__qualname__)}"]


def without_colour(name: str) -> str:
    """Return the name of a class of an SDK, or of its method, that its sync and its async twin share."""
    return name.removeprefix("Async")


def _is_client(value: object) -> bool:
    return (
        hasattr(value, "base_url") and hasattr(value, "_custom_query") and hasattr(value, "_custom_headers")
    )


def _of_client(client: Any) -> list[object]:
    kind = type(client)
    url = urlsplit(str(client.base_url))
    place = {name: str(getattr(client, name)) for name in _PLACE if getattr(client, name, None) is not None}
    return [
        f"{kind.__module__.partition('.')[0]}:{without_colour(kind.__qualname__)}",
        [url.scheme, url.netloc.rpartition("@")[2], url.path.rstrip("/"), url.query],
        dict(client._custom_query),  # noqa: SLF001 - what is public adds the key, and the version of the SDK
        shaping(client._custom_headers),  # noqa: SLF001 - as above
        place,
    ]
