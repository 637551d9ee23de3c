"""C7: errors that are answers: kept for a time of their own, raised again, and never past it."""

from __future__ import annotations

import asyncio
import gc
import logging
import traceback
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cachepolicy import ManualClock, Outcome, PolicyError, Tier, cached, configure, observe
from cachepolicy.codec.raised import Errors
from cachepolicy.errors import CorruptValue, UnserializableValue
from cachepolicy.telemetry.names import Reason
from tests.support.colour import ASYNC, Colour
from tests.support.logged import logged
from tests.support.origin import Origin, settled
from tests.support.policies import cache_policy

NO_L1 = {"enabled": False}


class Gone(LookupError):
    """What was asked for is not there."""


class Moved(Gone):
    """It is elsewhere: an exception with a field of its own."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class Odd(Exception):
    """An exception that does not come back as it was."""

    def __init__(self, place: str) -> None:
        super().__init__("it is elsewhere")
        self.place = place


class Fickle(Exception):
    """An exception that can be made only while it is in the mood."""

    moody = False

    def __init__(self, place: str) -> None:
        if self.moody:
            raise RuntimeError("not now")
        super().__init__(place)


def _failing(colour: Colour, error: Callable[[], BaseException], **options: Any) -> tuple[Origin, Any]:
    origin = Origin()
    origin.error = error
    return origin, origin.decorated(colour, **options)


def _raised(colour: Colour, answer: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - the caller looks at it
        settled(colour, answer)
    return raised.value


@pytest.mark.parametrize("local", [NO_L1, {"ttl": "1h"}], ids=["L2", "L1"])
def test_c7_a_listed_error_is_kept_and_raised_again(
    colour: Colour, time: ManualClock, local: dict[str, Any]
) -> None:
    """C7: a listed class and its subclasses are answers, in both tiers, for ``negative.ttl``."""
    configure(cache_policy(negative={"errors": ["LookupError"], "ttl": "30s"}, local=local), clock=time.clock)
    origin, answer = _failing(colour, lambda: Moved("room 12"))
    with observe() as seen:
        errors = [_raised(colour, answer) for _ in range(4)]
    assert origin.calls == 1
    assert [(type(error), error.args) for error in errors] == [(Moved, ("room 12",))] * 4
    assert {error.place for error in errors if isinstance(error, Moved)} == {"room 12"}
    assert [one.outcome for one in seen] == [Outcome.MISS, *[Outcome.HIT] * 3]
    assert seen[-1].tier is (Tier.L2 if local is NO_L1 else Tier.L1)
    assert seen[-1].error == "Moved"
    time.advance(30)
    _raised(colour, answer)
    assert origin.calls == 2


def test_c7_an_unlisted_error_is_not_kept(colour: Colour) -> None:
    """C7: what is not listed is raised to its callers and forgotten."""
    configure(cache_policy(negative={"errors": ["KeyError"]}))
    origin, answer = _failing(colour, lambda: Gone("room 12"))
    for _ in range(3):
        assert type(_raised(colour, answer)) is Gone
    assert origin.calls == 3


def test_c7_each_class_has_a_ttl_of_its_own(colour: Colour, time: ManualClock) -> None:
    """C7: the decorator's mapping says how long; the nearest class counts, None is the policy's own TTL."""
    configure(cache_policy(negative={"ttl": "30s"}), clock=time.clock)
    kept = {LookupError: "1m", Moved: "10s", ValueError: None}
    lives: dict[type[Exception], float] = {Moved: 10, Gone: 60, ValueError: 30}
    for kind, ttl in lives.items():
        origin, answer = _failing(
            colour, partial(kind, "x"), negative=kept, key=f"{kind.__name__}:{{question}}"
        )
        _raised(colour, answer)
        time.advance(ttl - 0.01)
        _raised(colour, answer)
        assert origin.calls == 1
        time.advance(0.02)
        _raised(colour, answer)
        assert origin.calls == 2


def test_c7_a_listed_error_comes_before_an_old_answer(colour: Colour, time: ManualClock) -> None:
    """C7: an error that is an answer is the newer one: nothing old stands in for it."""
    configure(
        cache_policy(ttl="1m", stale={"if_error": "1h"}, negative={"errors": "LookupError"}), clock=time.clock
    )
    origin = Origin()
    answer = origin.decorated(colour)
    colour.run(answer)
    time.advance(61)
    origin.error = lambda: Gone("x")
    for _ in range(2):
        assert type(_raised(colour, answer)) is Gone
    assert origin.calls == 2


def test_c7_an_error_is_never_given_past_its_ttl(colour: Colour, time: ManualClock) -> None:
    """C7: ``while_revalidate`` and ``if_error`` are for values: an old error stands in for nothing."""
    stale = {"if_error": "1h", "while_revalidate": "1h"}
    configure(
        cache_policy(stale=stale, negative={"errors": "LookupError", "ttl": "1m"}, local=NO_L1),
        clock=time.clock,
    )
    origin, answer = _failing(colour, lambda: Gone("x"))
    _raised(colour, answer)
    time.advance(61)
    origin.error = None
    assert settled(colour, answer) == {"number": 2}


def test_c7_followers_get_an_exception_each() -> None:
    """C7: all who waited for a load that ended in a listed error get an object of their own."""
    configure(cache_policy(negative={"errors": "LookupError"}))
    origin, answer = _failing(ASYNC, lambda: Moved("room 12"))

    async def crowd() -> list[Any]:
        return await asyncio.gather(*[answer() for _ in range(10)], return_exceptions=True)

    errors = ASYNC.run(crowd)
    assert origin.calls == 1
    assert [(type(error), error.place) for error in errors] == [(Moved, "room 12")] * 10
    assert len({id(error) for error in errors}) == 10


@pytest.mark.parametrize("local", [NO_L1, {"ttl": "1h"}], ids=["L2", "L1"])
@pytest.mark.parametrize("observed", [False, True], ids=["", "observed"])
def test_exceptions_do_not_pile_up(colour: Colour, local: dict[str, Any], observed: bool) -> None:
    """An exception from the cache is fresh: its traceback does not grow, and it is gone once let go of."""
    configure(cache_policy(negative={"errors": "LookupError"}, local=local))
    _, answer = _failing(colour, lambda: Gone("x"))

    def lengths() -> list[int]:
        found, references = [], []
        gc.collect()
        gc.disable()
        try:
            for _ in range(5):
                try:
                    colour.run(answer)
                except Gone as error:
                    found.append(len(traceback.extract_tb(error.__traceback__)))
                    references.append(weakref.ref(error))
            if not colour.is_async:  # asyncio.run itself leaves cycles
                assert [reference() for reference in references[1:]] == [None] * 4
        finally:
            gc.enable()
        return found

    if observed:
        with observe():
            found = lengths()
    else:
        found = lengths()
    assert len(set(found[1:])) == 1


@pytest.mark.parametrize(
    "error",
    [
        lambda: Odd("room 12"),
        lambda: Gone(object()),
        lambda: Gone(("a", "tuple")),
        lambda: ImportError("no", name="module"),
        lambda: ExceptionGroup("several", [Gone("x")]),
    ],
    ids=["state", "object", "tuple", "attributes", "group"],
)
def test_an_error_that_would_come_back_different_is_not_kept(
    colour: Colour, error: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """C7: such an error is raised to its callers as it is, not kept, and that is told once."""
    configure(cache_policy())
    origin, answer = _failing(colour, error, negative=[Exception])
    with observe() as seen, caplog.at_level(logging.WARNING, "cachepolicy"):
        for _ in range(2):
            assert type(_raised(colour, answer)) is type(error())
    assert origin.calls == 2
    assert {(one.outcome, one.reason) for one in seen} == {(Outcome.BYPASS, Reason.UNSERIALIZABLE)}
    (said,) = [record.getMessage() for record in logged(caplog)]
    assert "would not come back as it was" in said
    assert "room 12" not in said


def test_an_error_with_more_than_its_arguments_comes_back_whole(colour: Colour) -> None:
    """An exception that says how it is made again, as those of the file system do, keeps all it knows."""
    configure(cache_policy())
    origin, answer = _failing(
        colour, lambda: FileNotFoundError(2, "No such file", "a.txt"), negative=[OSError]
    )
    errors = [_raised(colour, answer) for _ in range(3)]
    assert origin.calls == 1
    assert {(type(error), str(error)) for error in errors} == {
        (FileNotFoundError, "[Errno 2] No such file: 'a.txt'")
    }


def test_an_error_that_is_too_large_is_not_kept(colour: Colour) -> None:
    """``admit.max_value`` is the limit of errors too."""
    configure(cache_policy(admit={"max_value": "1KiB"}))
    origin, answer = _failing(colour, lambda: Gone("x" * 2000), negative=[LookupError])
    for _ in range(2):
        _raised(colour, answer)
    assert origin.calls == 2


def test_an_exception_that_cannot_be_made_any_more_is_a_miss(
    colour: Colour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A constructor that changed its mind is counted and the function asked again; no strange error comes."""
    configure(cache_policy())
    origin, answer = _failing(colour, lambda: Fickle("x"), negative=[Fickle])
    _raised(colour, answer)
    origin.error = None
    monkeypatch.setattr(Fickle, "moody", True)
    assert settled(colour, answer) == {"number": 2}


