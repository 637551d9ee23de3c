"""Rules of limits: who is counted, under which plan, and what is refused before a call is counted wrongly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from cachepolicy import (
    DecorationError,
    PolicyError,
    RateLimiter,
    UnkeyableArgument,
    UnknownNamespace,
    UnknownPlan,
    UnknownRule,
    configure,
    rate_limited,
    scope,
)
from cachepolicy.keys.path import parse_path
from tests.policy.helpers import said
from tests.support.colour import Colour
from tests.support.limiting import Asked, denials, limits_policy

ONCE = {"requests": ["1/hour"]}


def _rules(**rules: Any) -> None:
    configure(limits_policy(rules=rules))


@pytest.fixture
def asked(colour: Colour) -> Asked:
    """Ask in each colour."""
    return Asked(colour)


class _Request:
    def __init__(self, user: Any, **headers: str) -> None:
        self.user = SimpleNamespace(id=user)
        self.headers = headers
        self.path = ["v1", user]


@pytest.mark.parametrize(
    "by",
    [
        "request.user.id",
        'request.headers["key"]',
        "request.headers['key']",
        "request.path[1]",
        "request.path[-1]",
    ],
)
def test_who_is_counted_is_read_from_the_arguments(asked: Asked, by: str) -> None:
    """An expression takes attributes and items of an argument; each subject has a count of its own."""
    _rules(api={"by": by, **ONCE})

    @asked.colour.decorate(rate_limited("api"))
    def handle(request: Any) -> str:
        return "done"

    outcomes = asked.all(*(partial(handle, _Request(user, key=user)) for user in ("a", "a", "b")))
    assert denials(outcomes) == [False, True, False]


def test_several_expressions_are_one_subject(asked: Asked) -> None:
    """The same name at another tenant is another user, and a name cannot run over into the next."""
    _rules(api={"by": ["tenant", "user"], **ONCE})

    @asked.colour.decorate(rate_limited("api"))
    def handle(tenant: str, user: str) -> str:
        return "done"

    pairs = [("a", "bc"), ("ab", "c"), ("a", "bc"), ("a:b", "c"), ("a", "b:c")]
    outcomes = asked.all(*(partial(handle, *pair) for pair in pairs))
    assert denials(outcomes) == [False, False, True, False, False]


def test_the_decorator_says_who_is_counted(asked: Asked) -> None:
    """``by=`` overrides the rule's, takes a callable of the same arguments, and one for each rule."""
    _rules(chat={"by": "nobody", **ONCE}, ip={"by": "nobody", **ONCE})

    @asked.colour.decorate(rate_limited("chat", by="user"))
    def by_name(user: str) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("chat", by=lambda user, *, of: f"{of}/{user}"))
    def by_call(user: str, *, of: str) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("chat", "ip", by={"chat": "user", "ip": ["address", "user"]}))
    def by_rule(user: str, address: str) -> str:
        return "done"

    assert denials(asked.all(lambda: by_name("a"), lambda: by_name(user="a"))) == [False, True]
    assert denials(asked.all(lambda: by_call("a", of="b"), lambda: by_call("a", of="b"))) == [False, True]
    calls = [lambda: by_rule("c", "1"), lambda: by_rule("d", "1"), lambda: by_rule("d", "2")]
    assert denials(asked.all(*calls)) == [False, False, True]


def test_keywords_that_are_collected_are_read_too(asked: Asked) -> None:
    """A name that is taken by ``**`` identifies a caller, and one that was not passed is unknown."""
    _rules(api={"by": "user", **ONCE})

    @asked.colour.decorate(rate_limited("api"))
    def handle(**options: str) -> str:
        return "done"

    assert denials(asked.all(lambda: handle(user="a"), lambda: handle(user="a"))) == [False, True]
    with pytest.raises(UnkeyableArgument, match="not known"):
        asked.all(lambda: handle(other="a"))


