"""M7: nobody is given the answer to another tenant, or to another user."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from cachepolicy import Outcome, UnkeyableArgument, configure, llm_cached, observe, scope
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.policies import cache_policy

NO_L1 = {"enabled": False}


@pytest.fixture(params=[{}, NO_L1], ids=["L1", "L2"])
def local(request: pytest.FixtureRequest) -> Any:
    """Run the test with and without L1."""
    return request.param


def asking(colour: Colour, **options: Any) -> Any:
    """Return a function whose answers are numbered."""
    calls: list[object] = []

    def ask(question: str, org: Any = None, person: Any = None) -> str:
        calls.append(org)
        return f"{question} {len(calls)}"

    return colour.decorate(llm_cached(namespace="answers", **options))(ask)


def test_m7_tenants_share_nothing(colour: Colour, local: Any) -> None:
    """The parameter that ``tenant=`` names says who asks: each has an answer of its own."""
    configure(cache_policy(scope="tenant", local=local))
    ask = asking(colour, tenant="org")
    for _ in range(3):
        assert [colour.run(partial(ask, "why?", org)) for org in ("a", "b", "a:b")] == [
            "why? 1",
            "why? 2",
            "why? 3",
        ]


def test_m7_users_share_nothing(colour: Colour, local: Any) -> None:
    """A user is a user of its tenant: the same name elsewhere is somebody else."""
    configure(cache_policy(scope="user", local=local))
    ask = asking(colour, tenant="org", user="person")
    callers = [("a", "ann"), ("a", "bob"), ("b", "ann"), (None, "ann")]
    first = [colour.run(partial(ask, "why?", *caller)) for caller in callers]
    assert len(set(first)) == 4
    assert [colour.run(partial(ask, "why?", *caller)) for caller in callers] == first


def test_m7_the_parameter_and_the_context_say_the_same(colour: Colour) -> None:
    """Whichever says it, the key is one; the parameter is the nearer word, None leaves it to the context."""
    configure(cache_policy(scope="tenant"))
    ask = asking(colour, tenant="org")
    with scope(tenant="a"):
        assert ask.key("why?") == ask.key("why?", None)
        assert ask.key("why?", "b") != ask.key("why?")
        inside = ask.key("why?")
    assert ask.key("why?", "a") == inside


@pytest.mark.parametrize("kind", ["tenant", "user"])
def test_m7_nobody_is_nobody(colour: Colour, kind: str) -> None:
    """Where nothing says who asks, nothing is cached, and observers are told why."""
    configure(cache_policy(scope=kind))
    ask = asking(colour, tenant="org", user="person")
    with observe() as seen:
        assert [colour.run(partial(ask, "why?", None)) for _ in range(2)] == ["why? 1", "why? 2"]
        assert colour.run(partial(ask, "why?", "", "")) == "why? 3"
    assert [(one.outcome, one.reason) for one in seen] == [(Outcome.BYPASS, Reason.NO_SCOPE)] * 3
    with pytest.raises(UnkeyableArgument, match="say who asks: pass"):
        ask.key("why?")


def test_m7_who_asks_is_a_str(colour: Colour) -> None:
    """Anything else is an error: ``1`` and ``"1"`` may be two, and an object may be anybody."""
    configure(cache_policy(scope="tenant"))
    ask = asking(colour, tenant="org")
    for wrong in (1, b"a", ["a"]):
        with pytest.raises(UnkeyableArgument, match="parameter 'org' says who asks: expected a str"):
            colour.run(partial(ask, "why?", wrong))


def test_m7_under_a_global_scope_the_parameter_is_as_any_other(colour: Colour) -> None:
    """An operator who lets all share takes nothing out of the key: the function may use the parameter."""
    configure(cache_policy(scope="global"))
    ask = asking(colour, tenant="org", user="person")
    assert colour.run(partial(ask, "why?", "a")) != colour.run(partial(ask, "why?", "b"))
    assert ask.key("why?", 1) != ask.key("why?", "1")


def test_m7_a_user_among_tenants_is_part_of_the_key(colour: Colour) -> None:
    """Under ``scope: tenant`` the tenant's users ask with their names, as with any other argument."""
    configure(cache_policy(scope="tenant"))
    ask = asking(colour, tenant="org", user="person")
    assert colour.run(partial(ask, "why?", "a", "ann")) != colour.run(partial(ask, "why?", "a", "bob"))


def test_m7_a_verb_means_the_entry_of_who_asks(colour: Colour) -> None:
    """Invalidating one tenant's answer leaves the other's."""
    configure(cache_policy(scope="tenant"))
    ask = asking(colour, tenant="org")
    for org in ("a", "b"):
        colour.run(partial(ask, "why?", org))
    assert colour.run(partial(ask.invalidate, "why?", "a")) is True
    assert [colour.run(partial(ask, "why?", org)) for org in ("b", "a")] == ["why? 2", "why? 3"]


def test_m7_tenants_do_not_wait_for_one_another(local: Any) -> None:
    """Two tenants who ask at once make two calls: no flight is shared, in threads or tasks."""
    configure(cache_policy(scope="tenant", local=local))
    meeting = threading.Barrier(2, timeout=20)

    def ask(question: str, org: str) -> str:
        meeting.wait()  # both are in the function at once, or this fails
        return org

    sync: Any = llm_cached(namespace="answers", tenant="org")(SYNC.paint(ask))
    answers: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda org=org: answers.__setitem__(org, sync("why?", org))) for org in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"a": "a", "b": "b"}

    async def both() -> list[str]:
        together = asyncio.Barrier(2)

        @llm_cached(namespace="answers", tenant="org")
        async def later(question: str, org: str) -> str:
            async with asyncio.timeout(20):
                await together.wait()
            return org

        return list(await asyncio.gather(later("why?", "a"), later("why?", "b")))

    assert ASYNC.run(both) == ["a", "b"]


def test_m7_what_a_tenant_is_spared_is_counted_for_it(colour: Colour, local: Any) -> None:
    """The parameter that says who asks says whose savings they are."""
    configure(cache_policy(scope="tenant", local=local))
    ask = asking(colour, tenant="org", model="gpt-4o")
    for org in ("a", "b", "a", "a"):
        colour.run(partial(ask, "why?", org))
    spared = {account.tenant: saved.calls for account, saved in ask.savings().items() if saved.calls}
    assert spared == {"a": 2}
