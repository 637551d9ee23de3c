"""An upload that goes on chunk by chunk, and can be resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cachepolicy.runtime.manage import Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.blob import Blob
    from cachepolicy.flow.effects import Flow


class Upload:
    """An upload of a file whose size is known. Each verb is awaited, or run in this thread by ``.sync``.

    Attributes:
        id: of the file, with which it can be resumed now and read later: a secret, as a password is.
        size: of the file, in bytes.
        chunk_size: how many bytes each chunk has; the last one has what is left.
        chunks: how many there are.
    """

    def __init__(self, runtime: Any, records: Any, resumable: Any) -> None:  # as made by a TempStore
        notes = resumable.notes
        self.id: Final[str] = resumable.uploading.places.id
        self.size: Final[int] = notes.size
        self.chunk_size: Final[int] = notes.chunk
        self.chunks: Final[int] = notes.chunks
        self._runtime = runtime
        self._records = records
        self._resumable = resumable

    def __repr__(self) -> str:
        return f"<Upload of {self.size} bytes>"

    @verb
    def put(self, index: int, chunk: bytes | bytearray | memoryview) -> Work[None]:
        """Store a chunk; doing it again, here or elsewhere, changes nothing.

        Args:
            index: of the chunk, from 0 on.
            chunk: its bytes.

        Raises:
            ValueError: the file has no such chunk, or one of another length.
            BlobMissing: the upload was aborted, or broken off for too long.
        """
        content = bytes(chunk)
        if type(index) is not int or not 0 <= index < self.chunks:
            raise ValueError(f"{self!r}: expected the index of one of {self.chunks} chunks")
        length = self._resumable.notes.length(index)
        if len(content) != length:
            raise ValueError(f"{self!r}: expected {length} bytes as chunk {index}")
        return self._work("upload", self._resumable.put(index, content))

    @verb
    def missing(self) -> Work[list[int]]:
        """Return the indices of the chunks that are not stored, or no longer."""
        return self._work("upload_missing", self._resumable.missing())

    @verb
    def finish(self, sha256: str | None = None) -> Work[Blob]:
        """Let the file be read. Its ``ttl`` begins now.

        Args:
            sha256: what it must have, as hex.

        Raises:
            BlobIncomplete: chunks are missing.
            BlobDamaged: it has another SHA-256.
            BlobMissing: the upload was aborted, or broken off for too long.
        """
        return self._work("upload_finish", self._resumable.finish(sha256))

    @verb
    def abort(self) -> Work[None]:
        """Remove what was stored, and give its room back."""
        return self._work("upload_abort", self._resumable.abort())

    def _work(self, name: str, flow: Flow[Any]) -> Work[Any]:
        return Work(self._runtime, self._records.site, self._records.watched(name, flow))
