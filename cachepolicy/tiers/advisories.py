"""Known weaknesses of servers by their versions: local data, nobody is asked.

Sources: the releases and security advisories of redis/redis and valkey-io/valkey, and nvd.nist.gov by each
name. Only what a client can reach is listed. Distributions mend older versions without a new number, so a
version tells what to look up, and not that a server is open.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Version = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Advisory:
    """One of them.

    Attributes:
        name: its CVE, or several.
        what: an attacker can do.
        engine: whose.
        mended: the first version of each line that is mended.
        since: the first version that has it.
    """

    name: str
    what: str
    engine: str
    mended: tuple[Version, ...]
    since: Version = (0, 0, 0)

    def concerns(self, version: Version) -> bool:
        """Tell whether a version has it: its line's first mended one, or that of any later line, is newer."""
        if version < self.since:
            return False
        own = [each for each in self.mended if each[:2] == version[:2]]
        return version < own[0] if own else version < max(self.mended)


_LUA: Final = "whoever may run scripts can run code on the server"

ADVISORIES: Final = (
    Advisory(
        "CVE-2025-49844, CVE-2025-46817, CVE-2025-46818, CVE-2025-46819",
        _LUA,
        "redis",
        ((6, 2, 20), (7, 2, 11), (7, 4, 6), (8, 0, 4), (8, 2, 2)),
    ),
    Advisory(
        "CVE-2025-49844, CVE-2025-46817, CVE-2025-46818, CVE-2025-46819",
        _LUA,
        "valkey",
        ((7, 2, 11), (8, 0, 6), (8, 1, 4)),
    ),
    Advisory(
        "CVE-2025-67733, CVE-2026-21863, CVE-2026-27623",
        "scripts can forge replies to others, and anybody who can connect can end the server",
        "valkey",
        ((9, 0, 3),),
        (9, 0, 0),
    ),
    Advisory(
        "CVE-2026-23479, CVE-2026-25243, CVE-2026-23631",
        "blocking commands, RESTORE and scripts can reach freed memory of the server",
        "valkey",
        ((7, 2, 13), (8, 0, 9), (8, 1, 7), (9, 0, 4)),
    ),
)


def concerning(engine: str, version: str) -> Iterator[Advisory]:
    """Return those of a server; none where its version is no version.

    Args:
        engine: ``redis`` or ``valkey``.
        version: such as ``7.2.4``.
    """
    parts = version.split(".")
    if len(parts) < 3 or not all(part.isdecimal() for part in parts[:3]):
        return
    read = int(parts[0]), int(parts[1]), int(parts[2])
    for each in ADVISORIES:
        if each.engine == engine and each.concerns(read):
            yield each
