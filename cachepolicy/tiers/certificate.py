"""The certificate of a server: how long it is good, and why it is not believed."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import Final

from cachepolicy.errors import StoreError
from cachepolicy.tiers.dial import Place, encryption, open_socket
from cachepolicy.tiers.endpoint import Host

_EXPIRED: Final = 10
_NOT_YET: Final = 9
_HOSTNAME: Final = frozenset({62, 64})  # of a name, of an address


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was seen of it.

    Attributes:
        ends: when it is no longer good, in seconds since the epoch; None: that is not known.
        problem: ``expired``, ``hostname``, ``untrusted``, ``plain`` (the port does not speak TLS),
            ``files`` (one of the policy cannot be used), ``unreachable``; empty: there is none.
    """

    ends: float | None
    problem: str = ""


def certificate(place: Place, host: Host, timeout: float) -> Certificate:
    """Connect to a server, and look at its certificate.

    Args:
        place: that the policy describes.
        host: which of its servers.
        timeout: seconds that it may take.
    """
    try:
        encryption(place.endpoint)
        with open_socket(place, host, timeout) as connected:
            told = connected.getpeercert() if isinstance(connected, ssl.SSLSocket) else None
    except ssl.SSLCertVerificationError as error:
        return Certificate(None, _why(error.verify_code))
    except ssl.SSLError:
        return Certificate(None, "plain")
    except StoreError:
        return Certificate(None, "files")
    except TimeoutError:
        return Certificate(None, "plain" if _listens(host, timeout) else "unreachable")
    except OSError:
        return Certificate(None, "unreachable")
    ends = (told or {}).get("notAfter")
    return Certificate(ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None)


def _listens(host: Host, timeout: float) -> bool:
    """Tell whether a port takes connections: one that then says nothing waits for a command in plain text."""
    try:
        socket.create_connection(host, timeout).close()
    except OSError:
        return False
    return True


def _why(code: int) -> str:
    if code in {_EXPIRED, _NOT_YET}:
        return "expired"
    return "hostname" if code in _HOSTNAME else "untrusted"
