"""``python -m tests.faults``: play the fault matrix under the shipped policy; write ``docs/reliability.md``.

The exit code is that of the tests; the page is written only when all of them pass.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest

from tests.faults import page
from tests.faults.harness import FIGURES


def main() -> int:
    """Play, then write."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.jsonl"
        file.touch()
        os.environ[FIGURES] = str(file)
        code = pytest.main(["-q", "-p", "no:cacheprovider", str(Path(__file__).parent)])
        if code == 0:
            page.PAGE.write_text(page.page(file.read_text(encoding="utf-8")), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
