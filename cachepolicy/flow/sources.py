"""What is uploaded: bytes, files, iterators of either colour; all come out in chunks of one size."""

from __future__ import annotations

import inspect
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, cast

from cachepolicy.flow.effects import AsyncIO, Flow, SyncIO

_END: Final = object()
_PART: Final = 256 * 1024  # bytes asked of a file that is read by a task
_BYTES: Final = (bytes, bytearray, memoryview)


class Source(Protocol):
    """Gives chunks: at most ``count``, each of ``chunk`` bytes; fewer, or a shorter one, are the last.

    Attributes:
        size: in bytes, where it is known.
        in_thread: any thread may read it.
    """

    size: int | None
    in_thread: bool

    def pull(self, count: int, chunk: int) -> list[bytes]:
        """Read on, in this thread."""
        ...

    async def apull(self, count: int, chunk: int) -> list[bytes]:
        """Read on, in this task."""
        ...

    def close(self) -> None:
        """Close what was opened here."""
        ...


class _Read:
    """What is read by a function; in a task as in a thread."""

    size: int | None = None
    in_thread = True

    def __init__(self, read: Callable[[int], object]) -> None:
        self._read = read

    def pull(self, count: int, chunk: int) -> list[bytes]:
        pulled: list[bytes] = []
        while len(pulled) < count:
            parts: list[bytes] = []
            left = chunk
            while left and (part := self._part(left)):
                parts.append(part)
                left -= len(part)
            if parts:
                pulled.append(parts[0] if len(parts) == 1 else b"".join(parts))
            if left:
                break
        return pulled

    async def apull(self, count: int, chunk: int) -> list[bytes]:
        return self.pull(count, chunk)

    def close(self) -> None: ...

    def _part(self, most: int) -> bytes:
        part = self._read(most)
        if not isinstance(part, _BYTES):
            raise TypeError("expected a binary file, whose read() returns bytes and does not run dry")
        return bytes(part)


class _InMemory(_Read):
    """What may change meanwhile is copied chunk by chunk; ``bytes`` are not copied before they are sealed."""

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
        view = memoryview(content)
        self._rest = view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
        self._is_fixed = type(content) is bytes
        self.size: int | None = len(self._rest)
        super().__init__(self._take)

    def _take(self, most: int) -> memoryview:
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def _part(self, most: int) -> bytes:
        if not self._is_fixed:
            return bytes(self._take(most))
        return cast("bytes", self._take(most))  # it is hashed, compressed and joined as bytes are


class _Opened(_Read):
    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self.size = os.fstat(self._file.fileno()).st_size or None  # files of the kernel say 0
        super().__init__(self._file.read)

    def close(self) -> None:
        self._file.close()


class _Pieces:
    """What comes in pieces of any size."""

    size: int | None = None
    in_thread = False

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self._held = 0
        self._is_over = False

    def _take_in(self, piece: object) -> None:
        if piece is _END:
            self._is_over = True
            return
        if not isinstance(piece, _BYTES):
            raise TypeError("expected an iterator of bytes")
        kept = memoryview(piece if isinstance(piece, bytes) else bytes(piece))  # who made it may use it again
        self._pieces.append(kept)
        self._held += len(kept)

    def _cut(self, chunk: int) -> bytes:
        parts, left = [], min(chunk, self._held)
        self._held -= left
        while left:
            piece = self._pieces.popleft()
            if len(piece) > left:
                self._pieces.appendleft(piece[left:])
                piece = piece[:left]
            parts.append(piece)
            left -= len(piece)
        return b"".join(parts)

    def _chunks(self, count: int, chunk: int) -> list[bytes]:
        wanted = min(count, -(-self._held // chunk))
        return [self._cut(chunk) for _ in range(wanted)]

    def _wants(self, count: int, chunk: int) -> bool:
        return not self._is_over and self._held < count * chunk

    def close(self) -> None: ...


class _Iterated(_Pieces):
    def __init__(self, pieces: Iterable[object]) -> None:
        super().__init__()
        self._iterator: Iterator[object] = iter(pieces)

    def pull(self, count: int, chunk: int) -> list[bytes]:
        while self._wants(count, chunk):
            self._take_in(next(self._iterator, _END))
        return self._chunks(count, chunk)

    async def apull(self, count: int, chunk: int) -> list[bytes]:
        return self.pull(count, chunk)


class _AsyncIterated(_Pieces):
    def __init__(self, pieces: AsyncIterable[object]) -> None:
        super().__init__()
        self._iterator: AsyncIterator[object] = aiter(pieces)

    def pull(self, count: int, chunk: int) -> list[bytes]:  # noqa: ARG002 - nothing can be read here
        raise TypeError("an async iterator is uploaded by `await put(…)`, not by `put.sync`")

    async def apull(self, count: int, chunk: int) -> list[bytes]:
        while self._wants(count, chunk):
            self._take_in(await anext(self._iterator, _END))
        return self._chunks(count, chunk)


def source_of(given: object) -> Source:
    """Return what reads a source.

    Raises:
        TypeError: it is none.
        OSError: the file cannot be opened.
    """
    if isinstance(given, _BYTES):
        return _InMemory(given)
    if isinstance(given, Path):
        return _Opened(given)
    read = getattr(given, "read", None)
    if isinstance(given, AsyncIterable) and not isinstance(given, Iterable):
        return _AsyncIterated(given)
    if inspect.iscoroutinefunction(read):  # such as FastAPI's UploadFile
        return _AsyncIterated(_parts(read))
    if callable(read):
        return _of_file(given, read)
    if isinstance(given, Iterable) and not isinstance(given, str):
        return _Iterated(given)
    raise TypeError("expected bytes, a Path, a binary file, or an iterator of bytes")


async def _parts(read: Callable[[int], Awaitable[object]]) -> AsyncIterator[object]:
    while part := await read(_PART):
        yield part


def _of_file(file: Any, read: Callable[[int], object]) -> Source:
    source = _Read(read)
    source.size = _rest_of(file)
    return source


def _rest_of(file: IO[bytes]) -> int | None:
    """Return how many bytes are left to be read; None where a file does not tell."""
    try:
        at = file.tell()
        end = file.seek(0, os.SEEK_END)
        file.seek(at)
    except (AttributeError, OSError, ValueError, TypeError):
        return None
    return max(0, end - at)


@dataclass(slots=True)
class Pull:
    """Read on, where the source must be read: in the caller's thread, or its task."""

    source: Source
    count: int
    chunk: int

    def run(self, io: SyncIO) -> list[bytes]:  # noqa: ARG002 - a source needs no store
        """Read in this thread."""
        return self.source.pull(self.count, self.chunk)

    def arun(self, io: AsyncIO) -> Awaitable[list[bytes]]:  # noqa: ARG002 - a source needs no store
        """Read in this task."""
        return self.source.apull(self.count, self.chunk)


def pulled(source: Source, count: int, chunk: int) -> Flow[list[bytes]]:
    """Read on; raises what the source raises."""
    chunks: list[bytes] = yield Pull(source, count, chunk)
    return chunks
