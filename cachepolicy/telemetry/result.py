"""What ``telemetry.setup()`` did: for each signal whether it is sent, and if not, why not."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class SignalState(StrEnum):
    """What became of a signal."""

    STARTED = "started"
    """It is sent, by providers of this library's making."""
    APPLICATION = "application"
    """The application has set a provider, which is left as it is."""
    OFF = "off"
    """The policy, or a variable of OpenTelemetry's, says that it is not sent."""
    ENDED = "ended"
    """It was sent until ``shutdown()``; OpenTelemetry lets a process set a provider once."""


@dataclass(frozen=True, slots=True)
class Signal:
    """Traces, or metrics.

    ``state`` is what became of them, ``why`` a sentence for people.
    """

    state: SignalState
    why: str


class Sending(Protocol):
    """What was started, and can be ended."""

    def flush(self, timeout: float) -> bool:
        """Send what waits; tell whether it was done in time."""
        ...

    def shutdown(self, timeout: float) -> bool:
        """Send what waits, and end; tell whether it was done in time."""
        ...


@dataclass(frozen=True, slots=True)
class TelemetrySetup:
    """What was set up.

    ``traces`` and ``metrics`` say what became of each. ``ignored`` names the settings of the policy in use
    that differ from those by which the SDK was set up: it cannot change while the process runs.
    """

    traces: Signal
    metrics: Signal
    ignored: tuple[str, ...] = ()
    _sending: Sending | None = field(default=None, repr=False, compare=False)

    def flush(self, timeout: float = 5.0) -> bool:
        """Send what waits to be sent; raises nothing.

        Args:
            timeout: seconds for which the caller waits at most; what is under way goes on behind.

        Returns:
            Whether it was sent, or given up by the exporter, in time.
        """
        return self._sending is None or self._sending.flush(timeout)

    def shutdown(self, timeout: float = 5.0) -> bool:
        """Send what waits to be sent, and end; raises nothing. A second call does nothing.

        Args:
            timeout: seconds for which the caller waits at most; what is under way goes on behind.

        Returns:
            Whether it ended in time.
        """
        return self._sending is None or self._sending.shutdown(timeout)
