"""Requests side by side: no change is lost, nothing that was ended comes back."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import pytest

from cachepolicy import Conflict, configure
from cachepolicy.keys.tokens import read
from cachepolicy.runtime import current
from cachepolicy.runtime import sessions as stores
from cachepolicy.testing.topologies import RedisCluster
from cachepolicy.tiers import sessions as steps
from tests.sessions.conftest import Opened
from tests.support.colour import Colour
from tests.support.hammered import hammered
from tests.support.sessions import Hands, Sessions, at_once, sessions_policy

MANY = 24
PROCESSES = 8


@pytest.mark.parametrize("layout", ["hash", "blob"])
def test_no_change_of_another_field_is_lost(
    opened: Opened, colour: Colour, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: requests that change different fields at the same time all find their change kept."""
    monkeypatch.setattr(stores, "_ATTEMPTS", 2 * MANY)
    sessions = opened(layout=layout)
    token, _ = sessions.create_session("u1", {"kept": 0})
    update = partial(sessions.asked.begun, sessions.manager.update_session, token)
    patched = at_once(colour, [partial(update, {f"field-{number}": number}) for number in range(MANY)])
    assert all(found.data[f"field-{number}"] == number for number, found in enumerate(patched))
    expected = {"kept": 0, **{f"field-{number}": number for number in range(MANY)}}
    assert sessions.get_session(token).data == expected


