from __future__ import annotations

import abc
import asyncio
import functools
import gc
import inspect
import types
from dataclasses import dataclass
from typing import Any

import pydantic
import pytest

from cachepolicy import DecorationError, Tier, UnkeyableArgument, cached, configure, llm_cached, observe
from cachepolicy.decorators.methods import BoundHandle, MethodHandle
from tests.support.colour import ASYNC, SYNC, Colour
from tests.support.policies import cache_policy


@pytest.fixture(autouse=True)
def _memory() -> None:
    configure(cache_policy())


SELFLESS = cached("answers", ignore=("self",))


def _client(colour: Colour, **options: Any) -> Any:
    class Client:
        def __init__(self, name: str) -> None:
            self.name = name
            self.calls = 0

        @colour.decorate(cached("answers", **options))
        def ask(self, question: str, times: int = 1) -> str:
            """Ask."""
            self.calls += 1
            return f"{self.name}: {question}" * times

    return Client


def _in_a_class(name: str) -> Any:
    """Make a function as it stands in the body of a class."""

    def function(question: str) -> str:
        return question

    function.__qualname__ = f"Client.{name}"
    return function


def test_an_ignored_self_shares_answers(colour: Colour) -> None:
    """With ``ignore=("self",)`` all instances are one."""
    client = _client(colour, ignore=("self",))
    first, second = client("a"), client("b")
    assert colour.run(lambda: first.ask("why?")) == "a: why?"
    assert colour.run(lambda: second.ask(question="why?")) == "a: why?"
    assert (first.calls, second.calls) == (1, 0)


def test_a_named_self_keeps_answers_apart(colour: Colour) -> None:
    """With ``key="…{self.name}…"`` instances share answers exactly when what is named is equal."""
    client = _client(colour, key="ask:{self.name}:{question}")
    first, second, again = client("a"), client("b"), client("a")
    for each in (first, second, again):
        assert colour.run(functools.partial(each.ask, "why")) == f"{each.name}: why"
    assert (first.calls, second.calls, again.calls) == (1, 1, 0)
    assert first.ask.key("why") == "test:answers:ask:a:why"


@pytest.mark.parametrize("decorator", [cached("answers"), llm_cached])
def test_an_implicit_self_is_refused(colour: Colour, decorator: Any) -> None:
    """Also where it could be encoded: the error says the two ways to mend it, at decoration."""
    with pytest.raises(DecorationError, match=r"ignore=\('self',\).*key='.*\{self\.id\}"):

        @dataclass
        class Client:
            name: str

            @colour.decorate(decorator)
            def ask(self, question: str) -> str:
                return question


def test_an_instance_of_another_name_is_refused_at_the_first_call(colour: Colour) -> None:
    """An instance slips into no key, whatever its parameter is called; a static function has none."""

    class Client:
        @colour.decorate(cached("answers"))
        def ask(this, question: str) -> str:  # noqa: N805 - the name is the point
            return question

        @colour.decorate(cached("answers", ignore=("this",)))
        def tell(this, question: str) -> str:  # noqa: N805 - the name is the point
            return question

        free = staticmethod(colour.decorate(cached("answers"))(_in_a_class("free")))

    with pytest.raises(DecorationError, match=r"ignore=\('this',\)"):
        colour.run(lambda: Client().ask("why?"))
    with pytest.raises(UnkeyableArgument, match="'this'"):
        colour.run(lambda: Client.ask(Client(), "why?"))
    assert colour.run(lambda: Client().tell("why?")) == "why?"
    assert colour.run(lambda: Client().free("why?")) == "why?"


def test_no_instance_gets_the_answer_of_one_that_is_gone(colour: Colour) -> None:
    """An address that is used anew is no identity: a new object never finds a dead one's answer."""
    client = _client(colour, key="ask:{self.name}:{question}")
    addresses, answers = [], []
    for number in range(50):
        one = client(str(number))
        addresses.append(id(one))
        answers.append(colour.run(functools.partial(one.ask, "why")))
        del one
        gc.collect(0)
    assert len(set(addresses)) < 50  # some address was used anew: the trap was there
    assert answers == [f"{number}: why" for number in range(50)]


