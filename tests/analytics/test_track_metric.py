"""``@track_metric``: what is counted of a call, by what, and that a call never notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from cachepolicy import (
    DecorationError,
    PolicyError,
    Uncountable,
    UnknownMetric,
    UnknownNamespace,
    configure,
    scope,
    track_metric,
)
from cachepolicy.flow.sketch import bucket
from tests.support.colour import Colour
from tests.support.tracking import Tracking, tracking_policy


@pytest.fixture
def tracking() -> Tracking:
    """Count in memory, while time stands still."""
    return Tracking().configure()


class Plan(Enum):
    """A plan."""

    PRO = "pro"


ANSWER = SimpleNamespace(model="m1", usage=SimpleNamespace(total_tokens=42))


def test_a_call_is_counted_with_its_labels_and_its_duration(colour: Colour, tracking: Tracking) -> None:
    """A call adds its value, one call, and its duration by the runtime's clock, all with the same labels."""

    @colour.decorate(track_metric("answers", labels=("plan", "model")))
    def answer(question: str, model: str, *, plan: str = "free") -> str:
        tracking.time.advance(0.25)
        return question.upper()

    assert colour.run(lambda: answer("why?", "m1")) == "WHY?"
    assert colour.run(lambda: answer("why?", model="m1", plan="pro")) == "WHY?"
    assert colour.run(lambda: answer("how?", "m1", plan="pro")) == "HOW?"
    assert tracking.taken() == {
        "answers": {("m1", "free"): 1, ("m1", "pro"): 2},
        "answers.calls": {("m1", "free"): 1, ("m1", "pro"): 2},
        "answers.duration": {("m1", "free"): 250_000, ("m1", "pro"): 500_000},
    }
    colour.run(lambda: answer("why?", "m1"))
    assert tracking.series("answers") == {(("model", "m1"), ("plan", "free"))}


def test_durations_are_a_histogram(colour: Colour, tracking: Tracking) -> None:
    """Each duration is in a bucket of the accuracy that the policy says; ``duration=False`` keeps none."""
    tracking.configure(metrics={"answers": {"accuracy": "5%"}})

    @colour.decorate(track_metric("answers"))
    def answer(seconds: float) -> None:
        tracking.time.advance(seconds)

    @colour.decorate(track_metric("quick", duration=False))
    def quick() -> None:
        return None

    for seconds in (0.25, 0.25, 3.0, 0.0):
        colour.run(partial(answer, seconds))
    colour.run(quick)
    cells = tracking.cells()
    assert cells == {
        ("answers", ""): 4,
        ("answers.calls", ""): 4,
        ("answers.duration", ""): 3_500_000,
        ("answers.duration", "count"): 4,
        ("answers.duration", bucket(0.25, 0.05)): 2,
        ("answers.duration", bucket(3.0, 0.05)): 1,
        ("answers.duration", bucket(0.0, 0.05)): 1,
        ("quick", ""): 1,
        ("quick.calls", ""): 1,
    }


@pytest.mark.parametrize(
    ("on", "counted"),
    [("success", 10), ("error", 100), ("always", 1110)],
)
def test_on_says_with_which_calls_the_value_counts(
    colour: Colour, tracking: Tracking, on: Any, counted: int
) -> None:
    """Calls, errors, cancellations and durations are counted in any case; the value as ``on`` says."""

    @colour.decorate(track_metric("answers", value="weight", on=on))
    def answer(weight: int, error: BaseException | None = None) -> str:
        if error is not None:
            raise error
        return "done"

    assert colour.run(lambda: answer(10)) == "done"
    with pytest.raises(ValueError, match="own"):
        colour.run(lambda: answer(100, ValueError("own")))
    with pytest.raises(asyncio.CancelledError):
        colour.run(lambda: answer(1000, asyncio.CancelledError()))
    sums = tracking.sums()
    assert sums["answers"] == counted
    assert (sums["answers.calls"], sums["answers.errors"], sums["answers.cancelled"]) == (3, 1, 1)


def test_what_is_no_exception_is_no_error(tracking: Tracking) -> None:
    """KeyboardInterrupt and SystemExit pass as they are, and count as cancelled."""

    @track_metric("answers")
    def answer(error: BaseException) -> None:
        raise error

    for error in (KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(error)) as raised:
            answer(error)
        assert raised.value is error
    assert tracking.sums()["answers.cancelled"] == 2


