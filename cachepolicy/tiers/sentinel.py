"""What sentinels are asked: who the master is. It is asked for every connection: failovers are followed."""

from __future__ import annotations

from hiredis import ReplyError

from cachepolicy.errors import Fault
from cachepolicy.tiers.dial import Conversation, Place, hello
from cachepolicy.tiers.endpoint import Host
from cachepolicy.tiers.replies import refused, store_error


def question(place: Place) -> Conversation[Host]:
    """Ask one sentinel; returns the master's address.

    Raises:
        StoreError: it does not know, or does not say.
    """
    ask = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.endpoint.address.service)
    welcome, master = yield [hello(place, log_in=False), ask]
    if isinstance(welcome, ReplyError) and refused(welcome).fault is Fault.AUTH:
        welcome, master = yield [hello(place), ask]  # few sentinels have a password; this one has
    for reply in (welcome, master):
        if isinstance(reply, ReplyError):
            raise refused(reply)
    match master:
        case [bytes() as name, bytes() as port] if port.isdigit():
            return name.decode(errors="replace"), int(port)
    raise store_error(Fault.REFUSED, sent=False)
