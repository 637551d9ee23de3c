"""Embeddings, text by text (M4): lists and arrays."""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachepolicy import (
    MISS,
    DecorationError,
    Outcome,
    ResultsMismatch,
    UnkeyableArgument,
    close,
    configure,
    control,
    embeddings_cached,
    namespace,
    observe,
    scope,
)
from cachepolicy.testing.redis_server import RedisServer
from tests.flow.test_many import in_turn
from tests.support.colour import SYNC, Colour
from tests.support.embedding import DIMENSIONS, vector_of, wide_vector_of
from tests.support.policies import cache_policy
from tests.support.trips import Trips

NO_L1 = {"enabled": False}
HERE: Any = embeddings_cached(namespace="answers")
Lists = Callable[..., Any]


def lists(colour: Colour, **options: Any) -> tuple[list[Any], Any]:
    """Return what is asked of a function that gives lists, and the function."""
    asked: list[Any] = []

    @colour.decorate(embeddings_cached(namespace="answers", **options))
    def embed(texts: list[str], model: str = "small", *, dimensions: int = DIMENSIONS) -> list[list[float]]:
        asked.append(texts)
        return [vector_of(model + text, dimensions) for text in texts]

    return asked, embed


def expected(texts: str | list[str], model: str = "small", dimensions: int = DIMENSIONS) -> list[list[float]]:
    """Return what such a function gives for texts; a ``str`` is one text for each letter."""
    return [vector_of(model + text, dimensions) for text in texts]


def run(colour: Colour, call: Callable[[], Any]) -> Any:
    """Make a call on a loop, and close its connections."""
    return in_turn(colour, call)[0]


@pytest.fixture(params=["L1", "L2"])
def policy(request: pytest.FixtureRequest, redis_url: str) -> dict[str, Any]:
    """Configure answers from L1, and from a real Redis alone."""
    local = {} if request.param == "L1" else {"local": NO_L1}
    made = cache_policy(redis_url, **local)
    configure(made)
    return made


@pytest.mark.usefixtures("policy")
def test_m4_only_the_missing_are_computed_and_each_once(colour: Colour) -> None:
    """M4: the function is called once, with the texts that are not cached, in their order, each once."""
    asked, embed = lists(colour)
    found = in_turn(
        colour, lambda: embed(["a", "b"]), lambda: embed(["c", "b", "d", "c", "a"]), lambda: embed(["d", "c"])
    )
    assert found == [expected("ab"), expected("cbdca"), expected("dc")]
    assert asked == [["a", "b"], ["c", "d"]]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12), max_size=5))
def test_m4_every_text_gets_its_own_vector(batches: list[list[str]]) -> None:
    """M4: whatever is cached, in whatever order and however often: each place has its text's vector."""
    for local in ({}, NO_L1):
        configure(cache_policy(local=local))
        asked, embed = lists(SYNC)
        for batch in batches:
            assert embed(batch) == expected(batch)
        computed = [text for texts in asked for text in texts]
        assert sorted(computed) == sorted({text for batch in batches for text in batch})
        close()


def test_m4_one_round_trip_to_read_and_one_to_write(
    colour: Colour, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """M4: all texts are read by one MGET, and what was missing is written in one pipeline."""
    trips = Trips()
    trips.watch(monkeypatch)
    configure(cache_policy(redis_url, local=NO_L1, stampede={"lease": "1h"}))  # renewed by none of the trips
    _, embed = lists(colour)
    *_, written, _, read, _, partial = in_turn(
        colour,
        lambda: embed(["first"]),  # versions and scripts are known from now on
        trips.take,
        lambda: embed([str(number) for number in range(10)]),
        trips.take,
        lambda: embed([str(number) for number in range(10)]),
        trips.take,
        lambda: embed([str(number) for number in range(5, 12)]),
        trips.take,
    )
    # versions of tags may have to be read along, while changes are not heard of yet
    assert [trip[0] for trip in written] == [trip[0] for trip in partial] == ["MGET", "EVALSHA", "EVALSHA"]
    assert ([len(trip) for trip in written[1:]], [len(trip) for trip in partial[1:]]) == ([10, 10], [2, 2])
    assert [trip[0] for trip in read] == ["MGET"]


def test_m4_every_argument_is_part_of_the_key(colour: Colour) -> None:
    """M4: model and dimensions tell entries apart; ``ignore=`` leaves an argument out. The kind is told."""
    configure(cache_policy())
    asked, embed = lists(colour)
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
        ((), {}),
        (("large",), {}),
        ((), {"dimensions": 4}),
        (("large",), {"dimensions": 4}),
    ]
    keys = [embed.keys(["a", ""], *args, **kwargs) for args, kwargs in calls]
    assert len({key for pair in keys for key in pair}) == 8
    assert all(key.startswith("test:answers:embedding:") for pair in keys for key in pair)
    for args, kwargs in calls:
        found = run(colour, lambda args=args, kwargs=kwargs: embed(["a"], *args, **kwargs))  # type: ignore[misc] # binds its own
        assert found == expected("a", *args, **kwargs)
    assert len(asked) == 4


