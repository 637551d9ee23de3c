"""What lies under a key of a cache: an envelope, read without the type that it was written for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from cachepolicy.cli.asking import ask_one
from cachepolicy.codec.envelope import Header, compression_of, fingerprint, is_tombstone, unseal
from cachepolicy.codec.serialize import ABSENT, Form, serializer_for
from cachepolicy.errors import Corruption, CorruptValue, StoreError
from cachepolicy.flow.stores import Site
from cachepolicy.flow.versions import Standing, Versions, ids_of
from cachepolicy.keys.layout import WHOLE
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers import tags

_WHY: Final[Mapping[str, str]] = MappingProxyType(
    {
        Corruption.FORMAT: "bytes that this library did not write, or another version of it",
        Corruption.CHECKSUM: "an entry that was cut off or altered",
        Corruption.KEY: "an entry that was stored under another key",
        Corruption.SIZE: "an entry larger than admit.max_value",
        Corruption.DICTIONARY: "an entry that needs a compression dictionary that the policy does not name",
        Corruption.LOCKED: "an entry that is encrypted with a key that the policy does not hold",
        Corruption.PLAIN: "an entry that is not encrypted, where the policy says that entries are",
        Corruption.TAMPERED: "an encrypted entry that was altered since",
    }
)
_ENDLESS: Final = float("inf")


def entry(runtime: Runtime, site: Site, name: str, key: str, blob: bytes) -> dict[str, Any]:
    """Tell of the bytes under a key of a cache; nothing of the value.

    Args:
        runtime: in use.
        site: where the key is.
        name: of the namespace.
        key: the key.
        blob: all of its bytes.
    """
    if is_tombstone(blob):
        return {"holds": "what an invalidation left: loads that began before it store nothing"}
    try:
        header, _ = unseal(blob, fingerprint(key))
    except CorruptValue as refused:
        return {"holds": refusal(refused), "refused": str(refused.reason)}
    told: dict[str, Any] = {
        "holds": "a cached answer",
        "state": _state(runtime, site, name, header),
        "created": moment(header.created),
        "fresh_until": moment(header.fresh_until),
        "stale_until": moment(header.stale_until),
        "took_seconds": round(header.cost, 3),
        "form": _form(header.serializer),
        "size": header.length,
        "compressed": _ratio(header, blob),
        "schema": header.schema.hex(),
        "encrypted": bool(header.encryption),
        "tags": [_tag(each) for each in ids_of(header.versions)],
    }
    try:
        _payload(runtime, name, key, blob)
    except CorruptValue as refused:
        told |= {"holds": refusal(refused), "refused": str(refused.reason)}
    return told


def value(runtime: Runtime, name: str, key: str, blob: bytes) -> str:
    """Return the value that an entry holds, as text: of what only its own type reads, its JSON or its size.

    Raises:
        CorruptValue: it must not be served.
    """
    header, payload = unseal(blob, fingerprint(key))[0], _payload(runtime, name, key, blob)
    if header.serializer == Form.JSON:
        return json.dumps(json.loads(payload), ensure_ascii=False)
    load = serializer_for(ABSENT).loaders.get(header.serializer)
    if load is None:
        return f"({_form(header.serializer)}, {len(payload)} bytes)"
    found = load(payload)
    return found if isinstance(found, str) else repr(found)


def refusal(refused: CorruptValue) -> str:
    """Say what lies there instead of a value that may be served."""
    return f"{_WHY.get(refused.reason, f'bytes that are refused ({refused.reason})')}: it counts as a miss"


def moment(seconds: float) -> str:
    """Write a time."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _payload(runtime: Runtime, name: str, key: str, blob: bytes) -> bytes:
    rule = runtime.cache(name, "", name)
    return runtime.codec(name, rule, serializer_for(ABSENT)).payload(blob, key)


def _state(runtime: Runtime, site: Site, name: str, header: Header) -> str:
    """Say whether it would be served, as far as its tags and its times say."""
    standing = _standing(runtime, site, name, header)
    now = site.clock.wall()
    if standing is Standing.PURGED:
        return "purged: one of its tags was invalidated, and it is never served"
    if standing is Standing.EXPIRED or header.expired:
        return "expired: it was put out of date, and serves as `stale` says"
    if now < header.fresh_until:
        return (
            "fresh"
            if standing is Standing.CURRENT
            else "fresh, if its tags are (their versions are not known)"
        )
    return "stale: its TTL has ended, and it serves as `stale` says" if now < header.stale_until else "over"


def _standing(runtime: Runtime, site: Site, name: str, header: Header) -> Standing:
    rule = runtime.loaded.policy.namespaces[name]
    assert isinstance(rule, CacheRule)  # noqa: S101 - asked for a cache only
    ids = ids_of(header.versions)
    if not ids:
        return Standing.CURRENT
    known = Versions(runtime.home(name, rule).versions.prefix, _ENDLESS)
    try:
        current = ask_one(runtime, site, tags.known(known.prefix, ids))
    except StoreError:
        return Standing.UNKNOWN
    vector = known.learn(ids, current, _ENDLESS, known.epoch())
    return known.standing(header.versions, ids, vector, 0.0)


def _form(number: int) -> str:
    return Form(number).name.lower() if number in set(Form) else f"form {number}"


def _ratio(header: Header, blob: bytes) -> str:
    ratio = compression_of(blob, header.length)
    if ratio is None:
        return "no"
    return f"{ratio:.1f} times" + (", with a dictionary" if any(header.dictionary) else "")


def _tag(tag: bytes) -> str:
    return "(the whole namespace)" if tag == WHOLE else tag.hex()