def test_a_task_that_is_cancelled_is_no_error(tracking: Tracking) -> None:
    """A call that its task's cancellation ends counts as cancelled, and the task is cancelled."""

    @track_metric("answers")
    async def answer() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(answer())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    sums = tracking.sums()
    assert (sums["answers.calls"], sums["answers.cancelled"], "answers.errors" in sums) == (1, 1, False)


@pytest.mark.parametrize(
    "value",
    [42, 42.0, "count", "box.items[0]", "more", "result.usage.total_tokens", lambda r: r.usage.total_tokens],
)
def test_a_value_is_a_number_or_is_read(colour: Colour, tracking: Tracking, value: Any) -> None:
    """A value is a number, an expression of the arguments or of the result, or what takes the result."""

    @colour.decorate(track_metric("tokens", value=value))
    def answer(count: int, box: Any, **rest: int) -> Any:
        return ANSWER

    assert colour.run(lambda: answer(42, SimpleNamespace(items=[42]), more=42)) is ANSWER
    assert tracking.sums()["tokens"] == 42


def test_labels_are_read_of_arguments_result_and_scope(colour: Colour, tracking: Tracking) -> None:
    """A mapping says of each label what it is."""
    labels: dict[str, Any] = {
        "plan": "request.user.plan",
        "key": 'request.headers["x-key"]',
        "model": "result.model",
        "size": lambda answer: "large" if answer.usage.total_tokens > 40 else "small",
        "tenant": "scope.tenant",
        "region": "region",
    }

    @colour.decorate(track_metric("answers", labels=labels))
    def answer(request: Any, **rest: str) -> Any:
        return ANSWER

    request = SimpleNamespace(user=SimpleNamespace(plan=Plan.PRO), headers={"x-key": "k"})
    with scope(tenant="t1"):
        colour.run(lambda: answer(request, region="eu"))
    (series,) = tracking.series("answers")
    assert dict(series) == {
        "plan": "pro",
        "key": "k",
        "model": "m1",
        "size": "large",
        "tenant": "t1",
        "region": "eu",
    }
    assert tracking.errors() == {}


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ("free", "free"),
        (Plan.PRO, "pro"),
        (1, "1"),
        (True, "true"),
        (False, "false"),
        (0.5, "0.5"),
        (None, "unknown"),
        ("", "unknown"),
    ],
)
def test_what_a_label_may_be(tracking: Tracking, found: object, text: str) -> None:
    """Text, numbers, truth and enums are labels; None and nothing are ``unknown``, and no error."""

    @track_metric("answers", labels=("plan",))
    def answer(plan: object) -> None:
        return None

    for _ in range(2):
        answer(found)
        assert tracking.series("answers") == {(("plan", text),)}
    assert tracking.errors() == {}


def _fail(_: object) -> str:
    raise KeyError("secret")


class Hostile:
    """An object of which nothing can be had."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("secret")


@pytest.mark.parametrize(
    "what",
    ["request", "request.user.plan", 'request["plan"]', "result.model", _fail],
    ids=lambda what: what if isinstance(what, str) else "callable",
)
@pytest.mark.parametrize(
    "request_", [Hostile(), [], object(), SimpleNamespace(user=None)], ids=lambda r: type(r).__name__
)
def test_c1_a_label_that_cannot_be_read_is_unknown(
    colour: Colour, tracking: Tracking, caplog: pytest.LogCaptureFixture, what: Any, request_: Any
) -> None:
    """C1: the call has its result, and is counted; the error of the metric is counted, and told once."""

    @colour.decorate(track_metric("answers", labels={"plan": what}))
    def answer(request: Any) -> Any:
        return request

    with caplog.at_level(logging.WARNING, "cachepolicy"):
        for _ in range(3):
            assert colour.run(lambda: answer(request_)) is request_
    assert tracking.taken()["answers"] == {("unknown",): 3}
    assert tracking.errors() == {"metric.label": 3}
    assert sum("plan" in message for message in caplog.messages) == 1
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "value",
    [-1, 0.5, float("nan"), float("inf"), -0.5, "3", True, 2**63, [], None, Hostile()],
    ids=lambda value: type(value).__name__,
)
def test_c1_a_value_that_cannot_be_counted_is_an_error_of_the_metric(
    colour: Colour, tracking: Tracking, value: Any
) -> None:
    """C1: such a value is not counted, the call is; the call has its result."""

    @colour.decorate(track_metric("answers", value=lambda result: result[0]))
    def answer() -> Any:
        return [value]

    assert colour.run(answer)[0] is value
    assert tracking.sums()["answers.calls"] == 1
    assert tracking.errors() == {"metric.value": 1}


def test_c1_a_bug_in_counting_is_no_error_of_the_call(
    colour: Colour, tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C1: whatever fails while a call is counted, the call has its result, or its own error."""
    from cachepolicy.runtime.tracking import Tracker

    @colour.decorate(track_metric("answers"))
    def answer(error: Exception | None = None) -> str:
        if error is not None:
            raise error
        return "done"

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Tracker, "track", broken)
    assert colour.run(answer) == "done"
    with pytest.raises(ValueError, match="own"):
        colour.run(lambda: answer(ValueError("own")))
    assert tracking.errors() == {"internal.ZeroDivisionError": 2}


