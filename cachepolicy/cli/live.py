"""What servers say about a policy: findings as those of its text, with the place of the setting."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from cachepolicy.clock import SYSTEM, Clock
from cachepolicy.errors import Fault
from cachepolicy.flow.health_past import Terms
from cachepolicy.flow.inquiry import Inquiry
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.lints import Lint, Severity, heard
from cachepolicy.policy.lints.finding import Look
from cachepolicy.policy.rules import CacheRule
from cachepolicy.runtime.inquiry import Asked, Inquirer
from cachepolicy.tiers.advisories import concerning

_DAY: Final = 86_400
_SOON: Final = 30  # days
_NOT_CONNECTED: Final = {
    Fault.AUTH: "the password or the user is wrong, or its user is off",
    Fault.FORBIDDEN: "the user may not even choose a database: see cachepolicy acl",
    Fault.TLS: "its certificate is not believed, or the port does not speak TLS: see tls:",
    Fault.PROTOCOL: "what answers there is no Redis of version 6 or later; or the port speaks TLS: rediss://",
    Fault.LOST: "it hung up; a port that speaks TLS does so where redis:// is said: rediss://",
    Fault.REFUSED: "start it, or mend the address",
}
_CERTIFICATES: Final = {
    "expired": "is over",
    "hostname": "is another host's: the address must be a name that it is made out to",
    "untrusted": "comes from an authority that is not trusted: redis: {tls: {ca: FILE}}",
    "plain": "cannot be seen: the port does not speak TLS, or wants a certificate of the client's",
    "files": "cannot be judged: a file of tls: cannot be read",
}


def live_lints(loaded: LoadedPolicy, clock: Clock = SYSTEM) -> tuple[Lint, ...]:
    """Ask every server of a policy, and return what is wrong there."""
    look = Look(loaded)
    with Inquirer(loaded, clock) as inquirer:
        found = [each for asked in inquirer.all() for each in lints_of(look, asked)]
    return heard(loaded.policy, dict.fromkeys(found))


def lints_of(look: Look, asked: Asked) -> Iterator[Lint]:
    """Say what one Redis' answers mean for the policy."""
    at = _at(asked)
    if asked.watched.problem:
        yield look.lint("unreachable", at, asked.watched.problem, "mend it", severity=Severity.ERROR)
    yield from _encrypted(look, asked, at)
    for each in asked.found:
        server = asked.watched.terms(look.policy.health, each.look.node)
        if each.fault is not None:
            remedy = _NOT_CONNECTED.get(each.fault, "see that it runs and can be reached from here")
            message = f"{server.server} cannot be used ({each.fault})"
            yield look.lint("unreachable", at, message, remedy, severity=Severity.ERROR)
            continue
        yield from _working(look, each, server, at)
        yield from _kept(look, asked, each, server)
    yield from _separate(look, asked)
    yield from _allowed(look, asked)


def _at(asked: Asked) -> str:
    """Return the setting that leads to a Redis."""
    name, rule = next(iter(asked.watched.rules.items()))
    return "redis.url" if rule.url is None else f"namespaces.{name}.url"


def _encrypted(look: Look, asked: Asked, at: str) -> Iterator[Lint]:
    for host, seen in asked.certificates.items():
        if seen.problem in _CERTIFICATES:
            message = f"the certificate of {host} {_CERTIFICATES[seen.problem]}"
            yield look.lint(
                f"certificate-{seen.problem}", at, message, "mend it there or here", severity=Severity.ERROR
            )
        elif seen.ends is not None and (days := (seen.ends - time.time()) / _DAY) < _SOON:
            message = f"the certificate of {host} ends in {max(0, int(days))} days"
            yield look.lint("certificate-ends", at, message, "renew it: connections fail from then on")