def embed_nothing() -> list[list[float]]:
    """Take no texts."""
    return []


def test_the_parameter_is_found(colour: Colour) -> None:
    """Without ``over=`` the texts are what a usual name says, else the first parameter; ``self`` is none."""
    configure(cache_policy())

    def late(model: str, input: list[str]) -> list[list[float]]:  # noqa: A002 - as the SDK calls it
        return [vector_of(model + each) for each in input]

    def other(sayings: list[str], model: str) -> list[list[float]]:
        return [vector_of(model + each) for each in sayings]

    by_name, by_place = colour.decorate(HERE)(late), colour.decorate(HERE)(other)
    said = colour.decorate(embeddings_cached(namespace="answers", over="sayings"))(other)
    assert len(by_name.keys("m", ["a", "b"])) == len(by_place.keys(["a", "b"], "m")) == 2
    assert said.keys(["a"], "m") == by_place.keys(["a"], "m")
    with pytest.raises(DecorationError, match="no such parameter"):
        embeddings_cached(namespace="answers", over="texts")(other)
    with pytest.raises(DecorationError, match="takes no texts"):
        HERE(embed_nothing)
    with pytest.raises(DecorationError, match="expected 'exact' or 'float16'"):
        embeddings_cached(precision="float32")  # type: ignore[call-overload] # that is the point


class Model:
    """Has a method of each colour."""

    @embeddings_cached(namespace="answers", ignore=("self",))
    def embed(self, texts: list[str]) -> list[list[float]]:
        """Embed."""
        return [vector_of(text) for text in texts]

    @embeddings_cached(namespace="answers", ignore=("self",))
    async def later(self, texts: list[str]) -> list[list[float]]:
        """Embed, later."""
        return [vector_of(text) for text in texts]


def test_methods_are_cached_too(colour: Colour) -> None:
    """A method's texts are not its instance, and its verbs know the instance."""
    configure(cache_policy())
    method = Model().later if colour.is_async else Model().embed
    assert run(colour, lambda: method(["a"])) == [vector_of("a")]
    assert run(colour, lambda: method.peek(["b", "a"])) == [MISS, vector_of("a")]


@pytest.mark.usefixtures("policy")
def test_one_text_alone(colour: Colour) -> None:
    """A ``str`` is one text: the function is given it as it is, and its entry is that of a list of one."""
    asked: list[object] = []

    @colour.decorate(HERE)
    def either(texts: str | list[str]) -> list[list[float]]:
        asked.append(texts)
        return [vector_of(text) for text in ([texts] if isinstance(texts, str) else texts)]

    found = in_turn(colour, lambda: either("ab"), lambda: either(["ab", "c"]), lambda: either("c"))
    assert found == [[vector_of("ab")], [vector_of("ab"), vector_of("c")], [vector_of("c")]]
    assert asked == ["ab", ["c"]]
    assert either.keys("ab") == either.keys(["ab"])
    assert run(colour, lambda: either.bypass("d")) == [vector_of("d")]
    assert asked[-1] == "d"


