"""A running application to look at: ``python -m docs.observability.example``, and Prometheus beside it.

It starts a Redis of its own behind a network that it makes fail now and then, a provider that plays a model,
a second process that asks the same, and an endpoint for Prometheus on loopback; it ends by itself.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
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


def main() -> int:
    """Run for a while; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=600.0, help="how long it runs (default: %(default)s)"
    )
    parser.add_argument("--port", type=int, default=9464, help="of the endpoint; 0: a free one")
    told = parser.parse_args()
    over = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: over.set())
    second = _SecondProcess(told.seconds, over)
    try:
        _first_process(told.seconds, told.port, over, second)
    finally:
        second.end()
    return 0


def _first_process(seconds: float, port: int, over: threading.Event, second: _SecondProcess) -> None:
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
        print(f"metrics: http://127.0.0.1:{endpoint.server_port}/metrics", flush=True)
        second.tell(proxy.url, provider.base_url)
        stack.callback(second.end)  # while what it asks is still there
        with _working(provider.base_url):
            _weather(proxy, seconds, over)


class _SecondProcess:
    """A process that does the same, once it is told where; forked before there are threads."""

    def __init__(self, seconds: float, over: threading.Event) -> None:
        context = multiprocessing.get_context("fork")
        theirs, self._ours = context.Pipe(duplex=False)

        def work() -> None:
            self._ours.close()
            try:
                redis, provider = theirs.recv_bytes().decode().split()
            except EOFError:  # the first process could not start
                return
            _configure(redis)
            with _working(provider):
                over.wait(seconds)
            close()

        self._process = context.Process(target=work)
        self._process.start()
        theirs.close()

    def tell(self, redis: str, provider: str) -> None:
        """Have it begin."""
        self._ours.send_bytes(f"{redis} {provider}".encode())

    def end(self) -> None:
        """End it, and wait until it has ended."""
        self._ours.close()
        self._process.terminate()
        self._process.join()


def _configure(redis: str) -> None:
    os.environ["EXAMPLE_REDIS"] = redis
    configure(_POLICY)


@contextmanager
def _working(provider: str) -> Iterator[None]:
    ended = threading.Event()
    with OpenAI(base_url=provider, api_key="any", max_retries=0) as client:
        threads = [keep_doing(step, ended, pause=0.03) for step in App(client).parts().values()]
        try:
            yield
        finally:
            ended.set()
            for thread in threads:
                thread.join()


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
