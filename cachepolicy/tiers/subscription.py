"""One connection that tells of changes, from its first word to its loss.

::

    CLIENT TRACKING ON BCAST PREFIX …   "invalidate" pushes: whatever changes a key, expiry and eviction too
    or SUBSCRIBE {app}:~changes         what writers say of their changes, this process among them
    SUBSCRIBE {app}:~leases
    a canary, again and again           must come back as a push or a message, or nothing else is trusted to
    GETRANGE key -12 -1                 what Redis holds now; the reply is in order with the pushes
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, NamedTuple

from hiredis import PushNotification, ReplyError

from cachepolicy.clock import SYSTEM
from cachepolicy.codec.envelope import TAIL
from cachepolicy.errors import Fault, StoreError, StoreMisconfigured
from cachepolicy.tiers.line import Line
from cachepolicy.tiers.listener import Listener, Tally
from cachepolicy.tiers.notices import Lease, Names, Numbering, read_change, read_lease, shortest
from cachepolicy.tiers.replies import refused, store_error
from cachepolicy.tiers.resp import Word, pack
from cachepolicy.tiers.sequences import Announcements, Sequences

Way = Literal["tracking", "pubsub"]

_MOST_ASKED: Final = 1000  # replies that are waited for at once
_CANARY_TTL: Final = 60_000  # ms; longer than any pause between two, so that it does not expire while we live
_TAKES_NO_WRITES: Final = frozenset({Fault.OOM, Fault.MISCONF, Fault.NOREPLICAS})
_MENDABLE: Final = frozenset({Fault.FORBIDDEN, Fault.UNSUPPORTED, Fault.ERROR})

_now = SYSTEM.monotonic


class Rhythm(NamedTuple):
    """Seconds between two canaries, and seconds that one may take."""

    heartbeat: float
    patience: float


@dataclass(frozen=True, slots=True)
class Wants:
    """What to listen for, and what is to be said and asked meanwhile.

    Attributes:
        names: the channels.
        prefixes: of the keys that matter.
        numbering: what this process says of its own changes.
        unsaid: messages of it to be sent in place of others.
        unverified: keys to be verified.
    """

    names: Names
    prefixes: Sequence[str]
    numbering: Numbering
    unsaid: deque[bytes]
    unverified: deque[str]


class Subscription:
    """The conversation.

    Args:
        line: greeted.
        way: how changes are told.
        wants: what to listen for.
        listener: who is told.
        tally: counts.
        rhythm: of the canaries.
    """

    def __init__(
        self, line: Line, way: Way, wants: Wants, listener: Listener, tally: Tally, rhythm: Rhythm
    ) -> None:
        self._line = line
        self._way = way
        self._wants = wants
        self._listener = listener
        self._tally = tally
        self._rhythm = rhythm
        source, names = wants.numbering.source, wants.names
        self._canary = names.canary(source).encode()
        self._canaries, self._changes, self._leases = (
            name.encode() for name in (names.canaries, names.changes, names.leases)
        )
        self._replies: deque[Callable[[object], None]] = deque()  # who reads which, in order
        self._sequences = Sequences(rhythm.heartbeat)
        self._sung: float | None = None  # when the canary that is out was sent
        self._sing_at = 0.0
        self._announcements = Announcements(wants.numbering)

    def begin(self, is_stopped: Callable[[], bool]) -> None:
        """Subscribe, and wait until a canary has come back.

        Args:
            is_stopped: asked now and then; this then returns early.

        Raises:
            StoreMisconfigured: the server refuses, or does not do what it says.
            StoreUnavailable: no answer.
            OSError: the connection broke.
        """
        if self._way == "tracking":
            prefixes = shortest([*self._wants.prefixes, self._wants.names.canary_prefix(self._source)])
            words = [word for prefix in prefixes for word in ("PREFIX", prefix)]
            self._ask(("CLIENT", "TRACKING", "ON", "BCAST", *words), _accept)
        else:
            self._ask(("SUBSCRIBE", self._changes), _accept)
            self._ask(("SUBSCRIBE", self._canary), _accept)
        self._ask(("SUBSCRIBE", self._leases), _ignore)  # without it, who waits for a lease polls
        end = _now() + self._rhythm.patience
        self._sing()
        while (self._replies or self._sung is not None) and not is_stopped():
            left = end - _now()
            if left <= 0:
                if self._replies:
                    raise store_error(Fault.TIMEOUT, sent=True)
                raise StoreMisconfigured(f"{self._way} has no effect", Fault.UNSUPPORTED)
            self._hear(left)

    def turn(self) -> None:
        """Wait for what comes next, and see to it.

        Raises:
            StoreError: the connection cannot be relied on any more.
            OSError: it broke.
        """
        expected = self._sing_at if self._sung is None else self._sung + self._rhythm.patience
        self._hear(min(expected, self._sequences.due()) - _now())
        self._verify()
        self._beat()

    @property
    def _source(self) -> bytes:
        return self._wants.numbering.source

    def _ask(self, words: Sequence[Word], read: Callable[[object], None]) -> None:
        self._line.send(pack(words))
        self._replies.append(read)

    def _hear(self, seconds: float) -> None:
        for item in self._line.turn(seconds):
            if type(item) is not PushNotification:
                self._reply(item)
            else:
                self._push(item)

    def _reply(self, reply: object) -> None:
        if not self._replies:  # nobody asked
            raise store_error(Fault.PROTOCOL, sent=True)
        self._replies.popleft()(reply)

    def _push(self, push: list[object]) -> None:
        match push:
            case [b"invalidate", None]:  # FLUSHALL, FLUSHDB
                self._tally.pushes += 1
                self._listener.lost()
            case [b"invalidate", [*keys]]:
                self._tally.pushes += 1
                for key in keys:
                    if isinstance(key, bytes):
                        self._changed(key)
            case [b"message", bytes() as channel, bytes() as message]:
                self._tally.pushes += 1
                self._message(channel, message)
            case [b"subscribe", *_]:  # on RESP3 this is how it is answered
                self._reply(push)
            case _:  # nothing that was asked for
                pass

    def _changed(self, key: bytes) -> None:
        if key.startswith(self._canaries):
            if key == self._canary:
                self._canary_is_back()
            return
        self._told(key.decode(errors="replace"))

    def _told(self, key: str, tail: bytes = b"") -> None:
        if not self._listener.changed(key):
            return
        if tail:
            self._listener.verified(key, tail)
        else:
            self._wants.unverified.append(key)

    def _message(self, channel: bytes, message: bytes) -> None:
        if channel == self._leases:
            match read_lease(message):
                case Lease.RENEWED, key:
                    self._listener.renewed(key)
                case Lease.RELEASED, key:
                    self._listener.released(key)
                case None:
                    pass
        elif channel == self._canary:
            self._canary_is_back()
        elif channel == self._changes:
            change = read_change(message)
            if change is None:  # it may have told of any key
                self._missed(1)
            else:
                if change.source != self._source:
                    self._sequences.hear(change.source, change.number, _now())
                if change.key:  # its own too: which of two threads wrote last, Redis alone knows
                    self._told(change.key, change.tail)

    def _missed(self, count: int) -> None:
        self._tally.gaps += count
        self._listener.lost()

    def _verify(self) -> None:
        unverified = self._wants.unverified
        room = _MOST_ASKED - len(self._replies)
        keys: dict[str, None] = {}
        while unverified and len(keys) < room:
            keys[unverified.popleft()] = None
        for key in keys:
            self._ask(("GETRANGE", key, -TAIL, -1), partial(self._verified, key))

    def _verified(self, key: str, reply: object) -> None:
        """Read how a value ends. It cannot be known where an error comes: another of a cluster has it."""
        self._listener.verified(key, reply if isinstance(reply, bytes) else None)

    def _beat(self) -> None:
        now = _now()
        if lost := self._sequences.give_up(now):
            self._missed(lost)
        unsaid = self._wants.unsaid
        while unsaid:
            self._say(unsaid.popleft())
        if self._sung is None:
            if now >= self._sing_at:
                self._sing()
                announcement = self._announcements.next()
                if announcement is not None:
                    self._say(announcement)
        elif now >= self._sung + self._rhythm.patience:
            raise store_error(Fault.TIMEOUT, sent=True)

    def _sing(self) -> None:
        """Send a canary out."""
        self._sung = _now()
        self._sing_at = self._sung + self._rhythm.heartbeat
        if self._way == "tracking":
            self._ask(("SET", self._canary, "", "PX", _CANARY_TTL), self._canary_left)
        else:
            self._ask(("PUBLISH", self._canary, ""), _accept)

    def _canary_left(self, reply: object) -> None:
        """Read the reply to a canary that is a write; where no write is taken, hearing that has to do."""
        if isinstance(reply, ReplyError) and refused(reply).fault in _TAKES_NO_WRITES:
            self._canary_is_back()
        else:
            _accept(reply)

    def _canary_is_back(self) -> None:
        if self._sung is not None:
            self._tally.lag = _now() - self._sung
            self._sung = None

    def _say(self, message: bytes) -> None:
        self._ask(("PUBLISH", self._changes, message), _ignore)


def _accept(reply: object) -> None:
    """Read a reply that has to be none of the server's errors.

    Raises:
        StoreMisconfigured: it will never do this.
        StoreUnavailable: not now.
    """
    if isinstance(reply, ReplyError):
        error: StoreError = refused(reply)
        if error.fault in _MENDABLE:
            raise StoreMisconfigured(str(error), error.fault)
        raise error


def _ignore(_: object) -> None:
    """Read a reply that makes no difference."""
