"""``telemetry.setup()``: the policy in use, told to OpenTelemetry's SDK. It is loaded when it is called."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import fields as parts_of
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cachepolicy.errors import PolicyError
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules.observing import TelemetryRule
from cachepolicy.runtime import current, exiting
from cachepolicy.telemetry.logs import FIELD_SETTINGS, Event, fields
from cachepolicy.telemetry.result import Signal, SignalState, TelemetrySetup

if TYPE_CHECKING:
    from cachepolicy.telemetry.pipelines import Options, Pipelines

_LOG: Final = logging.getLogger("cachepolicy.telemetry")
_PATIENCE: Final = 5.0
"""Seconds that the end of the process waits for what is sent last, at most."""
_OFF: Final = Signal(SignalState.OFF, "telemetry.enabled is false")
_ENDED: Final = Signal(SignalState.ENDED, "it was shut down, and a process can set a provider once")


class _Done:
    """What was set up in this process, and by what; sends what waits before it ends."""

    def __init__(self, setup: TelemetrySetup, options: Options, pipelines: Pipelines) -> None:
        self.setup = setup
        self.options = options
        self.pipelines = pipelines

    def flush_at_once(self) -> None:
        """Send what waits."""
        self.pipelines.flush(_PATIENCE)


_LOCK = threading.RLock()
_DONE: _Done | None = None


def setup() -> TelemetrySetup:
    """Send traces and metrics by OTLP, as ``telemetry:`` of the policy in use says.

    For applications that have not set up OpenTelemetry's SDK themselves: a provider that the application has
    set is never touched, each signal by itself. Call it once, as the application starts; another call returns
    what the first one did, and names the settings that have changed since and cannot take effect. What waits
    is sent before the process ends, for five seconds at most.

    Returns:
        What was done with each signal, and if nothing, why.

    Raises:
        PolicyError: a package is missing, which is named, or a header cannot be sent.
    """
    global _DONE  # noqa: PLW0603 - a process has one SDK
    loaded = current.current().loaded
    rule = loaded.policy.telemetry
    with _LOCK:
        if not rule.enabled and _DONE is None:
            return TelemetrySetup(_OFF, _OFF)
        options = _options(loaded)
        if _DONE is None:
            done = _start(rule, options)
            if done.pipelines.traces is None and done.pipelines.metrics is None:
                return done.setup  # nothing was started: the next call may find it otherwise
            _DONE = done
            exiting.add(done, last=True)
            exiting.arm()
            exiting.arm_children()
            return done.setup
        return _again(_DONE, options, rule)


def _start(rule: TelemetryRule, options: Options) -> _Done:
    from cachepolicy.telemetry import pipelines as sdk

    options.receiver.check()
    pipelines, traces, metrics = sdk.start(options, spans=rule.spans != "none")
    return _Done(TelemetrySetup(traces, metrics, (), pipelines), options, pipelines)


def _again(done: _Done, options: Options, rule: TelemetryRule) -> TelemetrySetup:
    setup = done.setup
    if done.pipelines.ended:
        started = SignalState.STARTED
        return replace(
            setup,
            traces=_ENDED if setup.traces.state is started else setup.traces,
            metrics=_ENDED if setup.metrics.state is started else setup.metrics,
        )
    ignored = _differences(done.options, options)
    if not rule.enabled:
        ignored = ("telemetry.enabled", *ignored)
    if ignored:
        _LOG.warning(
            "telemetry is sent as the policy said before; restart to change: %s",
            ", ".join(ignored),
            extra=fields(Event.TELEMETRY_UNCHANGED, more={FIELD_SETTINGS: ignored}),
        )
    return replace(setup, ignored=ignored)


def _differences(old: Options, new: Options) -> tuple[str, ...]:
    changed = [
        f"otlp.{part.name}"
        for part in parts_of(old.receiver)
        if _differ(part.name, old.receiver, new.receiver)
    ]
    names = {"sampling": "sampling", "resource": "resource", "interval": "otlp.interval"}
    changed += [name for part, name in names.items() if _differ(part, old, new)]
    return tuple(f"telemetry.{name}" for name in changed)


def _differ(name: str, old: object, new: object) -> bool:
    return bool(getattr(old, name) != getattr(new, name))


def _options(loaded: LoadedPolicy) -> Options:
    """Read the policy; what it leaves unsaid stays open, for OpenTelemetry's variables.

    Raises:
        PolicyError: the SDK is not installed.
    """
    try:
        from cachepolicy.telemetry.otlp import Receiver
        from cachepolicy.telemetry.pipelines import Options
    except ImportError as missing:
        raise PolicyError(
            f"telemetry.setup() needs {missing.name}: pip install 'cachepolicy[otel]'"
        ) from None
    rule, otlp = loaded.policy.telemetry, loaded.policy.telemetry.otlp
    said = otlp.model_fields_set
    return Options(
        Receiver(
            protocol=otlp.protocol if "protocol" in said else None,
            endpoint=otlp.endpoint,
            headers={name: secret.get_secret_value() for name, secret in otlp.headers.items()},
            timeout=otlp.timeout if "timeout" in said else None,
        ),
        service=loaded.policy.app,
        resource=dict(rule.resource),
        sampling=rule.sampling if "sampling" in rule.model_fields_set else None,
        interval=otlp.interval if "interval" in said else None,
    )


def _after_fork() -> None:
    """Leave behind a lock that another thread held when this process was forked."""
    global _LOCK  # noqa: PLW0603 - a lock cannot be released for a thread that does not exist here
    _LOCK = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
