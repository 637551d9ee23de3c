"""What the world sees: spans, metrics and recorded outcomes. Only OpenTelemetry's API is needed.

``setup()`` sets its SDK up, for applications that have none. It reads the policy in use, and so lives above
this room: it is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachepolicy.telemetry.result import Signal, SignalState, TelemetrySetup

if TYPE_CHECKING:
    from cachepolicy.runtime.telemetry import setup

__all__ = ["Signal", "SignalState", "TelemetrySetup", "setup"]


def __getattr__(name: str) -> object:
    if name == "setup":
        from cachepolicy.runtime import telemetry

        return telemetry.setup
    raise AttributeError(f"module 'cachepolicy.telemetry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
