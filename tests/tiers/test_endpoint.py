from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from cachepolicy.errors import Fault, PolicyError, StoreMisconfigured, StoreUnavailable
from cachepolicy.tiers.dial import Place, encryption, hello
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
    ("url", "tls", "encrypted"),
    [
        ("redis://host", None, False),
        ("rediss://host", None, True),
        ("redis://host", Tls(), True),
        ("redis+cluster://host", Tls(), True),
    ],
)
def test_tls_is_used_where_the_address_or_the_policy_says_so(
    url: str, tls: Tls | None, encrypted: bool
) -> None:
    """Either is enough."""
    assert (encryption(Endpoint(url, tls=tls)) is not None) is encrypted


def test_tls_checks_the_certificate_and_the_name() -> None:
    """A connection with TLS is never one that anybody could answer, unless the policy says so."""
    checking = encryption(Endpoint("rediss://host"))
    assert checking is not None
    assert checking.check_hostname
    assert checking.verify_mode is ssl.CERT_REQUIRED
    trusting = encryption(Endpoint("rediss://host", tls=Tls(verify=False)))
    assert trusting is not None
    assert trusting.verify_mode is ssl.CERT_NONE


def test_a_file_that_is_no_certificate_is_told(tmp_path: Path) -> None:
    """A missing or wrong file of ``redis.tls`` is a configuration fault that says where to look."""
    wrong = tmp_path / "ca.pem"
    wrong.write_text("no certificate")
    for file in (wrong, tmp_path / "missing.pem"):
        with pytest.raises(StoreMisconfigured, match=r"redis\.tls") as told:
            encryption(Endpoint("rediss://host", tls=Tls(ca=str(file))))
        assert told.value.fault is Fault.TLS
        assert not told.value.sent


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
