"""An application of its own process: ``python -m tests.support.telemetry_app ENDPOINT WAY`` sends, and ends.

``exit``: it runs off its end; ``sigterm``: that signal ends it; ``fork``: a child by ``os.fork`` calls too;
``multiprocessing``: a forked child of that module does, which runs nothing that is registered at exit.
Each process makes one call, and tells its pid.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading

from opentelemetry import trace

from cachepolicy import cached, configure
from cachepolicy.telemetry import setup


@cached("answers")
def answer(question: str) -> str:
    """Answer."""
    return question.upper()


def call() -> None:
    """Make one call that leaves L1, inside a span that says which process this is."""
    with trace.get_tracer("app").start_as_current_span(f"process {os.getpid()}"):
        answer(str(os.getpid()))


def tell(pid: int | None) -> None:
    """Write a pid."""
    sys.stdout.write(f"{pid}\n")
    sys.stdout.flush()


def main(endpoint: str, way: str) -> None:
    """Set up, call, and end."""
    configure(
        {
            "version": 1,
            "app": "app",
            "redis": {"url": "memory://"},
            "namespaces": {"answers": {"kind": "cache", "scope": "global", "ttl": "1h"}},
            "telemetry": {"otlp": {"endpoint": endpoint, "interval": "1h"}},
        }
    )
    done = setup()
    call()
    tell(os.getpid())
    if way == "fork":
        assert done.flush(20)  # so that a connection was open
        child = os.fork()
        call()
        if child == 0:
            tell(os.getpid())
            sys.exit(0)
        os.waitpid(child, 0)
    elif way == "multiprocessing":
        process = multiprocessing.get_context("fork").Process(target=call)
        process.start()
        tell(process.pid)
        process.join()
    elif way == "sigterm":
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(10)


if __name__ == "__main__":
    main(*sys.argv[1:])
