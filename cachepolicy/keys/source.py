"""The parameters of a function as source text."""

from __future__ import annotations

from inspect import Parameter


def declaration(parameters: tuple[Parameter, ...]) -> str:
    """Return how they are declared: ``a, b=__cp_default_b, *args, c, **rest``."""
    parts: list[str] = []
    for index, parameter in enumerate(parameters):
        kind = parameter.kind
        previous = parameters[index - 1].kind if index else None
        if previous is Parameter.POSITIONAL_ONLY and kind is not Parameter.POSITIONAL_ONLY:
            parts.append("/")
        if kind is Parameter.KEYWORD_ONLY and previous not in {
            Parameter.KEYWORD_ONLY,
            Parameter.VAR_POSITIONAL,
        }:
            parts.append("*")
        stars = "*" if kind is Parameter.VAR_POSITIONAL else "**" if kind is Parameter.VAR_KEYWORD else ""
        default = "" if parameter.default is Parameter.empty else f"=__cp_default_{parameter.name}"
        parts.append(f"{stars}{parameter.name}{default}")
    if parameters and parameters[-1].kind is Parameter.POSITIONAL_ONLY:
        parts.append("/")
    return ", ".join(parts)


def positional(parameters: tuple[Parameter, ...]) -> str:
    """Return what passes those on that are passed by their place: ``(a, b, *args)``."""
    stars = {
        Parameter.POSITIONAL_ONLY: "",
        Parameter.POSITIONAL_OR_KEYWORD: "",
        Parameter.VAR_POSITIONAL: "*",
    }
    items = "".join(f"{stars[p.kind]}{p.name}, " for p in parameters if p.kind in stars)
    return f"({items})"


def keywords(parameters: tuple[Parameter, ...]) -> str:
    """Return what passes on those that are passed by name: ``{'c': c, **rest}``."""
    items = [f"{p.name!r}: {p.name}" for p in parameters if p.kind is Parameter.KEYWORD_ONLY]
    items += [f"**{p.name}" for p in parameters if p.kind is Parameter.VAR_KEYWORD]
    return f"{{{', '.join(items)}}}"


def passed(parameters: tuple[Parameter, ...]) -> str:
    """Return what passes all of them on: ``a, b, *args, c=c, **rest``."""
    forms: dict[object, str] = {
        Parameter.VAR_POSITIONAL: "*{0}",
        Parameter.KEYWORD_ONLY: "{0}={0}",
        Parameter.VAR_KEYWORD: "**{0}",
    }
    return ", ".join(forms.get(p.kind, "{0}").format(p.name) for p in parameters)
