"""What the world sees: spans, metrics and recorded outcomes. Only OpenTelemetry's API is needed.

``setup()`` sets its SDK up, for applications that have none. It reads the policy in use, and so lives above
this room: it is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachepolicy.runtime.telemetry import setup
    from cachepolicy.telemetry.result import Signal, SignalState, TelemetrySetup

_ROOMS = {
    "Signal": "telemetry.result",
    "SignalState": "telemetry.result",
    "TelemetrySetup": "telemetry.result",
    "setup": "runtime.telemetry",
}

__all__ = ["Signal", "SignalState", "TelemetrySetup", "setup"]


def __getattr__(name: str) -> object:
    room = _ROOMS.get(name)
    if room is None:
        raise AttributeError(f"module 'cachepolicy.telemetry' has no attribute {name!r}")
    value = getattr(import_module(f"cachepolicy.{room}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
