"""A strict reader of structured fields (RFC 9651): of lists of strings with parameters."""

from __future__ import annotations

import re

Parameters = dict[str, int | str]

_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_COMMA = re.compile(r"[ \t]*,[ \t]*")


class NotStructured(ValueError):
    """It is no list of strings."""


def parse_list(text: str) -> list[tuple[str, Parameters]]:
    """Read a list of strings, each with its parameters.

    Raises:
        NotStructured: it is none.
    """
    items, place = [], 0
    while True:
        item, place = _bare(text, place)
        if not isinstance(item, str):
            raise NotStructured(text)
        parameters, place = _parameters(text, place)
        items.append((item, parameters))
        if place == len(text):
            return items
        comma = _COMMA.match(text, place)
        if comma is None:
            raise NotStructured(text)
        place = comma.end()


def _parameters(text: str, place: int) -> tuple[Parameters, int]:
    parameters: Parameters = {}
    while text[place : place + 1] == ";":
        place += 1
        while text[place : place + 1] == " ":
            place += 1
        key = _KEY.match(text, place)
        if key is None or text[key.end() : key.end() + 1] != "=" or key[0] in parameters:
            raise NotStructured(text)
        parameters[key[0]], place = _bare(text, key.end() + 1)
    return parameters, place


def _bare(text: str, place: int) -> tuple[int | str, int]:
    string = _STRING.match(text, place)
    if string is not None:
        return re.sub(r"\\(.)", r"\1", string[1]), string.end()
    integer = _INTEGER.match(text, place)
    if integer is None:
        raise NotStructured(text)
    return int(integer[0]), integer.end()
