"""The policy of a fleet that counts what it does; a busy machine makes no server slow in its eyes."""

from __future__ import annotations

from pathlib import Path

POLICY = """version: 1
app: shop
redis: {{url: "{url}", deadline: 10s, connect_timeout: 10s}}
health: {{timeout: 10s, ping_slow: 1m, ping_critical: 2m, clock_skew: 1m, clock_critical: 2m}}
currency: USD
prices: {{gpt-4o: {{input: 2.50, output: 10}}}}
telemetry: {{fleet_stats: {on}}}
namespaces:
  llm: {{kind: cache, db: 1, scope: global, ttl: 1h}}
  ratelimit: {{kind: ratelimit, db: 2, rules: {{chat: {{by: user, requests: 2/hour}}}}}}
  analytics: {{kind: analytics, db: 3, undeclared: refuse, flush: {{interval: {interval}}}}}
environments:
  two: {{namespaces: {{more: {{kind: analytics}}}}, telemetry: {{fleet_stats: false}}}}
"""


def fleet_policy(folder: Path, url: str, *, on: bool = True, interval: str = "1h") -> str:
    """Write it into a folder, for a Redis; return its file."""
    file = folder / "policies.yaml"
    file.write_text(POLICY.format(url=url, on=str(on).lower(), interval=interval))
    return str(file)