def test_verbs_know_the_instance(colour: Colour) -> None:
    """C8: every verb works through an instance as through the class, about the very same entry."""
    client = _client(colour, key="ask:{self.name}:{question}")
    one, other = client("a"), client("b")
    colour.run(lambda: one.ask("why"))
    colour.run(lambda: other.ask("why"))
    assert one.ask.key("why") == client.ask.key(one, "why") != other.ask.key("why")
    assert colour.run(lambda: one.ask.peek("why")) == "a: why"
    assert colour.run(lambda: one.ask.invalidate("why")) is True
    assert colour.run(lambda: client.ask.invalidate(one, "why")) is False
    assert colour.run(lambda: client.ask.peek(other, question="why")) == "b: why"
    assert colour.run(lambda: one.ask.refresh("why")) == "a: why"
    assert colour.run(lambda: one.ask.bypass("why", times=2)) == "a: whya: why"
    assert one.ask.stats() == client.ask.stats()
    assert one.ask.policy.namespace == "answers"


def test_every_verb_of_a_call_is_bound(colour: Colour) -> None:
    """A verb that is added to the handle, and not to those that are bound, would lose the instance."""
    client = _client(colour, ignore=("self",))
    function = vars(client)["ask"]
    plain = {name for name in vars(function._function) if not name.startswith("_")}
    about_the_function = {
        "stats",
        "savings",
        "policy",
        "get_many",
    }  # the calls that it takes hold the instance
    one = client("a")
    bound = {name for name in plain if isinstance(getattr(one.ask, name), functools.partial)}
    assert {
        name for name in bound if getattr(one.ask, name).args[-1:] == (one,)
    } == plain - about_the_function


def test_a_method_looks_like_itself(colour: Colour) -> None:
    """C8: name, documentation, signature and colour, through the class and through an instance."""
    client = _client(colour, ignore=("self",))
    one = client("a")
    for method in (client.ask, one.ask, vars(client)["ask"]):
        assert method.__name__ == "ask"
        assert method.__doc__ == "Ask."
        assert method.__qualname__.endswith("Client.ask")
        assert inspect.iscoroutinefunction(method) is colour.is_async
    assert list(inspect.signature(client.ask).parameters) == ["self", "question", "times"]
    assert list(inspect.signature(one.ask).parameters) == ["question", "times"]
    assert inspect.isfunction(client.ask)
    assert one.ask.__self__ is one
    assert one.ask == one.ask != client("a").ask != None  # noqa: E711 - any other object
    assert len({one.ask, one.ask}) == 1
    assert "Client.ask" in repr(vars(client)["ask"])


def test_a_plain_function_stays_a_plain_function(colour: Colour) -> None:
    """What is not of a class pays nothing for those that are."""

    @colour.decorate(cached("answers"))
    def ask(question: str) -> str:
        return question

    partial = colour.decorate(cached("answers", key=lambda: 1))(functools.partial(ask, "why"))
    assert type(ask) is type(partial) is types.FunctionType


def test_hits_through_an_instance_take_the_fast_path(colour: Colour) -> None:
    """An object as ``self`` is neither hashed nor encoded: hits come from L1, counted as such."""
    client = _client(colour, ignore=("self",))
    with observe() as seen:
        for name in "abc":
            colour.run(functools.partial(client(name).ask, "why?"))
    assert [one.tier for one in seen] == [Tier.ORIGIN, Tier.L1, Tier.L1]


def test_any_class_may_have_cached_methods() -> None:
    """Slots, frozen dataclasses and pydantic models: nothing is stored in the instance, or asked of it."""

    class Slotted:
        __slots__ = ()

        @SELFLESS
        def ask(self, question: str) -> str:
            return question

    @dataclass(frozen=True, slots=True)
    class Frozen:
        name: str

        @cached("answers", key="frozen:{self.name}:{question}")
        def ask(self, question: str) -> str:
            return self.name + question

    class Model(pydantic.BaseModel):
        name: str

        @cached("answers", key="model:{self.name}:{question}")
        def ask(self, question: str) -> str:
            return self.name + question

        @SELFLESS
        async def later(self, question: str) -> str:
            return question

    assert Slotted().ask("why") == "why"
    assert Frozen("a").ask("why") == "awhy"
    assert Frozen("a").ask.invalidate("why") is True
    assert Model(name="b").ask("why") == "bwhy"
    assert Model.model_fields.keys() == {"name"}
    assert asyncio.run(Model(name="b").later.refresh("why")) == "why"


