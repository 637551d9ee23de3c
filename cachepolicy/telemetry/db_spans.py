"""Spans of single commands, as the stable semantic conventions of database clients say.

The instrumentation of redis-py makes none of these: this library's connections are its own.
"""

from __future__ import annotations

from typing import Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from cachepolicy.telemetry.names import (
    ATTRIBUTE_DB_BATCH_SIZE,
    ATTRIBUTE_DB_NAMESPACE,
    ATTRIBUTE_DB_OPERATION,
    ATTRIBUTE_DB_PROCEDURE,
    ATTRIBUTE_DB_STATUS,
    ATTRIBUTE_DB_SYSTEM,
    ATTRIBUTE_ERROR,
    ATTRIBUTE_PORT,
    ATTRIBUTE_SERVER,
    SCOPE,
)
from cachepolicy.telemetry.spans import Attribute
from cachepolicy.telemetry.tracing import failed

_SYSTEM: Final = "redis"


class ClientSpan:
    """The span of a command, or of several in one round trip."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, error: str = "", status: str = "") -> None:
        """Close it.

        Args:
            error: what kind of error it was; empty: none.
            status: the server's own code for it.
        """
        try:
            if error:
                self._span.set_attribute(ATTRIBUTE_ERROR, error)
                self._span.set_status(Status(StatusCode.ERROR, error))
            if status:
                self._span.set_attribute(ATTRIBUTE_DB_STATUS, status)
            self._span.end()
        except Exception:  # noqa: BLE001 - processors are the application's code
            failed("")


class ClientSpans:
    """Where the spans of commands come from."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer(SCOPE)

    def begin(
        self, operation: str, db: int, server: tuple[str, int] | None, *, size: int = 1, script: str = ""
    ) -> ClientSpan | None:
        """Begin the span of a command; None: nobody reads it.

        Args:
            operation: its name, or that of several.
            db: the number of the database.
            server: which one; port 0: a socket of this machine; None: not known.
            size: how many commands go together.
            script: the digest of the script that is called.
        """
        try:
            span = self._tracer.start_span(operation, kind=SpanKind.CLIENT)
            if not span.is_recording():
                return None
            told: dict[str, Attribute] = {
                ATTRIBUTE_DB_SYSTEM: _SYSTEM,
                ATTRIBUTE_DB_OPERATION: operation,
                ATTRIBUTE_DB_NAMESPACE: str(db),
            }
            if size > 1:
                told[ATTRIBUTE_DB_BATCH_SIZE] = size
            if script:
                told[ATTRIBUTE_DB_PROCEDURE] = script
            if server is not None:
                told[ATTRIBUTE_SERVER] = server[0]
                if server[1]:
                    told[ATTRIBUTE_PORT] = server[1]
            span.set_attributes(told)
        except Exception:  # noqa: BLE001 - processors are the application's code
            failed("")
            return None
        return ClientSpan(span)
