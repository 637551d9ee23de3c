"""What the ready-made stores of sessions and files work with: a namespace of the policy, made ready."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from cachepolicy import policy
from cachepolicy.codec.sealed import Sealer
from cachepolicy.errors import CachePolicyError, CallDenied, PolicyError, StoreError
from cachepolicy.flow import incidents
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.guarantee import Guarantee
from cachepolicy.flow.incidents import Faults
from cachepolicy.flow.protecting import Protection
from cachepolicy.flow.resilience import Budget, ask, ask_all
from cachepolicy.flow.stores import Site
from cachepolicy.keys.layout import prefix
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.rules import SessionsRule, TempRule
from cachepolicy.policy.rules.base import Kept
from cachepolicy.runtime.dictionaries import threshold_of
from cachepolicy.runtime.endpoints import deadline_of
from cachepolicy.runtime.guarantees import Guarantees
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.runtime.protections import Protections
from cachepolicy.runtime.tracing import tracing
from cachepolicy.telemetry import faults, metrics
from cachepolicy.telemetry.names import ATTRIBUTE_ERROR, ATTRIBUTE_NAMESPACE, SPAN_SESSION, SPAN_TEMP
from cachepolicy.telemetry.spans import Attribute, Tracing
from cachepolicy.tiers.commands import Command

if TYPE_CHECKING:
    from cachepolicy.codec.encrypt import Keyring

R = TypeVar("R", bound=SessionsRule | TempRule)
T = TypeVar("T")

_SPANS: Final[dict[str, str]] = {"sessions": SPAN_SESSION, "temp": SPAN_TEMP}


@functools.lru_cache(256)
def _span_name(kind: str, verb: str, namespace: str) -> str:
    return _SPANS[kind].format(verb=verb, namespace=namespace)


@dataclass(frozen=True, slots=True, eq=False)
class Records(Generic[R]):
    """One namespace of sessions or of files, as long as its policy is in use.

    Attributes:
        namespace: its name.
        rule: what the policy says of it.
        prefix: what each of its keys begins with.
        site: where they are.
        guarantee: that they stay there.
        deadline: the most that Redis may add to a verb, in seconds.
        sealer: lays out what is stored.
        protection: does without TTLs in Redis; None: keys have them.
    """

    namespace: str
    rule: R
    prefix: str
    site: Site
    guarantee: Guarantee
    deadline: float
    sealer: Sealer
    tracing: Tracing
    counters: Faults
    protection: Protection | None = None
    said: set[tuple[str, str]] = field(default_factory=set)

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.namespace

    def budget(self) -> Budget:
        """Return what one verb may wait for Redis."""
        return Budget(self.site.clock, self.deadline, self.tracing.here)

    def ask(self, command: Command[T]) -> Flow[T]:
        """Ask Redis, within the deadline. Raises StoreError."""
        return ask(self.site.guard, self.kept(command), self.budget())

    def ask_all(self, commands: Sequence[Command[Any]]) -> Flow[list[Any | StoreError]]:
        """Ask several things in one round trip, within the deadline; each has a result or an error."""
        return ask_all(self.site.guard, [self.kept(command) for command in commands], self.budget())

    def kept(self, command: Command[T]) -> Command[T]:
        """Return a command as it is done in this namespace."""
        return command if self.protection is None else self.protection.over(command)

    def watched(self, verb: str, flow: Flow[T]) -> Flow[T]:
        """Run a verb's flow with a span around it; faults are counted, and raised or turned into a denial."""
        span = self.tracing.start(_span_name(self.rule.kind, verb, self.namespace))
        error: str | None = None
        told: dict[str, Attribute] = {}
        span.enter()
        try:
            return (yield from self.guarantee.over(flow))
        except StoreError as fault:
            error = incidents.fault(self, fault, "the call fails: a fault is never an answer")
            told = {ATTRIBUTE_ERROR: error}
            if self.rule.on_fault == "deny":
                raise CallDenied(
                    f"namespace {self.namespace}: Redis is out, and on_fault says deny"
                ) from fault
            raise
        except CachePolicyError as refused:
            error = type(refused).__name__
            raise
        finally:
            span.leave()
            span.end(told | {ATTRIBUTE_NAMESPACE: self.namespace}, error)


class Archive:
    """The namespaces of sessions and files of one policy."""

    def __init__(
        self,
        loaded: LoadedPolicy,
        site: Callable[[str, Kept], Site],
        keyrings: Mapping[str, Keyring],
        guarantees: Guarantees,
        protections: Protections,
    ) -> None:
        self._policy = loaded.policy
        self._site = site
        self._keyrings = keyrings
        self._guarantees = guarantees
        self._protections = protections
        self._opened: Opened[str, Records[Any]] = Opened()

    def records(self, namespace: str, kind: type[R], who: object) -> Records[R]:
        """Return a namespace, made ready; ``who`` needs it, for the message.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is of another kind.
        """
        opened = self._opened.get(namespace)
        if opened is None or type(opened.rule) is not kind:
            rule = self._rule(namespace, kind, who)
            opened = self._opened.of(namespace, lambda: self._open(namespace, rule))
        return opened

    def inherit(self, before: Archive, heritage: Heritage) -> None:
        """Take over namespaces that are kept."""
        self._opened.inherit(before._opened, heritage)

    def after_fork(self) -> None:
        """Leave behind a lock of the parent's threads."""
        self._opened.after_fork()

    def _rule(self, namespace: str, kind: type[R], who: object) -> R:
        rule = policy.namespace(self._policy, namespace)
        if not isinstance(rule, kind):
            wanted = "sessions" if kind is SessionsRule else "temp"
            raise PolicyError(
                f"{who}: namespace {namespace!r} is of kind {rule.kind}; this needs one of kind {wanted}"
            )
        return rule

    def _open(self, namespace: str, rule: R) -> Records[R]:
        loaded = self._policy
        telemetry, compression = loaded.telemetry, rule.compression
        if telemetry.enabled:
            metrics.export_all()
        return Records(
            namespace=namespace,
            rule=rule,
            prefix=prefix(loaded.app, namespace),
            site=self._site(namespace, rule),
            guarantee=self._guarantees.of(namespace, rule),
            deadline=deadline_of(loaded, rule),
            sealer=Sealer(
                threshold=threshold_of(compression),
                level=compression.level,
                limit=rule.chunk
                if isinstance(rule, TempRule)
                else max(rule.max_bytes, rule.preferences.max_bytes),
                keyring=self._keyrings.get(namespace),
            ),
            tracing=tracing(telemetry, "{namespace}"),
            counters=Faults(faults.errors(namespace)),
            protection=self._protections.of(namespace, rule),
        )
