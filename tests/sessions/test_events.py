"""What whoever counts sessions hears of."""

from __future__ import annotations

from cachepolicy.runtime import current
from tests.sessions.conftest import Opened
from tests.support.sessions import Hands


class Heard:
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.all: list[tuple[object, ...]] = []

    def began(self, tag: str, session_id: str, created: float, expires_at: float) -> None:
        self.all.append(("began", session_id, expires_at - created))

    def touched(self, tag: str, session_id: str, expires_at: float) -> None:
        self.all.append(("touched", session_id))

    def ended(self, tag: str, session_id: str, created: float | None) -> None:
        self.all.append(("ended", session_id))

    def all_ended(self, tag: str, but: str | None) -> None:
        self.all.append(("all ended", but))


def test_every_beginning_and_end_is_told(on_redis: Opened, hands: Hands) -> None:
    """Who counts sessions hears of each that begins, is renewed or ends; of one that does not, nothing."""
    sessions = on_redis(max_per_user=2, ttl="1h", touch="10%")
    heard = Heard()
    current.current().sessions.store("sessions", "test").events = heard

    def new() -> list[tuple[object, ...]]:
        told, heard.all = heard.all, []
        return told

    one = sessions.create_session("u1")
    first = one.session.id
    assert new() == [("began", first, 3600)]
    sessions.get_session(one.token)
    sessions.peek_session(one.token)
    assert new() == []
    hands.turn(one, 600_000)
    sessions.get_session(one.token)
    sessions.update_activity(one.token)
    assert new() == [("touched", first)] * 2
    second, third = sessions.create_session("u1").session.id, sessions.create_session("u1").session.id
    assert new() == [("began", second, 3600), ("ended", first), ("began", third, 3600)]
    sessions.revoke_session("u1", second)
    sessions.revoke_session("u1", second)
    assert new() == [("ended", second)]
    before = sessions.create_anonymous()
    assert new() == [("began", before.session.id, 3600)]
    user = sessions.login(before.token, "u1")
    assert new() == [("ended", before.session.id), ("began", user.session.id, 3600)]
    sessions.revoke_others(user.token)
    assert new() == [("all ended", user.session.id)]
    sessions.end_session(user.token)
    sessions.end_session(user.token)
    assert new() == [("ended", user.session.id)]
    sessions.revoke_all("u1")
    assert new() == [("all ended", None)]
