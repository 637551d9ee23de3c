"""What stands in the place of a function that is counted: with its signature, and of its own kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from cachepolicy.decorators.limited_form import Compiled, Form
from cachepolicy.keys.signature import Shape

Taken = Sequence[object]
"""The arguments of a call, in the order of their names."""


class Counting(Protocol):
    """Who is told of each call by compiled code.

    ``begin`` comes before the function is called, and one of the others after, with what ``begin`` gave: a
    clock, ``now``, and ``waits``, whether the asynchronous ones are to be told.
    """

    function: Callable[..., Any]

    def begin(self) -> Any:
        """Say what counts now."""
        ...

    def ended(self, bound: Any, began: float, values: Taken, result: Any, /) -> Any:
        """Take note that a call returned; return what its caller gets."""
        ...

    def failed(
        self, bound: Any, began: float, values: Taken, error: BaseException | None, last: Any, /
    ) -> None:
        """Take note that a call raised; ``last``: the last part that it gave."""
        ...

    def exhausted(self, bound: Any, began: float, values: Taken, last: Any, /) -> None:
        """Take note that a generator came to its end."""
        ...

    async def aended(self, bound: Any, began: float, values: Taken, result: Any, /) -> Any:
        """As ``ended``."""
        ...

    async def afailed(
        self, bound: Any, began: float, values: Taken, error: BaseException | None, last: Any, /
    ) -> None:
        """As ``failed``."""
        ...

    async def aexhausted(self, bound: Any, began: float, values: Taken, last: Any, /) -> None:
        """As ``exhausted``."""
        ...

    def parts(self, generator: Any, /) -> Any:
        """Return what gives the parts of a generator, and remembers the last as its ``part``."""
        ...


_FACTORY: Final = """
def __cp_factory(
    __cp_function, __cp_begin, __cp_parts, __cp_nothing,
    __cp_ended, __cp_failed, __cp_exhausted, __cp_aended, __cp_afailed, __cp_aexhausted,
):
    {define} __cp_wrapper({parameters}):
        {body}

    def __cp_pass({names}):
        return {positional}, {keywords}

    return __cp_wrapper, lambda values: __cp_pass(*values)
"""
_BEGIN: Final = """__cp_bound = __cp_begin()
        __cp_began = __cp_bound.now()"""
_BEGUN: Final = "__cp_bound, __cp_began, {values}"
_FUNCTION: Final = f"""{{begin}}
        try:
            __cp_result = {{call}}
        except BaseException as __cp_error:
            __cp_failed({_BEGUN}, __cp_error, __cp_nothing)
            raise
        return __cp_ended({_BEGUN}, __cp_result)"""
_COROUTINE: Final = f"""{{begin}}
        try:
            __cp_result = await {{call}}
        except BaseException as __cp_error:
            if __cp_bound.waits:
                await __cp_afailed({_BEGUN}, __cp_error, __cp_nothing)
            else:
                __cp_failed({_BEGUN}, __cp_error, __cp_nothing)
            raise
        if __cp_bound.waits:
            return await __cp_aended({_BEGUN}, __cp_result)
        return __cp_ended({_BEGUN}, __cp_result)"""
_GENERATOR: Final = f"""{{begin}}
        __cp_stream = __cp_parts({{call}})
        try:
            __cp_result = yield from __cp_stream
        except BaseException as __cp_error:
            __cp_failed({_BEGUN}, __cp_error, __cp_stream.part)
            raise
        __cp_exhausted({_BEGUN}, __cp_stream.part)
        return __cp_result"""
_ASYNC_GENERATOR: Final = f"""{{begin}}
        __cp_last = __cp_nothing
        __cp_stream = {{call}}
        __cp_go_on, __cp_given = __cp_stream.asend, None
        try:
            while True:
                __cp_last = await __cp_go_on(__cp_given)
                try:
                    __cp_go_on, __cp_given = __cp_stream.asend, (yield __cp_last)
                except GeneratorExit:
                    await __cp_stream.aclose()
                    raise
                except BaseException as __cp_error:
                    __cp_go_on, __cp_given = __cp_stream.athrow, __cp_error
        except StopAsyncIteration:
            pass
        except BaseException as __cp_error:
            if __cp_bound.waits:
                await __cp_afailed({_BEGUN}, __cp_error, __cp_last)
            else:
                __cp_failed({_BEGUN}, __cp_error, __cp_last)
            raise
        if __cp_bound.waits:
            await __cp_aexhausted({_BEGUN}, __cp_last)
        else:
            __cp_exhausted({_BEGUN}, __cp_last)"""
_BODIES: Final = {
    Form.FUNCTION: _FUNCTION,
    Form.COROUTINE: _COROUTINE,
    Form.GENERATOR: _GENERATOR,
    Form.ASYNC_GENERATOR: _ASYNC_GENERATOR,
}
_ASYNC: Final = frozenset({Form.COROUTINE, Form.ASYNC_GENERATOR})


def compiled_tracking(shape: Shape, of: Counting, form: Form, nothing: object) -> Compiled:
    """Compile a wrapper.

    Args:
        shape: the function's signature as source.
        of: who is told.
        form: how the function is called.
        nothing: the last part of what gave none.
    """
    body = _BODIES[form].format(
        begin=_BEGIN,
        call=f"__cp_function({shape.passed})",
        values=f"({shape.values},)" if shape.values else "()",
    )
    source = _FACTORY.format(
        define="async def" if form in _ASYNC else "def",
        parameters=shape.parameters,
        body=body,
        names=shape.values,
        positional=shape.positional,
        keywords=shape.keywords,
    )
    return _made(source, shape.defaults, of, nothing)


def compiled_watch(of: Counting, form: Form, nothing: object) -> Callable[..., Any]:
    """Compile what goes on with a generator that a call returned.

    It takes what ``begin`` gave, when the call began, its arguments, and the generator.

    Args:
        of: who is told.
        form: which kind of generator it is.
        nothing: as above.
    """
    body = _BODIES[form].format(begin="", call="__cp_result", values="__cp_values")
    source = _FACTORY.format(
        define="async def" if form in _ASYNC else "def",
        parameters="__cp_bound, __cp_began, __cp_values, __cp_result",
        body=body.lstrip(),
        names="",
        positional="()",
        keywords="{}",
    )
    wrapper: Callable[..., Any] = _made(source, {}, of, nothing).wrapper
    return wrapper


def _made(source: str, names: Mapping[str, object], of: Counting, nothing: object) -> Compiled:
    found: dict[str, Any] = dict(names)
    exec(compile(source, "<cachepolicy metrics>", "exec"), found)  # noqa: S102 - identifiers of a real signature only
    told = (of.ended, of.failed, of.exhausted, of.aended, of.afailed, of.aexhausted)
    return Compiled(*found["__cp_factory"](of.function, of.begin, of.parts, nothing, *told))
