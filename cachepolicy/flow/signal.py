"""Something that happens once, and those who wait for it: threads, and tasks of any loop."""

from __future__ import annotations

import asyncio
import threading


class Signal:
    """Set once. Most are set before anybody waits, so what waiting needs is made by the first who does."""

    is_set = False
    _event: threading.Event | None = None
    _futures: dict[asyncio.AbstractEventLoop, set[asyncio.Future[None]]] | None = None

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock

    def wait(self, timeout: float | None) -> bool:
        """Block until it is set; tell whether it was within ``timeout`` seconds."""
        with self._lock:
            if self.is_set:
                return True
            event = self._event = self._event or threading.Event()
        event.wait(timeout)
        return self.is_set

    async def wait_async(self, timeout: float | None) -> bool:
        """Suspend until it is set; tell whether it was within ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        with self._lock:
            if self.is_set:
                return True
            future: asyncio.Future[None] = loop.create_future()
            if self._futures is None:
                self._futures = {}
            futures = self._futures.setdefault(loop, set())
            futures.add(future)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            pass
        finally:
            futures.discard(future)
        return self.is_set

    @property
    def awaited(self) -> bool:
        """Tell whether anybody has begun to wait."""
        return self._event is not None or self._futures is not None

    def set(self) -> None:
        """Let it have happened: from now on nobody waits."""
        with self._lock:
            self.is_set = True
        self.wake()

    def wake(self) -> None:
        """Wake every waiter of what is set, each in its own thread or loop."""
        event, waiting = self._event, self._futures
        if event is not None:
            event.set()
        for loop, futures in ({} if waiting is None else waiting).items():
            try:
                loop.call_soon_threadsafe(_wake, futures)
            except RuntimeError:  # that loop is closed: nobody waits there any more
                continue


def _wake(futures: set[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
