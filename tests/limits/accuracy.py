"""``python -m tests.limits.accuracy``: attack every limiter, and write ``docs/limits-accuracy.md``."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cachepolicy.testing.redis_server import RedisServer
from tests.limits.accuracy_defects import DEFECTS, KNOWN
from tests.limits.accuracy_ours import AMOUNT, CONTENDERS, measured
from tests.limits.accuracy_peers import strategies
from tests.support.limit_attacks import worst

PAGE: Final = Path(__file__).parents[2] / "docs" / "limits-accuracy.md"
PEERS: Final = ("limits", "pyrate-limiter", "throttled-py", "fastapi-redis-sdk")
_RANDOMS: Final = 300

_HEAD: Final = """\
# How exact limits are, measured

> **In short:** each algorithm says how much any window of time can hold at most, wherever the window begins,
> and no attack gets more. `window` never exceeds its limit; `gcra` adds its burst; `calendar` is exact by the
> clock's hour, day or month.

**What is measured.** A caller tries to get more out of *L in T* than L: always calling, a burst just before
and just after the end of a period (the clock's, or one that begins with the first call), a burst and then
whatever comes free, and 300 attacks made up at random. The figure is the most calls that any window of length
T then held, over L.

## cachepolicy

By the arithmetic that each process uses while Redis is out. Tests hold it, and the scripts in Redis, against
the same model of exact fractions. *who never stops*: what a caller gets over twenty windows who calls four
times as often as allowed, over L.

| algorithm | promised at most | found at most | by | who never stops |
|---|---|--:|---|--:|
"""
_OTHERS: Final = """
## Beside others

The same attacks over a real Redis, without those made up at random where time is real. *clock*: made up where
the limiter asks its client's, else real, with windows of a second.

| limiter | found at most | by | clock |
|---|--:|---|---|
"""
_WRONG: Final = """
## What goes wrong elsewhere

Each was brought about while this page was written; the test is one of `tests/limits`.

| what | where | what came of it | here | test |
|---|---|---|---|---|
"""
_ALSO: Final = """
Known of limiters elsewhere, and tested here:

| what | test |
|---|---|
"""
_TAIL: Final = """
## How to choose

- **`gcra`** (the default) when calls should come evenly. Its burst is explicit: a window holds rate and burst
  together. Where a window must not hold more than L, choose a rate and a burst that come to L: `80/hour` with
  `burst: 25%` for 100.
- **`window`** for what must never be exceeded: sign-in attempts, spending. A caller who never stops gets
  B/(B+1) of it, with B buckets.
- **`calendar`** for quotas that people read on invoices: two neighbouring hours, days or months can be used
  up back to back.

`python -m tests.limits.accuracy` writes this page.
"""


def main() -> None:
    """Write the page."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PEERS)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    parts = [_HEAD, *_ours(), _OTHERS, *_others(), _WRONG, *_defects(), _ALSO]
    parts += [f"| {what} | `{test}` |\n" for what, test in KNOWN]
    parts += [_TAIL, f"\nMeasured with {python}, {versions}.\n"]
    PAGE.write_text("".join(parts), encoding="utf-8")


def _ours() -> Iterator[str]:
    for name, contender in CONTENDERS.items():
        most, attack, rate = measured(contender, _RANDOMS)
        yield f"| {name} | {contender.promise} | {most:.2f} | {attack} | {rate:.2f} |\n"


def _others() -> Iterator[str]:
    with RedisServer() as server, strategies(_url(server)) as found:
        for strategy in found:
            randoms = _RANDOMS // 10 if strategy.is_fake else 0
            most, attack = worst(strategy.subjects(), AMOUNT, strategy.period, randoms=randoms)
            clock = "made up" if strategy.is_fake else "real"
            yield f"| {strategy.name} | {most:.2f} | {attack} | {clock} |\n"


def _defects() -> Iterator[str]:
    for defect in DEFECTS:
        with RedisServer() as server:
            found = defect.found(_url(server))
        yield f"| {defect.what} | {defect.whose} | {found} | {defect.here} | `{defect.test}` |\n"


def _url(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}/0"


if __name__ == "__main__":
    main()