def test_a_call_that_failed_has_no_result_to_be_asked(colour: Colour, tracking: Tracking) -> None:
    """Where the result was to tell a label, a failed call's is ``unknown``, and no error of the metric."""

    @colour.decorate(
        track_metric(
            "answers", value="result.usage.total_tokens", labels={"model": "result.model"}, on="always"
        )
    )
    def answer() -> Any:
        raise ValueError("own")

    with pytest.raises(ValueError, match="own"):
        colour.run(answer)
    assert tracking.taken()["answers.errors"] == {("unknown",): 1}
    assert tracking.errors() == {}


def test_calls_are_counted_in_the_hour_in_which_they_end(tracking: Tracking) -> None:
    """An hour's turn begins new cells, for series that are known too."""

    @track_metric("answers", labels=("plan",), duration=False)
    def answer(plan: str) -> None:
        return None

    for _ in range(3):
        answer("free")
        tracking.time.advance(3600)
    hours = [cell.hour for cells in tracking._batches() for metric, cell, _ in cells if metric == "answers"]
    assert [hour - hours[0] for hour in hours] == [0, 1, 2]


def test_one_function_may_be_counted_by_several(colour: Colour, tracking: Tracking) -> None:
    """Several of these decorators count side by side, each by its own kind."""
    from cachepolicy.runtime import current

    tracking.configure(
        metrics={"size": {"kind": "histogram"}, "queue": {"kind": "gauge"}, "users": {"kind": "uniques"}}
    )

    def all_of(function: Callable[..., Any]) -> Any:
        for name, value in (("size", "size"), ("queue", "size"), ("users", "user"), ("answers", 1)):
            function = track_metric(name, value=value, duration=False)(function)
        return function

    @colour.decorate(all_of)
    def answer(size: float, user: str) -> None:
        return None

    colour.run(lambda: answer(2.5, "u1"))
    colour.run(lambda: answer(1.5, "u2"))
    batches = {
        batch.metric: batch
        for _, batch in current.current().analytics.desk("analytics", "test").buffer.take()
    }
    (seen,) = batches["users"].uniques.values()
    (shown,) = batches["queue"].gauges.values()
    assert len(seen) == 2
    assert (shown.value, shown.low, shown.high) == (1.5, 1.5, 2.5)
    assert sum(batches["answers"].counts.values()) == 2
    sums = {cell.part: value for cell, value in batches["size"].counts.items()}
    assert (sums[""], sums["count"]) == (4_000_000, 2)


def test_what_is_derived_is_declared_with_the_metric(colour: Colour, tracking: Tracking) -> None:
    """Where only declared metrics may be counted, calls, errors, cancellations and durations come with it."""
    tracking.configure(
        undeclared="refuse", metrics={"answers": {"labels": ["plan"], "values": {"plan": "pro"}}}
    )

    @colour.decorate(track_metric("answers", labels=("plan",)))
    def answer(plan: str, error: BaseException | None = None) -> None:
        if error is not None:
            raise error

    colour.run(lambda: answer("pro"))
    colour.run(lambda: answer("other"))
    for error in (ValueError("own"), asyncio.CancelledError()):
        with pytest.raises(type(error)):
            colour.run(partial(answer, "pro", error))
    taken = tracking.taken()
    assert taken.pop("answers.duration").keys() == {("pro",), ("__other__",)}
    assert taken == {
        "answers": {("pro",): 1, ("__other__",): 1},
        "answers.calls": {("pro",): 3, ("__other__",): 1},
        "answers.errors": {("pro",): 1},
        "answers.cancelled": {("pro",): 1},
    }


