"""From a source to the one policy in effect: read, overlay, interpolate, inherit, validate, in that order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from cachepolicy.errors import PolicyError, Problem, UnknownNamespace
from cachepolicy.policy import interpolate, mapping, overlay
from cachepolicy.policy.problems import Report
from cachepolicy.policy.rules import KINDS, Defaults, NamespaceRule, Policy
from cachepolicy.policy.rules.base import Rule
from cachepolicy.policy.rules.frozen import FrozenMap
from cachepolicy.policy.tree import (
    BUILT_IN,
    Entry,
    ListNode,
    MapNode,
    Node,
    Provenance,
    ScalarNode,
    is_null,
    join,
    plain,
)
from cachepolicy.policy.words import did_you_mean

FILE_NAME: Final = "policies.yaml"


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy in effect, and where each of its values comes from.

    ``environment`` is the one that was applied, or None. ``source`` is the file's path, or ``<mapping>``.
    ``provenance`` is keyed by the value's path in the policy: ``namespaces.llm.ttl``, ``redis.url``,
    ``namespaces.ratelimit.rules.ip.requests[0]``. ``environments`` names those that the policy declares, and
    where.
    """

    policy: Policy
    environment: str | None
    source: str
    provenance: Mapping[str, Provenance]
    environments: Mapping[str, Provenance] = field(default_factory=FrozenMap[Provenance])

    @property
    def fingerprint(self) -> str:
        """Twelve digits that no other policy is likely to have; secrets are no part of it."""
        return hashlib.blake2b(self.policy.model_dump_json().encode(), digest_size=6).hexdigest()


