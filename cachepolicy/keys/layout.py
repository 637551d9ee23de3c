"""How a key is spelled in Redis: ``{app}:{namespace}:{kind}:{digest}``, written here and nowhere else."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable
from typing import Final

from cachepolicy.keys.canonical import encode
from cachepolicy.keys.template import segment

_FORMAT: Final = b"cachepolicy/1"  # a change of the canonical encoding is a new format, never a silent one
_SHORT: Final = 200  # characters of a tag's value that is remembered
_TAG: Final = re.compile("[0-9a-f]{16}")


def prefix(app: str, namespace: str) -> str:
    """Return what every key of a namespace begins with."""
    return f"{app}:{namespace}:"


def digest_seed(*identity: str) -> bytes:
    """Return the bytes that tell one function's (or one scope's) digests from all others'; length-framed."""
    parts = [part.encode() for part in identity]
    return _FORMAT + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def digest(seed: bytes, arguments: bytes) -> str:
    """Return the 256-bit digest of a call as hex."""
    return hashlib.sha256(seed + arguments).hexdigest()


def variant_key(key: str, number: int) -> str:
    """Return the key of one of several answers to one call."""
    return f"{key}:{number}"


def drawn_by(seed: str, key: str, count: int) -> int:
    """Return which of ``count`` answers a seed draws for a call: always the same, and all as often."""
    drawn = hashlib.blake2b(digest_seed(seed, key), digest_size=16).digest()
    return int.from_bytes(drawn, "big") % count


WHOLE: Final = bytes(8)
"""The id of the tag that every entry of a namespace has: a new version of it empties the namespace."""


def tag_id(name: str, value: object) -> bytes:
    """Return the 8 bytes that a tag is known by within its namespace.

    Args:
        name: the argument whose value it is; empty for a tag that code makes up.
        value: of the argument, or the tag itself.

    Raises:
        UnkeyableArgument: the value has no exact encoding.
    """
    kind = type(value)
    if kind is int or (kind is str and len(value) <= _SHORT):  # type: ignore[arg-type] # a str it is
        return _known_tag_id(name, value)
    return _tag_id(name, value)


def _tag_id(name: str, value: object) -> bytes:
    return hashlib.blake2b(encode([name, value]), digest_size=8).digest()


_known_tag_id: Final = functools.lru_cache(4096, typed=True)(_tag_id)


def version_key(namespace_prefix: str, tag: bytes) -> str:
    """Return the key of a tag's version; all of a namespace share a slot."""
    return _versions(namespace_prefix) + tag.hex()


def _versions(namespace_prefix: str) -> str:
    namespace = namespace_prefix.split(":")[-2]
    return f"{namespace_prefix}v:{{{namespace}}}:"


def tag_of(namespace_prefix: str, key: str) -> bytes | None:
    """Return the tag whose version stands under a key of the namespace; None where none does."""
    head = _versions(namespace_prefix)
    tag = key[len(head) :]
    if not key.startswith(head) or _TAG.fullmatch(tag) is None:
        return None
    return bytes.fromhex(tag)


def lease_key(key: str) -> str:
    """Return where the lease of an entry stands: in its slot, and out of its namespace's keys."""
    app = key.partition(":")[0]
    return f"{app}:~lease:{{{key}}}"


def sizes_key(namespace_prefix: str) -> str:
    """Return where it stands what the entries of a namespace take: changes of it are not heard."""
    app, namespace = namespace_prefix.split(":")[:2]
    return f"{app}:~sizes:{namespace}"


def deadline_keys(namespace_prefix: str) -> tuple[str, str]:
    """Return where it stands when the keys of a namespace end that have no TTL, and who sweeps them."""
    app, namespace = namespace_prefix.split(":")[:2]
    head = f"{app}:~deadlines:{{{namespace}}}"
    return head, f"{head}:sweeper"


def limit_key(namespace_prefix: str, rule: str, subject: object) -> str:
    """Return where it stands what a subject has used under a rule; all that belongs to it shares its slot.

    Args:
        namespace_prefix: what every key of the namespace begins with.
        rule: its name.
        subject: who is counted: text, a number, or several of them.

    Raises:
        UnkeyableArgument: the subject has no exact encoding.
    """
    return limit_keys(namespace_prefix, rule)(subject)


def limit_keys(namespace_prefix: str, rule: str) -> Callable[[object], str]:
    """Return what makes the keys of a rule's subjects; arguments and errors are as of ``limit_key``."""
    head = f"{namespace_prefix}rate_limit:{{{segment(rule)}:"
    return lambda subject: f"{head}{segment(subject)}}}"


def reservation_key(limit_key: str, name: str) -> str:
    """Return where a reservation of a subject is remembered."""
    return f"{limit_key}:reserved:{name}"


def overrides_key(limit_key: str) -> str:
    """Return where the amounts that a subject has of its own stand."""
    return f"{limit_key}:overrides"


