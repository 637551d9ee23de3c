"""An event loop in a thread of its own: what the servers of this package run on."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")

LOOPBACK: Final = "127.0.0.1"


class Background:
    """One loop in one thread, from the first ``run`` to ``close``."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)

    @property
    def closed(self) -> bool:
        """Tell whether it was closed."""
        return self._loop.is_closed()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` on the loop, and wait for its outcome."""
        if not self._thread.is_alive():
            self._thread.start()
        done: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result()

    def close(self) -> None:
        """Cancel what runs on the loop, and end the thread; closing again does nothing."""
        if self.closed:
            return
        if self._thread.is_alive():
            self.run(_cancel_others())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()


def bound(port: int) -> socket.socket:
    """Take a loopback port, a free one for 0, that further sockets of ours may take as well."""
    # With its protocol named, asyncio turns Nagle's algorithm off on what is accepted there.
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((LOOPBACK, port))
    except OSError:
        taken.close()
        raise
    return taken


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(0)  # transports that were aborted close their sockets in the next turn
