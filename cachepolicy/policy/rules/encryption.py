"""``encryption:`` — who can read, and make, what is stored."""

from __future__ import annotations

import base64
import re
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, SecretStr, model_validator

from cachepolicy.policy.rules.base import Flag, Rule, Secret, one_or_more

_A_KEY: Final = (
    "expected a key of 32 bytes as base64 or hex, as `openssl rand -base64 32` makes one "
    "(best kept in a file: ${file:/run/secrets/cache.key})"
)
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]{43}=?")
_BASE64_OF_URLS: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")


def key_bytes(text: str) -> bytes:
    """Return the 32 bytes of a key that is written as base64 (either alphabet) or hex.

    Raises:
        ValueError: it is none; the message does not show it.
    """
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if _BASE64.fullmatch(text):
        return base64.b64decode(f"{text[:43]}=")
    if _BASE64_OF_URLS.fullmatch(text):
        return base64.urlsafe_b64decode(f"{text[:43]}=")
    raise ValueError(_A_KEY)


def _key(value: SecretStr) -> SecretStr:
    key_bytes(value.get_secret_value())
    return value


def _distinct(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    if len({key_bytes(key.get_secret_value()) for key in keys}) != len(keys):
        raise ValueError("expected each key once")
    return keys


Keys: TypeAlias = Annotated[
    tuple[Annotated[Secret, AfterValidator(_key)], ...],
    BeforeValidator(one_or_more),
    AfterValidator(_distinct),
]


class Encryption(Rule):
    """Whether stored values are encrypted (AES-256-GCM), and with which keys."""

    enabled: Flag = True
    """Whether they are; off, those that were encrypted are a miss."""
    keys: Keys = ()
    """The first is written with, all are read with: a new key goes on top."""

    @model_validator(mode="after")
    def _has_a_key(self) -> Encryption:
        if self.enabled and not self.keys:
            raise ValueError("required: keys, without which nothing can be encrypted")
        return self

    def key_bytes(self) -> list[bytes]:
        """Return the keys, to be handed to whoever encrypts."""
        return [key_bytes(key.get_secret_value()) for key in self.keys]