@pytest.mark.usefixtures("policy")
def test_a_function_of_one_text(colour: Colour) -> None:
    """A function that takes one text and returns one vector is cached as well, and takes no list of them."""

    def plain(text: str) -> list[float]:
        return vector_of(text)

    def packed(text: str) -> array:  # type: ignore[type-arg] # it takes none before 3.12
        return array("d", vector_of(text))

    def numpy(text: str) -> npt.NDArray[np.float32]:
        return np.array(vector_of(text), "f4")

    for function in (plain, packed, numpy):
        embed = colour.decorate(HERE)(function)
        first, second = in_turn(colour, lambda embed=embed: embed("a"), lambda embed=embed: embed("a"))  # type: ignore[misc] # binds its own
        assert type(first) is type(second) is type(function("a"))
        assert list(first) == list(second) == vector_of("a")
        with pytest.raises(UnkeyableArgument, match="takes one text, and not a list"):
            run(colour, lambda embed=embed: embed(["a", "b"]))  # type: ignore[misc] # as above


def test_tokens_are_one_text(colour: Colour) -> None:
    """A list of token numbers is one text, as providers take it; lists of them are several."""
    configure(cache_policy())
    asked: list[object] = []

    @colour.decorate(HERE)
    def embed(input: Any) -> list[list[float]]:  # noqa: A002 - as the SDK calls it
        asked.append(input)
        return [vector_of(each) for each in ([input] if isinstance(input[0], int) else input)]

    found = in_turn(colour, lambda: embed([1, 2]), lambda: embed([[1, 2], [3]]))
    assert found == [[vector_of([1, 2])], [vector_of([1, 2]), vector_of([3])]]
    assert asked == [[1, 2], [[3]]]


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_m4_a_matrix_comes_back_as_one(colour: Colour, dtype: str) -> None:
    """M4: a numpy array with a row for each text is put together in order, with its dtype, and writable."""
    asked: list[list[str]] = []

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> npt.NDArray[Any]:
        asked.append(texts)
        return np.array([wide_vector_of(text) for text in texts], dtype)

    found = in_turn(colour, lambda: embed(["a", "b"]), lambda: embed(["c", "b", "c"]), lambda: embed(["c"]))
    for matrix, texts in zip(found, ("ab", "cbc", "c"), strict=True):
        assert (type(matrix), matrix.dtype) == (np.ndarray, np.dtype(dtype))
        assert np.array_equal(matrix, np.array([wide_vector_of(text) for text in texts], dtype))
        matrix[0] = 0
    assert asked == [["a", "b"], ["c"]]
    assert np.array_equal(run(colour, lambda: embed(["c"]))[0], np.array(wide_vector_of("c"), dtype))


@pytest.mark.usefixtures("policy")
def test_m4_lists_of_arrays(colour: Colour) -> None:
    """M4: a list of numpy arrays, and one of ``array``, come back as such, one of its own for each caller."""

    def numpy(texts: list[str]) -> list[npt.NDArray[np.float32]]:
        return [np.array(vector_of(text), "f4") for text in texts]

    def packed(texts: list[str]) -> list[array]:  # type: ignore[type-arg] # it takes none before 3.12
        return [array("f", vector_of(text)) for text in texts]

    for function in (numpy, packed):
        embed: Any = colour.decorate(HERE)(function)
        ask = functools.partial(embed, ["a"])
        _, second = in_turn(colour, ask, functools.partial(embed, ["b", "a", "a"]))
        assert [type(each) for each in second] == [type(function(["a"])[0])] * 3
        assert [list(each) for each in second] == [vector_of("b"), vector_of("a"), vector_of("a")]
        second[1][0] = 7.0
        assert list(second[2]) == vector_of("a")
        assert list(run(colour, ask)[0]) == vector_of("a")


@pytest.mark.usefixtures("policy")
def test_m4_callers_may_change_what_they_get(colour: Colour) -> None:
    """M4: each caller, and each duplicate, has a list of its own."""
    _, embed = lists(colour)
    first, _, second = in_turn(
        colour, lambda: embed(["a", "a"]), lambda: embed(["a"])[0].clear() if not colour.is_async else None,
        lambda: embed(["a", "a"]),
    )  # fmt: skip
    first[0].clear()
    second[0].clear()
    assert first[1] == second[1] == vector_of("smalla")
    assert run(colour, lambda: embed(["a"])) == expected("a")