def test_a_blob_that_others_change_all_the_time_is_a_conflict(
    on_redis: Opened, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: a change that is never quick enough is an error, and no change is overwritten unseen."""
    sessions = on_redis(layout="blob")
    created = sessions.create_session("u1", {"a": 1})
    attempts: list[object] = []
    write = steps.replace

    def slower(*args: Any, **kwargs: Any) -> Any:
        attempts.append(hands.client.hset(hands.key(created), "v", f"other-{len(attempts)}"))
        return write(*args, **kwargs)

    monkeypatch.setattr(steps, "replace", slower)
    with pytest.raises(Conflict):
        sessions.update_session(created.token, {"a": 2})
    assert len(attempts) == 16
    assert sessions.get_session(created.token).data == {"a": 1}


@pytest.mark.parametrize("ending", ["end_session", "revoke_session", "revoke_all", "revoke_others", "login"])
def test_no_change_resurrects_a_session(opened: Opened, colour: Colour, ending: str) -> None:
    """S1: whatever is under way while a session is ended, it is over then, and stays so."""
    sessions = opened(touch="0%", max_per_user=100)
    manager = sessions.manager
    for _ in range(5):
        token, session = sessions.create_session("u1", {"a": 1})
        other, _ = sessions.create_session("u1")
        endings = {
            "end_session": (manager.end_session, token),
            "revoke_session": (manager.revoke_session, "u1", session.id),
            "revoke_all": (manager.revoke_all, "u1"),
            "revoke_others": (manager.revoke_others, other),
            "login": (manager.login, token, "u1"),
        }
        works: list[tuple[Any, ...]] = [
            *[(manager.update_session, token, {f"f{number}": number}) for number in range(6)],
            *[(manager.get_session, token)] * 3,
            *[(manager.update_activity, token)] * 3,
            *[(manager.set_permissions, token, ["admin"])] * 2,
            (manager.rotate, token),
            endings[ending],
        ]
        random.shuffle(works)
        told = at_once(colour, [partial(sessions.asked.begun, *work) for work in works])
        rotated = told[[work[0] for work in works].index(manager.rotate)]
        assert sessions.get_session(token) is None
        assert rotated is None or sessions.get_session(rotated.token) is None
        assert session.id not in {info.id for info in sessions.list_sessions("u1")}
        assert sessions.update_session(token, {"a": 2}) is None


def test_a_login_that_races_revoke_all_is_in_it_or_after_it(opened: Opened, colour: Colour) -> None:
    """S1: each session is listed and alive, or neither: none escapes the next "sign out everywhere"."""
    sessions = opened(max_per_user=100)
    manager = sessions.manager
    before = [sessions.create_session("u1") for _ in range(3)]
    works: list[tuple[Any, ...]] = [(manager.create_session, "u1")] * 20 + [(manager.revoke_all, "u1")] * 2
    random.shuffle(works)
    told = at_once(colour, [partial(sessions.asked.begun, *work) for work in works])
    made = [one for one in told if one is not None]
    listed = {info.id for info in sessions.list_sessions("u1")}
    assert all(sessions.get_session(one.token) is None for one in before)
    assert {one.session.id for one in made if sessions.get_session(one.token) is not None} == listed
    sessions.revoke_all("u1")
    assert all(sessions.get_session(one.token) is None for one in made)


@pytest.mark.parametrize("full", ["evict_oldest", "refuse"])
def test_logins_side_by_side_keep_to_the_maximum(opened: Opened, colour: Colour, full: str) -> None:
    """S1: however many logins there are at once, a user has as many sessions as may be, all of them alive."""
    sessions = opened(max_per_user=4, when_full=full)
    tokens = []

    def login() -> Any:
        return sessions.asked.begun(sessions.manager.create_session, "u1")

    if full == "evict_oldest":
        tokens = [one.token for one in at_once(colour, [login] * MANY)]
        assert sum(sessions.get_session(token) is not None for token in tokens) == 4
    else:
        with pytest.raises(Exception, match="4 sessions"):
            at_once(colour, [login] * MANY)
    assert len(sessions.list_sessions("u1")) == 4


def test_what_an_anonymous_session_held_goes_to_one_user(opened: Opened, colour: Colour) -> None:
    """S1: of two users who log in with one token at the same time, one gets what it held."""
    sessions = opened()
    token, _ = sessions.create_anonymous({"cart": [1]})
    login = partial(sessions.asked.begun, sessions.manager.login, token)
    told = at_once(colour, [partial(login, f"user-{number}") for number in range(8)])
    assert sorted(len(one.session.data) for one in told) == [0] * 7 + [1]
    assert sessions.get_session(token) is None


@pytest.mark.timeout(180)  # on a busy machine they begin late
@pytest.mark.parametrize("topology", ["redis", "cluster"])
def test_eight_processes_on_one_user(
    topology: str, redis_url: str, redis_cluster: RedisCluster, colour: Colour
) -> None:
    """S1: eight processes on one user lose no change, exceed no maximum and resurrect nothing."""
    address = redis_url if topology == "redis" else redis_cluster.url
    policy = sessions_policy(address, max_per_user=20, redis={"deadline": "20s", "connect_timeout": "20s"})
    configure(policy)
    sessions = Sessions(colour)
    sessions.revoke_all("u1")
    token, _ = sessions.create_session("holder")
    tasks = [(f"process-{number}", "40", token) for number in range(PROCESSES)]
    seen = hammered(policy, *tasks, hammer="session_hammer")
    for process in seen:
        assert {name: process[name] for name in ("lost", "resurrected", "foreign")} == {
            "lost": 0,
            "resurrected": 0,
            "foreign": 0,
        }
        assert process["made"] == 40
        assert process["most"] <= 20
    data = sessions.get_session(token).data
    assert data == {f"process-{number}": 40 for number in range(PROCESSES)}


def test_processes_of_both_layouts_lose_no_change(
    on_redis: Opened, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S1: while a policy's layout is rolled out, a change by the one is not lost to a change by the other."""
    created = on_redis(layout="hash").create_session("u1", {"a": 1})
    name = read(created.token)
    assert name is not None
    by_hash = current.current().sessions.store("sessions", "test")
    sessions = on_redis(layout="blob")
    write = steps.replace
    turns: list[object] = []

    def later(at: Any, *args: Any, **kwargs: Any) -> Any:
        if not turns:
            fields = by_hash._fields.named(at.key, {"b": 2})
            patch = steps.patch(at, 0.1, 10_000, fields, [], large=False)
            hands.client.execute_command(*patch.with_source().words)
        turns.append(at)
        return write(at, *args, **kwargs)

    monkeypatch.setattr(steps, "replace", later)
    assert sessions.update_session(created.token, {"c": 3}).data == {"a": 1, "b": 2, "c": 3}
    assert len(turns) == 2
