"""``cachepolicy top`` in a terminal: drawn anew as often as it looks, and ended by a key."""

from __future__ import annotations

import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from cachepolicy.errors import CachePolicyError

_REDRAWN: Final = 4  # times a second: so soon it has the size of a window that was resized
_ENDS: Final = frozenset("qQ\x03\x04")


def live(look: Callable[[], Any], interval: float) -> None:
    """Show what ``look`` draws, until q or Ctrl-C.

    Args:
        look: draws a frame of now.
        interval: seconds between two looks.

    Raises:
        CachePolicyError: rich is not installed.
    """
    try:
        from rich.live import Live
    except ModuleNotFoundError:
        raise CachePolicyError("live, it needs rich: pip install 'cachepolicy[cli]'; or say --once") from None
    with _keys() as pressed, Live(look(), screen=True, refresh_per_second=_REDRAWN) as shown:
        while not pressed(interval):
            shown.update(look(), refresh=True)


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Give what waits so many seconds, and tells at once when a key that ends it is pressed."""
    if not sys.stdin.isatty():
        raise CachePolicyError("live, it needs a terminal for its keys too; or say --once")
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select([terminal], [], [], seconds)
        return bool(ready) and sys.stdin.read(1) in _ENDS | {""}

    try:
        yield pressed
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
