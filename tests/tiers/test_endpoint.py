from __future__ import annotations

import pytest
from redis.asyncio import connection as asynchronous
from redis.connection import SSLConnection, UnixDomainSocketConnection

from cachepolicy.errors import PolicyError, StoreMisconfigured, StoreUnavailable
from cachepolicy.tiers.dial import Place, connection, hello
from cachepolicy.tiers.endpoint import Endpoint, Tls
from cachepolicy.tiers.replies import translate


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:canary",
        "redis://:canary#secret@host",
        "redis://:canary/secret@host",
        "redis://host:99999",
        "redis://[::1",
        "unix://",
        "redis:host",
        "REDIS://host",
        "canary-secret",
        "",
    ],
)
def test_what_is_no_address_is_told_without_showing_it(url: str) -> None:
    """C1: an address that redis-py would stumble over in a call is an error when the policy is bound."""
    with pytest.raises(PolicyError, match=r"^redis\.url: ") as refused:
        Endpoint(url).check()
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://host",
        "redis://user:p%23%2Fss@host:1/0",
        "rediss://[::1]:6379",
        "unix:///run/redis.sock",
        "unix://user:pass@/run/redis.sock",
        "memory://",
    ],
)
def test_an_address_is_taken_as_it_is_written(url: str) -> None:
    """Every way that Redis can be addressed passes, and nothing is connected."""
    Endpoint(url).check()


def test_what_the_policy_says_goes_before_the_address() -> None:
    """A user and a password of their own in the policy override the URL's."""
    url = "redis://user:p%23ss@host:1234"
    assert hello(Place(Endpoint(url), 0))[2:5] == ("AUTH", "user", "p#ss")
    assert hello(Place(Endpoint(url, username="me", password="own"), 0))[2:5] == ("AUTH", "me", "own")
    assert hello(Place(Endpoint("redis://:p%23ss@host"), 0))[3] == "default"


@pytest.mark.parametrize(
    ("url", "tls", "kinds"),
    [
        ("rediss://host", None, (SSLConnection, asynchronous.SSLConnection)),
        ("redis://host", Tls(), (SSLConnection, asynchronous.SSLConnection)),
        (
            "unix:///run/redis.sock",
            Tls(),
            (UnixDomainSocketConnection, asynchronous.UnixDomainSocketConnection),
        ),
    ],
)
def test_the_kind_of_connection_is_that_of_the_address(
    url: str, tls: Tls | None, kinds: tuple[type, type]
) -> None:
    """TLS is used where the address or the policy says so; a unix socket needs none."""
    place = Place(Endpoint(url, tls=tls), 1)
    host = place.endpoint.address.hosts[0] if place.endpoint.address.hosts else None
    assert tuple(type(connection(place, host, is_async=colour)) for colour in (False, True)) == kinds


def test_tls_checks_the_certificate_and_the_name() -> None:
    """A connection with TLS is never one that anybody could answer, unless the policy says so."""
    built = connection(Place(Endpoint("rediss://host"), 1), ("host", 1), is_async=False)
    assert built.check_hostname
    assert built.cert_reqs.name == "CERT_REQUIRED"
    trusting = connection(
        Place(Endpoint("rediss://host", tls=Tls(verify=False)), 1), ("host", 1), is_async=False
    )
    assert trusting.cert_reqs.name == "CERT_NONE"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (TimeoutError("canary"), StoreUnavailable),
        (RuntimeError("Event loop is closed, canary"), StoreUnavailable),
    ],
)
def test_a_fault_is_told_by_its_class_alone(fault: Exception, kind: type[Exception]) -> None:
    """The text of a driver's error may hold an address, a key or a password."""
    told = translate(fault)
    assert type(told) is kind
    assert type(fault).__name__ in str(told)
    assert "canary" not in str(told)


def test_what_an_operator_must_mend_is_told_apart() -> None:
    """A refused SELECT is a configuration fault, also where Redis has no class for it."""
    from redis.exceptions import ResponseError

    for text in ("SELECT is not allowed in cluster mode", "DB index is out of range"):
        assert type(translate(ResponseError(text))) is StoreMisconfigured
    assert type(translate(ResponseError("OOM command not allowed"))) is StoreUnavailable
