"""Several redis-servers that work together: a cluster, or a master watched by sentinels."""

from __future__ import annotations

from cachepolicy.testing.cluster import RedisCluster
from cachepolicy.testing.sentinel import RedisSentinel

__all__ = ["RedisCluster", "RedisSentinel"]
