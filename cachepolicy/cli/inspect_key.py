"""What lies under any key of the policy's namespaces."""

from __future__ import annotations

from typing import Any, Final

from cachepolicy.cli import inspect_entry
from cachepolicy.cli.asking import ask, ask_one, namespace_of, site_of
from cachepolicy.codec.envelope import TOMBSTONE_SIZE
from cachepolicy.errors import CorruptValue, StoreError
from cachepolicy.keys.layout import prefix, tag_of
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers import commands, inspecting
from cachepolicy.tiers.commands import Command

_LARGEST: Final = 2**26
"""Bytes of what is read whole: what is larger is none of this library's."""

_OF_KIND: Final = {
    "sessions": (
        ("session:", "a session; inspect NAMESPACE --user ID tells of a user's"),
        ("user_sessions:", "which sessions a user has"),
        ("blacklist:", "that a token is revoked"),
        ("not_before:", "since when a user's tokens are good"),
        ("family:", "a family of refresh tokens"),
        ("user_prefs:", "what a user prefers"),
        ("active:", "how many sessions live"),
    ),
    "ratelimit": (("rate_limit:", "what a subject has used under a rule"),),
    "analytics": (
        ("series:", "the names of a metric's series"),
        ("batch:", "that a batch was counted"),
        ("metrics:", "a metric's counts in one period"),
    ),
    "temp": (
        ("temp:", "a file, or a part of one; inspect NAMESPACE --id ID tells of a file"),
        ("kept:", "how much somebody keeps"),
    ),
}


def look(runtime: Runtime, key: str, *, reveal: bool) -> dict[str, Any]:
    """Tell what lies under a key.

    Args:
        runtime: in use.
        key: the whole key.
        reveal: tell the value too, of an entry of a cache.

    Raises:
        CachePolicyError: it is no key of the policy's, or Redis cannot be asked.
    """
    name = namespace_of(runtime, key)
    site, rule = site_of(runtime, name), runtime.loaded.policy.namespaces[name]
    asked: list[Command[Any]] = [inspecting.kind(key), inspecting.left(key), inspecting.memory(key)]
    kind, left, memory = ask(runtime, site, asked)
    if isinstance(kind, StoreError):
        raise kind
    told: dict[str, Any] = {"key": key, "namespace": name, "type": kind}
    if kind == inspecting.NOTHING:
        return told | {"holds": "nothing"}
    told |= {
        "ttl_seconds": None if isinstance(left, StoreError) else left,
        "memory_bytes": None if isinstance(memory, StoreError) else memory,
    }
    if key.startswith(f"{runtime.loaded.policy.app}:~lease:"):
        return told | {"holds": "a lease: somebody computes the entry, or did a moment ago"}
    if not isinstance(rule, CacheRule):
        return told | {"holds": _of(rule.kind, key.removeprefix(prefix(runtime.loaded.policy.app, name)))}
    return told | _of_cache(runtime, name, key, kind, reveal=reveal)


def _of(kind: str, rest: str) -> str:
    return next(
        (what for begin, what in _OF_KIND[kind] if rest.startswith(begin)), "something that is not known"
    )


def _of_cache(runtime: Runtime, name: str, key: str, kind: str, *, reveal: bool) -> dict[str, Any]:
    if tag_of(prefix(runtime.loaded.policy.app, name), key) is not None:
        return {"holds": "the version of a tag: a new one puts all entries that carry the tag out of date"}
    if kind != "string":
        return {"holds": f"a {kind} that this library did not write: it counts as a miss"}
    site = site_of(runtime, name)
    length = ask_one(runtime, site, inspecting.length(key))
    if length > _LARGEST:
        return {"holds": "more bytes than any entry has: it counts as a miss", "size": length}
    blob = ask_one(runtime, site, commands.get(key)) or b""
    told = inspect_entry.entry(runtime, site, name, key, blob)
    if reveal and "refused" not in told and len(blob) > TOMBSTONE_SIZE:
        try:
            told["value"] = inspect_entry.value(runtime, name, key, blob)
        except (CorruptValue, ValueError) as refused:
            told["value"] = f"(cannot be read: {type(refused).__name__})"
    return told
