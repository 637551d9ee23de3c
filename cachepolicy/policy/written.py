"""Values of a policy as its file would write them: 3600.0 is ``1h``, 1024 is ``1KiB``, None is ``~``.

A rule is written by what differs from the built-in values. What is secret is never written: ``(secret)``
stands in its place, and an address stands without its user, password and options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import BeforeValidator, SecretStr

from cachepolicy.policy import units
from cachepolicy.policy.rules import base, cache
from cachepolicy.policy.rules.base import Rule
from cachepolicy.policy.units import MoneyRate, Rate

SECRET: Final = "(secret)"  # noqa: S105 - the word that stands for one
NOTHING: Final = "~"


def format_price(micros: int) -> str:
    """Write millionths of a currency the way a policy would: 2500000 is ``2.5``."""
    whole, rest = divmod(micros, 1_000_000)
    return f"{whole}.{rest:06}".rstrip("0").removesuffix(".")


def format_money_rate(rate: MoneyRate) -> str:
    """Write money over time the way a policy would: ``5 USD/day``."""
    return f"{format_price(rate.limit)} {rate.currency}/{rate.period or units.format_duration(rate.window)}"


def without_secrets(url: str) -> str:
    """Show where a URL leads, without its user, password and options.

    >>> without_secrets("redis://ada:secret@cache.internal:6379/0?password=secret")
    'redis://***@cache.internal:6379/0'
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return "***"
    address, _, options = rest.partition("?")
    if "@" in options or "#" in rest:
        return f"{scheme}://***"  # a password with an unescaped ? or # in it: no telling where it ends
    userinfo, at, host = address.rpartition("@")
    return f"{scheme}://{'***@' if at and userinfo else ''}{host}"


def written(rule: type[Rule], field: str, value: object) -> str:
    """Write the value of a rule's field.

    Args:
        rule: the rule's class.
        field: one of its fields.
        value: what it holds: a number in the field's own unit, text, a tuple, a mapping, a rule, a secret.

    Returns:
        One line, the same for equal values, and without any secret.
    """
    if field == "url" and isinstance(value, SecretStr):
        return without_secrets(value.get_secret_value())
    info = rule.model_fields[field]
    readers = {each.func for each in info.metadata if isinstance(each, BeforeValidator)}
    return _written(value, readers | set(_readers(info.annotation)))


_BY_READER: Final[Mapping[object, Callable[[Any], str]]] = {
    units.parse_duration: units.format_duration,
    base.duration_or_off: units.format_duration,
    units.parse_size: units.format_size,
    base.size_or_off: units.format_size,
    units.parse_percentage: units.format_percentage,
    base.percentage_or_off: units.format_percentage,
    units.parse_price: format_price,
    cache.parse_pace: units.format_duration,
}


def _readers(annotation: object) -> Iterator[object]:
    """Find the functions that read a value from the file, within ``| None`` and whatever else is around."""
    if get_origin(annotation) is Annotated:
        yield from (each.func for each in get_args(annotation)[1:] if isinstance(each, BeforeValidator))
    for inner in get_args(annotation):
        yield from _readers(inner)


def _written(value: object, readers: set[Any]) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        formats: list[Callable[[Any], str]] = [
            _BY_READER[reader] for reader in readers if reader in _BY_READER
        ]
        return formats[0](value) if len(formats) == 1 else str(value)
    if isinstance(value, str):
        return value
    return _compound(value, readers)


def _compound(value: object, readers: set[Any]) -> str:
    match value:
        case None:
            return NOTHING
        case SecretStr():
            return SECRET
        case Rate():
            return units.format_rate(value)
        case MoneyRate():
            return format_money_rate(value)
        case Rule():
            said = [name for name, given in value if given != _default(type(value), name)]
            return _braced({name: written(type(value), name, getattr(value, name)) for name in said})
        case Mapping():
            return _braced({str(name): _written(item, readers) for name, item in value.items()})
        case tuple():
            return f"[{', '.join(_written(item, readers) for item in value)}]"
        case _:
            raise TypeError(f"a policy has no value of type {type(value).__qualname__}")


def _default(rule: type[Rule], name: str) -> object:
    info = rule.model_fields[name]
    return info.get_default(call_default_factory=True, validated_data={})


def _braced(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {text}" for name, text in entries.items()) + "}"
