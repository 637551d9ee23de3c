"""``@rate_limited``: a function that each subject may call so often, and spend so much by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cachepolicy.decorators.around import around
from cachepolicy.decorators.limit_options import By, LimitOptions, Number
from cachepolicy.decorators.limited import Limited
from cachepolicy.decorators.limited_form import Form
from cachepolicy.errors import DecorationError, RateLimitExceeded
from cachepolicy.keys.signature import Shape

F = TypeVar("F", bound=Callable[..., Any])


def rate_limited(
    rule: str,
    *more_rules: str,
    by: By | Mapping[str, By] | None = None,
    plan: str | Callable[..., object] | None = None,
    cost: Number = 1,
    tokens: Number | None = None,
    wait: bool | str | float = False,
    on_exceeded: Callable[[RateLimitExceeded], Any] | None = None,
    namespace: str = "ratelimit",
) -> Callable[[F], F]:
    """Let a function be called as often as the rules of the policy allow.

    A call is charged to every limit of every rule, or to none. What is read from its arguments is written as
    in code: ``user_id``, ``request.user.id``, ``headers["x-api-key"]``; a callable takes the same arguments.

    Args:
        rule: a rule of the namespace.
        more_rules: others that hold besides.
        by: who is counted, if not whom the rule says: an expression, several that are one subject together, a
            callable; or one of these for each rule, by its name.
        plan: where the call says its plan; without it, or where that is None, the rule's ``default_plan``.
        cost: for how many requests a call counts.
        tokens: how many tokens it will take, where the call's messages and ``max_tokens`` do not tell. They
            are reserved, and settled by what the result says that it took. A callable may return a ``Usage``.
        wait: whether a caller waits for its turn instead of being refused: True for as long as the rule's
            ``wait`` lets, or the most seconds.
        on_exceeded: takes the error; what it returns is returned instead.
        namespace: a namespace of kind ``ratelimit`` in the policy.

    The function raises, besides its own errors:
        RateLimitExceeded: a limit denies the call.
        UnkeyableArgument: it is not known who is counted.
        UnknownRule, UnknownPlan: the policy does not have it.

    Raises:
        DecorationError: the function cannot be decorated this way.
    """
    if rule in more_rules or len(set(more_rules)) < len(more_rules):
        raise DecorationError("rate_limited: a rule is named twice, and would count a call twice")
    options = LimitOptions((rule, *more_rules), by, plan, cost, tokens, wait, on_exceeded, namespace)

    def wrap(function: Callable[..., Any], shape: Shape, name: str, form: Form) -> Limited:
        return Limited(function, shape, name, options, form)

    return lambda decorated: around(decorated, wrap, "limited")