def test_half_precision_is_a_choice(colour: Colour, redis_url: str) -> None:
    """``precision="float16"`` keeps half the bytes; hits are off by no more than half precision is."""
    configure(cache_policy(redis_url, local=NO_L1))
    _, embed = lists(colour, precision="float16")
    first, second = in_turn(colour, lambda: embed(["a"]), lambda: embed(["a"]))
    assert first == expected("a")
    assert second != first
    assert second[0] == pytest.approx(first[0], rel=5e-4, abs=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [[], [0.0] * DIMENSIONS, [math.nan, 1.0], [math.inf, 1.0], [-math.inf, 1.0]],
    ids=["empty", "zeros", "nan", "inf", "-inf"],
)
def test_m4_what_points_nowhere_is_not_kept(colour: Colour, wrong: list[float]) -> None:
    """M4: vectors that are empty, all zero or not finite are given to their caller, and not kept."""
    configure(cache_policy())
    asked: list[list[str]] = []

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> list[list[float]]:
        asked.append(texts)
        return [list(wrong) for _ in texts]

    first, second = in_turn(colour, lambda: embed(["a"]), lambda: embed(["a"]))
    assert repr(first) == repr(second) == repr([wrong])
    assert asked == [["a"], ["a"]]


def test_cache_if_is_asked_for_each_vector(colour: Colour) -> None:
    """``cache_if=`` takes one text's vector; what it does not want is computed again."""
    configure(cache_policy())
    asked, embed = lists(colour, cache_if=lambda vector: vector != vector_of("smallb"))
    in_turn(colour, lambda: embed(["a", "b"]), lambda: embed(["a", "b"]))
    assert asked == [["a", "b"], ["b"]]


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("give", "says"),
    [
        (lambda texts: [vector_of(text) for text in texts][1:], "1 vectors for 2 texts"),
        (lambda texts: [vector_of(text) for text in (*texts, "z")], "3 vectors for 2 texts"),
        (lambda texts: [vector_of(text, at + 3) for at, text in enumerate(texts)], "in one result: 3, 4"),
        (lambda texts: [tuple(vector_of(text)) for text in texts], "returned a tuple; by its annotation"),
        (lambda texts: "vectors", "returned a str; by its annotation"),
    ],
)  # fmt: skip
def test_m4_what_is_not_one_vector_for_each_text_is_an_error(
    colour: Colour, give: Callable[[list[str]], Any], says: str
) -> None:
    """M4: fewer or more vectors than texts, or of different dimensions, are an error, and nothing is kept."""
    right: list[bool] = []

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> list[list[float]]:
        return [vector_of(text) for text in texts] if right else give(texts)

    with pytest.raises(ResultsMismatch, match=says):
        run(colour, lambda: embed(["a", "b"]))
    right.append(True)
    assert run(colour, lambda: embed.peek(["a", "b"])) == [MISS, MISS]
    assert run(colour, lambda: embed(["a", "b"])) == [vector_of("a"), vector_of("b")]


@pytest.mark.usefixtures("policy")
def test_m4_dimensions_are_never_mixed(colour: Colour) -> None:
    """M4: where what is cached has other dimensions than what is new, all is computed anew, in one call."""
    size, asked = [3], []

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> list[list[float]]:
        asked.append(texts)
        return [vector_of(text, size[0]) for text in texts]

    run(colour, lambda: embed(["a"]))
    size[0] = 5
    assert run(colour, lambda: embed(["a", "b"])) == [vector_of("a", 5), vector_of("b", 5)]
    assert asked == [["a"], ["b"], ["a", "b"]]
    assert run(colour, lambda: embed(["b", "a"])) == [vector_of("b", 5), vector_of("a", 5)]
    assert len(asked) == 3


@pytest.mark.usefixtures("policy")
def test_m4_entries_of_other_dimensions_are_replaced(colour: Colour) -> None:
    """M4: entries that two calls left in different dimensions never stand in one result."""
    size = [3]

    @colour.decorate(HERE)
    def embed(texts: list[str]) -> list[list[float]]:
        return [vector_of(text, size[0]) for text in texts]

    run(colour, lambda: embed(["a"]))
    size[0] = 5
    run(colour, lambda: embed(["b"]))
    assert run(colour, lambda: embed(["a", "b"])) == [vector_of("a", 5), vector_of("b", 5)]
    assert run(colour, lambda: embed.peek(["a"])) == [vector_of("a", 5)]


