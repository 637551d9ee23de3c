"""Files of the store that read as files of the system do, from any place."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

from cachepolicy.runtime.manage import Work

if TYPE_CHECKING:
    from cachepolicy.flow.blob import Blob
    from cachepolicy.flow.download import Found
    from cachepolicy.flow.effects import Flow
    from cachepolicy.managers.temp_reading import Reading


class _Cursor:
    """Where in a file somebody reads, and the chunks there."""

    def __init__(self, reading: Reading, found: Found) -> None:
        self.reading = reading
        self.blob: Final[Blob] = found.blob
        self.at = 0
        self._found = found
        self._held_from, self._held = 0, b""

    def seek(self, offset: int, whence: int) -> int:
        """Move; returns where to."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.blob.size}.get(whence)
        if base is None or base + offset < 0:
            raise ValueError("expected a place from the beginning of the file on")
        self.at = base + offset
        return self.at

    def held(self, most: int) -> bytes | None:
        """Return what is here already of what comes next; None: it must be brought."""
        if self.at >= self.blob.size or most == 0:
            return b""
        first = self.at - self._held_from
        if not 0 <= first < len(self._held):
            return None
        taken = self._held[first : first + most]
        self.at += len(taken)
        return taken

    def brought(self) -> Work[None]:
        """Bring the chunk in which the next byte is."""
        return self.reading.work("read", self._bring())

    def rest(self, most: int) -> Work[bytes]:
        """Read on, up to ``most`` bytes (below 0: to the end)."""
        stop = self.blob.size if most < 0 else self.at + most
        return self.reading.work("read", self._read(stop))

    def removed(self) -> Work[None]:
        """Remove a file that can be read once."""
        return self.reading.work("delete", self._found.removed())

    def _bring(self) -> Flow[None]:
        chunk = self._found.notes.chunk
        first = self.at // chunk * chunk
        self._held = yield from _range(self._found, first, first + chunk)
        self._held_from = first

    def _read(self, stop: int) -> Flow[bytes]:
        content = yield from _range(self._found, self.at, stop)
        self.at += len(content)
        return content


def _range(found: Found, start: int, stop: int) -> Flow[bytes]:
    from cachepolicy.flow import download  # loaded with the first policy

    parts: list[bytes] = []
    transfer = download.cut(found, start, stop)
    while pieces := (yield from transfer.read_on()):
        parts += pieces
    return b"".join(parts)


class BlobFile(io.RawIOBase):
    """A file of the store, for whatever reads binary files; ``io.BufferedReader`` reads ahead in it.

    Attributes:
        blob: what is known of it.
    """

    def __init__(self, cursor: Any) -> None:  # as made by a TempStore
        super().__init__()
        self._cursor: _Cursor = cursor
        self.blob: Final[Blob] = cursor.blob

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go on reading at another place."""
        self._check()
        return self._cursor.seek(offset, whence)

    def tell(self) -> int:
        """Return where the next byte is."""
        self._check()
        return self._cursor.at

    def readinto(self, buffer: Any, /) -> int:
        """Read up to the end of a chunk; returns how many bytes. Raises as ``TempStore.read`` does."""
        self._check()
        view = memoryview(buffer).cast("B")
        taken = self._cursor.held(len(view))
        if taken is None:
            _run(self._cursor.brought())
            taken = self._cursor.held(len(view)) or b""
        view[: len(taken)] = taken
        return len(taken)

    def readall(self) -> bytes:
        """Read to the end."""
        self._check()
        content: bytes = _run(self._cursor.rest(-1))
        return content

    def _check(self) -> None:
        if self.closed:
            raise ValueError("the file is closed")


class AsyncBlobFile:
    """A file of the store, for code that awaits.

    Attributes:
        blob: what is known of it.
    """

    def __init__(self, cursor: Any) -> None:  # as made by a TempStore
        self._cursor: _Cursor = cursor
        self.blob: Final[Blob] = cursor.blob

    async def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes, fewer at the end only; below 0: to the end. Raises as ``TempStore.read``."""
        cursor = self._cursor
        if size < 0 or size > cursor.reading.places.depot.chunk:
            content: bytes = await _arun(cursor.rest(size))
            return content
        parts: list[bytes] = []
        while size:
            taken = cursor.held(size)
            if taken is None:
                await _arun(cursor.brought())
                continue
            if not taken:
                break
            parts.append(taken)
            size -= len(taken)
        return b"".join(parts)

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go on reading at another place; returns it."""
        return self._cursor.seek(offset, whence)

    async def tell(self) -> int:
        """Return where the next byte is."""
        return self._cursor.at

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.read(self._cursor.reading.places.depot.chunk)
        if not piece:
            raise StopAsyncIteration
        return piece


class Opening:
    """A file for a block: ``with`` gives a ``BlobFile``, ``async with`` an ``AsyncBlobFile``."""

    def __init__(self, reading: Callable[[], Reading]) -> None:
        self._reading = reading
        self._cursor: _Cursor | None = None
        self._file: BlobFile | None = None

    def __enter__(self) -> BlobFile:
        self._cursor = _run(self._begin())
        self._file = BlobFile(self._cursor)
        return self._file

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if self._file is not None:
            self._file.close()
        if error is None and self._cursor is not None and self._cursor.blob.one_time:
            _run(self._cursor.removed())

    async def __aenter__(self) -> AsyncBlobFile:
        self._cursor = await _arun(self._begin())
        return AsyncBlobFile(self._cursor)

    async def __aexit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None and self._cursor is not None and self._cursor.blob.one_time:
            await _arun(self._cursor.removed())

    def _begin(self) -> Work[_Cursor]:
        reading = self._reading()
        return reading.work("open", _opened(reading))


def _opened(reading: Reading) -> Flow[_Cursor]:
    from cachepolicy.flow import download

    return _Cursor(reading, (yield from download.found(reading.places, reading.claimed)))


def _run(work: Work[Any]) -> Any:
    runtime, site, flow = work
    return runtime.engine.run(flow, runtime.stores.sync_io(site))


async def _arun(work: Work[Any]) -> Any:
    runtime, site, flow = work
    return await runtime.engine.arun(flow, runtime.stores.async_io(site))
