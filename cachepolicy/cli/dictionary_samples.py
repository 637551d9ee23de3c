"""What a dictionary is trained on: payloads of stored values; and what it is worth to others of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from cachepolicy.codec import dictionary
from cachepolicy.codec.compress import compress
from cachepolicy.codec.dictionary import Dictionary
from cachepolicy.codec.serialize import ABSENT, serializer_for
from cachepolicy.errors import CachePolicyError, CorruptValue
from cachepolicy.keys.layout import prefix
from cachepolicy.policy.rules.cache import CacheRule
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers.sampling import sample

_PATIENCE: Final = 5.0  # seconds for each command: no caller waits


class Shares(NamedTuple):
    """What compression leaves of payloads, as fractions; and how long those are on average, in bytes."""

    without: float
    with_it: float
    mean: float


def payloads(runtime: Runtime, namespace: str, rule: CacheRule, most: int) -> list[bytes]:
    """Read payloads, as they were before compression, of the lengths that a dictionary is used for.

    Args:
        runtime: of the policy.
        namespace: whose values.
        rule: its rule.
        most: how many values are read.

    Raises:
        CachePolicyError: nothing outlives a process there; or Redis does not answer.
    """
    place = runtime.place(namespace, rule)
    if place.endpoint.in_memory:
        raise CachePolicyError(
            f"namespace {namespace} is kept in memory://, in one process alone: there is nothing to sample"
        )
    codec = runtime.codec(namespace, rule, serializer_for(ABSENT))
    found = []
    for key, blob in sample(place, prefix(runtime.loaded.policy.app, namespace), most, _PATIENCE):
        try:
            payload = codec.payload(blob, key)
        except CorruptValue:  # no value, but a mark; or one that nobody could read
            continue
        if dictionary.suits(len(payload)):
            found.append(payload)
    return found


def measure(payloads: Sequence[bytes], rule: CacheRule, made: Dictionary) -> Shares:
    """Compress payloads with and without a dictionary, as the policy has it."""
    total = sum(map(len, payloads))
    without, with_it = (
        sum(
            len(
                compress(
                    each, threshold=rule.compression.threshold, level=made.level, dictionaries=those
                ).payload
            )
            for each in payloads
        )
        for those in (dictionary.NONE, dictionary.together([made], writing=True))
    )
    return Shares(without / total, with_it / total, total / len(payloads))
