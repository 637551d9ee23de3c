"""What pydantic found, told as a policy's author needs it: the place, the YAML path, what was expected.

No message repeats a value: it may be a secret, or stand where a secret was meant to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Annotated, Final, TypeGuard, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from cachepolicy.errors import Problem
from cachepolicy.policy.rules import KINDS, Policy
from cachepolicy.policy.rules.base import Elsewhere
from cachepolicy.policy.tree import (
    ENVIRONMENTS,
    EXTENDS,
    Entry,
    ListNode,
    MapNode,
    Node,
    Provenance,
    Resolved,
    ScalarNode,
    is_null,
    is_unknown,
    join,
    problem,
)
from cachepolicy.policy.words import did_you_mean

_REQUIRED: Final = "required"
_A_WHOLE_NUMBER: Final = "expected a whole number such as 20"
_A_LIST: Final = "expected a list such as [a, b]"
_A_MAPPING: Final = "expected a mapping"
_TEXT: Final = "expected text; a number, true or false needs quotes to be text"
_EXPECTED: Final[Mapping[str, str]] = {
    "missing": _REQUIRED,
    "model_type": _A_MAPPING,
    "model_attributes_type": _A_MAPPING,
    "dict_type": _A_MAPPING,
    "mapping_type": _A_MAPPING,
    "tuple_type": _A_LIST,
    "list_type": _A_LIST,
    "string_type": _TEXT,
    "too_short": "expected text that is not empty",
    "bool_type": "expected true or false",
    "int_type": _A_WHOLE_NUMBER,
    "int_from_float": _A_WHOLE_NUMBER,
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
}
_LIMITS: Final[Mapping[str, str]] = {
    "greater_than": "expected more than {gt}",
    "greater_than_equal": "expected at least {ge}",
    "less_than": "expected less than {lt}",
    "less_than_equal": "expected at most {le}",
}
_WORD: Final = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an error points: the place, the path, the node there (None: a key, or something missing)."""

    at: Provenance
    path: str
    node: Node | None


@dataclass(slots=True)
class Report:
    """Collects problems once each, however many environments run into the same one."""

    problems: list[Problem]
    seen: set[tuple[str | int, str]] = field(default_factory=set)

    def add(self, errors: Iterable[ErrorDetails], root: MapNode, *, missing: bool = True) -> None:
        """Add what validation of a tree found.

        Args:
            errors: pydantic's.
            root: the tree that was validated.
            missing: whether what is absent is a problem; it is none for a layer that needs others.
        """
        for error in errors:
            spot, message = _explain(error, root)
            absent = message.startswith(_REQUIRED)
            if (absent and not missing) or is_unknown(spot.node):
                continue
            once = (spot.path if absent else id(spot.at), message)
            if once not in self.seen:
                self.seen.add(once)
                self.problems.append(problem(spot.at, spot.path, message + _origin(spot.node)))


def _explain(error: ErrorDetails, root: MapNode) -> tuple[Spot, str]:
    kind, context = error["type"], error.get("ctx", {})
    spot = _spot(error["loc"], root, at_key=kind == "extra_forbidden")
    if kind == "extra_forbidden":
        known = _known_keys(error["loc"][:-1])
        return spot, "unknown key" + (
            did_you_mean(str(error["loc"][-1]), known) or f"; {_one_of(known, None)}"
        )
    if kind.startswith("union_tag"):
        return _explain_kind(spot, root)
    if kind == "value_error":
        wrong = context["error"]
        if isinstance(wrong, Elsewhere):
            spot = _spot((*error["loc"], *wrong.path), root, at_key=False)
        return spot, str(wrong)
    if kind == "literal_error":
        return spot, _one_of(_WORD.findall(str(context["expected"])), spot.node)
    if kind in _LIMITS:
        return spot, _LIMITS[kind].format_map(context)
    return spot, _EXPECTED.get(kind, f"not valid here ({kind})")


