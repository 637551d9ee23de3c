"""A namespace of files, as the policy says, made ready for flows."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Final

from cachepolicy.clock import lifetime_ms
from cachepolicy.flow import incidents
from cachepolicy.flow.blob import MOST_WORDS
from cachepolicy.flow.depot import Depot
from cachepolicy.policy.rules import TempRule
from cachepolicy.runtime.records import Records
from cachepolicy.tiers.shelf import Shelf

_MOST_WORDS: Final = 16 * MOST_WORDS  # bytes of a manifest: a character takes up to twelve as JSON


def depot_of(records: Records[TempRule]) -> Depot:
    """Return what flows work with."""
    rule = records.rule
    batch = max(1, rule.window // 2)  # as many again are being worked on
    bytes(
        2 * batch * rule.chunk
    )  # glibc learns of the size, and gives such memory back to the kernel less often
    return Depot(
        site=records.site,
        prefix=records.prefix,
        deadline=records.deadline,
        sealer=records.sealer,
        plain=replace(records.sealer, threshold=sys.maxsize),
        words=replace(records.sealer, limit=_MOST_WORDS),
        chunk=rule.chunk,
        batch=batch,
        resumable=lifetime_ms(rule.incomplete),
        lease=lifetime_ms(rule.claim),
        most=rule.max_file,
        per_owner=rule.quotas.per_owner,
        total=rule.quotas.total,
        shelf=None if rule.offload is None else Shelf(rule.offload.directory),
        large=sys.maxsize if rule.offload is None else rule.offload.above,
        told=lambda fault: incidents.fault(records, fault, "what it could not be told ends by itself"),
        witness=records.tracing.here,
    )
