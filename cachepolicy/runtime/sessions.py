"""The sessions of one policy's namespaces: what each verb of a ``SessionManager`` does, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from cachepolicy.clock import lifetime_ms
from cachepolicy.errors import Conflict, CorruptValue, TooManySessions
from cachepolicy.flow import incidents
from cachepolicy.flow.effects import Flow
from cachepolicy.flow.resilience import ask
from cachepolicy.flow.session import NewSession, Session, SessionInfo
from cachepolicy.keys import tokens
from cachepolicy.keys.layout import session_key, user_sessions_key
from cachepolicy.keys.tokens import Name
from cachepolicy.policy.rules import SessionsRule
from cachepolicy.runtime.heritage import Heritage
from cachepolicy.runtime.opened import Opened
from cachepolicy.runtime.records import Archive, Records
from cachepolicy.runtime.session_events import NO_EVENTS, SessionEvents
from cachepolicy.runtime.session_fields import PERMISSIONS, Fields, Holder
from cachepolicy.tiers import sessions as steps
from cachepolicy.tiers.commands import HEAD, unlink
from cachepolicy.tiers.session_replies import Changed, Loaded, Unpatched
from cachepolicy.tiers.sessions import At, Terms

T = TypeVar("T")

_ATTEMPTS: Final = 16
"""How often a session that is one value is changed anew because others were quicker."""
_TAKEN: Final = 60_000
"""ms for which a login that was not answered can be repeated without losing what the session held."""


class SessionStore:
    """The sessions of one namespace; each verb is a flow.

    Args:
        records: of the namespace.
        events: hears of what happens to them.
    """

    def __init__(self, records: Records[SessionsRule], events: SessionEvents) -> None:
        rule = records.rule
        every = rule.rotate.every
        self.records: Final = records
        self.rule: Final = rule
        self.events = events
        self._fields: Final = Fields(
            records.sealer, rule.layout == "blob", rule.max_bytes, None if every is None else every * 1000
        )
        self._large: Final = rule.max_bytes > HEAD

    def tag(self, user: str | int) -> str:
        """Return the tag of a user."""
        return tokens.user_tag(self.records.prefix, user)

    def idle(self, ttl: float | None, *, anonymous: bool = False) -> int:
        """Return how long a session lives without use, in ms: as code asks, within what the policy lets."""
        if ttl is None:
            return lifetime_ms(self.rule.anonymous.ttl if anonymous else self.rule.ttl.default)
        shortest, longest = self.rule.ttl.min, self.rule.ttl.max
        within = max(ttl, shortest) if shortest is not None else ttl
        within = min(within, longest) if longest is not None else within
        if within != ttl:
            incidents.clamped(self.records, "a session's ttl=…")
        return lifetime_ms(within)

    def create(self, tag: str, holder: Holder, data: Mapping[str, object], idle: int) -> Flow[NewSession]:
        """Make a session.

        Raises:
            TooManySessions: its user has as many as may be, and the policy refuses more.
            TooLarge: it may not hold so much.
            UnserializableValue: something would not come back as it was.
        """
        token, name = tokens.mint(tag)
        at, rule, fields = self._at(name), self.rule, self._fields
        written = fields.of(at, holder, data)
        most = 0 if holder.user is None else rule.max_per_user
        terms = Terms(idle, lifetime_ms(rule.absolute), most, rule.when_full == "refuse")
        command = steps.create(at, terms, fields.device(at, holder.device) if most else b"", written)
        made = yield from self.records.ask(command)
        if made is None:
            raise TooManySessions(f"namespace {self.records.namespace}: the user has {most} sessions")
        for ended in made.ended:
            self.events.ended(tag, ended, None)
        session = fields.made(at, holder, made, written)
        self.events.began(tag, at.id, session.created, session.expires_at)
        return NewSession(token, session)

    def load(self, name: Name, *, touch: bool) -> Flow[Session | None]:
        """Load a session, and renew it where it is time."""
        at, records = self._at(name), self.records
        command = steps.load(at, self.rule.touch if touch else steps.NEVER, large=self._large)
        found = yield from ask(records.site.guard, records.kept(command), records.budget())
        return None if found is None else self._found(name, at, found)

    def touch(self, name: Name) -> Flow[bool]:
        """Renew a session."""
        times = yield from self.records.ask(steps.touch(self._at(name)))
        if times is not None:
            self.events.touched(name.tag, name.id, times[1] / 1000)
        return times is not None

    def update(
        self, name: Name, changes: Mapping[str, object], remove: Sequence[str]
    ) -> Flow[Session | None]:
        """Change some of what a session holds.

        Raises:
            Conflict: others have been quicker each time, where all that it holds is one value.
            TooLarge, UnserializableValue: as of ``create``.
        """
        at = self._at(name)
        if self._fields.whole:
            return (yield from self._change(name, at, changes, remove))
        named = self._fields.named(at.key, changes)
        gone = [self._fields.field(at.key, f".{one}") for one in remove]
        command = steps.patch(at, self.rule.touch, self.rule.max_bytes, named, gone, large=self._large)
        patched = yield from self.records.ask(command)
        if patched is Unpatched.TOO_MUCH:
            raise self._fields.too_large()
        if patched is Unpatched.WHOLE:
            return (yield from self._change(name, at, changes, remove))
        return self._found(name, at, patched)

    def permit(self, name: Name, permissions: frozenset[str]) -> Flow[Session | None]:
        """Give a session other permissions."""
        at, most = self._at(name), self.rule.max_bytes
        changes = {PERMISSIONS: self._fields.permissions(at.key, permissions)} if permissions else {}
        remove = [] if permissions else [PERMISSIONS]
        patched = yield from self.records.ask(
            steps.patch(at, self.rule.touch, most, changes, remove, large=self._large)
        )
        return self._found(name, at, None if isinstance(patched, Unpatched) else patched)

    def rotate(self, name: Name) -> Flow[NewSession | None]:
        """Give a session another token, unless it has got one since."""
        at = self._at(name)
        token, renewed = tokens.renew(name.tag, name.id)
        grace = round(self.rule.rotate.grace * 1000)
        loaded = yield from self.records.ask(steps.rotate(at, renewed.digest, grace, large=self._large))
        session = self._found(name, at, loaded)
        return None if session is None else NewSession(token, session)

    def login(
        self, name: Name | None, tag: str, holder: Holder, data: Mapping[str, object], idle: int
    ) -> Flow[NewSession]:
        """End a session and make one of a user, who takes over what it held if it was nobody's, or his own.

        Raises as ``create`` does.
        """
        carried: Mapping[str, object] = {}
        if name is not None:
            at = self._at(name)
            taken = yield from self.records.ask(steps.take(at, tag, _TAKEN, large=self._large))
            if taken is not None:
                self.events.ended(name.tag, name.id, None)
                carried = self._carried(name, at, taken, tag)
        return (yield from self.create(tag, holder, {**carried, **data}, idle))

    def end(self, name: Name) -> Flow[bool]:
        """End a session."""
        created = yield from self.records.ask(steps.end(self._at(name)))
        if created is not None:
            self.events.ended(name.tag, name.id, created / 1e3)
        return created is not None

    def list_all(self, tag: str) -> Flow[list[SessionInfo]]:
        """List the sessions of a user, the newest last."""
        key = user_sessions_key(self.records.prefix, tag)
        listed = yield from self.records.ask(steps.list_all(key))
        return [self._fields.listed(key, one) for one in listed]

    def revoke(self, tag: str, session_id: str) -> Flow[bool]:
        """End one session of a user."""
        prefix = self.records.prefix
        key, listed = session_key(prefix, tag, session_id), user_sessions_key(prefix, tag)
        ended = yield from self.records.ask(steps.revoke(key, listed, session_id))
        if ended:
            self.events.ended(tag, session_id, None)
        return ended

    def revoke_others(self, name: Name) -> Flow[bool]:
        """End all sessions of a user but this one."""
        there = yield from self.records.ask(steps.end_others(self._at(name)))
        if there:
            self.events.all_ended(name.tag, name.id)
        return there

    def revoke_all(self, tag: str) -> Flow[None]:
        """End all sessions of a user."""
        yield from self.records.ask(unlink(user_sessions_key(self.records.prefix, tag)))
        self.events.all_ended(tag, None)

    def _at(self, name: Name) -> At:
        prefix = self.records.prefix
        tag, session_id, digest = name
        return At(session_key(prefix, tag, session_id), user_sessions_key(prefix, tag), session_id, digest)

    def _found(self, name: Name, at: At, loaded: Loaded | None) -> Session | None:
        if loaded is None:
            return None
        session = self._fields.session(at, loaded)
        if loaded.touched:
            self.events.touched(name.tag, name.id, session.expires_at)
        return session

    def _change(
        self, name: Name, at: At, changes: Mapping[str, object], remove: Sequence[str]
    ) -> Flow[Session | None]:
        """Change a session as a whole, again where somebody else was quicker."""
        records, fields = self.records, self._fields
        found = yield from records.ask(steps.load(at, steps.NEVER, large=self._large))
        for _ in range(_ATTEMPTS):
            if found is None:
                return None
            data = {**fields.read(at.key, found.fields), **changes}
            for gone in remove:
                data.pop(gone, None)
            version = found.field(b"v") or b""
            written = fields.data(at.key, data)
            command = steps.replace(at, self.rule.touch, version, written, large=self._large)
            replaced = yield from records.ask(command)
            if not isinstance(replaced, Changed):
                return self._found(name, at, replaced)
            found = replaced.now
        raise Conflict(f"namespace {records.namespace}: the session is changed too often to be changed whole")

    def _carried(self, name: Name, at: At, taken: Loaded, tag: str) -> Mapping[str, object]:
        """Return what a user takes over: never what belongs to another."""
        try:
            held = self._fields.session(at, taken)
        except CorruptValue as refused:  # who logs in need not be able to read what was there before
            self.records.counters.errors[f"corrupt.{refused.reason}"] += 1
            return {}
        return held.data if held.is_anonymous or name.tag == tag else {}


class Sessions:
    """The namespaces of sessions of one policy; each is made ready when it is first asked for.

    Args:
        archive: of the policy.
        events: returns who hears of the sessions of a namespace.
    """

    def __init__(
        self, archive: Archive, events: Callable[[Records[SessionsRule]], SessionEvents] = lambda _: NO_EVENTS
    ) -> None:
        self._archive = archive
        self._events = events
        self._stores: Opened[str, SessionStore] = Opened()

    def store(self, namespace: str, who: object) -> SessionStore:
        """Return a namespace of sessions; ``who`` needs it, for the message.

        Raises:
            UnknownNamespace: the policy does not declare it.
            PolicyError: it is of another kind.
        """
        store = self._stores.get(namespace)
        if store is None:
            records = self._archive.records(namespace, SessionsRule, who)
            store = self._stores.of(namespace, lambda: SessionStore(records, self._events(records)))
        return store

    def inherit(self, before: Sessions, heritage: Heritage) -> None:
        """Take over namespaces that are kept."""
        self._stores.inherit(before._stores, heritage)

    def after_fork(self) -> None:
        """Leave behind a lock of the parent's threads."""
        self._stores.after_fork()