class Base:
    """Is inherited from."""

    greeting = "hello"

    @SELFLESS
    def inherited(self, word: str) -> str:
        """Be inherited."""
        return f"{self.greeting} {word}"

    @SELFLESS
    def overridden(self, word: str) -> str:
        """Be overridden."""
        return f"base {word}"

    @cached("answers")
    @classmethod
    def above(cls, word: str, times: int = 1) -> str:
        """Be a class method, with the decorator above."""
        return f"{cls.__name__} {word}" * times

    @classmethod
    @cached("answers")
    def below(cls, word: str) -> str:
        """Be a class method, with the decorator below."""
        return f"{cls.__name__} {word}"

    @cached("answers", ignore=("cls",))
    @classmethod
    def shared(cls, word: str) -> str:
        """Be a class method of no class."""
        return f"{cls.__name__} {word}"

    @cached("answers")
    @staticmethod
    def static_above(word: str) -> str:
        """Be static, with the decorator above."""
        return word.upper()

    @staticmethod
    @cached("answers")
    def static_below(word: str) -> str:
        """Be static, with the decorator below."""
        return word.upper()

    @cached("answers")
    @classmethod
    async def later_above(cls, word: str) -> str:
        """Be a coroutine function."""
        return f"{cls.__name__} {word}"

    @classmethod
    @cached("answers")
    async def later_below(cls, word: str) -> str:
        """Be a coroutine function, the other way round."""
        return f"{cls.__name__} {word}"

    @cached("answers")
    @staticmethod
    async def later_static(word: str) -> str:
        """Be static and a coroutine function."""
        return word.upper()


class Derived(Base):
    """Inherits."""

    greeting = "good day"

    @SELFLESS
    def overridden(  # pyright: ignore[reportIncompatibleVariableOverride] # it compares before it binds
        self, word: str
    ) -> str:
        """Ask the base."""
        return f"derived {super().overridden(word)}"


def test_an_overriding_method_is_another_function() -> None:
    """It has entries of its own, and ``super()`` those of the one that it overrides."""
    assert Base().overridden("a") == "base a"
    assert Derived().overridden("a") == "derived base a"
    assert Derived().overridden.key("a") != Base().overridden.key("a")
    assert Derived().inherited.key("a") == Base().inherited.key("a")  # self is ignored, and its class with it


def test_subclasses_do_not_share_a_class_methods_answers() -> None:
    """``cls`` is part of the key, by its name, whichever decorator is on top, unless it is ignored."""
    for name in ("above", "below"):
        for owner in (Base, Derived, Base(), Derived()):
            kind = owner if isinstance(owner, type) else type(owner)
            for _ in range(2):
                assert getattr(owner, name)("a") == f"{kind.__name__} a"
    assert Base.shared("a") == Derived.shared("a") == "Base a"
    assert Base.above.key("a") == Base().above.key("a") != Derived.above.key("a")


def test_class_methods_hit_in_l1() -> None:
    """A class in the key does not send hits the long way: they come from L1 and are counted."""
    before = Base.above.stats().l1_hits
    with observe() as seen:
        for _ in range(3):
            Derived.above("hits")
    assert [one.tier for one in seen] == [Tier.ORIGIN, Tier.L1, Tier.L1]
    assert Base.above.stats().l1_hits == before + 2


def test_verbs_of_class_and_static_methods(verbs_of: Any) -> None:
    """C8: they work through the class and through its instances, about one entry."""
    run, through_class, through_instance = verbs_of
    run(lambda: through_class("verb"))
    assert run(lambda: through_instance.peek("verb")) == run(lambda: through_class.refresh("verb"))
    assert through_class.key("verb") == through_instance.key("verb")
    assert run(lambda: through_instance.invalidate("verb")) is True
    assert run(lambda: through_class.invalidate("verb")) is False


@pytest.fixture(params=["above", "static_above", "static_below", "later_above", "later_static"])
def verbs_of(request: pytest.FixtureRequest) -> Any:
    """Give what runs a method, and the method through a class and through an instance."""
    colour = ASYNC if request.param.startswith("later") else SYNC
    assert inspect.iscoroutinefunction(getattr(Derived, request.param)) is colour.is_async
    return colour.run, getattr(Derived, request.param), getattr(Derived(), request.param)


def test_coroutine_class_methods_both_ways_round() -> None:
    """An ``async def`` class method is one on either side of the decorator."""
    for method in (Base.later_above, Base.later_below, Base().later_above, Base().later_below):
        assert inspect.iscoroutinefunction(method)
        assert asyncio.run(method("a")) == "Base a"
    assert asyncio.run(Derived.later_below("a")) == "Derived a"
    assert asyncio.run(Base.later_static("a")) == "A"


