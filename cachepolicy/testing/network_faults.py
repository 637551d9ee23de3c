"""What can be wrong with the network between a client and its Redis: the words that ``FaultProxy`` knows.

Faults of connecting are ``Refuse`` and ``Drop``; connections that live go on. Faults of a request, which the
server never sees, or sees late, are ``BlackHole`` and ``Delay``. Faults of a reply, to a request that the
server has carried out, are ``Late``, ``Drip``, ``HalfReply``, ``Garbage``, ``Fin`` and ``Reset``.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens: connecting is refused."""


@dataclass(frozen=True, slots=True)
class Drop:
    """A new connection is taken, and closed at once."""


@dataclass(frozen=True, slots=True)
class BlackHole:
    """All that is sent is swallowed, either way. What was swallowed stays lost when the fault is gone."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Requests reach the server late; what is held back goes on as soon as the fault is gone."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Late:
    """Requests are carried out at once, replies are late; ``math.inf`` holds them until the fault is gone."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Replies come a byte at a time."""

    seconds_per_byte: float


@dataclass(frozen=True, slots=True)
class HalfReply:
    """A reply is cut in the middle; then the connection is silent for good, or closed."""

    then_close: bool = False


@dataclass(frozen=True, slots=True)
class Garbage:
    """Something else comes in place of the reply; an error of the server's, if you like."""

    instead: bytes = b"\x00\xff\xfe no reply \r\n"


@dataclass(frozen=True, slots=True)
class Fin:
    """The connection is closed in order (FIN) in place of the reply."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST) in place of the reply."""


NetworkFault = Refuse | Drop | BlackHole | Delay | Late | Drip | HalfReply | Garbage | Fin | Reset