def test_what_takes_the_result_is_called_once(colour: Colour, tracking: Tracking) -> None:
    """A callable is asked once of each call that has a result, whatever it says, and of no other."""
    asked = []

    def plan(result: object) -> object:
        asked.append(result)
        return result

    @colour.decorate(track_metric("answers", labels={"plan": plan}))
    def answer(result: object) -> object:
        if result is Exception:
            raise ValueError("own")
        return result

    for result in (None, 5, "free", "free"):
        colour.run(partial(answer, result))
    with pytest.raises(ValueError, match="own"):
        colour.run(lambda: answer(Exception))
    assert asked == [None, 5, "free", "free"]
    assert tracking.taken()["answers"] == {("unknown",): 1, ("5",): 1, ("free",): 2}


def test_a_new_policy_counts_from_its_first_call_on(colour: Colour, tracking: Tracking) -> None:
    """After ``configure()`` calls are counted under the new policy, and only there."""

    @colour.decorate(track_metric("answers"))
    def answer() -> None:
        return None

    colour.run(answer)
    tracking.configure()
    assert tracking.sums() == {}
    colour.run(answer)
    assert tracking.sums()["answers"] == 1


@pytest.mark.parametrize(
    ("options", "rule", "error", "message"),
    [
        ({"namespace": "nothing"}, {}, UnknownNamespace, "nothing"),
        ({"namespace": "cache"}, {}, PolicyError, "of kind cache"),
        ({}, {"undeclared": "refuse"}, UnknownMetric, "answers"),
        ({}, {"metrics": {"answers": {"labels": ["model"]}}}, Uncountable, "it may have: model"),
        ({}, {"metrics": {"answers": {"kind": "money", "labels": ["plan"]}}}, PolicyError, "record_revenue"),
        ({}, {"metrics": {"answers": {"kind": "uniques", "labels": ["plan"]}}}, PolicyError, "value=1"),
        ({"value": 0.5}, {}, PolicyError, "value=0.5"),
    ],
)
def test_a_policy_that_does_not_fit_is_told_before_the_call(
    colour: Colour, options: dict[str, Any], rule: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A mistake in the policy or the decorator is an error of the first call; the function is not called."""
    configure(tracking_policy(more={"cache": {"kind": "cache", "scope": "global"}}, **rule))
    calls = []

    @colour.decorate(track_metric("answers", labels=("plan",), **options))
    def answer(plan: str) -> None:
        calls.append(plan)

    with pytest.raises(error, match=message):
        colour.run(lambda: answer("free"))
    assert calls == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on": "failure"}, "on='failure': expected one of success, error, always"),
        ({"value": -1}, "value=-1: expected a number"),
        ({"value": True}, "value=True: expected a number"),
        ({"value": float("nan")}, "value=nan: expected a number"),
        ({"value": "plam"}, r"value='plam': no such parameter; did you mean 'plan'\?"),
        ({"value": "result.n", "on": "error"}, "a call that failed has no result"),
        ({"value": len, "on": "error"}, "a call that failed has no result"),
        ({"labels": "plan"}, r"labels=\('plan',\)"),
        ({"labels": ("user.plan",)}, "say what it is called"),
        ({"labels": ("user",)}, "labels: user='user': no such parameter"),
        ({"labels": {"plan": "user..plan"}}, "labels: plan='user..plan': expected a parameter"),
    ],
)
def test_what_cannot_be_read_is_told_when_a_function_is_decorated(
    options: dict[str, Any], message: str
) -> None:
    """No policy is needed to tell a mistake in the decorator's own arguments."""

    def answer(plan: str) -> None:
        return None

    with pytest.raises(DecorationError, match=message):
        track_metric("answers", **options)(answer)


def test_a_parameter_goes_before_the_result(tracking: Tracking) -> None:
    """Where a parameter is called ``result``, that is what is read."""

    @track_metric("answers", labels={"plan": "result.plan"})
    def answer(result: Any) -> None:
        return None

    answer(SimpleNamespace(plan="pro"))
    assert tracking.series("answers") == {(("plan", "pro"),)}
