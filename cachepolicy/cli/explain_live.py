"""What the servers of a namespace do when memory is full, as they tell themselves."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

from cachepolicy.cli.asking import ask, in_use, site_of
from cachepolicy.cli.explain_parts import Layer
from cachepolicy.errors import StoreError
from cachepolicy.flow.effects import spread
from cachepolicy.runtime.compose import Runtime
from cachepolicy.tiers.maxmemory import UNTOLD, maxmemory


def asked(layers: Sequence[Layer], options: Namespace) -> list[Layer]:
    """Add to each layer what its servers say.

    Raises:
        CachePolicyError: a server cannot be asked, or the namespace lies in the memory of a process.
    """
    with in_use(options) as runtime:
        return [
            replace(each, eviction=f"{each.eviction}; asked now: {_told(runtime, each.namespace)}")
            for each in layers
        ]


def _told(runtime: Runtime, name: str) -> str:
    site = site_of(runtime, name)
    keys = runtime.engine.run(spread(), runtime.stores.sync_io(site)) or [""]
    found = ask(runtime, site, [maxmemory(key) for key in keys])
    servers = [UNTOLD if isinstance(each, StoreError) else each for each in found]
    evicting = sorted({each.policy for each in servers if each.evicts})
    if evicting:
        return f"the server evicts when memory is full (maxmemory-policy {', '.join(evicting)})"
    if any(each.evicts is None for each in servers):
        return "the server does not tell (ACL: +info)"
    return "the server evicts nothing (noeviction, or no maxmemory)"
