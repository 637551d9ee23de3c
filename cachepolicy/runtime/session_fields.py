"""What a session holds, as its fields in Redis and back."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cachepolicy.codec import plain
from cachepolicy.codec.sealed import Sealer
from cachepolicy.errors import Corruption, CorruptValue, TooLarge, UnserializableValue
from cachepolicy.flow.session import Session, SessionInfo
from cachepolicy.tiers.session_replies import Created, Listed, Loaded
from cachepolicy.tiers.sessions import At

WHO: Final = "w"
PERMISSIONS: Final = "p"
WHOLE: Final = "b"
_OTHER: Final = frozenset({b"s", b"h", b"o", b"v", b"x"})  # what scripts alone read
_NONE: Final[frozenset[str]] = frozenset()
_MOST: Final = 2**63
_LARGE: Final = "int"
_LONGEST_DEVICE: Final = 256  # characters: clients name their devices themselves


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose a session is, and who that is; shows nothing of it."""

    user: str | int | None
    device: str
    permissions: frozenset[str]

    def __repr__(self) -> str:
        return "Holder()"


@dataclass(frozen=True, slots=True, eq=False)
class Fields:
    """How the sessions of a namespace are written and read.

    Attributes:
        sealer: lays out each field.
        whole: what a session holds is one field; else each name is.
        most: the most bytes that it may hold, as they are stored.
        every: ms after which a token is to be replaced; None: never.
    """

    sealer: Sealer
    whole: bool
    most: int
    every: float | None

    def of(self, at: At, holder: Holder, data: Mapping[str, object]) -> dict[str, bytes]:
        """Return all fields of a new session.

        Raises:
            UnserializableValue: something would not come back as it was.
            TooLarge: it may not hold so much.
        """
        fields = self.data(at.key, data)
        fields[WHO] = self._seal(at.key, WHO, [_written(holder.user), holder.device])
        if holder.permissions:
            fields[PERMISSIONS] = self.permissions(at.key, holder.permissions)
        return fields

    def data(self, key: str, data: Mapping[str, object]) -> dict[str, bytes]:
        """Return what a session is to hold as its fields; errors are as of ``of``."""
        if self.whole:
            _check(data)
            fields = {WHOLE: self._seal(key, WHOLE, dict(data))}
            self._fits(len(fields[WHOLE]))
            return fields
        fields = self.named(key, data)
        self._fits(sum(len(name.encode()) - 1 + len(value) for name, value in fields.items()))
        return fields

    def named(self, key: str, data: Mapping[str, object]) -> dict[str, bytes]:
        """Return a field for each name; errors are as of ``of``."""
        _check(data)
        fields = {f".{name}": value for name, value in data.items()}
        return {self.field(key, name): self._seal(key, name, value) for name, value in fields.items()}

    def field(self, key: str, name: str) -> str:
        """Return the field of what has a name; where values cannot be read, names cannot either."""
        if self.sealer.keyring is None or name[0] != ".":
            return name
        digest = hashlib.blake2b(f"{key}:{name}".encode(), digest_size=12).digest()
        return f".{base64.urlsafe_b64encode(digest).decode()}"

    def permissions(self, key: str, permissions: frozenset[str]) -> bytes:
        """Return the field of permissions; errors are as of ``of``."""
        return self._seal(key, PERMISSIONS, sorted(permissions))

    def device(self, at: At, device: str) -> bytes:
        """Return a device as it is listed."""
        return self._seal(at.listed, at.id, device) if device else b""

    def session(self, at: At, loaded: Loaded) -> Session:
        """Read a session.

        Raises:
            CorruptValue: what is stored was altered, or cannot be decrypted here.
        """
        now, _, newest, head, flat = loaded
        data, user, device, permissions = self._read(at.key, flat)
        used = int(head[13:26])
        return Session(
            at.id,
            user,
            data,
            permissions,
            device,
            int(head[:13]) / 1e3,
            used / 1e3,
            min(int(head[26:39]), used + abs(int(head[52:]))) / 1e3,
            self.every is not None and newest == 1 and now - int(head[39:52]) >= self.every,
        )

    def read(self, key: str, fields: Sequence[bytes]) -> dict[str, Any]:
        """Return what a session holds; errors are as of ``session``."""
        return self._read(key, fields)[0]

    def made(self, at: At, holder: Holder, created: Created, fields: Mapping[str, bytes]) -> Session:
        """Return a session that was just made."""
        flat = [word for name, value in fields.items() for word in (name.encode(), value)]
        return Session(
            id=at.id,
            user_id=holder.user,
            data=self.read(at.key, flat),
            permissions=holder.permissions,
            device=holder.device,
            created=created.made / 1e3,
            last_seen=created.made / 1e3,
            expires_at=created.ends / 1e3,
        )

    def listed(self, key: str, listed: Listed) -> SessionInfo:
        """Read a session in the list of its user; errors are as of ``session``."""
        return SessionInfo(
            id=listed.id,
            device=_value(self.sealer.unseal(listed.device, key), listed.id) if listed.device else "",
            created=listed.made / 1e3,
            last_seen=listed.used / 1e3,
            expires_at=listed.ends / 1e3,
        )

    def _fits(self, size: int) -> None:
        if size > self.most:
            raise self.too_large()

    def too_large(self) -> TooLarge:
        """Return what is raised where a session would hold too much."""
        return TooLarge(f"a session may hold {self.most} bytes: max_bytes")

    def _seal(self, key: str, name: str, value: object) -> bytes:
        """Seal a value with its name: bound to both, while all of a session has one place."""
        payload = plain.dump([name, value])
        self._fits(len(payload))
        return self.sealer.seal(payload, key)

    def _read(
        self, key: str, flat: Sequence[bytes]
    ) -> tuple[dict[str, Any], str | int | None, str, frozenset[str]]:
        unseal, load, is_plain = self.sealer.opener(key), plain.load, self.sealer.keyring is None
        data: dict[str, Any] = {}
        who: Any = None
        permissions = _NONE
        turns = iter(flat)
        try:
            for field, sealed in zip(turns, turns, strict=True):
                if field in _OTHER:
                    continue
                name, value = load(unseal(sealed))
                if name.encode() != field and (is_plain or self.field(key, name).encode() != field):
                    raise CorruptValue(Corruption.KEY)
                if name[0] == ".":
                    data[name[1:]] = value
                elif field == b"w":
                    who = value
                elif field == b"p":
                    permissions = frozenset(value)
                else:
                    data = {**value, **data}
            user, device = who
            if type(user) is not str:
                user = _user(user)
        except (AttributeError, LookupError, TypeError, ValueError):  # somebody else has written there
            raise CorruptValue(Corruption.FORMAT) from None
        return data, user, device, permissions


