"""What every rule is made of: a strict frozen model, and the types of a policy's values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import NoneType
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    model_validator,
)

from cachepolicy.policy import units
from cachepolicy.policy.rules.frozen import FrozenMap
from cachepolicy.policy.tree import Resolved
from cachepolicy.policy.words import A_NAME, is_name

_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLAGS: Final[Mapping[str, bool]] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
K = TypeVar("K", bound=str)
V = TypeVar("V")


class Rule(BaseModel):
    """A part of the policy: unknown keys and wrong types are errors, and it never changes once made."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nothings(cls, value: Any) -> Any:
        """Take ``~`` for "the built-in value", and an empty ``${…}`` for None where None is allowed."""
        if not isinstance(value, dict):
            return value
        kept: dict[str, object] = {}
        for key, item in value.items():
            known = cls.model_fields.get(key)
            if known is not None and item is None:
                continue
            optional = known is not None and NoneType in get_args(known.annotation)
            kept[key] = None if optional and isinstance(item, Resolved) and not item else item
        return kept


class Elsewhere(ValueError):
    """A rule is wrong because of one of its parts.

    Args:
        path: of the part, below the rule.
        message: what was expected.
    """

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.path = path


def _whole(value: object) -> object:
    """Read a number that came out of ``${…}``; a number in the file is one already."""
    if isinstance(value, Resolved):
        if _WHOLE.fullmatch(value) is None:
            raise ValueError("expected a whole number such as 20")
        return int(value)
    return value


def _flag(value: object) -> object:
    """Read a flag that came out of ``${…}``, as variables spell them; in the file only true and false are."""
    if isinstance(value, Resolved):
        if value.lower() not in _FLAGS:
            raise ValueError("expected true or false (or yes, no, on, off, 1, 0)")
        return _FLAGS[value.lower()]
    return value


def _text(value: object) -> object:
    return str(value) if isinstance(value, Resolved) else value


def duration_or_off(value: object) -> float:
    """Read a duration that may be zero."""
    return units.parse_duration(value, zero=True)


def size_or_off(value: object) -> int:
    """Read a size that may be zero."""
    return units.parse_size(value, zero=True)


def percentage_or_off(value: object) -> float:
    """Read a percentage that may be zero."""
    return units.parse_percentage(value, zero=True)


def check_name(value: str) -> str:
    """Check a name."""
    if not is_name(value):
        raise ValueError(A_NAME)
    return value


def one_or_more(value: object) -> object:
    """Take one scalar for a list of it: ``requests: 100/hour``."""
    return (value,) if isinstance(value, str | int | float) else value


Flag: TypeAlias = Annotated[bool, BeforeValidator(_flag, json_schema_input_type=bool | str)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int | str)]
Positive: TypeAlias = Annotated[Whole, Field(ge=1, le=units.LARGEST)]
Count: TypeAlias = Annotated[Whole, Field(ge=0, le=units.LARGEST)]
Text: TypeAlias = Annotated[str, BeforeValidator(_text), StringConstraints(min_length=1)]
Name: TypeAlias = Annotated[str, BeforeValidator(_text), AfterValidator(check_name)]
Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(_text)]
Frozen: TypeAlias = Annotated[Mapping[K, V], AfterValidator(FrozenMap), PlainSerializer(dict)]
"""A mapping that cannot change."""
Named: TypeAlias = Frozen[Name, V]
"""Such a mapping, by name."""
Texts: TypeAlias = Annotated[tuple[Text, ...], BeforeValidator(one_or_more)]
"""A list of texts; one can be written alone."""

Duration: TypeAlias = Annotated[
    float, BeforeValidator(units.parse_duration, json_schema_input_type=str | float)
]
"""Seconds, above zero."""
DurationOrOff: TypeAlias = Annotated[
    float, BeforeValidator(duration_or_off, json_schema_input_type=str | float)
]
"""Seconds; zero means off."""
Size: TypeAlias = Annotated[int, BeforeValidator(units.parse_size, json_schema_input_type=str | int)]
"""Bytes, above zero."""
SizeOrOff: TypeAlias = Annotated[int, BeforeValidator(size_or_off, json_schema_input_type=str | int)]
"""Bytes; zero means off."""
Percentage: TypeAlias = Annotated[float, BeforeValidator(units.parse_percentage, json_schema_input_type=str)]
"""A fraction above 0 and up to 1."""
PercentageOrOff: TypeAlias = Annotated[float, BeforeValidator(percentage_or_off, json_schema_input_type=str)]
"""A fraction from 0 to 1; zero means off."""

