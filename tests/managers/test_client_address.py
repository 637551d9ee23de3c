"""Who calls, by address: what a client writes into its headers changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy.errors import UnkeyableArgument
from cachepolicy.managers.client_address import client_address, parse_address

PROXIES = ("10.0.0.0/8", "2001:db8:ffff::/48")
XFF = "X-Forwarded-For"


def behind(*hops: str, peer: str = "10.0.0.1", **more: str) -> str:
    """Return the client of a request that came over proxies."""
    return client_address(peer, {XFF: ", ".join(hops)}, trusted=PROXIES)


def test_nobody_is_believed_who_is_not_trusted() -> None:
    """A peer that is no trusted proxy is the client, whatever its headers say."""
    told = {XFF: "1.2.3.4", "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4"}
    assert client_address("203.0.113.7", told, trusted=PROXIES) == "203.0.113.7"
    assert client_address("10.0.0.1", told) == "10.0.0.1"


def test_trusted_proxies_hand_on() -> None:
    """From the right, the first address that is no trusted proxy is the client."""
    assert behind("203.0.113.7") == "203.0.113.7"
    assert behind("203.0.113.7", "10.2.3.4", "10.0.0.9") == "203.0.113.7"
    assert behind("1.1.1.1", "203.0.113.7", "10.2.3.4") == "203.0.113.7"
    assert behind("203.0.113.7", peer="2001:db8:ffff::1") == "203.0.113.7"


def test_who_calls_from_inside_is_the_first_of_them() -> None:
    """Where all are trusted, the farthest is who called."""
    assert behind("10.5.5.5", "10.2.3.4") == "10.5.5.5"


@pytest.mark.parametrize(
    "garbage", ["unknown", "_hidden", "", "1.2.3", "1.2.3.4.5", "[::1", "for=1.2.3.4", "é"]
)
def test_garbage_ends_the_chain(garbage: str) -> None:
    """Where a hop is no address, the last one that is known to be true counts, and nothing beyond it."""
    assert behind("203.0.113.7", garbage, "10.2.3.4") == "10.2.3.4"
    assert behind("203.0.113.7", garbage) == ("10.0.0.1")
    assert behind(garbage, "203.0.113.7") == "203.0.113.7"


@pytest.mark.parametrize("peer", [None, "", "testclient", "/run/app.sock", "999.1.1.1"])
def test_who_has_no_address_is_an_error(peer: str | None) -> None:
    """Callers who are not known never share a limit."""
    with pytest.raises(UnkeyableArgument, match="not known"):
        client_address(peer, {XFF: "1.2.3.4"}, trusted=PROXIES)


def test_a_proxy_that_says_nothing_is_an_error() -> None:
    """Behind a proxy that does not say who called, all callers would share one limit."""
    with pytest.raises(UnkeyableArgument, match="sends no X-Forwarded-For"):
        client_address("10.0.0.1", {"X-Real-IP": "1.2.3.4", "Forwarded": "for=1.2.3.4"}, trusted=PROXIES)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("203.0.113.7:8080", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("2001:DB8:0:0:1:2:3:4", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("[fe80::1%25eth0]:80", "fe80::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("[::ffff:cb00:7107]:9", "203.0.113.7"),
        ("::1", "::/64"),
    ],
)
def test_ways_to_write_an_address(written: str, read: str) -> None:
    """Ports, brackets, zones, letters' case and IPv4 written as IPv6 make no other subject."""
    assert client_address(written) == read
    assert behind(written) == read


def test_an_ipv6_subscriber_is_one_subject() -> None:
    """All addresses of a /64 are one; another length is another choice."""
    assert (
        client_address("2001:db8:1:2:3::1") == client_address("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    )
    assert client_address("2001:db8:1:2::1", ipv6_prefix=48) == "2001:db8:1::/48"
    assert client_address("2001:db8:1:2::1", ipv6_prefix=128) == "2001:db8:1:2::1/128"
    assert client_address("::7", ipv6_prefix=32) == "::/32"


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("for=203.0.113.7", "203.0.113.7"),
        ('for="[2001:db8::1]:4711";proto=https', "2001:db8::/64"),
        ('For="203.0.113.7:9", for=10.2.3.4;by=10.0.0.1', "203.0.113.7"),
        ("proto=https;for=203.0.113.7;by=_x", "203.0.113.7"),
        ('for="1.2.3.4, for=5.6.7.8", for=203.0.113.7', "203.0.113.7"),
        ('by="a\\",b";for=203.0.113.7', "203.0.113.7"),
        ("for=203.0.113.7, for=unknown, for=10.2.3.4", "10.2.3.4"),
        ("for=203.0.113.7;for=1.2.3.4", "10.0.0.1"),
        ("for=203.0.113.7 nonsense", "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_forwarded(header: str, client: str) -> None:
    """``Forwarded`` is read by its own rules: quotes, escapes, parameters in any order."""
    headers = {"forwarded": header, XFF: "9.9.9.9"}
    assert client_address("10.0.0.1", headers, trusted=PROXIES, header="Forwarded") == client


def test_headers_that_are_sent_twice_are_one_list() -> None:
    """Two lines of one header are read as one, in their order."""
    pairs = [("x-forwarded-for", "1.1.1.1"), ("X-FORWARDED-FOR", "203.0.113.7"), (XFF, "10.2.3.4")]
    assert client_address("10.0.0.1", pairs, trusted=PROXIES) == "203.0.113.7"


_SPOOFS = st.one_of(
    st.text(max_size=40),
    st.ip_addresses().map(str),
    st.lists(st.ip_addresses().map(str), max_size=100).map(", ".join),
    st.sampled_from(["10.0.0.1", '"', '\\"', "for=", ",,,", "unknown", 'for="', ";", "10.0.0.1," * 200]),
)


@given(spoof=_SPOOFS, proxies=st.lists(st.sampled_from(["10.2.3.4", "10.9.9.9:80", "::ffff:10.0.0.3"])))
def test_nothing_that_a_client_writes_counts(spoof: str, proxies: list[str]) -> None:
    """Whatever a client sends in the header, its own address is who it is."""
    assert behind(spoof, "203.0.113.7", *proxies) == "203.0.113.7"
    assert client_address("203.0.113.7", {XFF: spoof}, trusted=PROXIES) == "203.0.113.7"


@given(spoof=_SPOOFS, own=st.sampled_from(["203.0.113.7", '"203.0.113.7:9"', '"203.0.113.7";by="a\\",b"']))
def test_nothing_in_forwarded_counts_either(spoof: str, own: str) -> None:
    """Nor does what is written into ``Forwarded``, open quotes included."""
    headers = {"Forwarded": f"{spoof}, for={own}, for=10.1.1.1"}
    assert client_address("10.0.0.1", headers, trusted=PROXIES, header="Forwarded") == "203.0.113.7"


@given(text=st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Any text is an address or none."""
    parse_address(text)
