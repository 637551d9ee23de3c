"""Every verb of a kind of namespace, once: what a user of Redis has to be allowed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import redis

from cachepolicy import (
    AnalyticsCache,
    BlobDamaged,
    HealthMonitor,
    ModelInfo,
    Preferences,
    RateLimiter,
    RateLimitExceeded,
    SessionManager,
    TempStore,
    TokenBlacklist,
    TokenReused,
    cached,
    cached_many,
    embeddings_cached,
    llm_cached,
    models,
    namespace,
)
from cachepolicy.runtime import current
from cachepolicy.telemetry import sessions as told
from tests.support.policies import PATIENT

APP: Final = "app"
Wait = Callable[[Callable[[], bool], str], object]
"""Waits for what happens by itself."""
_MANY_CHUNKS: Final = 130
RULES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "llm": {"kind": "cache", "db": 1, "scope": "global", "ttl": "1h", "tags": ["model"]},
        "sessions": {"kind": "sessions", "db": 5, "rotate": {"grace": "5s"}},
        "ratelimit": {
            "kind": "ratelimit",
            "db": 2,
            "on_fault": "deny",
            "rules": {
                "chat": {
                    "by": "user",
                    "requests": ["100/hour"],
                    "tokens": ["9000/day"],
                    "concurrency": 3,
                    "overrides": True,
                },
                "burst": {"by": "user", "requests": ["5/hour"], "algorithm": "window"},
                "daily": {"by": "user", "requests": ["5/day"], "algorithm": "calendar"},
            },
        },
        "analytics": {
            "kind": "analytics",
            "db": 3,
            "metrics": {
                "calls": {"labels": ["model"]},
                "latency": {"kind": "histogram"},
                "users": {"kind": "uniques"},
                "load": {"kind": "gauge"},
                "revenue": {"kind": "money"},
            },
        },
        "temp": {
            "kind": "temp",
            "db": 4,
            "chunk": 1000,
            "max_file": "500KiB",
            "quotas": {"per_owner": "1MiB"},
        },
    }
)
"""One namespace of each kind, as the policy that is shipped has them."""


def policy(url: str, *names: str, **redis_rule: Any) -> dict[str, Any]:
    """Return a policy with some of the namespaces, by default all."""
    return {
        "version": 1,
        "app": APP,
        "redis": {"url": url, **PATIENT, "retry": {"attempts": 1}, **redis_rule},
        "namespaces": {name: dict(RULES[name]) for name in names or RULES},
    }


def cache(wait: Wait) -> None:
    """Cache, hear, look up, invalidate, expire; batches, vectors, models; large values."""

    @cached("llm")
    def answer(question: str, model: str) -> str:
        return question if question != "large" else "x" * 100_000

    @cached_many("llm", over="numbers")
    def squares(numbers: list[int]) -> list[int]:
        return [number * number for number in numbers]

    @embeddings_cached
    def embed(texts: list[str], model: str) -> list[list[float]]:
        return [[1.0, float(len(text))] for text in texts]

    @llm_cached(provider="openai")
    def ask(question: str, model: str = "m") -> str:
        return question.upper()

    for question in ("small", "large", "small"):
        answer(question, "m")
    site = next(iter(current.current()._plans)).site
    wait(lambda: site.hearing.live, "the watch")
    answer.peek("other", "m")
    squares([1, 2, 3])
    squares([2, 3, 4])
    embed(["a", "bb"], "m")
    ask("why?")
    models.set_info.sync("openai", "m", ModelInfo("maintenance"))
    models.set_info.sync("openai", "m", ModelInfo("ok", avg_response_time=1.0))
    models.get_info.sync("openai", "m")
    answer.refresh("small", "m")
    answer.expire("small", "m")
    answer("small", "m")
    answer.invalidate("small", "m")
    with contextlib.suppress(LookupError):
        _failing()
    for verb in (namespace("llm").purge_all, namespace("llm").expire_all):
        verb.sync()
    namespace("llm").purge_tag.sync("model", "m")
    answer("small", "m")


@cached("llm")
def _failing() -> str:
    raise LookupError


def sessions(_: Wait) -> None:
    """Sessions of one user from login to logout; tokens, families, preferences; the count of all."""
    manager = SessionManager()
    made = manager.create_session.sync("u")
    manager.get_session.sync(made.token)
    manager.peek_session.sync(made.token)
    manager.update_activity.sync(made.token)
    manager.update_session.sync(made.token, {"a": 1})
    manager.set_permissions.sync(made.token, ["read"])
    rotated = manager.rotate.sync(made.token)
    assert rotated is not None
    anonymous = manager.create_anonymous.sync()
    logged = manager.login.sync(anonymous.token, "u")
    manager.create_session.sync("u")
    manager.list_sessions.sync("u")
    manager.revoke_others.sync(logged.token)
    manager.revoke_session.sync("u", logged.session.id)
    manager.end_session.sync(manager.create_session.sync("u").token)
    manager.revoke_all.sync("u")
    for _i in range(RULES_MOST):
        manager.create_session.sync("v")
    list(told.living())
    for census in current.current().censuses.opened:
        with census._working:  # it counts behind its caller's back
            pass
    _tokens()


def _tokens() -> None:
    blacklist, preferences = TokenBlacklist(), Preferences()
    claims = {"jti": "b1c9", "sub": "7", "iat": time.time(), "exp": time.time() + 900}
    blacklist.is_revoked.sync(claims)
    blacklist.revoke_token.sync(claims)
    blacklist.revoke_user.sync(7)
    first = blacklist.begin_family.sync(8)
    blacklist.use_refresh.sync(first.family, first.jti)
    with contextlib.suppress(TokenReused):
        blacklist.use_refresh.sync(first.family, first.jti)
    blacklist.is_revoked.sync({**claims, "jti": "c"}, family=first.family)
    blacklist.revoke_family.sync(blacklist.begin_family.sync(9).family)
    preferences.set.sync("u", {"theme.dark": True, "size": 3})
    preferences.increment.sync("u", "size")
    preferences.set.sync("u", {"a": 1}, remove=["size"])
    preferences.get.sync("u")
    preferences.reset.sync("u")


RULES_MOST: Final = 12
"""More sessions than a user may have: the oldest make room."""


def ratelimit(_: Wait) -> None:
    """Charge, ask, give back, reserve, settle, wait, override, reset."""
    limiter = RateLimiter()
    limiter.check.sync("chat", "u", tokens=10)
    limiter.check_rate_limit.sync("u", "login", 5, "1m")
    limiter.check_all.sync([("chat", "u"), ("burst", "u"), ("daily", "u")])
    for _i in range(7):
        limiter.check.sync("burst", "u")
    limiter.peek.sync("chat", "u")
    limiter.refund.sync("chat", "u")
    with limiter.reserve("chat", "u", tokens=100) as reserved:
        reserved.settle.sync(30)
    with limiter.reserve("chat", "u", tokens=100) as reserved:
        reserved.refund.sync()
    with contextlib.ExitStack() as places, contextlib.suppress(RateLimitExceeded):
        for _i in range(5):
            places.enter_context(limiter.acquire("chat", "u"))
    limiter.set_override.sync("chat", "u", {"requests 100/hour": 500})
    limiter.get_override.sync("chat", "u")
    limiter.set_override.sync("chat", "u", None)
    limiter.reset.sync("chat", "u")


def analytics(_: Wait) -> None:
    """Count each kind of metric, and ask all questions."""
    metrics = AnalyticsCache()
    now = datetime.now(UTC)
    begin = now - timedelta(hours=1)
    for number in range(2):
        metrics.increment_metric.sync("calls", labels={"model": f"m{number}"}, at=now)
        metrics.observe_value.sync("latency", 0.2, at=now)
        metrics.add_unique.sync("users", f"u{number}", at=now)
        metrics.set_gauge.sync("load", 3, at=now)
        metrics.record_revenue.sync("1.50", "EUR", at=now)
        metrics.flush.sync()
    metrics.get_metrics_range.sync("calls", begin, now)
    metrics.query.sync("calls", begin, now, "hour", group_by="model")
    metrics.top.sync("calls", 1, "model", begin, now)
    metrics.percentiles.sync("latency", [0.5], begin, now)
    metrics.uniques.sync("users", begin, now)
    metrics.gauges.sync("load")
    metrics.revenue.sync(now.date())


def temp(_: Wait) -> None:
    """Upload, resume, read once, damage, delete, account."""
    store = TempStore()
    blob = store.put.sync(b"x" * _MANY_CHUNKS * 1000, owner="u", one_time=True)
    store.info.sync(blob.id)
    store.usage.sync("u")
    store.read.sync(blob.id, 0, 9, claim="mine")
    store.read.sync(blob.id, claim="mine")
    upload = store.begin_upload.sync(2000, owner="u")
    upload = store.resume_upload.sync(upload.id)
    for index in upload.missing.sync():
        upload.put.sync(index, bytes(1000))
    done = upload.finish.sync()
    with _as_admin() as client:
        for key in client.keys("*temp:{*}:0"):
            client.delete(key)
    with contextlib.suppress(BlobDamaged):
        store.read.sync(done.id)
    store.delete.sync(done.id)
    store.begin_upload.sync(2000, owner="u").abort.sync()


@contextlib.contextmanager
def _as_admin() -> Iterator[Any]:
    rule = current.current().loaded.policy.redis
    url = rule.url.get_secret_value()
    client = redis.Redis.from_url(url.removesuffix("/0"), db=RULES["temp"]["db"])
    try:
        yield client
    finally:
        client.close()


def health() -> None:
    """Look at the servers, as a monitor does."""
    HealthMonitor().health_check.sync()


CHORES: Final[Mapping[str, Callable[[Wait], None]]] = MappingProxyType(
    {"llm": cache, "sessions": sessions, "ratelimit": ratelimit, "analytics": analytics, "temp": temp}
)
"""By namespace."""
