"""What may be decorated, and with which options: all that can be refused before any policy is known."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from cachepolicy.decorators.colour import is_async
from cachepolicy.decorators.embeddings_binding import EmbeddingsBinding
from cachepolicy.decorators.many import ManyBinding, decorate_many
from cachepolicy.decorators.methods import Form, opened, refuse_implicit_self
from cachepolicy.decorators.streams import defers, is_async_source
from cachepolicy.decorators.verbs import decorate
from cachepolicy.errors import DecorationError
from cachepolicy.keys.signature import Shape, collects, identity_of, name_of, shape_of
from cachepolicy.runtime.decoration import NOBODY, Asker, Decoration, Options, Ttl
from cachepolicy.runtime.reading import Told


def accept(decorated: object, options: Options) -> Any:
    """Return what stands in a function's place.

    Raises:
        DecorationError: it cannot be cached this way.
    """
    function, form = opened(decorated)
    _refuse_what_is_no_function(function)
    if options.over is not None and defers(function):
        raise DecorationError(f"{name_of(function)}: a generator gives no list of results; return one")
    name, key, ignore, version = name_of(function), options.key, options.ignore, options.version
    if type(version) is not int or version < 1:
        raise DecorationError(f"{name}: version={version!r}: expected a whole number from 1 on")
    takes_class = form in {Form.CLASS_METHOD, Form.UNDER_CLASS_METHOD}
    shape = shape_of(function, ignore, takes_class=takes_class and key is None)
    _check_names(ignore, "ignore", shape.names, name)
    _check_names(options.tags, "tags", shape.names, name, open_ended=shape.rest is not None)
    if options.over is not None:
        _check_over(options.over, function, shape.names, name, ignore)
    if ignore and key is not None:
        raise DecorationError(f"{name}: key= says all that identifies a call; leave ignore= out")
    _refuse_slow_judge(options.cache_if, name)
    if options.vary and key is not None:
        raise DecorationError(f"{name}: key= says all that identifies a call; leave vary= out")
    if key is None:
        refuse_implicit_self(function, form, ignore)
    reader = options.traits.reader(_told(function, name, shape, options))
    if reader.ignored and key is None:
        ignore = (*dict.fromkeys((*ignore, *reader.ignored)),)
        shape = shape_of(function, ignore, takes_class=takes_class)
    decoration = Decoration(
        function=function,
        shape=shape,
        name=name,
        identity=identity_of(function, has_own_key=key is not None),
        is_async=is_async(function) or is_async_source(function),
        namespace=options.namespace,
        traits=options.traits,
        version=version,
        ttl=_plain(options.ttl),
        tags=tuple(options.tags),
        cache_if=options.cache_if,
        negative=_negative(options.negative, name),
        ignore=tuple(ignore),
        over=options.over,
        reader=reader,
        asker=_asker(function, options, shape.names, name),
        defers=defers(function),
    )
    if options.over is None:
        return decorate(decoration, key, form)
    binding = (ManyBinding if options.traits.collation is None else EmbeddingsBinding)(
        decoration, key, options.over
    )
    return decorate_many(binding, form, says_what_self_is=key is not None or shape.keyed[:1] != (0,))


def _told(function: Callable[..., object], name: str, shape: Shape, options: Options) -> Told:
    return Told(
        function,
        name,
        shape,
        vary=options.vary,
        temperature=options.temperature,
        model=options.model,
        tags=options.tags,
        ignore=options.ignore,
    )


def _asker(function: Callable[..., object], options: Options, names: Sequence[str], name: str) -> Asker:
    """Say which parameters tell who asks."""
    if options.tenant is None and options.user is None:
        return NOBODY
    for option, parameter in (("tenant", options.tenant), ("user", options.user)):
        if parameter is not None:
            _check_names((parameter,), option, names, name)
            if collects(function, parameter):
                raise DecorationError(f"{name}: {option}={parameter!r}: expected a parameter without *")
    tenant, user = (None if one is None else names.index(one) for one in (options.tenant, options.user))
    return Asker(tenant, user)


def _check_over(
    over: str, function: Callable[..., Any], names: Sequence[str], name: str, ignore: Sequence[str]
) -> None:
    _check_names((over,), "over", names, name)
    if collects(function, over):
        raise DecorationError(f"{name}: over={over!r}: expected a parameter that takes a sequence, without *")
    if over in ignore:
        raise DecorationError(f"{name}: over={over!r} is also in ignore=, so all items would share one entry")


def _refuse_slow_judge(cache_if: object, function: str) -> None:
    """Refuse a ``cache_if`` that cannot say at once whether a result is kept."""
    if cache_if is not None and (not callable(cache_if) or is_async(cache_if)):
        raise DecorationError(f"{function}: cache_if: expected a def function that takes the result")


def _is_exception(kind: object) -> bool:
    """Tell whether this is a class of exceptions."""
    return isinstance(kind, type) and issubclass(kind, Exception)


def _plain(ttl: Ttl) -> str | float | None:
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl


def _negative(
    negative: Mapping[type[Exception], Ttl] | Sequence[type[Exception]], function: str
) -> dict[type[Exception], str | float | None]:
    pairs = negative if isinstance(negative, Mapping) else dict.fromkeys(negative)
    for kind in pairs:
        if not _is_exception(kind):
            raise DecorationError(f"{function}: negative={kind!r}: expected classes of exceptions")
    return {kind: _plain(ttl) for kind, ttl in pairs.items()}


def _refuse_what_is_no_function(function: object) -> None:
    kind: type = type(function)
    if kind in {functools.partialmethod, property, functools.cached_property} or not callable(function):
        raise DecorationError(
            f"a {kind.__name__} cannot be cached; put the decorator directly above the function"
        )
    if inspect.isclass(function):
        raise DecorationError(
            f"{name_of(function)}: a class cannot be cached; decorate a function that makes it"
        )


def _check_names(
    wanted: Sequence[str], option: str, names: Sequence[str], function: str, *, open_ended: bool = False
) -> None:
    if isinstance(wanted, str):
        raise DecorationError(
            f"{function}: {option}={wanted!r}: expected several names: {option}=({wanted!r},)"
        )
    for name in wanted:
        if name not in names and not open_ended:
            from cachepolicy.policy.words import did_you_mean  # loaded with the first policy, or an error

            known = did_you_mean(name, names) or f"; there are: {', '.join(names) or 'none'}"
            raise DecorationError(f"{function}: {option}={name!r}: no such parameter{known}")
