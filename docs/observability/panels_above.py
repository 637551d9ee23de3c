"""The dashboard's upper rows: what the cache answers, how fast, what it spares, and what it survives."""

from __future__ import annotations

from docs.observability.panel import BREAKER, ENDPOINT, STATES, Panel, one, stat, state
from docs.observability.queries import PROCESS, SERVER, SPARED, Query, of, quantile, quantiles, rate, share

OVERVIEW = (
    stat(
        "Hit rate",
        "Share of calls that were answered without calling the function.",
        "percentunit",
        share("cachepolicy_requests_total", SPARED),
    ),
    stat(
        "Calls", "Decorated calls in a second, however answered.", "reqps", rate("cachepolicy_requests_total")
    ),
    stat(
        "Calls spared",
        "Calls of the function in a second that answers from the cache made unnecessary.",
        "reqps",
        rate("cachepolicy_requests_total", SPARED),
    ),
    stat(
        "Money saved an hour",
        "What the spared calls would have cost by the policy's prices, at the present rate, by currency.",
        "none",
        f"3600 * {rate('cachepolicy_saved_cost_total', by='cachepolicy_currency')}",
        "{{cachepolicy_currency}}",
    ),
    stat(
        "Faults",
        "Calls in a second that Redis could not serve, and that the function answered.",
        "reqps",
        rate("cachepolicy_requests_total", 'cachepolicy_outcome="fault"') + " or vector(0)",
    ),
    Panel(
        "Health",
        "The worst state of any Redis server that is watched.",
        "none",
        (Query(f"max ({of('cachepolicy_health_status', within=PROCESS)})"),),
        "stat",
        4,
        STATES,
    ),
)
ANSWERS = (
    one(
        "Hit rate by namespace",
        "Share of calls that were answered without calling the function.",
        "percentunit",
        share("cachepolicy_requests_total", SPARED, by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Answers by tier",
        "Where answers come from: this process (l1), Redis (l2), the function (origin).",
        "reqps",
        rate("cachepolicy_requests_total", by="cachepolicy_tier"),
        "{{cachepolicy_tier}}",
    ),
    one(
        "Requests by outcome",
        "How calls are answered: hit, stale and coalesced spare a call of the function.",
        "reqps",
        rate("cachepolicy_requests_total", by="cachepolicy_outcome"),
        "{{cachepolicy_outcome}}",
    ),
    one(
        "Requests by namespace",
        "Calls in a second by the policy's namespace.",
        "reqps",
        rate("cachepolicy_requests_total", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
    one(
        "Hits by tier",
        "Which share of all calls each tier answers without calling the function.",
        "percentunit",
        f"{rate('cachepolicy_requests_total', SPARED, by='cachepolicy_tier')} / ignoring (cachepolicy_tier) "
        f"group_left () {rate('cachepolicy_requests_total')}",
        "{{cachepolicy_tier}}",
    ),
    one(
        "Refreshes",
        "Entries that were computed anew behind their callers: error means the old answer stays.",
        "ops",
        rate("cachepolicy_refreshes_total", by="cachepolicy_outcome"),
        "{{cachepolicy_outcome}}",
    ),
)
LATENCY = (
    Panel(
        "Latency of calls that left L1",
        "How long calls took that this process could not answer itself, calls of the function included.",
        "s",
        quantiles("cachepolicy_operation_duration_seconds"),
    ),
    Panel(
        "Latency of answers from Redis",
        "How long calls took that Redis answered: what the cache itself costs.",
        "s",
        quantiles("cachepolicy_operation_duration_seconds", 'cachepolicy_tier="l2"'),
    ),
    one(
        "p95 latency by namespace",
        "The slowest twentieth of the calls that left L1.",
        "s",
        quantile(0.95, "cachepolicy_operation_duration_seconds", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
    Panel(
        "Latency of the function",
        "How long calls of the decorated function took: what a hit spares.",
        "s",
        quantiles("cachepolicy_origin_duration_seconds"),
    ),
    Panel(
        "Calls of the function, made and spared",
        "Calls that were made, by how they ended, and those that answers from the cache made unnecessary.",
        "reqps",
        (
            Query(
                rate("cachepolicy_origin_duration_seconds_count", by="cachepolicy_outcome"),
                "{{cachepolicy_outcome}}",
            ),
            Query(rate("cachepolicy_requests_total", SPARED), "spared"),
        ),
    ),
    Panel(
        "Waits for another process",
        "How long calls waited for the answer that another process was computing.",
        "s",
        quantiles("cachepolicy_lease_wait_seconds"),
    ),
    Panel(
        "Latency over time",
        "Calls that left L1 by how long they took: two bands are Redis and the function.",
        "s",
        (Query(rate("cachepolicy_operation_duration_seconds_bucket", by="le"), "{{le}}", "heatmap"),),
        "heatmap",
        24,
    ),
)
SAVINGS = (
    one(
        "Money saved an hour by model",
        "At the present rate, by the policy's prices; models that have no price are not in it.",
        "none",
        f"3600 * {rate('cachepolicy_saved_cost_total', by='cachepolicy_model, cachepolicy_currency')}",
        "{{cachepolicy_model}} {{cachepolicy_currency}}",
    ),
    one(
        "Tokens saved by model",
        "Tokens in a second that no model was asked for again.",
        "short",
        rate("cachepolicy_saved_tokens_total", by="cachepolicy_model, cachepolicy_token_type"),
        "{{cachepolicy_model}} {{cachepolicy_token_type}}",
    ),
    one(
        "Time saved",
        "Seconds of the function's time that are spared in each second, by namespace.",
        "s",
        rate("cachepolicy_saved_time_seconds_total", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
    Panel(
        "Money saved in the shown range",
        "What the spared calls would have cost, by model and currency.",
        "none",
        (
            Query(
                "sum by (cachepolicy_model, cachepolicy_currency) "
                f"(increase({of('cachepolicy_saved_cost_total')}[$__range]))",
                "{{cachepolicy_model}} {{cachepolicy_currency}}",
                instant=True,
            ),
        ),
        "bargauge",
        12,
    ),
    Panel(
        "Tokens saved in the shown range",
        "Tokens that no model was asked for again, by model and direction.",
        "short",
        (
            Query(
                "sum by (cachepolicy_model, cachepolicy_token_type) "
                f"(increase({of('cachepolicy_saved_tokens_total')}[$__range]))",
                "{{cachepolicy_model}} {{cachepolicy_token_type}}",
                instant=True,
            ),
        ),
        "bargauge",
        12,
    ),
)
FAULTS = (
    one(
        "Faults and errors by type",
        "What calls survived: faults of Redis, errors of the function that an old answer covered (origin.…).",
        "ops",
        rate("cachepolicy_errors_total", by="cachepolicy_namespace, error_type"),
        "{{cachepolicy_namespace}} {{error_type}}",
    ),
    one(
        "Commands sent again",
        "Retries in a second, by server; bounded by the policy's retry budget.",
        "ops",
        rate("cachepolicy_retries_total", by=SERVER, within=PROCESS),
        ENDPOINT,
    ),
    state(
        "Breaker",
        "Whether Redis is left alone (open), by process.",
        f"max by (instance, {SERVER}) ({of('cachepolicy_breaker_state', within=PROCESS)})",
        "{{instance}} → " + ENDPOINT,
        BREAKER,
    ),
    one(
        "Breaker changes",
        "How often breakers opened or closed, in a minute.",
        "cpm",
        f"60 * {rate('cachepolicy_breaker_transitions_total', by=SERVER, within=PROCESS)}",
        ENDPOINT,
    ),
    one(
        "Connections",
        "Connections to Redis by what they do, over all processes.",
        "short",
        f"sum by ({SERVER}, cachepolicy_state) ({of('cachepolicy_pool_connections', within=PROCESS)})",
        ENDPOINT + " {{cachepolicy_state}}",
    ),
    one(
        "Share of calls that met a fault",
        "Calls that the function had to answer because Redis failed.",
        "percentunit",
        "("
        + rate("cachepolicy_requests_total", 'cachepolicy_outcome="fault"', by="cachepolicy_namespace")
        + f" or 0 * {rate('cachepolicy_requests_total', by='cachepolicy_namespace')}) / "
        + rate("cachepolicy_requests_total", by="cachepolicy_namespace"),
        "{{cachepolicy_namespace}}",
    ),
)
