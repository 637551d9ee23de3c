"""Who calls over HTTP, by address: as trusted proxies say, and nobody else.

A proxy appends the address that it was called from. So the right end of ``X-Forwarded-For`` or ``Forwarded``
is the word of the nearest proxy, and the left end whatever the client wrote. From the right, each address of
a trusted proxy hands on, and the first that is none is the client. Who has no address is an error: callers
who are not known never share a limit.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final, TypeAlias, cast

from cachepolicy.errors import UnkeyableArgument

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

_MOST_HOPS: Final = 64  # no honest chain of proxies is longer
_PAIR: Final = re.compile(r'\s*([A-Za-z0-9!#$%&\'*+.^_`|~-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
_ESCAPED: Final = re.compile(r"\\(.)")
_WITH_PORT: Final = re.compile(r"\[(?P<six>[^\]]*)\](?::\d{1,5})?|(?P<four>[^:\[\]]*)(?::\d{1,5})?")


def client_address(
    peer: str | None,
    headers: Headers = (),
    *,
    trusted: Sequence[str] = (),
    header: str = "X-Forwarded-For",
    ipv6_prefix: int = 64,
) -> str:
    """Return the address of the client, as limits count it.

    Args:
        peer: the address of who is connected; None: it is not known, as over a Unix socket.
        headers: of the request; only a trusted peer's are looked at.
        trusted: networks of proxies (``trusted_proxies`` of the policy).
        header: which the proxies write: ``X-Forwarded-For`` or ``Forwarded``. The other is not looked at:
            what a proxy does not know it lets pass, as the client wrote it.
        ipv6_prefix: how much of an IPv6 address is one subject.

    Returns:
        ``203.0.113.7``, or ``2001:db8:1:2::/64``.

    Raises:
        UnkeyableArgument: the peer has no address, or is a trusted proxy that does not say who called it.
    """
    address = parse_address(peer) if peer is not None else None
    if address is None:
        raise UnkeyableArgument("the client's address is not known: the peer has none")
    networks = _networks(tuple(trusted))
    if _is_trusted(address, networks):
        hops = _hops(headers, header.lower())
        if not hops:
            raise UnkeyableArgument(f"the client's address is not known: a trusted proxy sends no {header}")
        for said in reversed(hops):
            hop = parse_address(said)
            if hop is None:  # garbage, or hidden on purpose: the last that is known to be true
                break
            address = hop
            if not _is_trusted(hop, networks):
                break
    return subject_of(address, ipv6_prefix)


def subject_of(address: Address, ipv6_prefix: int = 64) -> str:
    """Return what limits count an address by: itself, or the network that one subscriber has."""
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.IPv6Network((int(address), ipv6_prefix), strict=False))


def parse_address(text: str) -> Address | None:
    """Read an address with or without a port, brackets or a zone; None: it is none.

    An IPv4 address that is written as IPv6 is the same address.
    """
    text = text.strip()
    found = _WITH_PORT.fullmatch(text)
    if found is not None:
        text = found["six"] if found["six"] is not None else found["four"]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=64)
def _networks(trusted: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, trusted))


def _is_trusted(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks)


def _hops(headers: Headers, header: str) -> list[str]:
    """Return the addresses that proxies have told of, the nearest last."""
    pairs = cast("Iterable[tuple[str, str]]", headers.items() if isinstance(headers, Mapping) else headers)
    told = ",".join(value for name, value in pairs if name.lower() == header)
    if not told:
        return []
    if header == "forwarded":
        return [_forwarded_for(element) for element in _elements(told)]
    return told.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]


def _elements(value: str) -> list[str]:
    """Split a ``Forwarded`` header at its commas, but for those in quotes.

    From the right: the client may leave a quote open, and it must not swallow what proxies append.
    """
    elements: list[str] = []
    stop, quoted = len(value), False
    for place in range(len(value) - 1, -1, -1):
        if value[place] == '"':
            quoted ^= not _is_escaped(value, place)
        elif value[place] == "," and not quoted:
            elements.append(value[place + 1 : stop])
            stop = place
            if len(elements) == _MOST_HOPS:
                return elements[::-1]
    return [value[:stop], *elements[::-1]]


def _is_escaped(value: str, place: int) -> bool:
    before = place
    while before and value[before - 1] == "\\":
        before -= 1
    return (place - before) % 2 == 1


def _forwarded_for(element: str) -> str:
    """Return the ``for`` of one hop; empty where there is none, or more than one, or what is no element."""
    found = []
    for pair in _pairs(element):
        if pair is None:
            return ""
        name, value = pair
        if name.lower() == "for":
            found.append(_ESCAPED.sub(r"\1", value[1:-1]) if value.startswith('"') else value)
    return found[0] if len(found) == 1 else ""


def _pairs(element: str) -> Iterable[tuple[str, str] | None]:
    place = 0
    while place < len(element):
        pair = _PAIR.match(element, place)
        if pair is None or (pair.end() < len(element) and element[pair.end()] != ";"):
            yield None
            return
        yield pair[1], pair[2]
        place = pair.end() + 1
