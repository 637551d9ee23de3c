"""The comparison as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.comparison.read import COLUMNS, ROWS

PAGE: Final = Path(__file__).parents[2] / "docs" / "llm-comparison.md"

_HEAD: Final = """\
# LLM caches, side by side

> **In short:** the same probes, put to this library and to those of its peers that can be run here. A wrong
> hit is another request's answer; a needless miss is paid for.

## What a key tells apart

Two requests each, in the words of OpenAI's chat completions. *wrong hit*: they differ in what they ask for,
and have one key. *needless miss*: they ask for the same, and have two.
"""
_BEHAVIOUR: Final = """
## What happens to an answer

A local server speaks the provider's wire format and counts what it is asked. Each cache has the settings that
it comes with.
"""
_READ: Final = """
## What there is

Run for this library, whose cells name the page of each feature; of the others, read in their sources and
manuals in November 2026. Gateways: Helicone, Portkey (open source), Cloudflare.
"""
_TAIL: Final = """
## What is left out on purpose

**Similar questions.** An answer to a question like the one that was asked is a wrong hit with some
probability, and nobody measures which. Only equal requests are answered here.

## How to reproduce

`python -m tests.comparison` puts the probes to each and writes this page. What is said of this library is
asserted in `tests/comparison`.
"""


def page(
    peers: Mapping[str, str], keys: Mapping[str, Sequence[str]], kept: Mapping[str, Sequence[str]]
) -> str:
    """Write the page.

    Args:
        peers: name and version of each column that was run.
        keys: a cell for each of them by row, of keys.
        kept: the same of what happens to an answer.
    """
    run = [f"{name} {version}" for name, version in peers.items()]
    read = _table(["", *COLUMNS], ([row.feature, *row.cells] for row in ROWS))
    return "".join(
        (
            _HEAD,
            _table(["what differs", *run], ([row, *cells] for row, cells in keys.items())),
            _BEHAVIOUR,
            _table(["", *run], ([row, *cells] for row, cells in kept.items())),
            _READ,
            read,
            _TAIL,
        )
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
