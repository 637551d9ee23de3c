"""The policy of one run: the one in use here, under an app name of the run's own."""

from __future__ import annotations

import secrets

from cachepolicy import policy
from cachepolicy.policy import default_source
from cachepolicy.policy.written import without_secrets

Policy = dict[str, str | int]


def fresh_policy() -> Policy:
    """Extend the policy that a program started here would use.

    The app name is the first segment of every key: with a new one each run begins cold, even in a Redis that
    earlier runs have filled. What a run leaves behind is not cleaned up; the policy's TTL sees to that.
    """
    file = default_source()
    return {
        "version": 1,
        "extends": str(file.absolute()),
        "app": f"cachepolicy-demo-{secrets.token_hex(4)}",
    }


def redis_of(extended: Policy) -> str:
    """Say where the policy keeps LLM answers; no password is shown.

    Raises:
        PolicyError: the policy is wrong.
    """
    loaded = policy.load(extended).policy
    own = policy.namespace(loaded, "llm").url
    return without_secrets((own or loaded.redis.url).get_secret_value())
