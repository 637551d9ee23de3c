"""What is known of sessions, files and limits: their metadata, and never a token or a content."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cachepolicy.cli.asking import site_of
from cachepolicy.cli.inspect_entry import moment
from cachepolicy.errors import CachePolicyError
from cachepolicy.flow.session import SessionInfo
from cachepolicy.managers.limits import RateLimiter
from cachepolicy.managers.sessions import SessionManager
from cachepolicy.managers.temp import TempStore
from cachepolicy.policy import namespace
from cachepolicy.runtime.compose import Runtime


def records(runtime: Runtime, name: str, options: Namespace) -> list[dict[str, Any]]:
    """Tell of what a namespace holds of somebody.

    Args:
        runtime: in use.
        name: of the namespace.
        options: ``user`` or ``id``, ``rule`` and ``subject``, ``reveal``.

    Raises:
        CachePolicyError: it is not said of whom, or nothing is told of such a namespace.
    """
    rule = namespace(runtime.loaded.policy, name)
    tell = _BY_KIND.get(rule.kind)
    if tell is None:
        raise CachePolicyError(
            f"namespace {name} is of kind {rule.kind}: expected a key, or a call of a function"
        )
    site_of(runtime, name)
    return tell(name, options)


def _sessions(name: str, options: Namespace) -> list[dict[str, Any]]:
    if options.user is None:
        raise CachePolicyError(f"namespace {name} holds sessions: say whose, with --user")
    sessions = SessionManager(name)
    found = sessions.list_sessions.sync(options.user)
    if not found and options.user.isdecimal():
        found = sessions.list_sessions.sync(int(options.user))
    chosen = [each for each in found if options.id in {None, each.id}]
    return [_session(name, each, reveal=options.reveal) for each in chosen]


def _session(name: str, found: SessionInfo, *, reveal: bool) -> dict[str, Any]:
    told = {
        "namespace": name,
        "holds": "a session",
        "id": found.id,
        "created": moment(found.created),
        "last_seen": moment(found.last_seen),
        "expires_at": moment(found.expires_at),
    }
    return told | ({"device": found.device} if reveal else {})


def _file(name: str, options: Namespace) -> list[dict[str, Any]]:
    if options.id is None:
        raise CachePolicyError(f"namespace {name} holds files: say which, with --id")
    found = TempStore(name).info.sync(options.id)
    told = {
        "namespace": name,
        "holds": "a file",
        "size": found.size,
        "content_type": found.content_type,
        "created": moment(found.created_at),
        "expires_at": moment(found.expires_at),
        "one_time": found.one_time,
    }
    return [told | ({"name": found.name, "owner": found.owner} if options.reveal else {})]


def _limits(name: str, options: Namespace) -> list[dict[str, Any]]:
    if options.rule is None or options.subject is None:
        raise CachePolicyError(f"namespace {name} holds limits: say of whom, with --rule and --subject")
    decision = RateLimiter(name).peek.sync(options.rule, options.subject, plan=options.plan)
    return [
        {
            "namespace": name,
            "holds": f"what is left under rule {options.rule}",
            "limit": state.name,
            "remaining": state.remaining,
            "retry_after_seconds": state.retry_after,
            "reset_after_seconds": state.reset_after,
        }
        for state in decision.states
    ]


_BY_KIND: Final[Mapping[str, Callable[[str, Namespace], list[dict[str, Any]]]]] = MappingProxyType(
    {"sessions": _sessions, "temp": _file, "ratelimit": _limits}
)