def test_the_context_says_who_asks(asked: Asked) -> None:
    """``scope.tenant`` and ``scope.user`` are those of ``with scope(…)``; outside of it nobody is counted."""
    _rules(api={"by": ["scope.tenant", "scope.user"], **ONCE})

    @asked.colour.decorate(rate_limited("api"))
    def handle() -> str:
        return "done"

    with scope(tenant="t", user="u"):
        assert denials(asked.all(handle, handle)) == [False, True]
    with pytest.raises(UnkeyableArgument, match="not known"):
        asked.all(handle)


@pytest.mark.parametrize("subject", [None, "", "  ", b"", ("a", None), ("a", ""), (), []])
def test_unknown_callers_never_share_a_limit(asked: Asked, subject: Any) -> None:
    """A subject that is None or empty, or is in part, is an error and no anonymous bucket."""
    _rules(api={"by": "user", **ONCE})

    @asked.colour.decorate(rate_limited("api"))
    def handle(user: Any) -> str:
        return "done"

    with pytest.raises(UnkeyableArgument, match="not known"):
        asked.all(lambda: handle(subject))
    with pytest.raises(UnkeyableArgument, match="not known"):
        asked.verb(RateLimiter().check, "api", subject)
    with pytest.raises(UnkeyableArgument, match="not known"):
        asked.verb(RateLimiter().check_rate_limit, subject, "login", 5)


def test_what_cannot_be_read_names_the_expression_and_no_value(asked: Asked) -> None:
    """A missing attribute is an error that says where it was looked for, and repeats no argument."""
    _rules(api={"by": "request.user.id", **ONCE})

    @asked.colour.decorate(rate_limited("api"))
    def handle(request: Any) -> str:
        return "done"

    with pytest.raises(UnkeyableArgument, match=r"request\.user\.id.*AttributeError") as refused:
        asked.all(lambda: handle("secret-request"))
    assert "secret" not in str(refused.value)


def test_plans_are_read_from_the_call(asked: Asked) -> None:
    """Each plan has its limits; a call without one has the default; what one used counts for all."""
    _rules(
        chat={
            "by": "user",
            "default_plan": "free",
            "plans": {
                "free": {"requests": "1/hour"},
                "pro": {"requests": "3/hour"},
                "staff": {"unlimited": True},
            },
        }
    )

    @asked.colour.decorate(rate_limited("chat", plan="plan"))
    def handle(user: str, plan: str | None = None) -> str:
        return "done"

    def calls(user: str, *plans: str | None) -> list[Callable[[], Any]]:
        return [partial(handle, user, plan) for plan in plans]

    assert denials(asked.all(*calls("a", None, None, "", "pro"))) == [False, True, True, False]
    assert denials(asked.all(*calls("b", "pro", "pro", "pro", "pro"))) == [False, False, False, True]
    assert denials(asked.all(*calls("c", *["staff"] * 9))) == [False] * 9


def test_an_unknown_plan_is_an_error(asked: Asked) -> None:
    """A plan that the rule does not have is told without its name; so is none where there is no default."""
    _rules(chat={"by": "user", "plans": {"free": ONCE, "pro": ONCE}})

    @asked.colour.decorate(rate_limited("chat", plan="plan"))
    def handle(user: str, plan: Any) -> str:
        return "done"

    for plan in ("gold", ["pro"], 1):
        with pytest.raises(UnknownPlan, match="there are: free, pro") as unknown:
            asked.all(partial(handle, "a", plan))
        assert "gold" not in str(unknown.value)
    with pytest.raises(UnknownPlan, match="say which plan: free, pro"):
        asked.all(lambda: handle("a", None))
    with pytest.raises(UnknownPlan, match="there are: free, pro"):
        asked.verb(RateLimiter().check, "chat", "a", plan="gold")


