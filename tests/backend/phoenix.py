"""Arize Phoenix on a free loopback port: started, asked over its API, and ended by its own pid."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from tests.support.waiting import until

START: Final = 180.0  # seconds; a first start makes a database
END: Final = 20.0
ASK: Final = 30.0
_COSTS: Final = """query Costs($id: ID!) { node(id: $id) { ... on Project {
    spans(first: 1000) { edges { node { spanId costSummary { total { cost } } } } } } } }"""


@dataclass(frozen=True, slots=True)
class Span:
    """What Phoenix shows of a span."""

    name: str
    kind: str
    identity: str
    parent: str | None
    trace: str
    status: str
    attributes: Mapping[str, Any]


class Phoenix:
    """A running Phoenix.

    Args:
        port: where it listens on loopback, for OTLP too.
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    def is_up(self) -> bool:
        """Tell whether it answers."""
        try:
            return self._ask("GET", "/healthz")[0] == HTTPStatus.OK
        except OSError:
            return False

    def spans(self, project: str) -> list[Span]:
        """Read what it keeps of a project; nothing where it does not know the project."""
        status, body = self._ask("GET", f"/v1/projects/{project}/spans?limit=1000")
        if status == HTTPStatus.NOT_FOUND:
            return []
        return [
            Span(
                one["name"],
                one["span_kind"],
                one["context"]["span_id"],
                one["parent_id"],
                one["context"]["trace_id"],
                one["status_code"],
                one["attributes"],
            )
            for one in json.loads(body)["data"]
        ]

    def project_id(self, project: str) -> str:
        """Return what its pages call a project."""
        return str(json.loads(self._ask("GET", f"/v1/projects/{project}")[1])["data"]["id"])

    def costs(self, project: str) -> dict[str, float]:
        """Read what it says that each span has cost, by span."""
        variables = {"id": self.project_id(project)}
        _, body = self._ask("POST", "/graphql", json.dumps({"query": _COSTS, "variables": variables}))
        edges = json.loads(body)["data"]["node"]["spans"]["edges"]
        summaries = {edge["node"]["spanId"]: edge["node"]["costSummary"] for edge in edges}
        return {
            span: summary["total"]["cost"] or 0.0 if summary else 0.0 for span, summary in summaries.items()
        }

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=ASK)
        try:
            connection.request(method, path, body, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def running(binary: Path) -> Iterator[Phoenix]:
    """Start one, with a folder of its own, and end it, whatever happens."""
    folder = Path(tempfile.mkdtemp(prefix="cachepolicy-phoenix-"))
    port, grpc_port = _free_port(), _free_port()
    environment = {
        **os.environ,
        "PHOENIX_HOST": "127.0.0.1",
        "PHOENIX_PORT": str(port),
        "PHOENIX_GRPC_PORT": str(grpc_port),
        "PHOENIX_WORKING_DIR": str(folder),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([binary, "serve"], env=environment, stdout=log, stderr=log)
        try:
            phoenix = Phoenix(port)
            try:
                until(lambda: process.poll() is not None or phoenix.is_up(), "Phoenix", START, 0.2)
                if process.poll() is not None:
                    raise RuntimeError(f"Phoenix ended with {process.returncode}")
            except Exception:
                print((folder / "log").read_text(errors="replace")[-4000:])
                raise
            yield phoenix
        finally:
            _end(process)
            shutil.rmtree(folder, ignore_errors=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