def test_only_listed_classes_are_made() -> None:
    """A stored name that is not listed, or is no subclass of what is, makes nothing."""
    stored = Errors({LookupError: 1.0}).dump(Gone("x"))
    with pytest.raises(CorruptValue):
        Errors({ValueError: 1.0}).load(stored.payload)
    with pytest.raises(CorruptValue):
        Errors({}).load(stored.payload)


def test_an_exception_of_a_class_of_the_same_name_is_not_kept() -> None:
    """Two classes of one name cannot be told apart when one is stored: neither stands for the other."""

    def make() -> type[Exception]:
        class Twin(Exception):
            """One of two."""

        return Twin

    first, second = make(), make()
    errors = Errors({first: 1.0, second: 1.0})
    kept = 0
    for kind in (first, second):
        try:
            assert type(errors.load(errors.dump(kind("x")).payload).error) is kind
            kept += 1
        except UnserializableValue:
            pass
    assert kept == 1


def test_c7_the_policy_names_classes(colour: Colour, tmp_path: Path) -> None:
    """C7: classes are named in full, nested ones too; built-in ones by their names alone."""
    names = ["LookupError", f"{__name__}.Odd", "json.JSONDecodeError", "asyncio.QueueFull"]
    configure(cache_policy(negative={"errors": names}))
    origin, answer = _failing(colour, lambda: Gone("x"))
    for _ in range(2):
        _raised(colour, answer)
    assert origin.calls == 1


@pytest.mark.parametrize("name", ["LookupEror", "shop.errors.Gone", "int", "json.loads", "json.", "a b"])
def test_wrong_names_are_told_with_their_place(tmp_path: Path, name: str) -> None:
    """What names no class of exceptions is told on the first call: file, line and what was meant."""
    file = tmp_path / "policies.yaml"
    file.write_text(f"""version: 1
app: test
namespaces:
  answers:
    kind: cache
    scope: global
    negative:
      errors: [KeyError, "{name}"]
""")
    configure(file)

    @cached("answers")
    def answer() -> None: ...

    with pytest.raises(PolicyError) as raised:
        answer()
    (problem,) = raised.value.problems
    assert (problem.file, problem.line) == (str(file), 8)
    assert problem.path == "namespaces.answers.negative.errors"
    assert ("did you mean 'LookupError'" in problem.message) is (name == "LookupEror")


@pytest.fixture(autouse=True)
def _in_the_mood() -> Iterator[None]:
    yield
    Fickle.moody = False
