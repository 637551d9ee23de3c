"""What type checkers see of tokens and preferences: read by mypy and pyright, never run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, assert_type

from cachepolicy import Preferences, Preferred, RefreshToken, TokenBlacklist


async def use() -> None:
    """Use all of it."""
    blacklist = TokenBlacklist()
    assert_type(await blacklist.revoke_token("text", expires_at=5), bool)
    assert_type(blacklist.revoke_token.sync({"jti": "x"}, expires_at=datetime.now(UTC)), bool)
    assert_type(await blacklist.is_revoked({"jti": "x"}, 7, issued_at=5.5, family="f"), bool)
    assert_type(await blacklist.revoke_user("u", before=5), float)
    first = assert_type(await blacklist.begin_family("u"), RefreshToken)
    assert_type(blacklist.use_refresh.sync(first.family, first.jti), RefreshToken | None)
    assert_type(await blacklist.revoke_family(first.family), bool)
    await blacklist.revoke_user(b"u")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]

    preferences = Preferences()
    assert_type(await preferences.get("u"), dict[str, Any])
    assert_type(preferences.get_path.sync(7, "ui.theme", "dark"), Any)
    assert_type((await preferences.read("u")).version, int)
    assert_type(await preferences.read("u"), Preferred)
    assert_type(await preferences.set("u", {"ui": {"theme": "dark"}}, remove=["a"], if_version=5), int)
    assert_type(await preferences.increment("u", "n", 0.5), int | float)
    assert_type(await preferences.reset("u"), bool)
    await preferences.set("u", 5)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
