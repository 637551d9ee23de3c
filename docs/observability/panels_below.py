"""The dashboard's lower rows: what processes hold, what is limited and counted, and how Redis is."""

from __future__ import annotations

from docs.observability.panel import CHECKS, ENDPOINT, LIVE, STATES, Panel, one, state
from docs.observability.queries import (
    PROCESS,
    Query,
    gauge,
    of,
    per_server,
    quantiles,
    rate,
    server_rate,
    share,
)

LOCAL = (
    one(
        "Entries in L1",
        "Entries that processes hold, over all of them.",
        "short",
        gauge("sum", "cachepolicy_entries_count"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Memory of L1",
        "Bytes of entries, as the policy's local.max_bytes counts them, over all processes.",
        "bytes",
        gauge("sum", "cachepolicy_entries_memory_bytes"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Entries that left L1",
        "Why: there was no room (size), they were out of date (ttl), somebody ended them (invalidated).",
        "ops",
        rate("cachepolicy_evictions_total", by="cachepolicy_namespace, cachepolicy_reason"),
        "{{cachepolicy_namespace}} {{cachepolicy_reason}}",
    ),
    Panel(
        "Item size", "Bytes of values as they are stored.", "bytes", quantiles("cachepolicy_item_size_bytes")
    ),
    Panel(
        "Compression",
        "Bytes before, by bytes after: at 1 it gains nothing.",
        "none",
        quantiles("cachepolicy_compression_ratio"),
    ),
    one(
        "Bytes stored",
        "Bytes of values that are written in a second.",
        "Bps",
        rate("cachepolicy_item_size_bytes_sum", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
)
COHERENCE = (
    state(
        "Hears of changes",
        "Whether processes hear of changes that others make; a blind one keeps answers for blind_ttl only.",
        f"min by (instance, cachepolicy_namespace) ({of('cachepolicy_coherence_live_ratio')})",
        "{{instance}} {{cachepolicy_namespace}}",
        LIVE,
    ),
    one(
        "Lag of changes",
        "How long Redis took to tell of the last canary, in the slowest process.",
        "s",
        gauge("max", "cachepolicy_coherence_lag_seconds"),
        "{{cachepolicy_namespace}}",
    ),
    Panel(
        "Losses and gaps",
        "Connections lost over which changes were heard, and messages that went unheard, in a second.",
        "ops",
        (
            Query(rate("cachepolicy_coherence_losses_total"), "connections lost"),
            Query(rate("cachepolicy_coherence_gaps_total"), "messages missed"),
        ),
    ),
)
LIMITS = (
    one(
        "Decisions",
        "Calls under limits: allowed, denied, shadow (watched only), degraded (decided without Redis).",
        "reqps",
        rate("cachepolicy_limits_decisions_total", by="cachepolicy_outcome"),
        "{{cachepolicy_outcome}}",
    ),
    one(
        "Share denied by rule",
        "Which share of the calls under a rule it refused.",
        "percentunit",
        share("cachepolicy_limits_decisions_total", 'cachepolicy_outcome="denied"', by="cachepolicy_rule"),
        "{{cachepolicy_rule}}",
    ),
    one(
        "Limits exceeded",
        "Calls that were refused for a limit, whoever decided.",
        "reqps",
        rate("rate_limit_exceeded_total", by="cachepolicy_rule"),
        "{{cachepolicy_rule}}",
    ),
)
SESSIONS = (
    one(
        "Active sessions",
        "Sessions that live, of all processes together.",
        "short",
        gauge("max", "active_sessions"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Sessions that ended",
        "By whom: ended by somebody, or expired.",
        "ops",
        rate("session_duration_seconds_count", by="cachepolicy_outcome"),
        "{{cachepolicy_outcome}}",
    ),
    Panel("Length of sessions", "From login to their end.", "s", quantiles("session_duration_seconds")),
)
SWEEPS = (
    one(
        "Keys that are to end",
        "Keys of protected namespaces, without a TTL in Redis: what grows here and never falls is not swept.",
        "short",
        gauge("max", "cachepolicy_sweep_deadlines"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Keys removed",
        "Keys of protected namespaces that were over and went, in a second.",
        "ops",
        rate("cachepolicy_sweep_removed_total", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Lag of sweeps",
        "How long the oldest key was over when it went: minutes say that nobody sweeps.",
        "s",
        gauge("max", "cachepolicy_sweep_lag_seconds"),
        "{{cachepolicy_namespace}}",
    ),
)
ANALYTICS = (
    one(
        "Counts sent",
        "Counts that Redis has taken, in a second.",
        "ops",
        rate("cachepolicy_analytics_flushed_total", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Counts that wait",
        "Counts that wait in processes: they grow while Redis is out.",
        "short",
        gauge("sum", "cachepolicy_analytics_pending"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Events dropped",
        "Events that are lost for good: more than could be held while Redis was out, or refused by it.",
        "ops",
        rate("cachepolicy_analytics_dropped_total", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
)
CONFIG = (
    one(
        "Policies in use",
        "Processes by the hash of their policy: more than one for long means that a rollout is stuck.",
        "short",
        "count by (cachepolicy_policy, cachepolicy_environment) "
        f"({of('cachepolicy_config_info', within=PROCESS)})",
        "{{cachepolicy_policy}} {{cachepolicy_environment}}",
    ),
    one(
        "Policies loaded",
        "Policies that came into use (ok), and those that had mistakes while another was in use (rejected).",
        "ops",
        rate("cachepolicy_config_reloads_total", by="cachepolicy_outcome", within=PROCESS),
        "{{cachepolicy_outcome}}",
    ),
)
REDIS = (
    state(
        "Servers",
        "The state of each server that is watched.",
        per_server("cachepolicy_health_status"),
        ENDPOINT,
        STATES,
    ),
    state(
        "Checks",
        "The worst state of each check over all servers; unknown: the server does not tell.",
        f"max by (cachepolicy_check) ({of('cachepolicy_health_check', within=PROCESS)} < 3) "
        f"or min by (cachepolicy_check) ({of('cachepolicy_health_check', within=PROCESS)})",
        "{{cachepolicy_check}}",
        CHECKS,
    ),
    one(
        "Ping",
        "How long servers take to answer.",
        "s",
        per_server("cachepolicy_health_ping_seconds"),
        ENDPOINT,
    ),
    Panel(
        "Memory",
        "What servers use, and what they may: without a maxmemory there is no second line.",
        "bytes",
        (
            Query(per_server("redis_memory_used_bytes"), ENDPOINT + " used"),
            Query(per_server("redis_maxmemory_bytes") + " > 0", ENDPOINT + " max"),
        ),
    ),
    one(
        "Fragmentation",
        "Memory that the system gave, by memory in use: below 1 the server swaps.",
        "none",
        per_server("redis_memory_fragmentation_ratio"),
        ENDPOINT,
    ),
    Panel(
        "Clients",
        "Connections that servers hold, and those that wait in a blocking command.",
        "short",
        (
            Query(per_server("redis_clients_connected"), ENDPOINT + " connected"),
            Query(per_server("redis_clients_blocked"), ENDPOINT + " blocked"),
        ),
    ),
    Panel(
        "Keys that went",
        "Keys in a second that ended with their TTL (expired), or for want of memory (evicted).",
        "ops",
        (
            Query(server_rate("redis_keys_expired_total"), ENDPOINT + " expired"),
            Query(server_rate("redis_keys_evicted_total"), ENDPOINT + " evicted"),
        ),
    ),
    one(
        "Connections refused",
        "Connections in a second that servers refused, for they had maxclients.",
        "ops",
        server_rate("redis_connections_rejected_total"),
        ENDPOINT,
    ),
    one(
        "Commands",
        "Commands that servers carried out in a second.",
        "ops",
        server_rate("redis_commands_processed_total"),
        ENDPOINT,
    ),
    one(
        "Clock skew",
        "How far servers' clocks are from those of processes.",
        "s",
        per_server("cachepolicy_health_clock_skew_seconds"),
        ENDPOINT,
    ),
    one(
        "Uptime",
        "Since when servers run: a drop is a restart.",
        "s",
        per_server("redis_uptime_seconds_total"),
        ENDPOINT,
    ),
)
