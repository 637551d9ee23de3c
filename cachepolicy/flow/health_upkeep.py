"""What is judged of a server's upkeep: its disk, its replicas, its errors, what it has not got round to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachepolicy.flow.health_past import Case
from cachepolicy.flow.health_report import HealthCheck, HealthState

_HEALTHY, _DEGRADED, _UNHEALTHY = HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY
_FRAGMENTED: Final = 1.5  # times what is used
_SWAPPED: Final = 0.9
_ERRORS: Final = "errorstat_(?:OOM|MISCONF|NOAUTH|WRONGPASS|NOPERM|READONLY)"
"""Refusals that are never in order; others, such as NOSCRIPT and MOVED, come with restarts and moves."""


def unknown(case: Case, name: str, why: str = "") -> HealthCheck:
    """Say that a check cannot tell."""
    if not why:
        why = "it is not told" if case.look.info is None or case.past.info is not None else "not told yet"
    return HealthCheck(name, HealthState.UNKNOWN, None, why, "", case.terms.server)


def graded(
    case: Case,
    name: str,
    value: float,
    limits: tuple[float, float],
    detail: str,
    advice: str,
    *,
    size: float | None = None,
) -> HealthCheck:
    """Judge a figure by where it is degraded, and where unhealthy; ``size``: by this one instead."""
    judged = value if size is None else size
    state = _UNHEALTHY if judged >= limits[1] else _DEGRADED if judged >= limits[0] else _HEALTHY
    return HealthCheck(name, state, value, detail, "" if state is _HEALTHY else advice, case.terms.server)


def fragmentation(case: Case) -> HealthCheck:
    """Whether memory is lost between its values, or swapped out."""
    ratio = case.number("mem_fragmentation_ratio")
    inner, lost = case.number("allocator_frag_ratio"), case.number("allocator_frag_bytes")
    if inner is None or lost is None:
        inner, lost = ratio, case.number("mem_fragmentation_bytes")
    used, resident, most = case.number("used_memory"), case.number("used_memory_rss"), case.terms.rule
    if ratio is None or inner is None or lost is None:
        return unknown(case, "fragmentation")
    state, advice = _HEALTHY, ""
    detail = f"{inner:.2f} times what is used is taken"
    if (
        used is not None
        and resident is not None
        and ratio < _SWAPPED
        and used - resident >= most.fragmentation
    ):
        state, detail = _UNHEALTHY, f"only {ratio:.2f} of what is used is in memory: its machine swaps"
        advice = "give its machine more memory, or lower maxmemory"
    elif inner > _FRAGMENTED and lost >= most.fragmentation:
        state, advice = _DEGRADED, "set activedefrag yes, or restart it when that suits"
    return HealthCheck("fragmentation", state, inner, detail, advice, case.terms.server)


def persistence(case: Case) -> HealthCheck:
    """Whether it can save, and how long that holds it up."""
    saved, written = case.info.word("rdb_last_bgsave_status"), case.info.word("aof_last_write_status")
    fork, delayed = case.number("latest_fork_usec"), case.growth("aof_delayed_fsync")
    rule = case.terms.rule
    if saved is None and written is None:
        return unknown(case, "persistence")
    found: list[str] = []
    if saved not in {None, "ok"}:
        found.append("the last snapshot failed")
    if written not in {None, "ok"} or case.info.word("aof_last_bgrewrite_status") not in {None, "ok"}:
        found.append("the last write to the append-only file failed")
    if fork is not None and fork >= rule.fork_slow * 1e6:
        found.append(f"the last fork took {fork / 1e6:.2f} s")
    if delayed:
        found.append("the disk holds it up")
    age = _unsaved(case)
    if rule.unsaved and age is not None and age > rule.unsaved:
        found.append(f"changes have waited for a snapshot for {age:.0f} s")
    if not found:
        return HealthCheck("persistence", _HEALTHY, age, "it saves as it is told to", "", case.terms.server)
    advice = "see its log, its disk, and overcommit_memory"
    return HealthCheck("persistence", _DEGRADED, age, "; ".join(found), advice, case.terms.server)


def _unsaved(case: Case) -> float | None:
    """Return for how many seconds changes have waited for a snapshot, as the server sees the time."""
    changes, last = case.number("rdb_changes_since_last_save"), case.number("rdb_last_save_time")
    now = case.number("server_time_usec")
    if changes is None or last is None or now is None:
        return None
    return max(0.0, now / 1e6 - last) if changes else 0.0


def replication(case: Case) -> HealthCheck:
    """Whether replicas follow, or, of a replica, whether it does."""
    role, server = case.info.word("role"), case.terms.server
    if role is None:
        return unknown(case, "replication")
    if role != "master":
        link, silent = case.info.word("master_link_status"), case.number("master_last_io_seconds_ago")
        if link != "up":
            advice = "see its log, and its master"
            return HealthCheck(
                "replication", _UNHEALTHY, None, "a replica without its master", advice, server
            )
        return _lagging(case, silent, "a replica; its master spoke {:.0f} s ago")
    names = sorted(case.info.names("slave[0-9]+"))
    before = case.past.info.number("connected_slaves") if case.past.info is not None else None
    left = (before or 0.0) - (case.number("connected_slaves") or 0.0)
    if left > 0:
        detail = f"{left:.0f} replicas less than at the last look"
        return HealthCheck("replication", _DEGRADED, left, detail, "see the replicas' logs", server)
    lags = [lag for name in names if (lag := case.info.part(name, "lag")) is not None]
    if not lags:
        return HealthCheck("replication", _HEALTHY, None, "a master without replicas", "", server)
    return _lagging(
        case, max(lags), f"a master; of {len(names)} replicas the last is {{:.0f}} s behind{_gap(case)}"
    )


def _gap(case: Case) -> str:
    """Say how many bytes the last replica is behind."""
    offset = case.number("master_repl_offset")
    theirs = [case.info.part(name, "offset") for name in case.info.names("slave[0-9]+")]
    known = [each for each in theirs if each is not None]
    return f", {offset - min(known):.0f} bytes" if offset is not None and known else ""


def _lagging(case: Case, lag: float | None, detail: str) -> HealthCheck:
    if lag is None:
        return unknown(case, "replication")
    state = _DEGRADED if lag > case.terms.rule.replica_lag else _HEALTHY
    advice = "see the network between them, and client-output-buffer-limit" if state is _DEGRADED else ""
    return HealthCheck("replication", state, lag, detail.format(lag), advice, case.terms.server)


def errors(case: Case) -> HealthCheck:
    """How many commands it refused, anybody's, and why."""
    refused, seconds = case.growth("total_error_replies"), case.seconds
    if refused is None or seconds is None:
        return unknown(case, "errors")
    named = {
        name.removeprefix("errorstat_"): case.growth_of([name], "count") for name in case.info.names(_ERRORS)
    }
    denied = sum(case.growth(name) or 0.0 for name in case.info.names("acl_access_denied_[a-z]+"))
    grave = {name: count for name, count in sorted(named.items()) if count}
    rate = refused / seconds
    detail = f"{rate:.2f} commands a second refused"
    if grave or denied or rate >= case.terms.rule.error_rate:
        if grave:
            detail += ": " + ", ".join(f"{name} {count:.0f}" for name, count in grave.items())
        if denied:
            detail += f"; the ACL refused {denied:.0f}"
        advice = "see INFO errorstats, and ACL LOG"
        return HealthCheck("errors", _DEGRADED, rate, detail, advice, case.terms.server)
    return HealthCheck("errors", _HEALTHY, rate, detail, "", case.terms.server)


