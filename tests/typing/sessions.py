"""What type checkers see of sessions: read by mypy and pyright, never run."""

from __future__ import annotations

from typing import Any, assert_type

from cachepolicy import NewSession, Session, SessionInfo, SessionManager

sessions = SessionManager()


async def awaited(token: str | None) -> None:
    """Await each verb."""
    created = await sessions.create_session(
        "u1", {"cart": [1]}, device="phone", permissions=["read"], ttl="1h"
    )
    assert_type(created, NewSession)
    assert_type(created.token, str)
    assert_type(await sessions.create_anonymous(), NewSession)
    assert_type(await sessions.get_session(token), Session | None)
    assert_type(await sessions.peek_session(token), Session | None)
    assert_type(await sessions.update_activity(token), bool)
    assert_type(await sessions.update_session(token, {"a": 1}, remove=["b"]), Session | None)
    assert_type(await sessions.set_permissions(token, ["admin"]), Session | None)
    assert_type(await sessions.rotate(token), NewSession | None)
    assert_type(await sessions.login(token, 7), NewSession)
    assert_type(await sessions.end_session(token), bool)
    assert_type(await sessions.list_sessions("u1"), list[SessionInfo])
    assert_type(await sessions.revoke_session("u1", "id"), bool)
    assert_type(await sessions.revoke_others(token), bool)
    await sessions.revoke_all("u1")


def in_a_thread(token: str) -> None:
    """Call each verb."""
    token, session = sessions.create_session.sync("u1")
    assert_type(session.data, dict[str, Any])
    assert_type(session.user_id, str | int | None)
    assert_type(session.may("read"), bool)
    assert_type(sessions.get_session.sync(token), Session | None)
    sessions.create_session.sync(1.5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType] - no user