@pytest.mark.usefixtures("policy")
def test_verbs_are_about_all_texts(colour: Colour) -> None:
    """The verbs are those of ``@cached_many``, and give what the function gives."""
    asked, embed = lists(colour)
    found = in_turn(
        colour,
        lambda: embed(["a", "b"]),
        lambda: embed.peek(["b", "z"]),
        lambda: embed.refresh(["a"]),
        lambda: embed.invalidate(["a", "z"]),
        lambda: embed.peek(["a", "b"]),
        lambda: embed.expire(["b"]),
        lambda: embed.bypass(["b", "a"]),
    )
    assert found == [
        expected("ab"), [*expected("b"), MISS], expected("a"), 1, [MISS, *expected("b")], 1, expected("ba"),
    ]  # fmt: skip
    assert asked == [["a", "b"], ["a"], ["b", "a"]]
    assert embed.policy.ttl == 3600


def test_control_and_stats(colour: Colour) -> None:
    """``control()``, ``observe()`` and ``stats()`` are about each different text."""
    configure(cache_policy())
    asked, embed = lists(colour)
    run(colour, lambda: embed(["a"]))
    with control(no_cache=True):
        run(colour, lambda: embed(["a"]))
    with observe() as seen:
        assert run(colour, lambda: embed(["b", "a", "b"])) == expected("bab")
    assert asked == [["a"], ["a"], ["b"]]
    assert sorted(one.outcome for one in seen) == [Outcome.HIT, Outcome.MISS]
    assert embed.stats().misses == 3


def test_all_of_a_model_goes_at_once(colour: Colour) -> None:
    """``tags: [model]``: all vectors of a model are invalidated by one write, and no other's."""
    configure(cache_policy(tags=["model"]))
    asked, embed = lists(colour)
    in_turn(colour, lambda: embed(["a", "b"]), lambda: embed(["a"], "large"))
    namespace("answers").purge_tag.sync("model", "small")
    in_turn(colour, lambda: embed(["a"], "large"), lambda: embed(["b", "a"]))
    assert asked == [["a", "b"], ["a"], ["b", "a"]]


def test_m7_without_a_tenant_nothing_is_cached(colour: Colour) -> None:
    """M7: ``scope: tenant``: a call that nobody answers for is not cached; tenants do not share."""
    configure(cache_policy(scope="tenant"))
    asked, embed = lists(colour)
    for _ in range(2):
        assert run(colour, lambda: embed(["a"])) == expected("a")
    for tenant in ("t1", "t2", "t1"):
        with scope(tenant=tenant):
            assert run(colour, lambda: embed(["a"])) == expected("a")
    assert len(asked) == 4


def test_c1_without_redis_the_function_is_asked_for_all(colour: Colour, own_redis: RedisServer) -> None:
    """C1: while Redis is down the function is called with all texts, in one call, and its result is given."""
    configure(cache_policy(own_redis.url, local=NO_L1))
    asked, embed = lists(colour)
    run(colour, lambda: embed(["a"]))
    own_redis.kill()
    assert run(colour, lambda: embed(["a", "b", "a"])) == expected("aba")
    assert asked == [["a"], ["a", "b"]]


def test_no_texts_at_all(colour: Colour) -> None:
    """No texts are no vectors, without a call; only the function knows what a matrix of none looks like."""
    configure(cache_policy())
    asked, embed = lists(colour)

    @colour.decorate(HERE)
    def matrix(texts: list[str]) -> npt.NDArray[Any]:
        asked.append(texts)
        return np.zeros((len(texts), 5))

    assert run(colour, lambda: embed([])) == []
    assert asked == []
    assert run(colour, lambda: matrix([])).shape == (0, 5)


@pytest.mark.parametrize("annotation", [str, "dict[str, list[float]] | None", "Nowhere"])
def test_an_unknown_result_is_refused(colour: Colour, annotation: object) -> None:
    """A return annotation that is of no embeddings, or cannot be read, is told on the first call."""
    configure(cache_policy())

    def embed(texts: list[str]) -> Any:
        return [vector_of(text) for text in texts]

    embed.__annotations__["return"] = annotation
    cached = colour.decorate(HERE)(embed)
    with pytest.raises(DecorationError, match=r"embed: (results annotated|its annotations cannot be read)"):
        run(colour, lambda: cached(["a"]))
