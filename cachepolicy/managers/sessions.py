"""``SessionManager``: who is logged in, kept in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from cachepolicy.errors import PolicyError
from cachepolicy.keys import tokens
from cachepolicy.managers.limit_arguments import Span, seconds_of
from cachepolicy.managers.user_ids import user_of
from cachepolicy.runtime import current
from cachepolicy.runtime.manage import Known, Work, verb

if TYPE_CHECKING:
    from cachepolicy.flow.effects import Flow
    from cachepolicy.flow.session import NewSession, Session, SessionInfo
    from cachepolicy.keys.tokens import Name
    from cachepolicy.runtime.compose import Runtime
    from cachepolicy.runtime.sessions import SessionStore

T = TypeVar("T")


class SessionManager:
    """Sessions of a namespace of ``kind: sessions``; each verb is awaited, or run here by ``.sync``.

    A token that is unknown, forged, malformed, over or revoked is no error: the verb returns None or False.
    A cookie that is not there can be passed as it is: None.

    Every verb raises:
        UnknownNamespace: the policy does not declare it.
        PolicyError: it is of another kind than ``sessions``.
        StoreError: Redis could not be asked: nobody was logged out by that.
        CallDenied: the same, where the policy says ``on_fault: deny``.
        CorruptValue: what is stored was altered, or its key is not in the policy.
        UnkeyableArgument: a user is None, blank, or neither a text nor a whole number.
    """

    def __init__(self, namespace: str = "sessions") -> None:
        self.namespace: Final = namespace

    def __repr__(self) -> str:
        return f"SessionManager({self.namespace!r})"

    @verb
    def create_session(
        self,
        user_id: str | int,
        data: Mapping[str, object] | None = None,
        *,
        device: str = "",
        permissions: Iterable[str] = (),
        ttl: Span | None = None,
    ) -> Work[NewSession]:
        """Make a session of a user who has just logged in; the token is told this once.

        Args:
            user_id: who that is; ``1`` and ``"1"`` are two.
            data: what it holds, of JSON's types.
            device: what it runs on, for the user's list; its first 256 characters.
            permissions: what the user may do.
            ttl: how long it lives without use, within the range of the namespace; None: its default.

        Raises:
            TooManySessions: the user has as many as may be, under ``when_full: refuse``.
            TooLarge: it would hold more than ``max_bytes``.
            UnserializableValue: something in it would not come back as it was.
        """
        runtime, store = self._open()
        tag = self._tag(store, user_id)
        holder = _holder(user_id, device, permissions)
        idle = store.idle(self._seconds(ttl))
        return self._work(runtime, store, "create", store.create(tag, holder, dict(data or {}), idle))

    @verb
    def create_anonymous(
        self, data: Mapping[str, object] | None = None, *, device: str = "", ttl: Span | None = None
    ) -> Work[NewSession]:
        """Make a session of somebody who has not logged in. Arguments and errors as of ``create_session``.

        Raises:
            PolicyError: the policy has none: ``anonymous: {enabled: false}``.
        """
        runtime, store = self._open()
        if not store.rule.anonymous.enabled:
            raise PolicyError(
                f"{self!r}: the policy has no anonymous sessions: anonymous: {{enabled: false}}"
            )
        holder = _holder(None, device, ())
        idle = store.idle(self._seconds(ttl), anonymous=True)
        flow = store.create(tokens.random_tag(), holder, dict(data or {}), idle)
        return self._work(runtime, store, "create", flow)

    @verb
    def get_session(self, token: str | None) -> Work[Session | None] | Known[Session | None]:
        """Return the session of a token, and note that it was used; one round trip."""
        runtime, store = self._open()
        name = tokens.read(token)
        if name is None:
            return Known(None)
        return self._work(runtime, store, "get", store.load(name, touch=True))

    @verb
    def peek_session(self, token: str | None) -> Work[Session | None] | Known[Session | None]:
        """Return the session of a token; its user is not seen by that."""
        return self._by_token(token, "peek", lambda store, name: store.load(name, touch=False), absent=None)

    @verb
    def update_activity(self, token: str | None) -> Work[bool] | Known[bool]:
        """Note that a session was used, however short ago the last time was; tell whether it is there."""
        return self._by_token(token, "touch", lambda store, name: store.touch(name), absent=False)

    @verb
    def update_session(
        self, token: str | None, changes: Mapping[str, object] | None = None, remove: Iterable[str] = ()
    ) -> Work[Session | None] | Known[Session | None]:
        """Change some of what a session holds, and return it; nobody's other changes are lost.

        Args:
            token: of the session.
            changes: values by name, of JSON's types.
            remove: names; those that are not there do not matter.

        Raises:
            TooLarge: it would hold more than ``max_bytes``; nothing was changed.
            UnserializableValue: something would not come back as it was.
            Conflict: under ``layout: blob``: others have been quicker each time.
        """
        from cachepolicy.runtime.session_fields import names_of  # loaded with the first policy

        gone = names_of(remove)
        return self._by_token(
            token, "update", lambda store, name: store.update(name, dict(changes or {}), gone), absent=None
        )

    @verb
    def set_permissions(
        self, token: str | None, permissions: Iterable[str]
    ) -> Work[Session | None] | Known[Session | None]:
        """Give a session other permissions; who may do more gets a new token too: ``rotate``."""
        from cachepolicy.runtime.session_fields import permissions_of  # loaded with the first policy

        wanted = permissions_of(permissions)
        return self._by_token(token, "permit", lambda store, name: store.permit(name, wanted), absent=None)

    @verb
    def rotate(self, token: str | None) -> Work[NewSession | None] | Known[NewSession | None]:
        """Give a session another token; the old one works for the policy's ``rotate.grace``.

        None also where it has got another token a moment ago: requests that run side by side do it once, and
        those that came too late go on with what they have.
        """
        return self._by_token(token, "rotate", lambda store, name: store.rotate(name), absent=None)

    @verb
    def login(
        self,
        token: str | None,
        user_id: str | int,
        data: Mapping[str, object] | None = None,
        *,
        device: str = "",
        permissions: Iterable[str] = (),
        ttl: Span | None = None,
    ) -> Work[NewSession]:
        """Make a session of a user who has just logged in, instead of the one that he had before.

        The old token is dead at once. What an anonymous session held goes over, and what one of the same user
        did; what another user's held does not.

        Args:
            token: of the session before, if there was one.
            user_id: as of ``create_session``; so are the others, and the errors.
            data: see there; it goes before what was held.
            device: see there.
            permissions: see there.
            ttl: see there.
        """
        runtime, store = self._open()
        tag = self._tag(store, user_id)
        holder = _holder(user_id, device, permissions)
        idle = store.idle(self._seconds(ttl))
        flow = store.login(tokens.read(token), tag, holder, dict(data or {}), idle)
        return self._work(runtime, store, "login", flow)

    @verb
    def end_session(self, token: str | None) -> Work[bool] | Known[bool]:
        """End a session, as at logout; tell whether it was there."""
        return self._by_token(token, "end", lambda store, name: store.end(name), absent=False)

    @verb
    def list_sessions(self, user_id: str | int) -> Work[list[SessionInfo]]:
        """List the sessions of a user, the newest last; one round trip."""
        runtime, store = self._open()
        return self._work(runtime, store, "list", store.list_all(self._tag(store, user_id)))

    @verb
    def revoke_session(self, user_id: str | int, session_id: str) -> Work[bool] | Known[bool]:
        """End one session of a user by its id; tell whether it was there."""
        runtime, store = self._open()
        tag = self._tag(store, user_id)
        if not tokens.is_session_id(session_id):
            return Known(False)  # noqa: FBT003 - it is the result
        return self._work(runtime, store, "revoke", store.revoke(tag, session_id))

    @verb
    def revoke_others(self, token: str | None) -> Work[bool] | Known[bool]:
        """End all sessions of a user but this one, however many; tell whether this one is there."""
        return self._by_token(
            token, "revoke_others", lambda store, name: store.revoke_others(name), absent=False
        )

    @verb
    def revoke_all(self, user_id: str | int) -> Work[None]:
        """End all sessions of a user, however many."""
        runtime, store = self._open()
        return self._work(runtime, store, "revoke_all", store.revoke_all(self._tag(store, user_id)))

    def _open(self) -> tuple[Runtime, SessionStore]:
        runtime = current.current()
        return runtime, runtime.sessions.store(self.namespace, self)

    def _tag(self, store: SessionStore, user_id: object) -> str:
        return store.tag(user_of(user_id, repr(self)))

    def _seconds(self, ttl: Span | None) -> float | None:
        return None if ttl is None else seconds_of(ttl, f"{self!r}: ttl")

    def _by_token(
        self, token: object, name: str, begin: Callable[[SessionStore, Name], Flow[T]], *, absent: T
    ) -> Work[T] | Known[T]:
        """Begin a verb on the session of a token; ``absent``: what becomes of it where that can be none."""
        runtime, store = self._open()
        named = tokens.read(token)
        return Known(absent) if named is None else self._work(runtime, store, name, begin(store, named))

    @staticmethod
    def _work(runtime: Runtime, store: SessionStore, name: str, flow: Flow[Any]) -> Work[Any]:
        records = store.records
        return Work(runtime, records.site, records.watched(name, flow))


def _holder(user_id: str | int | None, device: str, permissions: Iterable[str]) -> Any:
    from cachepolicy.runtime.session_fields import Holder, device_of, permissions_of  # loaded with a policy

    return Holder(user_id, device_of(device), permissions_of(permissions))
