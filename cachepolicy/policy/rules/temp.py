"""``kind: temp`` — exports and uploads that end by themselves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from cachepolicy.policy.rules.base import (
    Compression,
    Duration,
    Flag,
    Kept,
    Rule,
    Size,
    Text,
    Ttl,
    TtlRange,
    Whole,
)
from cachepolicy.policy.rules.encryption import Encryption
from cachepolicy.policy.rules.eviction import TempEviction

_LARGEST_CHUNK = 2**20  # a larger one makes every other client of the server wait


def _chunk(size: int) -> int:
    if size > _LARGEST_CHUNK:
        raise ValueError("expected a size of at most 1MiB: larger chunks make other clients wait")
    return size


class Quotas(Rule):
    """How much may be kept."""

    per_owner: Size | None = None
    """By one owner; without it, no bound of its own (bytes)."""
    total: Size | None = None
    """By all; without it, no bound (bytes)."""


class Offload(Rule):
    """Large files go to a directory, and only their manifest to Redis."""

    above: Size = 64 * 2**20
    """From this size on (bytes)."""
    directory: Text
    """Where; every process must see it."""


class TempRule(Kept):
    """A namespace of temporary files."""

    kind: Literal["temp"]
    """temp"""
    ttl: Ttl = TtlRange(default=86_400.0)
    """How long a file is kept."""
    chunk: Annotated[Size, AfterValidator(_chunk)] = 256 * 1024
    """How much travels at once (bytes, at most 1MiB)."""
    window: Annotated[Whole, Field(ge=1, le=64)] = 8
    """How many chunks may be on their way: with ``chunk``, all the memory a transfer takes."""
    max_file: Size = 256 * 2**20
    """The largest file (bytes)."""
    quotas: Quotas = Quotas()
    """How much may be kept."""
    one_time: Flag = False
    """Whether a file can be read once only."""
    claim: Duration = 300.0
    """How long a reader may take for a one-time file, and start again when its line breaks (seconds)."""
    incomplete: Duration = 3600.0
    """How long an upload that was broken off can be resumed (seconds)."""
    offload: Offload | None = None
    """Large files go to a directory."""
    compression: Compression = Compression()
    """How chunks are compressed; what it does not say is inherited from ``defaults.compression``."""
    encryption: Encryption = Encryption(enabled=False)
    """Who can read them in Redis; what it does not say is inherited from ``defaults.encryption``."""
    eviction: TempEviction = TempEviction()
    """What goes when there is no room in Redis."""
    on_fault: Literal["raise", "deny"] = "raise"
    """When Redis is out: raise the fault, or refuse the call."""

    @model_validator(mode="after")
    def _the_largest_file_fits(self) -> TempRule:
        for name, quota in (("per_owner", self.quotas.per_owner), ("total", self.quotas.total)):
            if quota is not None and self.max_file > quota:
                raise ValueError(f"expected max_file to fit into quotas.{name}")
        return self
