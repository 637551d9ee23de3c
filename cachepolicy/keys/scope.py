"""Who asks: the tenant and the user of the current context, for ``scope: tenant`` and ``scope: user``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Scope:
    """On whose behalf calls are made."""

    tenant: str | None = None
    user: str | None = None


_NOBODY: Final = Scope()
_CURRENT: ContextVar[Scope] = ContextVar("cachepolicy_scope", default=_NOBODY)


@contextmanager
def scope(*, tenant: str | None = None, user: str | None = None) -> Iterator[None]:
    """Say on whose behalf the calls inside are made; tasks started inside inherit it.

    Args:
        tenant: whose answers may be shared under ``scope: tenant``; None keeps the outer one.
        user: whose answers may be shared under ``scope: user``; None keeps the outer one.
    """
    outer = _CURRENT.get()
    token = _CURRENT.set(
        Scope(tenant if tenant is not None else outer.tenant, user if user is not None else outer.user)
    )
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current_tenant() -> str | None:
    """Return on whose behalf calls are made now; None where nobody said."""
    return _CURRENT.get().tenant or None


def current_user() -> str | None:
    """Return for which user calls are made now; None where nobody said."""
    return _CURRENT.get().user or None


def scope_parts(kind: str, *, tenant: str | None = None, user: str | None = None) -> tuple[str, ...] | None:
    """Return what a key of that scope begins with; None when neither the call nor its context says who asks.

    Args:
        kind: ``global``, ``tenant`` or ``user``. A user is a user of its tenant, where there is one.
        tenant: on whose behalf the call says that it is made; None or empty: it does not say.
        user: for which user.
    """
    if kind == "global":
        return ()
    current = _CURRENT.get()
    tenant, user = tenant or current.tenant, user or current.user
    if kind == "tenant":
        return None if not tenant else ("tenant", tenant)
    return None if not user else ("user", tenant or "", user)