def expiry(case: Case) -> HealthCheck:
    """How much is in memory that is over."""
    share, capped, rule = (
        case.number("expired_stale_perc"),
        case.growth("expired_time_cap_reached_count"),
        case.terms.rule,
    )
    if share is None:
        return unknown(case, "expiry")
    detail = f"{share:.1f} % of keys that are over are still in memory"
    if capped:
        detail += f"; removing them was cut short {capped:.0f} times since the last look"
    advice = "raise active-expire-effort, or spread TTLs (jitter:)"
    return graded(
        case, "expiry", share / 100, (rule.expired_threshold, rule.expired_critical), detail, advice
    )


def scripts(case: Case) -> HealthCheck:
    """Whether somebody formats a script for each call."""
    cached, evicted = case.number("number_of_cached_scripts"), case.growth("evicted_scripts")
    if cached is None:
        return unknown(case, "scripts")
    state = _DEGRADED if evicted or cached >= case.terms.rule.scripts else _HEALTHY
    advice = (
        "find who sends EVAL with values in the script's text: pass them as ARGV"
        if state is _DEGRADED
        else ""
    )
    detail = f"{cached:.0f} scripts are cached" + (f", {evicted:.0f} were evicted" if evicted else "")
    return HealthCheck("scripts", state, cached, detail, advice, case.terms.server)


UPKEEP: Final[tuple[Callable[[Case], HealthCheck], ...]] = (
    fragmentation,
    persistence,
    replication,
    errors,
    expiry,
    scripts,
)
