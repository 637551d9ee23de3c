"""A running application to look at: ``python -m docs.observability.example``, and Prometheus beside it.

It starts a Redis of its own behind a network that it makes fail now and then, a provider that plays a model,
a second process that asks the same, and an endpoint for Prometheus on loopback; it ends by itself.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from openai import OpenAI
from prometheus_client import start_http_server

from cachepolicy import HealthMonitor, PolicyError, close, configure
from cachepolicy.integrations import prometheus
from cachepolicy.testing.fault_proxy import FaultProxy, Refuse
from cachepolicy.testing.openai_server import OpenAIServer
from cachepolicy.testing.redis_server import RedisServer
from docs.observability.example_app import App, keep_doing

_POLICY = Path(__file__).with_name("example.yaml")
_ROOT = Path(__file__).parents[2]


def main() -> int:
    """Run for a while; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long it runs (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=9464, help="of the endpoint; 0: a free one")
    parser.add_argument("--peer", nargs=2, metavar=("REDIS", "PROVIDER"), help=argparse.SUPPRESS)
    told = parser.parse_args()
    over = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: over.set())
    if told.peer:
        redis, provider = told.peer
        _peer(redis, provider, told.seconds, over)
    else:
        _whole(told.seconds, told.port, over)
    return 0


def _whole(seconds: float, port: int, over: threading.Event) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(RedisServer("--maxmemory", "64mb"))
        proxy = stack.enter_context(FaultProxy(server.url))
        provider = stack.enter_context(OpenAIServer(think=0.1))
        _configure(proxy.url)
        stack.callback(close)
        prometheus.register()
        endpoint, thread = start_http_server(port, addr="127.0.0.1")
        stack.callback(thread.join)
        stack.callback(endpoint.server_close)
        stack.callback(endpoint.shutdown)
        stack.enter_context(HealthMonitor())
        stack.enter_context(_second_process(proxy.url, provider.base_url, seconds))
        print(f"metrics: http://127.0.0.1:{endpoint.server_port}/metrics", flush=True)
        with _working(provider.base_url):
            _weather(proxy, seconds, over)


def _peer(redis: str, provider: str, seconds: float, over: threading.Event) -> None:
    _configure(redis)
    with _working(provider):
        over.wait(seconds)
    close()


def _configure(redis: str) -> None:
    os.environ["EXAMPLE_REDIS"] = redis
    configure(_POLICY)


@contextmanager
def _working(provider: str) -> Iterator[None]:
    ended = threading.Event()
    with OpenAI(base_url=provider, api_key="any", max_retries=0) as client:
        threads = [keep_doing(step, ended, pause=0.02) for step in App(client).parts().values()]
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()


@contextmanager
def _second_process(redis: str, provider: str, seconds: float) -> Iterator[None]:
    words = ["--seconds", str(seconds), "--peer", redis, provider]
    command = [sys.executable, "-m", "docs.observability.example", *words]
    with subprocess.Popen(command, cwd=_ROOT) as process:  # noqa: S603 - this very program
        try:
            yield
        finally:
            process.terminate()


def _weather(proxy: FaultProxy, seconds: float, over: threading.Event) -> None:
    """Cut connections, refuse new ones for a moment, offer a bad policy; and begin again."""
    ends = threading.Timer(seconds, over.set)
    ends.start()
    while not over.wait(3.0):
        proxy.cut()
        _rejected()
        if over.wait(3.0):
            break
        proxy.fault = Refuse()
        proxy.cut()
        over.wait(1.0)
        proxy.fault = None
    ends.cancel()


def _rejected() -> None:
    """Offer a policy with a mistake: it is refused, and the one in use stays."""
    try:
        configure({"version": 1, "app": "observability-example", "namespaces": {"llm": {"kind": "cash"}}})
    except PolicyError:
        return


if __name__ == "__main__":
    sys.exit(main())
