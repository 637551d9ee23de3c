"""Every error cachepolicy raises, as one tree.

::

    CachePolicyError
    ├── PolicyError               policies.yaml is wrong; carries every problem found
    │   ├── UnknownNamespace      a decorator names a namespace the policy does not declare
    │   ├── UnknownRule           a call is to be limited by a rule the policy does not declare
    │   ├── UnknownMetric         something is to be counted that the policy does not declare
    │   └── UnknownPlan           a call names a plan that its rule does not have, or none
    ├── DecorationError           a function cannot be decorated this way          (also TypeError)
    ├── UnkeyableArgument         an argument has no exact encoding for the key    (also TypeError)
    ├── ForeignKey                a key that is none of the namespace's entries    (also ValueError)
    ├── CodecError
    │   ├── UnserializableValue   a value that would not come back as it was
    │   └── CorruptValue          bytes that are not, or no longer, a value of this key
    ├── StoreError                Redis; the flow turns these into a bypass unless the policy says otherwise
    │   ├── StoreUnavailable      no answer: down, refused, timed out, not speaking Redis, or not able to
    │   └── StoreMisconfigured    an answer that only an operator can mend (password, ACL, database, TLS)
    ├── CallDenied                the policy refuses the call while its store is out
    ├── RateLimitExceeded         a call is over a limit; says which, and when to come back
    ├── ResultsMismatch           a batch gave other results than it was asked for     (also ValueError)
    ├── NotCached                 only what is cached was wanted, and nothing is        (also LookupError)
    ├── OriginTimeout             the function takes longer than callers may wait    (also TimeoutError)
    ├── StreamLost                a stream that is shared with others cannot be read on
    ├── Uncountable               a value, a label or a range that a metric cannot have  (also ValueError)
    ├── TooLarge                  what is to be kept is larger than the policy lets in (also ValueError)
    ├── Conflict                  somebody else changed it since it was read
    ├── SessionError
    │   ├── TooManySessions       a user has as many as may be, and the policy refuses more
    │   ├── TokenReused           a refresh token was used twice: its whole family is revoked
    │   └── UnreadableToken       claims without what names the token                  (also ValueError)
    └── BlobError
        ├── BlobMissing           it never was, has expired, was removed, or was read   (also LookupError)
        ├── BlobIncomplete        its upload has not ended
        ├── BlobDamaged           what is stored is not what was uploaded
        └── QuotaExceeded         its owner, or all together, keep as much as may be

No message carries an argument, a key, a value, a prompt or a secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CachePolicyError(Exception):
    """The root: ``except CachePolicyError`` catches all of cachepolicy's own errors."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a policy: where it stands, what it is about, and how to mend it."""

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"