def load(
    source: str | os.PathLike[str] | Mapping[str, object],
    *,
    environment: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> LoadedPolicy:
    """Read a policy, strictly.

    Args:
        source: the path of a file, or its content as plain data.
        environment: which of its ``environments`` applies; by default the one ``CACHEPOLICY_ENV`` names.
        variables: what ``${NAME}`` may name; by default ``os.environ``.

    Returns:
        The policy, frozen, with the provenance of its values.

    Raises:
        PolicyError: something is wrong with it; ``problems`` lists all that is, each with its place.
    """
    given = os.environ if variables is None else variables
    problems: list[Problem] = []
    where = source if isinstance(source, Mapping) else Path(source)
    loaded = _load(where, environment, given, problems)
    if loaded is None or problems:
        raise _wrong(problems)
    return loaded


def load_each(
    source: str | os.PathLike[str] | Mapping[str, object], *, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[str, LoadedPolicy | PolicyError]]:
    """Read a policy, which :func:`load` has taken, in each of its environments, one after the other.

    Args:
        source: as of :func:`load`.
        variables: as of :func:`load`.

    Yields:
        Each environment's name, and its policy, or what is wrong: its variables are not set here, or wrong.

    Raises:
        PolicyError: the text is wrong by itself.
    """
    given = os.environ if variables is None else variables
    problems: list[Problem] = []
    where = source if isinstance(source, Mapping) else Path(source)
    layers = overlay.read_layers(where, problems)
    if layers is None or problems:
        raise _wrong(problems)
    for environment in layers.environments:
        found: list[Problem] = []
        loaded = _in_force(layers, environment, given, Report(found))
        if loaded is None or found:
            yield environment, _wrong(found)
        else:
            yield environment, replace(loaded, source=_name_of(where))


def _wrong(problems: list[Problem]) -> PolicyError:
    once = dict.fromkeys(problems)  # a layer that several environments share is read for each of them
    return PolicyError(sorted(once, key=lambda each: (each.file, each.line, each.column)))


def find(start: Path | None = None) -> Path | None:
    """Look for ``policies.yaml`` in a directory (by default the working directory) and those above it."""
    folder = Path.cwd() if start is None else start.absolute()
    for candidate in (folder, *folder.parents):
        if os.path.isfile(path := candidate / FILE_NAME):  # noqa: PTH113 - Path.is_file raises on a closed door
            return path
    return None


def shipped() -> Path:
    """Return the path of the policy that comes with the library."""
    return Path(__file__).with_name(FILE_NAME)


def default_source() -> Path:
    """Return the policy that applies when nobody names one: the variable's, the nearest, the shipped."""
    named = os.environ.get("CACHEPOLICY_FILE")
    return Path(named) if named else find() or shipped()


def namespace(policy: Policy, name: str) -> NamespaceRule:
    """Return a namespace's rule.

    Raises:
        UnknownNamespace: the policy does not declare it.
    """
    rule = policy.namespaces.get(name)
    if rule is None:
        declared = ", ".join(policy.namespaces) or "none"
        near = did_you_mean(name, policy.namespaces)
        raise UnknownNamespace(f"no namespace is declared as {name!r} (declared: {declared}){near}")
    return rule


def _load(
    source: Path | Mapping[str, object],
    asked: str | None,
    variables: Mapping[str, str],
    problems: list[Problem],
) -> LoadedPolicy | None:
    layers = overlay.read_layers(source, problems)
    if layers is None:
        return None
    environment = overlay.choose(layers, asked, variables, problems)
    report = Report(problems)
    loaded = _in_force(layers, environment, variables, report)
    for other in (None, *layers.environments):
        if other != environment:
            tree = _inherited(interpolate.leave_open(layers.tree(other), report.problems))
            _validated(tree, report, missing=layers.complete and other is not None)
    return None if loaded is None else replace(loaded, source=_name_of(source))


def _in_force(
    layers: overlay.Layers, environment: str | None, variables: Mapping[str, str], report: Report
) -> LoadedPolicy | None:
    """Make the policy of an environment (None: of none), with its variables."""
    chosen = _inherited(interpolate.resolve(layers.tree(environment), variables, report.problems))
    policy = _validated(chosen, report, missing=layers.complete)
    if policy is None:
        return None
    provenance = FrozenMap(dict(_origins("", policy, chosen, BUILT_IN)))
    environments = FrozenMap({each: node.at for each, node in layers.environments.items()})
    return LoadedPolicy(policy, environment, "", provenance, environments)


def _name_of(source: Path | Mapping[str, object]) -> str:
    return mapping.NAME if isinstance(source, Mapping) else str(source)


def _inherited(root: MapNode) -> MapNode:
    """Lay each namespace over those ``defaults`` that its kind knows."""
    defaults, namespaces = root.get("defaults"), root.get("namespaces")
    if not isinstance(defaults, MapNode) or not isinstance(namespaces, MapNode):
        return root
    entries = dict(namespaces.entries)
    for name, entry in namespaces.entries.items():
        if isinstance(entry.node, MapNode):
            known = _fields_of(entry.node) & Defaults.model_fields.keys()
            below = {key: each for key, each in defaults.entries.items() if key in known}
            entries[name] = Entry(entry.key, overlay.merge(MapNode(below, defaults.at), entry.node))
    return replace(
        root,
        entries={
            **root.entries,
            "namespaces": Entry(root.entries["namespaces"].key, replace(namespaces, entries=entries)),
        },
    )


def _fields_of(namespace: MapNode) -> frozenset[str]:
    kind = namespace.get("kind")
    model = KINDS.get(kind.value) if isinstance(kind, ScalarNode) and isinstance(kind.value, str) else None
    return frozenset() if model is None else frozenset(model.model_fields)


def _validated(root: MapNode, report: Report, *, missing: bool) -> Policy | None:
    errors: list[ErrorDetails]
    try:
        return Policy.model_validate(plain(root))
    except ValidationError as wrong:
        errors = wrong.errors(include_url=False, include_input=False)
    report.add(errors, root, missing=missing)  # outside the handler: no traceback may lead to the input
    return None


def _origins(
    path: str, value: object, node: Node | None, above: Provenance
) -> Iterator[tuple[str, Provenance]]:
    """Walk the policy beside its tree; where the tree ends, values are built in, or a shorthand's."""
    if node is not None and is_null(node):
        node = None
    at = above if node is None else node.at
    if path:
        yield path, at
    below = at if isinstance(node, ScalarNode | ListNode) else (BUILT_IN if node is not None else above)
    if isinstance(value, Rule):
        for name in type(value).model_fields:
            yield from _origins(join(path, name), getattr(value, name), _child(node, name), below)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _origins(join(path, str(name)), item, _child(node, str(name)), below)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _origins(join(path, index), item, _child(node, index), below)


def _child(node: Node | None, step: str | int) -> Node | None:
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None
