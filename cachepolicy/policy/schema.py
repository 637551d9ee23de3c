"""The JSON Schema (draft 2020-12) of a policy as it is written, for editors: made of the rules themselves.

It knows what a file may say that a rule never holds: units, ``${NAME}``, ``~``, short forms, ``extends:``,
and environments, which say a part of a policy. What depends on two settings at once it does not see:
``cachepolicy check`` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic.fields import FieldInfo

from cachepolicy.policy.rules import KINDS, Policy
from cachepolicy.policy.rules.base import Rule
from cachepolicy.policy.schema_values import VALUES, Json, Values, or_nothing
from cachepolicy.policy.tree import ENVIRONMENTS, EXTENDS
from cachepolicy.policy.written import written

FILE_NAME: Final = "policies.schema.json"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PART: Final = "Part"
_NAMESPACES: Final = "namespaces"
_ENVIRONMENTS: Final = (
    "What differs by environment: CACHEPOLICY_ENV picks one, and it is laid over all of the above. Mappings "
    "merge, lists and single values replace, ~ takes a value away."
)
_EXTENDS: Final = "A policy that this one is laid over: a path, seen from the folder of this file."


def schema() -> dict[str, Any]:
    """Make the schema."""
    maker = _Maker()
    whole = {**maker.rule(Policy, part=False), "type": "object"}
    part = maker.rule(Policy, part=True)
    whole["properties"]["version"] = {
        "const": 1,
        "description": whole["properties"]["version"]["description"],
    }
    whole["properties"][EXTENDS] = {"type": ["string", "null"], "minLength": 1, "description": _EXTENDS}
    whole["properties"][ENVIRONMENTS] = {
        **or_nothing(
            {
                "type": "object",
                "propertyNames": {"$ref": "#/$defs/name"},
                "additionalProperties": or_nothing({"$ref": "#/$defs/Environment"}),
            }
        ),
        "description": _ENVIRONMENTS,
    }
    # whoever extends a file need not say all of a namespace
    whole["if"] = {"required": [EXTENDS]}
    whole["then"] = {"properties": {_NAMESPACES: part["properties"][_NAMESPACES]}}
    whole["else"] = {"properties": {_NAMESPACES: whole["properties"][_NAMESPACES]}}
    whole["properties"][_NAMESPACES] = {"description": whole["properties"][_NAMESPACES]["description"]}
    del part["properties"]["version"]
    return {
        "$schema": _DIALECT,
        "title": "cachepolicy: policies.yaml",
        **whole,
        "$defs": {**VALUES, "Environment": part, **dict(sorted(maker.made.items()))},
    }


def text() -> str:
    """Write the schema as the package's file has it: a line for each definition."""
    made = schema()
    definitions = [f"  {_line(name)}: {_line(value)}" for name, value in made.pop("$defs").items()]
    rest = [f" {_line(name)}: {_line(value)}" for name, value in made.items()]
    return "{\n" + ",\n".join([*rest, ' "$defs": {\n' + ",\n".join(definitions) + "\n }"]) + "\n}\n"


def shipped_schema() -> Path:
    """Return the path of the schema that comes with the library."""
    return Path(__file__).with_name(FILE_NAME)


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


class _Maker:
    """Makes the schemas of rules, each once; those of parts lack what is required."""

    def __init__(self) -> None:
        self.made: dict[str, Json] = {}

    def rule(self, rule: type[Rule], *, part: bool) -> dict[str, Any]:
        """Make the schema of a rule."""
        values = Values(lambda inner: self.reference(inner, part=part))
        properties: dict[str, Json] = {}
        for name, info in rule.model_fields.items():
            made = self.namespaces(part=part) if (rule, name) == (Policy, _NAMESPACES) else values.field(info)
            properties[name] = {**made, "description": _described(rule, name, info)}
        made = {
            "type": ["object", "null"],
            "description": _plain(rule.__doc__ or ""),
            "properties": properties,
            "additionalProperties": False,
        }
        required = [name for name, info in rule.model_fields.items() if info.is_required()]
        return {**made, "required": required} if required and not part else made

    def reference(self, rule: type[Rule], *, part: bool) -> Json:
        """Refer to the schema of a rule."""
        name = rule.__name__ + (_PART if part else "")
        if name not in self.made:
            self.made[name] = {}  # a rule that holds itself would find it here
            self.made[name] = self.rule(rule, part=part)
        return {"$ref": f"#/$defs/{name}"}

    def namespaces(self, *, part: bool) -> Json:
        """Make the schema of namespaces by name: ``kind`` says what each may hold."""
        kind = {"enum": list(KINDS), "description": "What the namespace keeps."}
        kinds = [
            {
                "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
                "then": self.reference(model, part=part),
            }
            for name, model in KINDS.items()
        ]
        one: dict[str, Any] = {"type": "object", "properties": {"kind": kind}, "allOf": kinds}
        if part:  # the kind may stand in another layer: then any of them will do
            any_of = [self.reference(model, part=True) for model in KINDS.values()]
            one["allOf"] = [*kinds, {"if": {"required": ["kind"]}, "else": {"anyOf": any_of}}]
        else:
            one["required"] = ["kind"]
        named = {"type": "object", "propertyNames": {"$ref": "#/$defs/name"}}
        return or_nothing({**named, "additionalProperties": or_nothing(one) if part else one})


def _described(rule: type[Rule], name: str, info: FieldInfo) -> str:
    said = _plain(info.description or "")
    if info.is_required():
        return said
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is None or isinstance(default, Rule | Mapping) or default == ():
        return said
    return f"{said} Default: {written(rule, name, default)}."


def _plain(docstring: str) -> str:
    """Take the marks of a docstring away, and its line ends."""
    return re.sub(r"\s+", " ", docstring.replace("``", "")).strip()
