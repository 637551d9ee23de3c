"""Where spans come from, as ``telemetry:`` says."""

from __future__ import annotations

from cachepolicy.policy.rules import TelemetryRule
from cachepolicy.telemetry.names import SPAN_GET
from cachepolicy.telemetry.passing import NoTracing
from cachepolicy.telemetry.spans import Telling, Tracing
from cachepolicy.telemetry.tracing import OpenTelemetry


def tracing(rule: TelemetryRule, name: str = SPAN_GET) -> Tracing:
    """Return where spans of a name come from; ``name`` has ``{namespace}`` in it."""
    if not rule.enabled or rule.spans == "none":
        return NoTracing()
    telling = Telling(
        openinference=rule.dialect == "openinference",
        content=rule.content,
        key_hash=rule.key_hash,
        commands=rule.db_spans,
    )
    return OpenTelemetry(name, telling)
