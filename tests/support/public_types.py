"""``python -m tests.support.public_types``: are the types of all that users see written down?

Runs ``pyright --verifytypes`` and keeps what it says of the names in ``__all__`` of ``cachepolicy`` and
``cachepolicy.telemetry``, of their members and of ``cachepolicy.testing``. Inside, inference is good
enough.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cachepolicy
from cachepolicy import telemetry

_BINARIES = Path(sys.executable).parent


def main() -> int:
    """Print each public name without a full type; the exit code is 1 if there is one."""
    found = False
    for symbol in _symbols():
        if not _is_public(symbol["name"]) or (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]):
            continue
        found = True
        print(symbol["name"])
        for diagnostic in symbol["diagnostics"]:
            place = (
                f"{diagnostic['file']}:{diagnostic['range']['start']['line'] + 1}: "
                if "range" in diagnostic
                else ""
            )
            print(f"  {place}{diagnostic['message']}")
    return int(found)


def _symbols() -> list[Mapping[str, Any]]:
    # It looks for the package in the first python on PATH, and nowhere else.
    path = os.pathsep.join([str(_BINARIES), os.environ.get("PATH", "")])
    command = ["pyright", "--verifytypes", "cachepolicy", "--ignoreexternal", "--outputjson"]
    ran = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    report = json.loads(ran.stdout)["typeCompleteness"]
    if not report["symbols"]:
        raise SystemExit(f"pyright found no symbol of cachepolicy:\n{ran.stdout}")
    symbols: list[Mapping[str, Any]] = report["symbols"]
    return symbols


def _is_public(symbol: str) -> bool:
    return any(symbol == name or symbol.startswith(f"{name}.") for name in _public_names())


def _public_names() -> Iterator[str]:
    yield "cachepolicy.testing"
    for door in (cachepolicy, telemetry):
        for name in door.__all__:
            yield f"{door.__name__}.{name}"
            value = getattr(door, name)
            if isinstance(value, type):
                yield f"{value.__module__}.{value.__qualname__}"


if __name__ == "__main__":
    sys.exit(main())
