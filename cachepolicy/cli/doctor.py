"""``cachepolicy doctor``: what is wrong here and how to mend it; ``--apply`` mends memory settings."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cachepolicy import policy
from cachepolicy.cli.arguments import policy_arguments
from cachepolicy.cli.check import look_over
from cachepolicy.cli.doctor_here import packages, variables
from cachepolicy.cli.doctor_memory import Setting, apply, wanted
from cachepolicy.cli.live import lints_of
from cachepolicy.cli.plain import counted, nearby, printable
from cachepolicy.errors import PolicyError
from cachepolicy.flow.drive import run
from cachepolicy.flow.health_report import HealthState
from cachepolicy.policy import LoadedPolicy
from cachepolicy.policy.lints import Lint, Severity, heard
from cachepolicy.policy.lints.finding import Look
from cachepolicy.runtime.dictionaries import read_dictionaries
from cachepolicy.runtime.inquiry import Inquirer

_SAID_ELSEWHERE: Final = frozenset({"reachable", "writable", "policy", "clock", "telemetry"})
"""Checks of health that a finding about a server tells already, or that are of a running process."""
_NOT_WELL: Final = {HealthState.UNHEALTHY: "error", HealthState.DEGRADED: "warning"}


@dataclass(slots=True)
class Diagnosis:
    """All that was found, by where it was looked for, and what became of the memory settings."""

    source: str
    found: list[dict[str, str]] = field(default_factory=list)
    settings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, part: str, severity: str, what: str, remedy: str) -> None:
        """Add one finding."""
        self.found.append({"part": part, "severity": severity, "what": what, "remedy": remedy})

    def lints(self, part: str, lints: Iterable[Lint]) -> None:
        """Add findings about settings; those that are only worth knowing are for ``check``."""
        for each in lints:
            if each.severity is not Severity.INFO:
                at = f"{nearby(each.place.file)}:{each.place.line}:{each.place.column}: {each.path}: "
                self.add(part, str(each.severity), f"{at}{each.message}", each.remedy)

    def count(self, severity: str) -> int:
        """Return how many there are."""
        return sum(each["severity"] == severity for each in self.found)


def main(argv: Sequence[str]) -> int:
    """Run the command. Returns 0, or 1: something is wrong, or could not be set."""
    options = _parse(argv)
    source = Path(options.policy) if options.policy else policy.default_source()
    diagnosis = Diagnosis(nearby(str(source)))
    try:
        loaded = policy.load(source, environment=options.environment)
        read_dictionaries(loaded)
    except PolicyError as wrong:
        for each in wrong.problems:
            at = f"{nearby(each.file or str(source))}:{each.line}:{each.column}"
            diagnosis.add("policy", "error", f"{at}: {each.path}: {each.message}", "see cachepolicy check")
    else:
        _examine(loaded, source, options, diagnosis)
    print(_json(diagnosis) if options.json else _text(diagnosis, options), end="")
    unset = any(each["outcome"] == "refused" for each in diagnosis.settings)
    return int(diagnosis.count("error") > 0 or unset)


def _examine(loaded: LoadedPolicy, source: Path, options: Namespace, diagnosis: Diagnosis) -> None:
    diagnosis.lints("policy", look_over(loaded))
    for each in (*variables(loaded, source), *packages(loaded)):
        diagnosis.add("here", *each)
    look, settings = Look(loaded), list[Setting]()
    with Inquirer(loaded) as inquirer:
        for asked in inquirer.all():
            diagnosis.lints("servers", heard(loaded.policy, dict.fromkeys(lints_of(look, asked))))
            settings += wanted(loaded.policy, asked)
        _health(inquirer, diagnosis)
        for setting in settings:
            diagnosis.settings.append(_treated(inquirer, setting, options))


def _health(inquirer: Inquirer, diagnosis: Diagnosis) -> None:
    sites = inquirer.runtime.health.sites()
    if not sites:
        return
    report = run(inquirer.runtime.health.report(), inquirer.runtime.stores.sync_io(sites[0]))
    for check in report.checks:
        if check.state in _NOT_WELL and check.name not in _SAID_ELSEWHERE:
            what = f"{check.server or 'this process'}: {check.name}: {check.detail}"
            diagnosis.add("health", _NOT_WELL[check.state], what, check.advice)


def _treated(inquirer: Inquirer, setting: Setting, options: Namespace) -> dict[str, Any]:
    """Change a setting, or say how."""
    outcome, why = "left", setting.obstacle
    if not why and options.apply and not options.dry_run:
        why = apply(inquirer, setting)
        outcome = "refused" if why else "set"
    elif not why:
        outcome = "to set"
    return {
        "server": setting.server,
        "name": setting.name,
        "before": setting.before,
        "after": setting.after,
        "source": setting.source,
        "outcome": outcome,
        "why": why,
        "command": setting.command,
        "undo": setting.undo if setting.before else "",
    }


def _text(diagnosis: Diagnosis, options: Namespace) -> str:
    return "".join(f"{printable(line)}\n" for line in _lines(diagnosis, options))


def _lines(diagnosis: Diagnosis, options: Namespace) -> Iterator[str]:
    for each in diagnosis.found:
        yield f"{each['severity']} ({each['part']}) {each['what']}"
        if each["remedy"]:
            yield f"  to mend it: {each['remedy']}"
    for each in diagnosis.settings:
        change = f"{each['name']} {each['before'] or '?'} → {each['after']} ({each['source']})"
        yield f"{each['outcome']}: {each['server']}: {change}"
        if each["why"]:
            yield f"  {each['why']}"
        if each["outcome"] in {"to set", "refused"}:
            yield f"  to set it: {each['command']}"
        elif each["outcome"] == "set":
            yield f"  to undo it: {each['undo']}"
    if any(each["outcome"] == "set" for each in diagnosis.settings):
        yield "what was set is lost when the server is started again: CONFIG REWRITE there keeps it"
    elif not options.apply and any(each["outcome"] == "to set" for each in diagnosis.settings):
        yield "cachepolicy doctor --apply sets them"
    errors, warnings = diagnosis.count("error"), diagnosis.count("warning")
    well = "well" if not errors + warnings else f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"
    yield f"{diagnosis.source}: {well}"


def _json(diagnosis: Diagnosis) -> str:
    told = {"policy": diagnosis.source, "findings": diagnosis.found, "settings": diagnosis.settings}
    return json.dumps(told, indent=2, ensure_ascii=True) + "\n"


def _parse(argv: Sequence[str]) -> Namespace:
    parser = ArgumentParser(
        prog="cachepolicy doctor",
        description="Tell what is wrong here and how to mend it: the policy, this machine, the servers and "
        "their health. Exit code: 0 well, 1 something is wrong, 2 the command line is.",
    )
    policy_arguments(parser, file=True)
    parser.add_argument("--apply", action="store_true", help="set the servers' memory settings (CONFIG SET)")
    parser.add_argument("--dry-run", action="store_true", help="with --apply: only say what would be set")
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(argv)
