"""A page, opened in headless Chromium: a picture of what people see."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

LARGEST: Final = 300_000  # bytes
FLAGS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-dark-mode",
    "--window-size=1500,900",
    "--virtual-time-budget=20000",  # milliseconds of the page's own clock, for it loads what it shows
)


def photograph(url: str, picture: Path) -> None:
    """Write a picture of a page.

    Raises:
        RuntimeError: there is no Chromium, or its picture is too large to keep.
    """
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        raise RuntimeError("no chromium on PATH: install it, or say --no-picture")
    picture.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="cachepolicy-page-") as profile:
        command = [browser, *FLAGS, f"--user-data-dir={profile}", f"--screenshot={picture}", url]
        subprocess.run(command, check=True, timeout=120, capture_output=True)
    if picture.stat().st_size > LARGEST:
        raise RuntimeError(f"the picture has {picture.stat().st_size} bytes; at most {LARGEST} are kept")
