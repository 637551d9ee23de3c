"""A real Prometheus: started on a free loopback port, asked over its API, gone with its owner."""

from __future__ import annotations

import http.client
import json
import math
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import pytest

from tests.support.waiting import block

_LOOPBACK = "127.0.0.1"
_START = 20.0  # seconds; it takes 0.1 on a machine that has nothing else to do
_POLL = 0.1


class PrometheusFailed(Exception):
    """It did not start, or refused a question."""


def found(name: str) -> str:
    """Return where one of its programs is: ``prometheus``, ``promtool``; skip without, but never in CI."""
    path = shutil.which(name)
    if path is None:
        missing = f"no {name} on PATH: apt-get install prometheus"
        if os.environ.get("CI") == "true":
            raise PrometheusFailed(missing)
        pytest.skip(missing)
    return path


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one moment."""

    labels: Mapping[str, str]
    value: float


class Prometheus:
    """One server with a configuration of one's own.

    Args:
        config: as in ``prometheus.yml``.
    """

    def __init__(self, config: str) -> None:
        self._config = config
        self._folder = tempfile.TemporaryDirectory(prefix="cachepolicy-prometheus-")
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def log(self) -> str:
        """All that it has printed."""
        return Path(self._folder.name, "log").read_text(encoding="utf-8", errors="replace")

    def query(self, expr: str) -> list[Sample]:
        """Ask for one moment, now.

        Raises:
            PrometheusFailed: the expression is wrong.
        """
        data = self.ask("query", query=expr)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    def ask(self, path: str, **params: str) -> Any:
        """Ask its API, and return the data of the answer."""
        answer = self._get(f"/api/v1/{path}?{urlencode(params)}")
        told: dict[str, Any] = json.loads(answer)
        if told["status"] != "success":
            raise PrometheusFailed(f"{told.get('errorType')}: {told.get('error')} ({params})")
        return told["data"]

    def start(self) -> Self:
        """Start it, and wait until it is ready."""
        binary = found("prometheus")
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            if self._process is None:
                self._launch(binary)  # again, where another program took the port
            try:
                if b"Ready" in self._get("/-/ready"):
                    return self
            except OSError:
                block(_POLL)
            if self._process is not None and self._process.poll() is not None:
                self._process = None
        self.close()
        raise PrometheusFailed("it is not ready in time")

    def close(self) -> None:
        """End it, and remove what it kept."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _launch(self, binary: str) -> None:
        folder = Path(self._folder.name)
        file = folder / "prometheus.yml"
        file.write_text(self._config, encoding="utf-8")
        with socket.socket() as probe:
            probe.bind((_LOOPBACK, 0))
            self.port = probe.getsockname()[1]
        words = [
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={_LOOPBACK}:{self.port}",
            "--enable-feature=exemplar-storage",
            "--log.level=warn",
        ]
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen([binary, *words], stdout=log, stderr=subprocess.STDOUT)

    def _get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection(_LOOPBACK, self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


def until(done: Callable[[], bool], seconds: float) -> bool:
    """Ask again until it is so, for so long at most; return whether it is."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        block(_POLL)
    return True


def has_data(samples: list[Sample]) -> bool:
    """Tell whether an answer is one: no series, or none with a number, is not."""
    return any(not math.isnan(sample.value) for sample in samples)
