"""An application that Prometheus scrapes: it makes calls in a span, and waits for its end."""

from __future__ import annotations

import sys

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import start_http_server

from cachepolicy import cached, configure
from cachepolicy.integrations.prometheus import register

CALLS = 20


def main() -> None:
    """Say port and trace; serve until the standard input ends."""
    configure(
        {
            "version": 1,
            "app": "test",
            "namespaces": {"answers": {"kind": "cache", "scope": "global", "ttl": "1h"}},
        }
    )
    register()

    @cached("answers")
    def answer(question: int) -> int:
        return question

    with TracerProvider().get_tracer("app").start_as_current_span("request") as span:
        for number in range(CALLS):
            answer(number)
            answer(number)
    server, thread = start_http_server(0, "127.0.0.1")
    sys.stdout.write(f"{server.server_port} {span.get_span_context().trace_id:032x}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.shutdown()
    server.server_close()
    thread.join()


if __name__ == "__main__":
    main()
