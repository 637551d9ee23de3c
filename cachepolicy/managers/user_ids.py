"""Whose something is: text or a whole number, nothing else, so that nobody is ever taken for another."""

from __future__ import annotations

from cachepolicy.errors import UnkeyableArgument


def user_of(user: object, who: str) -> str | int:
    """Return a user's id; errors name ``who`` asks.

    Raises:
        UnkeyableArgument: it is neither text nor a whole number, or it is empty.
    """
    if type(user) is int or (type(user) is str and user and not user.isspace()):
        return user
    raise UnkeyableArgument(
        f"{who}: expected a user's id: text that is not empty, or a whole number; "
        f"not a {type(user).__name__}{' that is empty' if type(user) is str else ''}"
    )


def text_of(user: str | int) -> str:
    """Return an id as text, as a token says it: 7 and ``"7"`` are one."""
    if isinstance(user, str):
        return plain(user)
    return str(int(user)) if user.bit_length() < 10_000 else hex(user)  # Python refuses to write longer ones


def plain(text: str) -> str:
    """Return text as just that: a subclass of ``str`` has another encoding."""
    return "".join((text,))  # noqa: FLY002 - a format would ask the subclass how it is written
