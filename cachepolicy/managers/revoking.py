"""How tokens of a namespace are revoked and asked for: the flows behind ``TokenBlacklist``."""

from __future__ import annotations

import base64
import hashlib
import math
import re
import secrets
import weakref
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cachepolicy.errors import StoreError, TokenReused
from cachepolicy.flow.effects import Flow
from cachepolicy.keys.layout import family_key, holder_tag, not_before_key, revoked_key
from cachepolicy.managers.remembered import Remembered
from cachepolicy.managers.token_names import Named
from cachepolicy.policy.rules import SessionsRule
from cachepolicy.runtime.compose import Runtime
from cachepolicy.runtime.records import Archive, Records
from cachepolicy.tiers import blacklist
from cachepolicy.tiers.blacklist import Family, Used
from cachepolicy.tiers.commands import Command

_PART: Final = 16  # bytes of each half of a family's id and of its tokens'
_ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """The current token of a family.

    Attributes:
        family: of all refresh tokens that come from one login; access tokens say it as the claim ``family``.
        jti: what names this one.
        expires_at: until when it can be used, seconds since the epoch.
    """

    family: str = field(repr=False)
    jti: str = field(repr=False)
    expires_at: float


class Halves(NamedTuple):
    """What an id is made of: of a family its holder's tag, of a token what its family shares."""

    first: bytes
    second: bytes

    @property
    def text(self) -> str:
        """The id."""
        return base64.urlsafe_b64encode(self.first + self.second).decode().rstrip("=")


class Question(NamedTuple):
    """What is asked of a token that is not known to be revoked."""

    named: Named
    holder: bytes | None
    family: Halves | None


def halves_of(text: object) -> Halves | None:
    """Return the halves of an id; None where it is none of ours."""
    if not isinstance(text, str) or _ID.fullmatch(text) is None:
        return None
    content = base64.urlsafe_b64decode(f"{text}=")
    halves = Halves(content[:_PART], content[_PART:])
    return halves if halves.text == text else None  # there is one spelling


@dataclass(frozen=True, slots=True)
class Revocations:
    """The tokens of one namespace, under the policy in use."""

    records: Records[SessionsRule]
    remembered: Remembered

    @property
    def lives(self) -> int:
        """How many ms a token lives at most."""
        return _ms(self.records.rule.blacklist.longest) + self.leeway

    @property
    def leeway(self) -> int:
        """By how many ms clocks may differ."""
        return _ms(self.records.rule.blacklist.leeway)

    def tag(self, holder: str) -> bytes:
        """Return the tag of a holder."""
        return holder_tag(self.records.prefix, holder)

    def revoke(self, named: Named, ends: float | None, *, is_sure: bool) -> Flow[bool]:
        """Revoke a token; tells whether anything had to be remembered."""
        longest = 0 if is_sure else _ms(self.records.rule.blacklist.longest)
        key = revoked_key(self.records.prefix, named.name)
        until = yield from self.records.ask(
            blacklist.revoke(key, 0 if ends is None else math.ceil(ends * 1000), longest, self.leeway)
        )
        self.remembered.add(named.name, until / 1000)
        return until > 0

    def revoke_holder(self, holder: str, before: float | None) -> Flow[float]:
        """Revoke all that a holder was given; returns until which moment."""
        key = not_before_key(self.records.prefix, self.tag(holder))
        moment = None if before is None else math.ceil(before * 1000)
        return (yield from self.records.ask(blacklist.revoke_holder(key, moment, self.lives))) / 1000

    def check(self, question: Question) -> Flow[bool]:
        """Tell whether a token is revoked, in one round trip; a fault of any part is one of the whole."""
        named, prefix = question.named, self.records.prefix
        commands: list[Command[Any]] = [blacklist.revoked_until(revoked_key(prefix, named.name))]
        tags = [question.holder] if question.holder is not None else []
        if question.family is not None:
            tag, family = question.family
            commands.append(blacklist.family(family_key(prefix, tag, family)))
            if tag not in tags:
                tags.append(tag)
        commands += [blacklist.not_before(not_before_key(prefix, tag)) for tag in tags]
        until, *others = _answers((yield from self.records.ask_all(commands)))
        if until is not None:
            self.remembered.add(named.name, until / 1000)
            return True
        if question.family is None:
            return _is_before(named.issued, others[0] if tags else None)
        family_found: Family | None = others[0]
        moments: dict[bytes, int | None] = dict(zip(tags, others[1:], strict=True))
        if family_found is None or family_found.revoked:  # it outlives its tokens: it was lost, or made up
            return True
        moment = moments[question.family.first]
        if moment is not None and family_found.begun <= moment:
            return True
        return question.holder is not None and _is_before(named.issued, moments[question.holder])

    def begin(self, holder: str) -> Flow[RefreshToken]:
        """Begin a family."""
        family = Halves(self.tag(holder), secrets.token_bytes(_PART))
        token = Halves(secrets.token_bytes(_PART), secrets.token_bytes(_PART))
        key = family_key(self.records.prefix, *family)
        now = yield from self.records.ask(
            blacklist.begin(key, _digest(token.first), _digest(token.text), self.lives)
        )
        return self._refresh(family, token, now)

    def use(self, family: Halves, token: Halves, who: str) -> Flow[RefreshToken | None]:
        """Spend the current token of a family for the next one."""
        following = Halves(token.first, secrets.token_bytes(_PART))
        prefix = self.records.prefix
        keys = family_key(prefix, *family), not_before_key(prefix, family.first)
        words = _digest(token.first), _digest(token.text), _digest(following.text)
        used, now = yield from self.records.ask(blacklist.use(keys, *words, self.lives))
        if used is Used.REUSED:
            raise TokenReused(f"{who}: a refresh token was used twice; its family is revoked")
        return self._refresh(family, following, now) if used is Used.TURNED else None

    def revoke_family(self, family: Halves) -> Flow[bool]:
        """Revoke all tokens of a family."""
        key = family_key(self.records.prefix, *family)
        return (yield from self.records.ask(blacklist.revoke_family(key, self.lives)))

    def _refresh(self, family: Halves, token: Halves, now: int) -> RefreshToken:
        return RefreshToken(family.text, token.text, now / 1000 + self.records.rule.blacklist.longest)


_OPENED: Final[weakref.WeakKeyDictionary[Archive, dict[str, Revocations]]] = weakref.WeakKeyDictionary()


def opened(runtime: Runtime, namespace: str, who: object) -> Revocations:
    """Return the tokens of a namespace: all blacklists of a process remember together.

    Raises:
        UnknownNamespace: the policy does not declare it.
        PolicyError: it is of another kind than ``sessions``.
    """
    records = runtime.archive.records(namespace, SessionsRule, who)
    of_policy = _OPENED.setdefault(runtime.archive, {})
    found = of_policy.get(namespace)
    if found is None or found.records is not records:
        remembered = Remembered(records.rule.blacklist.remembered, records.site.clock.wall)
        found = of_policy[namespace] = Revocations(records, remembered)
    return found


def _answers(replies: list[Any | StoreError]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, StoreError):
            raise reply
    return replies


def _is_before(issued: float | None, moment: int | None) -> bool:
    """Tell whether a token is older than a moment in ms, or as old; one that does not say is."""
    return moment is not None and (issued is None or math.floor(issued * 1000) <= moment)


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
