"""What stands behind a decorated function under one policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from cachepolicy.decorators.sampling import Sampling

if TYPE_CHECKING:
    from cachepolicy.flow.plan import Plan
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.engine import Engine


class Tagged(NamedTuple):
    """An argument whose value is a tag: its name, and where it is; None: among those that ``**`` collects."""

    name: str
    at: int | None


class Bound(NamedTuple):
    """A plan, the runtime that made it, and what they are run with: loaded with the first plan."""

    runtime: Runtime
    plan: Plan
    engine: Engine
    tags: tuple[Tagged, ...]  # arguments whose values are tags
    sampling: Sampling
    streamed: Bound | None = None  # of calls that are answered in parts, where the call's arguments say it
