"""A process that reads one cached stream and says each chunk as it comes.

``python -m tests.support.stream_peer POLICY FOLDER QUESTION COLOUR``. The origin notes each of its calls in
the folder, gives a first chunk, and gives the others once the folder's gate is open.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from cachepolicy import aclose, cached, close, configure
from tests.support.peer import Folder
from tests.support.source import ROOT
from tests.support.waiting import rest, until


class StreamPeer:
    """The other end of such a process."""

    def __init__(self, policy: dict[str, Any], folder: Folder, question: str, *, task: bool) -> None:
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-W", "error", "-m", "tests.support.stream_peer"),
                *(json.dumps(policy), str(folder.path), question, "async" if task else "sync"),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )

    def next(self) -> str:
        """Return the next chunk; nothing: there is none."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def rest(self) -> list[str]:
        """Return all that is left."""
        return list(iter(self.next, ""))

    def kill(self) -> None:
        """End it as a crash would."""
        self._process.kill()
        self.end()

    def end(self) -> None:
        """Wait until it has ended."""
        assert self._process.stdout is not None
        self._process.wait(30)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self.end()


def _say(chunk: object) -> None:
    sys.stdout.write(f"{chunk}\n")
    sys.stdout.flush()


def main(policy: str, path: str, question: str, colour: str) -> None:
    """Read the stream."""
    configure(json.loads(policy))
    folder = Folder(Path(path))

    @cached("answers", key="tell:{question}")
    def tell(question: str) -> Iterator[str]:
        folder.note(question)
        number = folder.calls(question)
        yield f"first of {number}"
        until(lambda: folder.is_open(question), "the gate")
        yield f"last of {number}"

    @cached("answers", key="tell:{question}")
    async def tell_async(question: str) -> AsyncIterator[str]:
        folder.note(question)
        number = folder.calls(question)
        yield f"first of {number}"
        while not folder.is_open(question):
            await rest(0.005)
        yield f"last of {number}"

    async def read() -> None:
        async for chunk in tell_async(question):
            _say(chunk)
        await aclose()

    if colour == "async":
        asyncio.run(read())
    else:
        for chunk in tell(question):
            _say(chunk)
        close()


if __name__ == "__main__":
    main(*sys.argv[1:])