def running_key(limit_key: str) -> str:
    """Return where the calls of a subject that run at once stand."""
    return f"{limit_key}:running"


def token_name(kind: str, content: str) -> str:
    """Return what a token is known by: nobody learns the token from it.

    Args:
        kind: what the content is; two kinds never share a name.
        content: what tells the token from all others.
    """
    return digest(digest_seed("token", kind), encode(content))


def revoked_key(namespace_prefix: str, name: str) -> str:
    """Return where it stands that a token is revoked; ``name`` is from ``token_name``."""
    return f"{namespace_prefix}blacklist:{name}"


def holder_tag(namespace_prefix: str, holder: str) -> bytes:
    """Return the 16 bytes that all the tokens of one holder have in common: they share a slot."""
    return hashlib.blake2b(encode([namespace_prefix, holder]), digest_size=16).digest()


def not_before_key(namespace_prefix: str, tag: bytes) -> str:
    """Return where it stands since when tokens of a holder are good; ``tag`` is from ``holder_tag``."""
    return f"{namespace_prefix}not_before:{{{tag.hex()}}}"


def family_key(namespace_prefix: str, tag: bytes, family: bytes) -> str:
    """Return where a family of refresh tokens stands, in its holder's slot."""
    return f"{namespace_prefix}family:{{{tag.hex()}}}:{family.hex()}"


def preferences_key(namespace_prefix: str, user: str | int) -> str:
    """Return where it stands what a user prefers."""
    return f"{namespace_prefix}user_prefs:{segment(user)}"


BLOB_GROUP: Final = 64
"""How many chunks of a file share a slot: a large one is spread over a cluster."""


def blob_key(namespace_prefix: str, name: str) -> str:
    """Return where the manifest of a temporary file stands; ``name`` is of ``keys.blob_ids``."""
    return f"{namespace_prefix}temp:{{{name}}}"


def blob_chunk_key(namespace_prefix: str, name: str, index: int) -> str:
    """Return where a chunk of a file stands; the first ones are in the slot of its manifest."""
    group = index // BLOB_GROUP
    return (
        f"{namespace_prefix}temp:{{{name}.{group}}}:{index}"
        if group
        else f"{namespace_prefix}temp:{{{name}}}:{index}"
    )


def blob_account_keys(namespace_prefix: str, owner: str | int | None) -> tuple[str, str]:
    """Return where it stands until when an owner keeps which files, and how large they are; None: of all."""
    who = "all" if owner is None else hashlib.blake2b(encode(owner), digest_size=16).hexdigest()
    head = f"{namespace_prefix}kept:{{{who}}}"
    return f"{head}:until", f"{head}:sizes"


def session_key(namespace_prefix: str, tag: str, session_id: str) -> str:
    """Return where a session lies, in the slot of its user; ``tag``: of the user, from ``keys.tokens``."""
    return f"{namespace_prefix}session:{{{tag}}}:{session_id}"


def census_keys(namespace_prefix: str, shard: int) -> tuple[str, str, str]:
    """Return where it stands how many sessions live: until when, under which names, and which were ended."""
    head = f"{namespace_prefix}active:{{{namespace_prefix.split(':')[-2]}:{shard}}}"
    return f"{head}:until", f"{head}:names", f"{head}:ended"


def user_sessions_key(namespace_prefix: str, tag: str) -> str:
    """Return where it stands which sessions a user has: what is not listed there is none."""
    return f"{namespace_prefix}user_sessions:{{{tag}}}"


class MetricKeys:
    """Where the counts of one metric stand; all of them share a slot.

    Args:
        namespace_prefix: what every key of the namespace begins with.
        metric: its name.
        kind: of its values; those of another kind stand elsewhere.
    """

    __slots__ = ("_batch", "_counts", "series")

    def __init__(self, namespace_prefix: str, metric: str, kind: str) -> None:
        namespace = namespace_prefix.split(":")[-2]
        tag = f"{{{namespace}:{segment(metric)}}}"
        self.series = f"{namespace_prefix}series:{tag}"
        """Where it stands which series there are, and what each is called."""
        self._batch = f"{namespace_prefix}batch:{tag}:"
        self._counts = f"{namespace_prefix}metrics:{tag}:{kind}:"

    def bucket(self, epoch: str, resolution: str, period: str, shard: int) -> str:
        """Return where some series stand as they were counted in one period.

        Args:
            epoch: of the series' names: another one has other names.
            resolution: of the period.
            period: its id.
            shard: which of the series.
        """
        shown = f":{shard}" if shard else ""
        return f"{self._counts}{epoch}:{resolution}:{period}{shown}"

    def uniques(self, epoch: str, day: str, series: int) -> str:
        """Return where it stands what was seen on one day; arguments as of ``bucket``."""
        return f"{self._counts}{epoch}:day:{day}:{series}"

    def batch(self, name: str, number: int) -> str:
        """Return where it stands that a part of a batch was counted."""
        return f"{self._batch}{name}:{number}"