def test_an_unknown_rule_or_namespace_is_an_error(asked: Asked) -> None:
    """The nearest rule is told; a namespace of another kind is refused."""
    configure(
        {
            "version": 1,
            "namespaces": {
                "ratelimit": {"kind": "ratelimit", "rules": {"chat": {"by": "user", **ONCE}}},
                "llm": {"kind": "cache", "scope": "global"},
            },
        }
    )
    check = RateLimiter().check
    with pytest.raises(UnknownRule, match="did you mean 'chat'"):
        asked.verb(check, "chatt", "a")
    with pytest.raises(UnknownNamespace):
        asked.verb(RateLimiter("limits").check, "chat", "a")
    with pytest.raises(PolicyError, match="of kind cache; limits need one of kind ratelimit"):
        asked.verb(RateLimiter("llm").check, "chat", "a")


def test_a_function_that_lacks_the_parameter_is_told_on_the_first_call(asked: Asked) -> None:
    """The rule's ``by`` must be found among the function's parameters; the message says what there is."""
    _rules(api={"by": "user_id", **ONCE}, anonymous=ONCE)

    @asked.colour.decorate(rate_limited("api"))
    def handle(user: str) -> str:
        return "done"

    @asked.colour.decorate(rate_limited("anonymous"))
    def silent(user: str) -> str:
        return "done"

    with pytest.raises(
        DecorationError, match=r"rule 'api': by='user_id': no such parameter; did you mean 'user'"
    ):
        asked.all(lambda: handle("a"))
    with pytest.raises(PolicyError, match="does not say who is counted"):
        asked.all(lambda: silent("a"))


@pytest.mark.parametrize(
    ("by", "place"),
    [
        ("user.", 5),
        ("user[id]", 5),
        ("user['a", 5),
        ("user.__class__", 5),
        ("user.id()", 8),
        ("user + 1", 5),
        ("user[0:1]", 5),
    ],
)
def test_expressions_are_read_and_never_evaluated(by: str, place: int) -> None:
    """Attributes and items are read; what else stands there is refused from its first character on."""
    with pytest.raises(ValueError, match=f"from character {place} on"):
        parse_path(by)
    (problem,) = said(
        {"version": 1, "namespaces": {"r": {"kind": "ratelimit", "rules": {"chat": {"by": by, **ONCE}}}}}
    )
    assert problem.startswith("namespaces.r.rules.chat.by: expected a parameter")
    assert problem.endswith(f"it cannot be read from character {place} on")


@pytest.mark.parametrize("by", ["", "1a", ".a", "[0]", "lambda: 1", "a" * 201])
def test_what_is_no_expression_is_refused_where_it_is_written(by: str) -> None:
    """A decorator refuses it when the function is decorated."""

    def handle(user: str) -> str:
        return "done"

    with pytest.raises(DecorationError, match="expected a parameter"):
        rate_limited("chat", by=by)(handle)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"by": "u", "money": "5 USD/day"}, "money is limited in USD, and the policy has no prices in it"),
        (
            {"by": "u", "requests": "5/10ms", "algorithm": "window"},
            "expected a longer window, or fewer buckets",
        ),
        (
            {"by": "u", "requests": "9/s", "batch": "5%", "overrides": True},
            "expected no batch beside overrides",
        ),
    ],
)
def test_impossible_rules_are_refused_when_they_are_loaded(rule: dict[str, Any], message: str) -> None:
    """What could never be counted, or not exactly, is no rule."""
    found = said({"version": 1, "namespaces": {"r": {"kind": "ratelimit", "rules": {"chat": rule}}}})
    assert len(found) == 1
    assert message in found[0]


def test_a_reload_keeps_what_was_consumed(asked: Asked, redis_url: str) -> None:
    """Other amounts are other limits on the same use; nobody starts anew because a file was edited."""
    for amount, denied in ((2, [False, False, True]), (4, [False, False, True]), (3, [True])):
        configure(limits_policy(redis_url, rules={"chat": {"by": "user", "requests": f"{amount}/day"}}))
        check = partial(asked.begun, RateLimiter().check, "chat", "a")
        decisions = asked.all(*[check] * len(denied))
        assert [not decision.allowed for decision in decisions] == denied
