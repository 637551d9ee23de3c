"""A module as users have one: decorated functions that must never be called by a command that explains."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from cachepolicy import cached, cached_many, llm_cached, rate_limited, track_metric

POLICY = """version: 1
app: shop
redis: {{url: "{url}", deadline: 10s, connect_timeout: 10s}}
namespaces:
  llm:
    kind: cache
    db: 1
    scope: global
    ttl: ${{LLM_CACHE_TTL:-1h}}
    tags: [model]
  own: {{kind: cache, db: 5, scope: user, ttl: 1h, encryption: {{enabled: false}}}}
  ratelimit: {{kind: ratelimit, db: 2, rules: {{chat: {{by: user, requests: 100/hour, tokens: 9999/day}}}}}}
  analytics: {{kind: analytics, db: 3}}
  sessions: {{kind: sessions, db: 0}}
  temp: {{kind: temp, db: 4}}
environments:
  production: {{namespaces: {{llm: {{ttl: 2h}}}}}}
"""


class Called(BaseException):
    """A function was called that must not be."""


@track_metric("answers", labels=["model"])
@rate_limited("chat", by="user")
@llm_cached
async def answer(messages: list[dict[str, Any]], model: str, *, user: str = "ada") -> dict[str, Any]:
    """Ask a model."""
    raise Called


@llm_cached
async def stream(messages: list[dict[str, Any]], model: str) -> AsyncIterator[str]:
    """Ask a model, and get parts."""
    if model:
        raise Called
    yield ""


@llm_cached
def drawn(messages: list[dict[str, Any]], model: str, temperature: float) -> str:
    """Ask a model, by chance."""
    raise Called


@cached("llm", ttl="30m", ignore=("trace",))
def price(sku: str, trace: str = "") -> float:
    """Look up a price."""
    raise Called


@cached("llm", key="price:{sku}")
def keyed(sku: str, currency: str = "EUR") -> float:
    """Look up a price, by a key of its own."""
    raise Called


@cached_many("llm", over="skus")
def prices(skus: list[str]) -> list[float]:
    """Look up many prices."""
    raise Called


@cached("own")
def mine(sku: str) -> float:
    """Look up what a user pays."""
    raise Called


@rate_limited("chat", by="user")
def limited(user: str) -> None:
    """Do something that is limited."""
    raise Called


class Shop:
    """What has prices."""

    @cached("llm", ignore=("self",))
    async def price(self, sku: str) -> float:
        """Look up a price."""
        raise Called

    @cached("llm")
    @classmethod
    def rate(cls, sku: str) -> float:
        """Look up a rate."""
        raise Called


def bare() -> None:
    """Have no decorator."""


@cached("llm")
def greeting(name: str) -> str:
    """Greet; this one may be called."""
    return f"hello {name}"


@cached("llm")
async def agreeting(name: str) -> str:
    """Greet; this one may be called."""
    return f"hello {name}"