class PolicyError(CachePolicyError):
    """The policy cannot be used; ``problems`` lists all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem] | str) -> None:
        self.problems: tuple[Problem, ...] = () if isinstance(problems, str) else tuple(problems)
        super().__init__(problems if isinstance(problems, str) else "\n".join(map(str, self.problems)))


class UnknownNamespace(PolicyError):
    """A decorator names a namespace that the policy does not declare."""


class UnknownRule(PolicyError):
    """A call is to be limited by a rule that the policy does not declare."""


class UnknownMetric(PolicyError):
    """Something is to be counted that the policy does not declare, and ``undeclared: refuse`` says no."""


class UnknownPlan(PolicyError):
    """A call names a plan that its rule does not have, or none where the rule has no ``default_plan``."""


class DecorationError(CachePolicyError, TypeError):
    """A function cannot be decorated this way; the message says how to mend it."""


class UnkeyableArgument(CachePolicyError, TypeError):
    """An argument cannot be told apart from others exactly, so no key can be made of it."""


class ForeignKey(CachePolicyError, ValueError):
    """A key that belongs to none of the entries of the namespace that was asked."""


class CodecError(CachePolicyError):
    """A value could not become bytes, or bytes could not become a value."""


class UnserializableValue(CodecError):
    """The value has no byte form from which it would come back equal."""


class Corruption(StrEnum):
    """Why stored bytes were refused; bounded, so it can be a metric attribute."""

    FORMAT = "format"  # not an envelope, or of a version this release does not know
    CHECKSUM = "checksum"  # truncated or altered
    KEY = "key"  # a value that was stored under another key
    SCHEMA = "schema"  # written for another return type
    SIZE = "size"  # larger than the policy lets in
    DICTIONARY = "dictionary"  # compressed with a dictionary that this process does not have
    PAYLOAD = "payload"  # an intact envelope whose content cannot be decoded
    LOCKED = "locked"  # encrypted with a key that the policy does not hold, or no longer
    PLAIN = "plain"  # not encrypted, where the policy says that values are
    TAMPERED = "tampered"  # encrypted, and altered since: by whoever can write to Redis


class CorruptValue(CodecError):
    """Stored bytes that must not be served; ``reason`` says why."""

    def __init__(self, reason: Corruption) -> None:
        self.reason = reason
        super().__init__(f"stored bytes refused: {reason}")


class Fault(StrEnum):
    """Why Redis could not do what was asked; bounded, so it can be a metric attribute."""

    # no answer
    REFUSED = "refused"  # nobody listens there, or the greeting failed
    TIMEOUT = "timeout"
    LOST = "lost"  # the connection ended before the reply
    PROTOCOL = "protocol"  # what came back is no reply to what was asked
    BACKPRESSURE = "backpressure"  # more commands wait than memory is kept for
    OPEN = "breaker_open"  # not asked: the breaker is open
    CLOSED = "closed"  # not asked: the store was closed

    # an answer: not now
    LOADING = "loading"
    MASTERDOWN = "masterdown"
    CLUSTERDOWN = "clusterdown"
    TRYAGAIN = "tryagain"
    CLIENTS = "max_clients"
    BUSY = "busy"  # a script runs

    # an answer: not this
    OOM = "oom"
    READONLY = "readonly"
    MISCONF = "misconf"  # it cannot persist, so it takes no writes
    NOREPLICAS = "noreplicas"
    NOSCRIPT = "noscript"
    REDIRECTED = "redirected"  # MOVED or ASK, more often than is followed
    WRONGTYPE = "wrongtype"
    ERROR = "error"  # any other error of the server

    # an answer that only an operator can mend
    AUTH = "auth"
    FORBIDDEN = "forbidden"  # by the ACL
    DATABASE = "database"  # no such number, or no numbers at all
    TLS = "tls"
    CROSSSLOT = "crossslot"
    UNSUPPORTED = "unsupported"  # a command that this server does not know


class StoreError(CachePolicyError):
    """Redis could not do what was asked: ``fault`` says why, ``sent`` whether it may have been done.

    ``code`` is the word that the server's answer began with, such as ``OOM``; empty: it gave none.
    """

    code = ""

    def __init__(self, message: str, fault: Fault = Fault.ERROR, *, sent: bool = True) -> None:
        self.fault = fault
        self.sent = sent
        super().__init__(message)


class StoreUnavailable(StoreError):
    """Redis gave no usable answer in time."""


class StoreMisconfigured(StoreError):
    """Redis answered that it will not: a password, an ACL rule or a database number is wrong."""


class CallDenied(CachePolicyError):
    """``on_fault: deny``: the call was refused because its store is out."""


class RateLimitExceeded(CachePolicyError):
    """A call is over a limit, and was charged to none.

    Attributes:
        rule: the name of the rule in the policy.
        limit: how much the limit allows in its window.
        remaining: how much of it is left.
        retry_after: seconds until as much could be charged; None: never, it is more than may be used at once.
        reset_at: when nothing of it is used any more, seconds since the epoch.
        degraded: it was decided without Redis.
        decision: the whole ``Decision``, for HTTP headers; None where the error is of somebody else's making.
    """

    def __init__(
        self,
        message: str,
        *,
        rule: str,
        limit: int | None = None,
        remaining: int | None = None,
        retry_after: float | None = None,
        reset_at: float = 0.0,
        degraded: bool = False,
        decision: Any = None,
    ) -> None:
        self.decision = decision
        self.rule = rule
        self.limit = limit
        self.remaining = remaining
        self.retry_after = retry_after
        self.reset_at = reset_at
        self.degraded = degraded
        super().__init__(message)


class ResultsMismatch(CachePolicyError, ValueError):
    """A function under ``@cached_many`` returned something else than one result for each item."""


class NotCached(CachePolicyError, LookupError):
    """``control(only_if_cached=True)``: nothing that may answer the call is cached."""


class OriginTimeout(CachePolicyError, TimeoutError):
    """``timeouts.hard``: the function has not answered in time; it goes on, and its answer will be kept."""


class StreamLost(CachePolicyError):
    """A stream that is shared with others cannot be read on.

    The loop or the thread that ran it was interrupted, or this reader kept the others waiting for too long.
    """


class Uncountable(CachePolicyError, ValueError):
    """A value, a label or a range of time that a metric cannot have; the message says what it can have."""


class TooLarge(CachePolicyError, ValueError):
    """What is to be kept is larger than the policy lets in; the message says how large it may be."""


class Conflict(CachePolicyError):
    """Somebody else changed it since it was read: read it again."""


class SessionError(CachePolicyError):
    """A session or a token cannot be had so."""


class TooManySessions(SessionError):
    """``when_full: refuse``: the user has as many sessions as may be."""


class TokenReused(SessionError):
    """A refresh token came a second time, so one of the two who hold it stole it: its family is revoked."""


class UnreadableToken(SessionError, ValueError):
    """What should name a token does not: text that is none, or claims without ``jti``."""


class BlobError(CachePolicyError):
    """A temporary file cannot be had so."""


class BlobMissing(BlobError, LookupError):
    """There is no such file: it never was, has expired, was removed, or could be read once and was."""


class BlobIncomplete(BlobError):
    """The file's upload has not ended: nothing of it is read before."""


class BlobDamaged(BlobError):
    """What is stored is not what was uploaded: a part of it was evicted, or altered."""


class QuotaExceeded(BlobError):
    """The owner, or all together, keep as much as the policy's ``quotas`` let them."""
