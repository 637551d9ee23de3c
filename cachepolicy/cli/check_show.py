"""What ``cachepolicy check`` found, as text, as JSON, and as GitHub wants it in a workflow's log."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from cachepolicy.cli.check_findings import Findings
from cachepolicy.cli.plain import counted, nearby, printable
from cachepolicy.policy.lints import Lint, Severity

_AS_GITHUB: Final = MappingProxyType(
    {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
)


def _text(found: Findings) -> str:
    """One line each: ``file:line:column: severity code path: message``, and one for all."""
    lines = [
        f"{nearby(each.place.file)}:{each.place.line}:{each.place.column}: "
        f"{each.severity} {each.code} {_told(each, where)}"
        for each, where in found.all()
    ]
    lines.append(f"{nearby(found.source)}: {_summary(found)}")
    return "".join(f"{printable(line)}\n" for line in lines)


def _summary(found: Findings) -> str:
    if found.errors or found.warnings:
        return f"{counted(found.errors, 'error')}, {counted(found.warnings, 'warning')}"
    return f"fine ({', '.join(found.looked)})"


def _told(each: Lint, where: list[str] | None) -> str:
    path = f"{each.path}: " if each.path else ""
    remedy = f" (to mend it: {each.remedy})" if each.remedy else ""
    some = f" [in {', '.join(where)}]" if where is not None else ""
    return f"{path}{each.message}{remedy}{some}"


def _github(found: Findings) -> str:
    """Write workflow commands: GitHub shows them beside the lines of a change."""
    return "".join(f"{line}\n" for line in _commands(found))


def _commands(found: Findings) -> Iterator[str]:
    for each, where in found.all():
        place = f"file={_property(nearby(each.place.file))},line={each.place.line},col={each.place.column}"
        title = _property(f"cachepolicy: {each.code}")
        message = printable(_told(each, where)).replace("%", "%25")
        yield f"::{_AS_GITHUB[each.severity]} {place},title={title}::{message}"


def _property(text: str) -> str:
    return printable(text).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")


def _json(found: Findings) -> str:
    told = {
        "policy": nearby(found.source),
        "environments": found.looked,
        "errors": found.errors,
        "warnings": found.warnings,
        "findings": [
            {
                "severity": each.severity,
                "code": each.code,
                "file": nearby(each.place.file),
                "line": each.place.line,
                "column": each.place.column,
                "path": each.path,
                "message": each.message,
                "remedy": each.remedy,
                "environments": where,
            }
            for each, where in found.all()
        ],
    }
    return json.dumps(told, indent=2, ensure_ascii=True) + "\n"


FORMATS: Final[Mapping[str, Callable[[Findings], str]]] = MappingProxyType(
    {"text": _text, "json": _json, "github": _github}
)