def _working(look: Look, each: Inquiry, server: Terms, at: str) -> Iterator[Lint]:
    """What a server is and does, whatever lies there."""
    if each.look.refusal is not None and each.look.refusal is not Fault.FORBIDDEN:
        message = f"{server.server} takes no writes ({each.look.refusal})"
        yield look.lint("not-writable", at, message, "see cachepolicy doctor", severity=Severity.ERROR)
    info = each.look.info
    if info is not None and (version := info.word("redis_version")):
        engine = info.word("server_name") or "redis"
        version = info.word(f"{engine}_version") or version
        for known in concerning(engine, version):
            message = f"{server.server} is {engine} {version}, which has {known.name}: {known.what}"
            remedy = "update it; a distribution may have mended it without a new number: look up its notes"
            yield look.lint("known-vulnerability", at, message, remedy)
    skew = each.look.skew
    if skew is not None and abs(skew) >= look.policy.health.clock_skew:
        message = (
            f"the clock of {server.server} is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} ours"
        )
        yield look.lint("clock-skew", at, message, "let both follow NTP: deadlines are by the server's clock")


def _kept(look: Look, asked: Asked, each: Inquiry, server: Terms) -> Iterator[Lint]:
    """What a server does with what lies there when its memory is full, and when it is started again."""
    info = each.look.info
    word = each.settings.get("maxmemory-policy") or (info and info.word("maxmemory_policy"))
    told = each.settings.get("maxmemory")
    limit = float(told) if told and told.isdecimal() else (info and info.number("maxmemory"))
    for name, rule in asked.watched.rules.items():
        path = f"namespaces.{name}"
        required = rule.guarantee == "required"
        severity = Severity.ERROR if required else Severity.WARNING
        if word is None or limit is None:
            yield look.lint(
                "eviction-unknown",
                path,
                f"{server.server} does not tell what it evicts",
                "let the user run INFO (ACL: +info)",
                severity=Severity.ERROR if required else Severity.INFO,
            )
        elif not isinstance(rule, CacheRule) or required:
            if word != "noeviction" and limit:
                message = f"{server.server} evicts with {word}, and {name} must not lose anything"
                remedy = "maxmemory-policy noeviction there, or a Redis of its own (url:)"
                yield look.lint("server-evicts", path, message, remedy, severity=Severity.ERROR)
        elif rule.eviction.redis not in {None, word}:
            message = f"counts on {rule.eviction.redis}, and {server.server} has {word}"
            remedy = "cachepolicy doctor --apply, or say what the server has"
            yield look.lint("eviction-differs", f"{path}.eviction.redis", message, remedy, severity=severity)
        if isinstance(rule, CacheRule) and limit == 0 and rule.eviction.redis not in {None, "noeviction"}:
            message = (
                f"{server.server} has no maxmemory: it evicts nothing, and grows until its machine is full"
            )
            yield look.lint("no-maxmemory", f"{path}.eviction.redis", message, "set maxmemory there")
        if rule.kind == "sessions" and _forgets(each):
            message = (
                f"{server.server} keeps nothing on disk and has no replica: a restart logs everybody out"
            )
            yield look.lint("not-persisted", path, message, "appendonly yes, save, or a replica")


def _forgets(each: Inquiry) -> bool:
    """Tell whether all is lost with the process; what is not told is no finding."""
    info = each.look.info
    if info is None or "save" not in each.settings or each.settings.get("appendonly") != "no":
        return False
    return not each.settings["save"].strip() and info.number("connected_slaves") == 0


def _separate(look: Look, asked: Asked) -> Iterator[Lint]:
    for name in sorted(asked.mixed):
        rule = asked.watched.rules[name]
        selected = look.policy.redis.databases == "select"
        yield look.lint(
            "databases-not-apart",
            f"namespaces.{name}.db",
            f"the server does not keep database {rule.db} apart from database 0",
            "databases: prefix; namespaces are told apart by their keys",
            severity=Severity.ERROR if selected else Severity.INFO,
        )


def _allowed(look: Look, asked: Asked) -> Iterator[Lint]:
    for name, rights in asked.rights.items():
        path = f"namespaces.{name}"
        if rights.refused:
            yield look.lint(
                "not-allowed",
                path,
                f"the user may not run, or the server does not know, {', '.join(rights.refused)}",
                f"cachepolicy acl --namespace {name} writes what it needs",
                severity=Severity.ERROR,
            )
        if rights.untried:
            yield look.lint(
                "not-tried",
                path,
                f"whether the user may run {', '.join(rights.untried)} cannot be tried",
                "let the user run ACL WHOAMI and ACL DRYRUN (Redis 7), or see what is logged",
                severity=Severity.INFO,
            )
