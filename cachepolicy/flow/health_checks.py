"""What is judged of a server by a look at it: whether it is there, and what it told of itself.

What a server does not tell is unknown: never healthy, and no error. So is what takes two looks, after one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cachepolicy.errors import Fault
from cachepolicy.flow.health import SILENT, Look
from cachepolicy.flow.health_past import Case, Past, Terms
from cachepolicy.flow.health_report import HealthCheck, HealthState
from cachepolicy.flow.health_upkeep import UPKEEP, graded, unknown
from cachepolicy.tiers.health import Info

_HEALTHY, _DEGRADED, _UNHEALTHY = HealthState.HEALTHY, HealthState.DEGRADED, HealthState.UNHEALTHY
_TO_MEND: Final = frozenset({Fault.AUTH, Fault.TLS, Fault.DATABASE})
_NOT_THERE: Final = "see that the server runs, and that redis.url and the network lead to it"
_ADVICE: Final = {
    Fault.AUTH: "mend the user and the password, or the ACL",
    Fault.TLS: "mend redis.tls, and the server's certificate",
    Fault.DATABASE: "set redis.databases to prefix or auto",
    Fault.CLIENTS: "raise maxclients, or lower redis.max_connections",
    Fault.BACKPRESSURE: "raise redis.max_connections: all connections of this process are in use",
    Fault.OOM: "raise maxmemory, or let it evict: maxmemory-policy",
    Fault.READONLY: "it is a replica: let redis.url lead to the master, or use redis+sentinel://",
    Fault.MISCONF: "it cannot save to its disk: see its log",
    Fault.NOREPLICAS: "too few replicas follow: see min-replicas-to-write",
    Fault.LOADING: "it loads what it kept: wait",
    Fault.MASTERDOWN: "it is a replica that lost its master",
    Fault.CLUSTERDOWN: "some slots are served by nobody: see CLUSTER NODES",
    Fault.BUSY: "a script runs for too long: see SCRIPT KILL",
    Fault.FORBIDDEN: "let the user run SET, GET and UNLINK on the keys of its namespaces",
}


def judged(look: Look, past: Past, terms: Terms) -> tuple[HealthCheck, ...]:
    """Judge a server, by a look that is noted in its past already."""
    info = look.info or Info({})
    case = Case(look, past, terms, info)
    checks = [reachable(case), writable(case), clock(case), *(check(case) for check in (*_CHECKS, *UPKEEP))]
    if look.cluster is not None or look.node:
        checks.append(cluster(case))
    return tuple(checks)


def reachable(case: Case) -> HealthCheck:
    """Whether it answers, and how quickly."""
    fault, past, rule = case.look.fault, case.past, case.terms.rule
    if fault is not None and fault in SILENT:
        is_down = fault in _TO_MEND or past.failures >= rule.failures or not past.answered
        return HealthCheck(
            "reachable",
            _UNHEALTHY if is_down else _DEGRADED,
            float(past.failures),
            f"no answer ({fault}), {past.failures} times in a row",
            _ADVICE.get(fault, _NOT_THERE),
            case.terms.server,
        )
    ping = past.ping
    if ping is None:
        return unknown(case, "reachable", "it was not asked")
    return graded(
        case,
        "reachable",
        ping,
        (rule.ping_slow, rule.ping_critical),
        f"PING takes {ping * 1000:.2f} ms on average",
        "see what holds it up (SLOWLOG), or the network; a busy event loop looks the same",
    )


def writable(case: Case) -> HealthCheck:
    """Whether it takes what is written, and gives it back."""
    look, terms = case.look, case.terms
    if not look.tried:
        return unknown(case, "writable", "it was not asked")
    refusal = look.refusal
    if refusal is None:
        return HealthCheck("writable", _HEALTHY, None, "what was written was read", "", terms.server)
    if refusal is Fault.FORBIDDEN and not terms.caches:  # what it needs, it may be allowed
        return unknown(case, "writable", "the ACL does not let it be tried")
    advice = _ADVICE.get(refusal, _NOT_THERE)
    return HealthCheck("writable", _UNHEALTHY, None, f"a write fails: {refusal}", advice, terms.server)


def clock(case: Case) -> HealthCheck:
    """How far its clock is from ours."""
    skew, rule = case.look.skew, case.terms.rule
    if skew is None:
        return unknown(case, "clock", "TIME does not tell")
    return graded(
        case,
        "clock",
        skew,
        (rule.clock_skew, rule.clock_critical),
        f"its clock differs from ours by {skew:+.3f} s",
        "have both keep time by NTP: tokens and calendar windows end by the clock",
        size=abs(skew),
    )


def memory(case: Case) -> HealthCheck:
    """How full its memory is."""
    share, rule = memory_share(case.info), case.terms.rule
    if share is None:
        return unknown(case, "memory")
    is_cache = not case.terms.protected and evicts(case.info)
    most = 2.0 if is_cache else rule.memory_critical  # a full cache makes room, as it is made to
    whose = "maxmemory" if case.number("maxmemory") else "its machine's memory"
    return graded(
        case,
        "memory",
        share,
        (rule.memory_threshold, most),
        f"{share:.0%} of {whose} is used",
        "raise maxmemory, shorten TTLs, or move a namespace to a Redis of its own (url:)",
    )


def eviction(case: Case) -> HealthCheck:
    """Whether it throws away what must not be."""
    evicted, terms = case.growth("evicted_keys"), case.terms
    at_risk = terms.at_risk(case.info.word("maxmemory_policy"))
    if evicted is None:
        return unknown(case, "eviction")
    detail = f"{evicted:.0f} keys evicted since the last look"
    over = case.number("current_eviction_exceeded_time")
    if over and not (evicted and at_risk):
        detail += f"; memory has been over its limit for {over / 1000:.1f} s"
        return HealthCheck("eviction", _DEGRADED, evicted, detail, _ADVICE[Fault.OOM], terms.server)
    if not evicted or not at_risk:
        return HealthCheck("eviction", _HEALTHY, evicted, detail, "", terms.server)
    advice = f"{', '.join(at_risk)} must not be evicted: give them a Redis of their own (url:)"
    return HealthCheck("eviction", _UNHEALTHY, evicted, detail, advice, terms.server)


def policy(case: Case) -> HealthCheck:
    """Whether it evicts by what the policy expects."""
    terms, word, limit = case.terms, case.info.word("maxmemory_policy"), case.number("maxmemory")
    if word is None or limit is None:
        return unknown(case, "policy")
    detail = f"maxmemory-policy {word}" + ("" if limit else ", without a limit")
    state, advice = _HEALTHY, ""
    at_risk = terms.at_risk(word)
    if limit and at_risk:
        state = _UNHEALTHY if set(terms.required) & set(at_risk) else _DEGRADED
        advice = f"{', '.join(at_risk)} may be evicted: set noeviction, or give them a Redis (url:)"
    elif limit and terms.evicting and not terms.protected and word not in terms.evicting:
        state = _DEGRADED
        advice = f"eviction.redis says {', '.join(sorted(terms.evicting))}: set maxmemory-policy to it"
    return HealthCheck("policy", state, None, detail, advice, terms.server)


def clients(case: Case) -> HealthCheck:
    """How many of its connections are in use, and whether it refused any."""
    connected, most = case.number("connected_clients"), case.number("maxclients")
    rejected, rule = case.growth("rejected_connections"), case.terms.rule
    blocked = case.number("blocked_clients") or 0.0
    if rejected:
        detail = f"{rejected:.0f} connections refused since the last look"
        advice = _ADVICE[Fault.CLIENTS]
        return HealthCheck("clients", _DEGRADED, connected, detail, advice, case.terms.server)
    if connected is None or not most:  # some providers say maxclients:0
        return unknown(case, "clients")
    return graded(
        case,
        "clients",
        connected / most,
        (rule.clients_threshold, rule.clients_critical),
        f"{connected:.0f} of {most:.0f} connections are in use, {blocked:.0f} of them blocked",
        _ADVICE[Fault.CLIENTS],
    )


def cluster(case: Case) -> HealthCheck:
    """Whether all slots are served."""
    told = case.look.cluster
    state = None if told is None else told.word("cluster_state")
    if told is None or state is None:
        return unknown(case, "cluster", "CLUSTER INFO does not tell")
    failed, doubted = told.number("cluster_slots_fail") or 0.0, told.number("cluster_slots_pfail") or 0.0
    found = _UNHEALTHY if state != "ok" or failed else _DEGRADED if doubted else _HEALTHY
    detail = f"cluster_state:{state}, {failed:.0f} slots failed, {doubted:.0f} in doubt"
    advice = "" if found is _HEALTHY else _ADVICE[Fault.CLUSTERDOWN]
    return HealthCheck("cluster", found, failed + doubted, detail, advice, case.terms.server)


def memory_share(info: Info) -> float | None:
    """Return the share of memory in use: of what it may use, or of its machine's."""
    used, limit = info.number("used_memory"), info.number("maxmemory")
    most = limit or (info.number("total_system_memory") if limit is not None or used is not None else None)
    return None if used is None or not most else used / most


def evicts(info: Info) -> bool:
    """Tell whether it makes room for any key when its memory is full."""
    return (info.word("maxmemory_policy") or "").startswith("allkeys") and bool(info.number("maxmemory"))


_CHECKS: Final[tuple[Callable[[Case], HealthCheck], ...]] = (memory, eviction, policy, clients)
