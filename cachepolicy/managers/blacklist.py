"""``TokenBlacklist``: tokens that were taken back before they expired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from cachepolicy.errors import PolicyError
from cachepolicy.managers.token_names import moment_of, read_token
from cachepolicy.managers.user_ids import text_of, user_of
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Known, Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.managers.revoking import RefreshToken, Revocations
    from cachepolicy.runtime.compose import Runtime

T = TypeVar("T")

Token = str | Mapping[str, object]
"""A token's text, or the claims that were read from it."""

Moment = float | datetime
"""Seconds since the epoch, or a ``datetime`` with a time zone."""


class TokenBlacklist:
    """Revokes tokens; each is remembered until it would have expired by itself.

    Nothing here verifies a token: verify it first, and pass the claims that were verified. Each verb is
    awaited, or run in this thread by ``.sync``. A fault of Redis is raised, never taken for "not revoked".

    Every verb raises:
        StoreError: Redis cannot be asked; CallDenied where the namespace says ``on_fault: deny``.
        UnknownNamespace: the policy does not declare it.
        PolicyError: the namespace is of another kind than ``sessions``.
    """

    def __init__(self, namespace: str = "sessions") -> None:
        self.namespace: Final = namespace

    def __repr__(self) -> str:
        return f"TokenBlacklist({self.namespace!r})"

    @verb
    def revoke_token(self, token: Token, *, expires_at: Moment | None = None) -> Work[bool]:
        """Revoke a token until it has expired by itself; doing so again never shortens it.

        Args:
            token: its text, or its claims.
            expires_at: when it expires, where it does not say; of two moments the later one counts. Where
                nobody says, it is remembered for ``blacklist.longest``.

        Returns:
            False where it had expired already, so that nothing has to be remembered.

        Raises:
            UnreadableToken: nothing names it.
        """
        named = read_token(token, f"{self!r}.revoke_token")
        ends, is_sure = named.ends, named.is_sure
        if expires_at is not None:
            told = self._moment(expires_at, "revoke_token(expires_at=…)")
            is_sure = is_sure or ends is None
            ends = told if ends is None else max(ends, told)
        runtime, revocations = self._opened()
        flow = revocations.revoke(named, ends, is_sure=is_sure)
        return self._work(runtime, revocations, "revoke_token", flow)

    @verb
    def is_revoked(
        self,
        token: Token,
        user: str | int | None = None,
        *,
        issued_at: Moment | None = None,
        family: str | None = None,
    ) -> Work[bool] | Known[bool]:
        """Tell whether a token is revoked: itself, with all of its user's, or with its family.

        Args:
            token: its text, or its claims.
            user: whose it is; None: whose the claim ``sub`` says.
            issued_at: when; None: when the claim ``iat`` says. Of a user whose tokens were revoked, one that
                does not say is revoked.
            family: of refresh tokens that it came from; None: that of the claim ``family``.

        Raises:
            UnreadableToken: nothing names it.
            UnkeyableArgument: the user is neither text nor a whole number.
        """
        from cachepolicy.managers.revoking import Question, halves_of  # loaded with the first policy

        named = read_token(token, f"{self!r}.is_revoked")
        runtime, revocations = self._opened()
        if named.name in revocations.remembered:
            return Known(True)  # noqa: FBT003 - what is known
        halves = halves_of(named.family if family is None else family)
        if family is not None and halves is None:
            return Known(True)  # noqa: FBT003 - no family of ours lives under such a name
        if issued_at is not None:
            named = replace(named, issued=self._moment(issued_at, "is_revoked(issued_at=…)"))
        holder = named.holder if user is None else text_of(user_of(user, f"{self!r}.is_revoked"))
        question = Question(named, None if holder is None else revocations.tag(holder), halves)
        return self._work(runtime, revocations, "is_revoked", revocations.check(question))

    @verb
    def revoke_user(self, user: str | int, before: Moment | None = None) -> Work[float]:
        """Revoke all tokens that a user was given until a moment, and the families begun until then.

        A token of that very second is revoked too where its ``iat`` has no fraction.

        Args:
            user: whose; 7 and ``"7"`` are one, because a token's ``sub`` is text.
            before: until when; None: now, by the server's clock. A later moment that was said before stays.

        Returns:
            The moment that holds, seconds since the epoch.

        Raises:
            UnkeyableArgument: the user is neither text nor a whole number.
        """
        holder = text_of(user_of(user, f"{self!r}.revoke_user"))
        moment = None if before is None else self._moment(before, "revoke_user(before=…)")
        runtime, revocations = self._opened()
        return self._work(runtime, revocations, "revoke_user", revocations.revoke_holder(holder, moment))

    @verb
    def begin_family(self, user: str | int) -> Work[RefreshToken]:
        """Begin a family of refresh tokens: those that follow one login; returns the first.

        Raises:
            UnkeyableArgument: the user is neither text nor a whole number.
        """
        holder = text_of(user_of(user, f"{self!r}.begin_family"))
        runtime, revocations = self._opened()
        return self._work(runtime, revocations, "begin_family", revocations.begin(holder))

    @verb
    def use_refresh(self, family: str, jti: str) -> Work[RefreshToken | None] | Known[RefreshToken | None]:
        """Spend the current refresh token of a family; returns the next one.

        Of many who use it at once, one gets the next one. None: no family that lives has such a token.

        Raises:
            TokenReused: it was spent before. Its family is revoked: one of those who hold it stole it.
        """
        from cachepolicy.managers.revoking import halves_of  # loaded with the first policy

        runtime, revocations = self._opened()
        of, token = halves_of(family), halves_of(jti)
        if of is None or token is None:
            return Known(None)
        flow = revocations.use(of, token, f"{self!r}.use_refresh")
        return self._work(runtime, revocations, "use_refresh", flow)

    @verb
    def revoke_family(self, family: str) -> Work[bool] | Known[bool]:
        """Revoke all tokens of a family, as one logout does; tells whether there is such a family."""
        from cachepolicy.managers.revoking import halves_of  # loaded with the first policy

        runtime, revocations = self._opened()
        of = halves_of(family)
        if of is None:
            return Known(False)  # noqa: FBT003 - what is known
        return self._work(runtime, revocations, "revoke_family", revocations.revoke_family(of))

    def _opened(self) -> tuple[Runtime, Revocations]:
        from cachepolicy.managers.revoking import opened  # loaded with the first policy

        runtime = current.current()
        return runtime, opened(runtime, self.namespace, self)

    def _work(self, runtime: Runtime, revocations: Revocations, name: str, flow: Flow[T]) -> Work[T]:
        records = revocations.records
        return Work(runtime, records.site, records.watched(name, flow))

    def _moment(self, value: object, what: str) -> float:
        is_plain = not isinstance(value, datetime) or value.tzinfo is not None
        moment = moment_of(value) if is_plain else None
        if moment is None:
            raise PolicyError(
                f"{self!r}.{what}: expected seconds since the epoch, or a datetime with a time zone"
            )
        return moment