def test_a_class_that_is_not_found_under_its_name_is_no_identity() -> None:
    """Two classes made by one piece of code have one name: their class methods are refused, not mixed up."""

    def make(word: str) -> Any:
        class Local:
            prefix = word

            @cached("answers")
            @classmethod
            def ask(cls, question: str) -> str:
                return cls.prefix + question

        return Local

    for owner in (make("a"), make("b")):
        with pytest.raises(UnkeyableArgument, match=r"Local.*ignore=\('cls',\)"):
            owner.ask("why?")
        with pytest.raises(UnkeyableArgument, match=r"is a class"):
            owner.__dict__["ask"]("no class", "why?")


def test_abstract_methods_stay_abstract() -> None:
    """Either decorator may be on top; the implementation in a subclass is cached for itself."""

    class Port(abc.ABC):
        @SELFLESS
        @abc.abstractmethod
        def below(self, word: str) -> str: ...

        @abc.abstractmethod
        @SELFLESS
        def above(self, word: str) -> str: ...

    assert Port.__abstractmethods__ == {"below", "above"}

    class Adapter(Port):
        @SELFLESS
        def below(  # pyright: ignore[reportIncompatibleVariableOverride] # it compares before it binds
            self, word: str
        ) -> str:
            return word

        above = below

    assert Adapter().below("a") == Adapter().above("a") == "a"


def test_a_decorator_above_sees_a_function(colour: Colour) -> None:
    """Another decorator in the class body may call it, wrap it, and ask for its colour."""

    def above(function: Any) -> Any:
        assert inspect.iscoroutinefunction(function) is colour.is_async

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    class Client:
        @above
        @colour.decorate(SELFLESS)
        def ask(self, question: str) -> str:
            return question

    assert colour.run(lambda: Client().ask("why?")) == "why?"
    assert colour.run(lambda: Client.ask.invalidate(Client(), "why?")) is True


def test_methods_given_to_a_class_later(colour: Colour) -> None:
    """Assigned after definition, a function whose first parameter is ``self`` binds as one defined inside."""

    @colour.decorate(SELFLESS)
    def ask(self: Any, question: str = "why?") -> str:
        return f"{question}{type(self).__name__}"

    class Client:
        tell = staticmethod(colour.decorate(cached("answers"))(_in_a_class("tell")))

    class Other:
        def method(self, question: str) -> str:
            return question

    Client.ask = ask  # type: ignore[attr-defined] # that is the point
    Client.method = colour.decorate(SELFLESS)(Other.method)  # type: ignore[attr-defined] # that is the point
    one: Any = Client()
    assert colour.run(lambda: one.ask("what?")) == "what?Client"
    assert colour.run(lambda: one.ask.invalidate("what?")) is True  # not taken for ``self``
    assert colour.run(lambda: one.method("what?")) == "what?"
    assert colour.run(lambda: one.method.invalidate("what?")) is True
    assert colour.run(lambda: one.tell("what?")) == "what?"


def test_a_bound_method_in_another_class_stays_bound(colour: Colour) -> None:
    """As one of Python's own does."""
    client = _client(colour, key="ask:{self.name}:{question}")
    one = client("a")

    class Other:
        ask = one.ask

    assert colour.run(lambda: Other().ask("why")) == "a: why"


def test_partial_methods(colour: Colour) -> None:
    """``partialmethod`` of a cached method fills arguments in, through the class and its instances."""
    client = _client(colour, ignore=("self",))
    client.twice = functools.partialmethod(vars(client)["ask"], times=2)
    one = client("a")
    assert colour.run(lambda: one.twice("why?")) == "a: why?a: why?"
    assert colour.run(lambda: client.twice(one, "why?")) == "a: why?a: why?"
    assert colour.run(lambda: one.ask.invalidate("why?", 2)) is True


def test_twice_decorated_is_a_method_still(colour: Colour) -> None:
    """One cache above another binds as one, and an implicit self is refused there too."""

    class Client:
        @cached("answers", ignore=("self",))
        @colour.decorate(SELFLESS)
        def ask(self, question: str) -> str:
            return question

    assert isinstance(vars(Client)["ask"], MethodHandle)
    assert isinstance(Client().ask, BoundHandle)
    assert colour.run(lambda: Client().ask("why?")) == "why?"
    assert colour.run(lambda: Client().ask.invalidate("why?")) is True
    with pytest.raises(DecorationError, match="'self'"):
        cached("answers")(vars(Client)["ask"])


def test_m7_methods_keep_to_their_scope(colour: Colour) -> None:
    """M7: without a scope, a method of a scoped namespace is not cached either."""
    configure(cache_policy(scope="user"))
    client = _client(colour, ignore=("self",))
    one = client("a")
    for _ in range(2):
        colour.run(lambda: one.ask("why?"))
    assert one.calls == 2