def _written(user: str | int | None) -> object:
    """Return a user as what can be written: some numbers and texts cannot."""
    if type(user) is int and not -_MOST <= user < _MOST:
        return {_LARGE: hex(user)}
    if type(user) is str and not _is_unicode(user):
        return user.encode(errors="surrogatepass")
    return user


def _user(written: Any) -> str | int | None:
    if isinstance(written, bytes):
        return written.decode(errors="surrogatepass")
    return int(written[_LARGE], 16) if isinstance(written, dict) else written


def _value(payload: bytes, name: str) -> Any:
    named, value = plain.load(payload)
    if named != name:
        raise CorruptValue(Corruption.KEY)
    return value


def device_of(device: str) -> str:
    """Return a device as it is kept: whatever a client calls itself, it can be kept."""
    return device[:_LONGEST_DEVICE].encode(errors="replace").decode()


def permissions_of(permissions: Iterable[str]) -> frozenset[str]:
    """Return permissions as they are kept; one can be given alone."""
    return frozenset((permissions,) if isinstance(permissions, str) else permissions)


def names_of(names: Iterable[str]) -> list[str]:
    """Return names of what a session holds; one can be given alone.

    Raises:
        UnserializableValue: one is no text.
    """
    wanted = [names] if isinstance(names, str) else list(names)
    _check(dict.fromkeys(wanted))
    return wanted


def _check(data: Mapping[str, object]) -> None:
    if not all(type(name) is str and _is_unicode(name) for name in data):
        raise UnserializableValue("what a session holds has names that are texts")


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
