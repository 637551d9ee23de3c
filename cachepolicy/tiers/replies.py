"""What went wrong, in our words: errors of server, connection and redis-py, each as a StoreError.

Nothing of an error's own text is kept: it may hold an address, a key, a password.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from hiredis import HiredisError, ProtocolError, ReplyError
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    ExecAbortError,
    InvalidResponse,
    MasterDownError,
    MaxConnectionsError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from cachepolicy.errors import Fault, StoreError, StoreMisconfigured, StoreUnavailable
from cachepolicy.tiers.endpoint import Host

SLOTS: Final = 16_384
"""Of a cluster; each key is in one."""

UNKNOWN_HOST: Final = "?"
"""How a server of a cluster writes that it does not know a hostname."""

FAULTS: Final = (
    RedisError,
    RedisClusterException,  # not a RedisError
    HiredisError,
    OSError,  # TimeoutError included
    RuntimeError,  # "Event loop is closed", a pool bound to another loop
    AttributeError,  # a connection torn down while it is read: 'NoneType' has no attribute 'readline'
    ValueError,  # a reply that is no RESP: int(b"…") in the parser
    IndexError,  # the same, for an empty line
)
"""Everything that redis-py and the parser have been seen to raise for a fault of server or connection."""

_BY_CODE: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        "LOADING": Fault.LOADING,
        "MASTERDOWN": Fault.MASTERDOWN,
        "CLUSTERDOWN": Fault.CLUSTERDOWN,
        "TRYAGAIN": Fault.TRYAGAIN,
        "BUSY": Fault.BUSY,
        "OOM": Fault.OOM,
        "READONLY": Fault.READONLY,
        "MISCONF": Fault.MISCONF,
        "NOREPLICAS": Fault.NOREPLICAS,
        "NOSCRIPT": Fault.NOSCRIPT,
        "MOVED": Fault.REDIRECTED,
        "ASK": Fault.REDIRECTED,
        "WRONGTYPE": Fault.WRONGTYPE,
        "NOAUTH": Fault.AUTH,
        "WRONGPASS": Fault.AUTH,
        "NOPERM": Fault.FORBIDDEN,
        "CROSSSLOT": Fault.CROSSSLOT,
    }
)
_BY_WORDS: Final = (  # errors that have no code of their own
    ("max number of clients", Fault.CLIENTS),
    ("SELECT is not allowed", Fault.DATABASE),
    ("DB index is out of range", Fault.DATABASE),
    ("invalid DB index", Fault.DATABASE),
    ("invalid password", Fault.AUTH),
    ("AUTH <password> called without any password", Fault.AUTH),
    ("invalid username-password pair", Fault.AUTH),
    ("can't run this command or subcommand", Fault.FORBIDDEN),  # within a script
    ("ACL failure in script", Fault.FORBIDDEN),
    ("unknown command", Fault.UNSUPPORTED),
    ("cluster support disabled", Fault.UNSUPPORTED),
    ("keys in request don't hash to the same slot", Fault.CROSSSLOT),
)
_BY_CLASS: Final[tuple[tuple[type[BaseException], Fault], ...]] = (  # the first that matches
    (AuthenticationError, Fault.AUTH),
    (AuthorizationError, Fault.AUTH),
    (NoPermissionError, Fault.FORBIDDEN),
    (BusyLoadingError, Fault.LOADING),
    (MaxConnectionsError, Fault.BACKPRESSURE),
    (MasterDownError, Fault.MASTERDOWN),
    (ClusterDownError, Fault.CLUSTERDOWN),
    (TryAgainError, Fault.TRYAGAIN),
    (OutOfMemoryError, Fault.OOM),
    (ReadOnlyError, Fault.READONLY),
    (NoScriptError, Fault.NOSCRIPT),
    (ExecAbortError, Fault.ERROR),
    (InvalidResponse, Fault.PROTOCOL),
    (ProtocolError, Fault.PROTOCOL),
    (ssl.SSLError, Fault.TLS),
    (RedisTimeoutError, Fault.TIMEOUT),
    (TimeoutError, Fault.TIMEOUT),
    (ConnectionRefusedError, Fault.REFUSED),
    (RedisConnectionError, Fault.LOST),
    (OSError, Fault.LOST),
    (ValueError, Fault.PROTOCOL),
    (IndexError, Fault.PROTOCOL),
)
_MENDABLE: Final = frozenset(
    {Fault.AUTH, Fault.FORBIDDEN, Fault.DATABASE, Fault.TLS, Fault.CROSSSLOT, Fault.UNSUPPORTED}
)
_HINTS: Final[Mapping[Fault, str]] = MappingProxyType(
    {
        Fault.CROSSSLOT: "the keys of one command must share a slot: give them the same {tag}",
        Fault.UNSUPPORTED: "check the version of the server, and whether redis.url should name a cluster",
    }
)
_ELSEWHERE: Final = (
    "Redis is one server of a cluster, and another has the key: write redis.url as redis+cluster://…"
)
_IN_SCRIPT: Final = re.compile(r"-([A-Z]{3,}) ")
_TLS_TEXT: Final = re.compile(r"certificate|SSL|TLS|ssl", re.ASCII)


class Redirected(StoreMisconfigured):
    """Another server of a cluster has the key; only where a cluster is expected is it followed.

    Attributes:
        slot: of the key.
        host: where to; its name is empty where it is the one that answered, None where it is not told.
        asking: this once, while the slot is moved.
    """

    slot: int = 0
    host: Host | None = None
    asking: bool = False


def refused(error: ReplyError) -> StoreError:
    """Turn an error that the server answered with into ours."""
    text = str(error)
    fault = _fault_of_text(text)
    if fault is Fault.REDIRECTED:
        return _redirected(text)
    found, code = store_error(fault, sent=True), text.partition(" ")[0]
    if code.isalpha() and code.isupper():
        found.code = code
    return found


def _redirected(text: str) -> StoreError:
    """Read ``MOVED 3999 host:port``; a host may be an IPv6 address, without brackets."""
    match text.split():
        case ["MOVED" | "ASK" as code, slot, place] if slot.isdigit() and int(slot) < SLOTS:
            name, _, port = place.rpartition(":")
            if port.isdigit():
                host = None if name == UNKNOWN_HOST else (name.strip("[]"), int(port))
                moved = Redirected(_ELSEWHERE, Fault.REDIRECTED, sent=False)
                moved.slot, moved.host, moved.asking = int(slot), host, code == "ASK"
                return moved
    return store_error(Fault.PROTOCOL, sent=True)


def translate(error: BaseException, *, sent: bool = True) -> StoreError:
    """Turn an error of redis-py, of the parser or of the connection into ours.

    Args:
        error: any of ``FAULTS``.
        sent: whether the command may have reached the server.
    """
    if isinstance(error, ReplyError):
        return refused(error)
    return store_error(_fault_of_class(error), sent=sent, name=type(error).__name__)


def store_error(fault: Fault, *, sent: bool, name: str | None = None) -> StoreError:
    """Say what happened, and to whom it is of use."""
    if fault in _MENDABLE:
        hint = _HINTS.get(fault, "check the password, the ACL, the database number and TLS")
        return StoreMisconfigured(
            f"Redis refuses ({fault}): {hint}",
            fault,
            sent=sent,
        )
    detail = fault if name is None else f"{fault}, {name}"
    return StoreUnavailable(f"Redis gives no usable answer ({detail})", fault, sent=sent)


def again(fault: StoreError, *, sent: bool = True) -> StoreError:
    """Make an error for one more waiter: a traceback grows with every raise."""
    another = type(fault)(str(fault), fault.fault, sent=sent and fault.sent)
    another.code = fault.code
    return another


def _fault_of_text(text: str) -> Fault:
    code = text.partition(" ")[0]
    if code in _BY_CODE:
        return _BY_CODE[code]
    for words, fault in _BY_WORDS:
        if words in text:
            return fault
    inside = _IN_SCRIPT.search(text)  # before Redis 7 a script's error wraps that of its command
    return _BY_CODE.get(inside[1], Fault.ERROR) if inside else Fault.ERROR


def _fault_of_class(error: BaseException) -> Fault:
    cause = error.__cause__ or error.__context__
    if isinstance(cause, ssl.SSLError) or (
        isinstance(error, RedisConnectionError) and _TLS_TEXT.search(str(error))
    ):
        return Fault.TLS
    if isinstance(cause, ConnectionRefusedError | FileNotFoundError):
        return Fault.REFUSED
    for kind, fault in _BY_CLASS:
        if isinstance(error, kind):
            return fault
    if isinstance(error, ResponseError):  # redis-py has taken the code off where it knows it
        return _fault_of_text(str(error))
    return Fault.LOST
