"""Put the probes to somebody, and say what came of it."""

from __future__ import annotations

import asyncio

from tests.comparison.behaviour import PROBES
from tests.comparison.clients import Client
from tests.comparison.requests import DIFFERENT, SAME
from tests.comparison.subjects import MakeKey


def keys_of(make: MakeKey) -> dict[str, str]:
    """Return what a key makes of each pair of requests, by what they differ in."""
    found = {pair.what: _differ(make, pair.left, pair.right) for pair in (*DIFFERENT, *SAME)}
    wanted = {pair.what: pair in DIFFERENT for pair in (*DIFFERENT, *SAME)}
    said = {(True, True): "two keys", (False, False): "one key", (False, True): "**wrong hit**"}
    return {row: said.get((differ, wanted[row]), "needless miss") for row, differ in found.items()}


def behaviour_of(client: Client) -> dict[str, str]:
    """Return what happens to answers, by row; what is not as one would wish, in bold."""
    told: dict[str, str] = {}
    for probe in PROBES:
        outcome = asyncio.run(probe.run(client))
        told[probe.row] = outcome if outcome == probe.best else f"**{outcome}**"
    return told


def _differ(make: MakeKey, left: dict[str, object], right: dict[str, object]) -> bool:
    return make(left) != make(right)