def _explain_kind(spot: Spot, root: MapNode) -> tuple[Spot, str]:
    """A namespace whose ``kind`` is absent or unknown: pydantic blames the namespace, we the word."""
    if not isinstance(spot.node, MapNode):
        return spot, _A_MAPPING
    path, node = join(spot.path, "kind"), spot.node.get("kind")
    if node is None or is_null(node):
        near = did_you_mean(spot.path.rpartition(".")[2], _declared_below(spot.at, root))
        return Spot(spot.at, path, None), f"{_REQUIRED}: {_one_of(KINDS, None)}{near}"
    return Spot(node.at, path, node), _one_of(KINDS, node)


def _declared_below(at: Provenance, root: MapNode) -> list[str]:
    """Name what a lower layer declares: a namespace without a kind was probably meant to change one."""
    namespaces = root.get("namespaces")
    entries = namespaces.entries.items() if isinstance(namespaces, MapNode) else ()
    kinds = [(name, each.node.get("kind")) for name, each in entries if isinstance(each.node, MapNode)]
    return [name for name, kind in kinds if kind is not None and kind.at.via != at.via]


def _one_of(words: Iterable[str], node: Node | None) -> str:
    words = list(words)
    message = f"expected {', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else f"expected {words[0]}"
    if isinstance(node, ScalarNode) and isinstance(node.value, str) and not isinstance(node.value, Resolved):
        message += did_you_mean(node.value, words)
    return message


def _origin(node: Node | None) -> str:
    """Name the variables that fed a value, or the values directly in a mapping: they are what to look at."""
    nodes = [entry.node for entry in node.entries.values()] if isinstance(node, MapNode) else [node]
    variables = dict.fromkeys(name for each in nodes if each is not None for name in each.at.variables)
    return f" (from {', '.join(f'${{{name}}}' for name in variables)})" if variables else ""


def _spot(location: tuple[int | str, ...], root: MapNode, *, at_key: bool) -> Spot:
    """Follow pydantic's location through the tree, as far as the tree goes.

    What is in the location and not in the tree is pydantic's own: the ``<tag>`` of a union, ``[key]``,
    or the field that a shorthand (``ttl: 7d``) fills.
    """
    spot, key = Spot(root.at, "", root), root.at
    for step in location:
        entry = _below(spot.node, step)
        if entry is not None:
            spot, key = Spot(entry.node.at, join(spot.path, step), entry.node), entry.key
        elif step == "[key]":
            at_key = True
        elif isinstance(spot.node, MapNode) and isinstance(step, str) and not step.startswith("<"):
            return Spot(spot.at, join(spot.path, step), None)
    return Spot(key, spot.path, None) if at_key else spot


def _below(node: Node | None, step: int | str) -> Entry | None:
    if isinstance(node, MapNode) and isinstance(step, str):
        return node.entries.get(step)
    if isinstance(node, ListNode) and isinstance(step, int) and step < len(node.items):
        return Entry(node.items[step].at, node.items[step])
    return None


def _known_keys(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the keys that the rule at a location has."""
    rule: object = Policy
    for step in location:
        rule = _inside(rule, step)
    if not _is_rule(rule):
        return ()
    at_root = (EXTENDS, ENVIRONMENTS) if rule is Policy else ()
    return (*rule.model_fields, *at_root)


def _inside(annotation: object, step: int | str) -> object:
    """Return the type found one step into a type."""
    if _is_rule(annotation):
        return _bare(annotation.model_fields[step].annotation) if step in annotation.model_fields else None
    if isinstance(step, str) and step.startswith("<"):
        return KINDS[step[1:-1]]
    inner = get_args(annotation)  # of a mapping, or a tuple
    return _bare(inner[-1 if get_origin(annotation) is Mapping else 0]) if inner else None


def _bare(annotation: object) -> object:
    """Take off ``Annotated`` and ``| None``."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    inner = [each for each in get_args(annotation) if each is not NoneType]
    return _bare(inner[0]) if NoneType in get_args(annotation) and len(inner) == 1 else annotation


def _is_rule(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