MaxMemoryPolicy: TypeAlias = Literal[
    "noeviction",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-lrm",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-lrm",
    "volatile-random",
    "volatile-ttl",
]
"""Redis' own words for what it evicts when memory is full."""
Database: TypeAlias = Annotated[Whole, Field(ge=0, le=65_535)]
Guarantee: TypeAlias = Literal["best_effort", "required"]

_A_URL: Final = (
    "expected a Redis URL such as redis://host:6379, rediss://, unix:///path, redis+cluster://host,host, "
    "redis+sentinel://host,host/master, local://DIR or memory:// "
    "(percent-encode special characters in a password)"
)


def check_url(value: SecretStr) -> SecretStr:
    """Check a Redis URL's form; its parts are never told, for a password is one."""
    try:
        sound = _is_url(value.get_secret_value())
    except ValueError:  # urlsplit: a bracket that is not closed, a port that is no number
        sound = False
    if not sound:
        raise ValueError(_A_URL)
    return value


def _is_url(text: str) -> bool:
    if any(character.isspace() for character in text):
        return False
    parts = urlsplit(text)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    match parts.scheme:
        case "memory":
            return not parts.netloc and not parts.path
        case "unix":
            return bool(parts.path.strip("/"))
        case "local":
            return bool(parts.netloc or parts.path)
        case "redis" | "rediss":
            return bool(parts.hostname) and len(hosts) == 1 and parts.port != 0
        case "redis+cluster":
            return all(_is_host(host) for host in hosts)
        case "redis+sentinel":
            return all(_is_host(host) for host in hosts) and bool(parts.path.strip("/"))
        case _:
            return False


def _is_host(text: str) -> bool:
    parts = urlsplit(f"//{text}")
    return bool(parts.hostname) and parts.port != 0


RedisUrl: TypeAlias = Annotated[SecretStr, BeforeValidator(_text), AfterValidator(check_url)]


class TtlRange(Rule):
    """How long an entry lives, in seconds; ``ttl: 7d`` is short for ``ttl: {default: 7d}``."""

    default: Duration
    """What applies when neither the decorator nor the call says otherwise. The operator's word: the range,
    which is for what code asks, does not bind it."""
    min: Duration | None = None
    """The shortest a decorator or a call may ask for."""
    max: Duration | None = None
    """The longest a decorator or a call may ask for."""

    @model_validator(mode="after")
    def _is_a_range(self) -> TtlRange:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("expected a min that is not above max")
        return self


def parse_ttl(value: object) -> object:
    """Take one duration for a range without ends."""
    return {"default": value} if isinstance(value, str | int | float) else value


Ttl: TypeAlias = Annotated[
    TtlRange, BeforeValidator(parse_ttl, json_schema_input_type=str | float | TtlRange)
]


class Compression(Rule):
    """How stored values are compressed."""

    enabled: Flag = True
    """Whether values are compressed at all."""
    threshold: Size = 1024
    """The smallest value worth compressing without a dictionary."""
    codec: Literal["zstd", "none"] = "zstd"
    """Who compresses."""
    level: Annotated[Whole, Field(ge=1, le=19)] = 3
    """How hard: 1 is fast, 19 is small."""
    dictionary: Texts = ()
    """Files of zstd dictionaries, seen from the policy's folder: values of 128 bytes to 8 KiB are compressed
    with the first and read with all. One can be written alone."""


class Kept(Rule):
    """What every namespace has, whatever it keeps: a place in Redis."""

    db: Database = 0
    """The database number; used where the server proves that its databases are separate."""
    url: RedisUrl | None = None
    """A Redis of its own, the only real boundary for memory and eviction; without it, ``redis.url``."""
    guarantee: Guarantee = "best_effort"
    """``required``: refuse to start on a server that could evict what this namespace needs."""
