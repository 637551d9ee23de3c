"""What a policy's values look like where they are written: the leaves of its JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, PlainValidator, SecretStr
from pydantic.fields import FieldInfo

from cachepolicy.policy import units
from cachepolicy.policy.rules import base, cache, connection, limits, sessions
from cachepolicy.policy.rules.base import Rule
from cachepolicy.policy.units import MoneyRate, Rate

Json: TypeAlias = Mapping[str, Any]

_NUMBER: Final = r"[0-9]+(\.[0-9]+)?"
_PARTS: Final = "".join(rf"({_NUMBER}{unit})?" for unit in ("w", "d", "h", "m", "s", "ms"))
_DURATION: Final = rf"({_NUMBER}|(?=[0-9]){_PARTS})"
_UNIT: Final = "(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)"
_PERIOD: Final = rf"(second|minute|hour|day|week|month|[a-z]+|(?=[0-9]){_PARTS})"
_VARIABLE: Final = {"$ref": "#/$defs/variable"}
_NULL: Final = {"type": "null"}


def _text(pattern: str, expected: str, **more: Any) -> Json:
    return {"type": "string", "pattern": f"^{pattern}$", "description": expected, **more}


VALUES: Final[Mapping[str, Json]] = MappingProxyType(
    {
        "variable": {
            "type": "string",
            "pattern": r"\$\{",
            "description": "${NAME}, ${NAME:-default}, ${NAME:?message} or ${file:/run/secrets/name}",
        },
        "name": {"type": "string", "pattern": r"^[a-z][a-z0-9_-]{0,63}$"},
        "duration": {
            "anyOf": [
                _text(_DURATION, "A duration: 100ms, 30s, 5m, 1h30m, 7d."),
                {"type": "number", "exclusiveMinimum": 0, "description": "Seconds."},
                _VARIABLE,
            ]
        },
        "durationOrOff": {
            "anyOf": [
                _text(_DURATION, "A duration: 100ms, 30s, 5m, 1h30m, 7d; 0s for off."),
                {"type": "number", "minimum": 0, "description": "Seconds; 0 for off."},
                _VARIABLE,
            ]
        },
        "size": {
            "anyOf": [
                _text(rf"{_NUMBER}{_UNIT}?", "A size: 1KiB, 64MiB, 10MB."),
                {"type": "integer", "minimum": 1, "maximum": units.LARGEST, "description": "Bytes."},
                _VARIABLE,
            ]
        },
        "sizeOrOff": {
            "anyOf": [
                _text(rf"{_NUMBER}{_UNIT}?", "A size: 1KiB, 64MiB, 10MB; 0 for off."),
                {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": units.LARGEST,
                    "description": "Bytes; 0 for off.",
                },
                _VARIABLE,
            ]
        },
        "percentage": {"anyOf": [_text(rf"{_NUMBER}%", "A percentage: 10%."), _VARIABLE]},
        "rate": {"anyOf": [_text(rf"[0-9]+/{_PERIOD}", "A rate: 100/hour, 60/minute, 5/10s."), _VARIABLE]},
        "moneyRate": {
            "anyOf": [
                _text(rf"[0-9]+(\.[0-9]{{1,6}})? [A-Z]{{3}}/{_PERIOD}", "Money over time: 5.00 USD/day."),
                _VARIABLE,
            ]
        },
        "price": {
            "anyOf": [
                {
                    "type": "number",
                    "minimum": 0,
                    "description": "Of a million tokens, in the policy's currency.",
                },
                _text(r"[0-9]+(\.[0-9]{1,6})?", "Of a million tokens, in the policy's currency."),
                _VARIABLE,
            ]
        },
        "url": {
            "anyOf": [
                _text(
                    r"(rediss?|redis\+cluster|redis\+sentinel|local)://\S+|unix:\S+|memory:(//)?",
                    "redis://host:6379, rediss://, unix:///path, redis+cluster://host,host, "
                    "redis+sentinel://host,host/master, local://DIR, memory://",
                    examples=["redis://localhost:6379", "rediss://host:6380", "memory://"],
                ),
                _VARIABLE,
            ]
        },
    }
)
"""Values that many settings have, by the name that the schema gives them."""

_BY_READER: Final[Mapping[object, str]] = MappingProxyType(
    {
        units.parse_duration: "duration",
        base.duration_or_off: "durationOrOff",
        units.parse_size: "size",
        base.size_or_off: "sizeOrOff",
        units.parse_percentage: "percentage",
        base.percentage_or_off: "percentage",
        units.parse_price: "price",
        cache.parse_pace: "durationOrOff",
    }
)
_SHORT_FORMS: Final[Mapping[object, Json]] = MappingProxyType(
    {
        base.parse_ttl: {"$ref": "#/$defs/duration"},
        connection.parse_tls: {"type": "boolean"},
        cache.parse_temperature: {"enum": ["cache", "bypass"]},
        limits.parse_concurrency: {"type": "integer", "minimum": 1},
    }
)
"""What may stand for a whole rule."""

_BOUNDS: Final = MappingProxyType({"ge": "minimum", "le": "maximum", "min_length": "minLength"})
"""What bounds are called: as they are declared, and in a schema."""


def either(*schemas: Json, variable: bool = False) -> dict[str, Any]:
    """Allow any of some schemas, and ``~``, which stands for the built-in value."""
    flat = [inner for each in schemas for inner in (each["anyOf"] if set(each) == {"anyOf"} else [each])]
    more = [_VARIABLE] if variable and _VARIABLE not in flat else []
    return {"anyOf": [*flat, *more, *([] if _NULL in flat else [_NULL])]}


def or_nothing(made: Json) -> dict[str, Any]:
    """Allow ``~`` beside what a schema allows; a rule allows it itself."""
    kind = made.get("type")
    if isinstance(kind, str):
        return {**made, "type": [kind, "null"]}
    if isinstance(kind, list):
        return dict(made)
    if "$ref" in made and made["$ref"].rpartition("/")[2] not in VALUES:
        return dict(made)
    return either(made)


class Values:
    """Makes the schemas of values; ``reference`` refers to the schema of a rule."""

    def __init__(self, reference: Callable[[type[Rule]], Json]) -> None:
        self._reference = reference

    def field(self, info: FieldInfo) -> dict[str, Any]:
        """Make the schema of a rule's field."""
        return or_nothing(self.value(info.annotation, list(info.metadata)))

    def value(self, annotation: Any, metadata: list[Any]) -> Json:
        """Make the schema of a value, as it may be written."""
        if get_origin(annotation) is Annotated:
            inner, *more = get_args(annotation)
            return self.value(inner, [*more, *metadata])
        readers = [each.func for each in metadata if isinstance(each, BeforeValidator | PlainValidator)]
        if known := [_BY_READER[reader] for reader in readers if reader in _BY_READER]:
            words = [word for word in get_args(annotation) if get_origin(word) is Literal]
            named: Json = {"$ref": f"#/$defs/{known[0]}"}
            return either(*map(self._plain, words), named) if words else named
        if sessions.parse_preference in readers:
            return {"type": ["string", "number", "boolean"]}
        made = self._structure(annotation, metadata)
        if base.one_or_more in readers:
            made = {"anyOf": [made["items"], made]}
        shorts = [_SHORT_FORMS[reader] for reader in readers if reader in _SHORT_FORMS]
        return either(*shorts, made, variable=True) if shorts else made

    def _structure(self, annotation: Any, metadata: list[Any]) -> Json:
        origin, inner = get_origin(annotation), get_args(annotation)
        if origin in {Union, UnionType}:
            some = [self.value(each, metadata) for each in inner if each is not NoneType]
            return or_nothing(some[0]) if len(some) == 1 else either(*some, variable=True)
        if origin is tuple:
            return {"type": "array", "items": self.value(inner[0], [])}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            keys = _is_named(inner[0])
            names: Json = {"propertyNames": {"$ref": "#/$defs/name"}} if keys else {}
            return {"type": "object", **names, "additionalProperties": or_nothing(self.value(inner[1], []))}
        if isinstance(annotation, type) and issubclass(annotation, Rule):
            return self._reference(annotation)
        return self._scalar(annotation, metadata)

    def _scalar(self, annotation: Any, metadata: list[Any]) -> Json:
        named = {Rate: "rate", MoneyRate: "moneyRate"}.get(annotation)
        if named is not None:
            return {"$ref": f"#/$defs/{named}"}
        after = {each.func for each in metadata if isinstance(each, AfterValidator)}
        if base.check_url in after:
            return {"$ref": "#/$defs/url"}
        if base.check_name in after:
            return {"anyOf": [{"$ref": "#/$defs/name"}, _VARIABLE]}
        if annotation is SecretStr:
            return {"type": "string"}
        made = {**self._plain(annotation), **_bounds(metadata)}
        return made if made.get("type") == "string" else {"anyOf": [made, _VARIABLE]}

    def _plain(self, annotation: Any) -> Json:
        if get_origin(annotation) is Literal:
            return {"enum": list(get_args(annotation))}
        return {"type": {bool: "boolean", int: "integer", float: "number", str: "string"}[annotation]}


def _is_named(annotation: Any) -> bool:
    return any(getattr(each, "func", None) is base.check_name for each in get_args(annotation)[1:])


def _bounds(metadata: list[Any]) -> dict[str, Any]:
    """Read what Field(ge=…), Field(le=…) and StringConstraints say."""
    bounds: dict[str, Any] = {}
    for each in metadata:
        if isinstance(each, FieldInfo):
            bounds |= _bounds(list(each.metadata))
        said = {name: getattr(each, word, None) for word, name in _BOUNDS.items()}
        bounds |= {name: value for name, value in said.items() if value is not None}
    return bounds
