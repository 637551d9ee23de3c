"""What is known of a model, by all processes: does it answer, when did it last, how long does it take?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cachepolicy.keys.layout import prefix
from cachepolicy.keys.template import segment
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.plan import Plan
    from cachepolicy.flow.stores import Site
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.tiers.models import Facts

OK: Final = "ok"
"""The status of a model that answered; of one that did not it is the class of the error."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is known of a model.

    Attributes:
        status: ``ok``, the class of the last error, or what your code says.
        last_check: when that was, in seconds since the epoch; None in ``set_info``: now.
        avg_response_time: in seconds, the latest calls counting most; None: it has not answered yet.
    """

    status: str
    last_check: float | None = None
    avg_response_time: float | None = None


class Models:
    """What is known of models, kept in a namespace as long as its answers; each verb is awaited or ``.sync``.

    Every verb raises:
        UnknownNamespace: the policy does not declare it.
        PolicyError: it is of another kind than ``cache``.
        StoreError: Redis could not be asked.
    """

    def __init__(self, namespace: str = "llm") -> None:
        self.namespace: Final = namespace

    def __repr__(self) -> str:
        return f"Models({self.namespace!r})"

    @verb
    def set_info(self, provider: str, model: str, info: ModelInfo, /) -> Work[None]:
        """Replace what is known of a model.

        Args:
            provider: who serves it, such as ``openai``.
            model: as calls name it.
            info: what is known.
        """
        from cachepolicy.tiers.models import Facts  # loaded with the first plan

        runtime, site, ttl, deadline = self._opened()
        checked = site.clock.wall() if info.last_check is None else info.last_check
        key = key_of(prefix(runtime.loaded.policy.app, self.namespace), provider, model)
        facts = Facts(info.status, checked, info.avg_response_time)
        flow = _replace(site, key, facts, ttl, deadline)
        return Work(runtime, site, runtime.guarantees.over(self.namespace, flow))

    @verb
    def get_info(self, provider: str, model: str, /) -> Work[ModelInfo | None]:
        """Return what is known of a model; None where nothing is. Arguments as of ``set_info``."""
        runtime, site, _, deadline = self._opened()
        key = key_of(prefix(runtime.loaded.policy.app, self.namespace), provider, model)
        flow = _read(site, key, deadline)
        return Work(runtime, site, runtime.guarantees.over(self.namespace, flow))

    def _opened(self) -> tuple[Runtime, Site, float, float]:
        from cachepolicy.runtime.endpoints import deadline_of  # loaded with the first plan

        runtime = current.current()
        rule = runtime.cache(self.namespace, "", repr(self))
        return (
            runtime,
            runtime.home(self.namespace, rule).site,
            rule.ttl.default,
            deadline_of(runtime.loaded.policy, rule),
        )


models: Final = Models()
"""Of the namespace ``llm``."""


def key_of(namespace_prefix: str, provider: str, model: str) -> str:
    """Return where what is known of a model lies."""
    return f"{namespace_prefix}model_info:{segment(provider)}:{segment(model)}"


def told(plan: Plan, key: str, facts: Facts, weight: float) -> Flow[None]:
    """Tell Redis how a model did; a fault is counted, and nobody hears of it."""
    from cachepolicy.errors import StoreError
    from cachepolicy.flow import incidents
    from cachepolicy.flow.resilience import Budget, ask
    from cachepolicy.tiers import models as facts_of

    command = facts_of.add(key, facts, weight, plan.life.ttl)
    try:
        yield from ask(plan.site.guard, command, Budget(plan.clock, plan.patience.deadline))
    except StoreError as fault:
        incidents.fault(plan, fault)


def _replace(site: Site, key: str, facts: Facts, ttl: float, deadline: float) -> Flow[None]:
    from cachepolicy.flow.resilience import Budget, ask
    from cachepolicy.tiers import models as facts_of

    yield from ask(site.guard, facts_of.replace(key, facts, ttl), Budget(site.clock, deadline))


def _read(site: Site, key: str, deadline: float) -> Flow[ModelInfo | None]:
    from cachepolicy.flow.resilience import Budget, ask
    from cachepolicy.tiers import models as facts_of

    facts = yield from ask(site.guard, facts_of.read(key), Budget(site.clock, deadline))
    return None if facts is None else ModelInfo(facts.status, facts.last_check, facts.avg_response_time)
