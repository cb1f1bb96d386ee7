"""Scores of the user's own module: values, intervals, and runs that are fed as the module says."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import InvalidFile, MeasurementFailed
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.task.labelled_data import Score, make_labelled_data
from explorer.network.task.score import mean_quality
from explorer.network.task.task import Task, prepare_task
from explorer.problem import targets as registry
from explorer.problem.targets import Target
from tests.network.exports import N, X, Y, export

LABELS = np.where(np.arange(N) < 20, (Y + 1) % 10, Y)
SESSIONS: dict[str, Session] = {}


@pytest.fixture(autouse=True)
def _share() -> Iterator[None]:
    """Declare the target `share` for one test."""
    Target("share", "max", "", (0.0, 1.0), "bootstrap")
    yield
    registry._DECLARED.pop("share")  # noqa: SLF001 - the vocabulary of the process


def prepared(score: Score, *, name: str = "plain", targets: tuple[str, ...] = ("share",), **arrays: Any) -> Task:
    session = SESSIONS.setdefault(name, open_inference_session(export(name).SerializeToString()))
    data = make_labelled_data({"x": X, "y": LABELS, **arrays}, source="python:mine", score=score)
    return prepare_task(session, data, targets=targets)


def share_of_set(run: Any, inputs: Any, y: Any) -> float:
    return float((run(inputs)["logits"].argmax(axis=1) == y).mean())


def share_of_each(run: Any, inputs: Any, y: Any) -> Any:
    return run(inputs)["logits"].argmax(axis=1) == y


def share_one_by_one(run: Any, inputs: Any, y: Any) -> float:
    return float(np.mean([run({"x": x[None]})["logits"].argmax() == label for x, label in zip(inputs["x"], y)]))  # noqa: B905


def share_by_32(run: Any, inputs: Any, y: Any) -> float:
    parts = [run(inputs["x"][start : start + 32])["logits"] for start in range(0, len(y), 32)]
    return float((np.concatenate(parts).argmax(axis=1) == y).mean())


def share_of_scaled(run: Any, inputs: Any, y: Any) -> float:
    return float((run({"x": inputs["x"] * 2})["logits"].argmax(axis=1) == y).mean())


@pytest.mark.parametrize("score", [share_of_set, share_by_32, share_of_scaled])
@pytest.mark.parametrize("name", ["plain", "batch_fixed_at_1", "reshape_to_one_sample"])
def test_score_of_a_set_of_means_is_the_mean_of_samples(score: Score, name: str) -> None:
    """However it feeds the network; the intervals differ by the number of resamples only."""
    each, of_set = prepared(share_of_each).source["share"], prepared(score, name=name).source["share"]

    assert each.value == of_set.value == 0.9
    assert (of_set.lo, of_set.hi) == pytest.approx((each.lo, each.hi), abs=0.01)
    assert of_set.per_sample is None
    assert each.per_sample is not None


def test_resamples_repeat_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    task = prepared(share_by_32)
    runs: list[int] = []
    inner = Session.run

    def counted(self: Session, feeds: Any, **options: Any) -> Any:
        runs.append(len(feeds["x"]))
        return inner(self, feeds, **options)

    monkeypatch.setattr(Session, "run", counted)
    quality = task.evaluate(SESSIONS["plain"])["share"]

    assert sum(runs) == N
    assert quality == task.source["share"]


def test_a_score_of_dependent_inputs_is_run_again_and_says_so() -> None:
    def centred(run: Any, inputs: Any, y: Any) -> float:
        return float((run({"x": inputs["x"] - inputs["x"].mean(axis=0)})["logits"].argmax(axis=1) == y).mean())

    task = prepared(centred)

    assert "depend on the other samples" in task.warnings[0]
    assert task.source["share"].lo < task.source["share"].value < task.source["share"].hi


def test_samples_of_several_sizes_and_labels_of_any_kind_reach_the_score() -> None:
    """Ragged inputs as tuples, labels as dicts with lists; the digest tells them apart."""
    inputs = tuple(np.repeat(x[None], 1 + i % 2, axis=0) for i, x in enumerate(X[:30]))
    labels = [{"boxes": [[0.0, 1.0]] * (i % 3), "class": int(y)} for i, y in enumerate(LABELS[:30])]

    def score(run: Any, inputs: Any, y: Any) -> float:
        pairs = zip(inputs["x"], y, strict=True)
        return float(np.mean([run(x)["logits"][0].argmax() == one["class"] for x, one in pairs]))

    task = prepared(score, x=inputs, y=labels)
    other = make_labelled_data({"x": inputs, "y": [*labels[:-1], {}]}, source="python:mine", score=score)

    assert task.source["share"].value == pytest.approx(1 / 3)
    assert task.data.sha256 != other.sha256
    with pytest.raises(InvalidFile, match="an object of type object"):
        make_labelled_data({"x": X[:1], "y": [object()]}, source="python:mine", score=score)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (1.5, r"returned share = 1.5, outside \[0, 1\]"),
        (float("nan"), "returned NaN or infinity for share"),
        ([0.5, 0.5], r"returned shape \(2,\) for share\n  fix: return one number, or one for each of 200"),
        ("good", "returned str for share"),
        (None, "returned None for share"),
        ({"map": 1}, "returned map, but not share\n  fix: declare what it returns .--target map:max"),
    ],
)
def test_what_a_score_returns_is_checked(returned: Any, message: str) -> None:
    with pytest.raises(MeasurementFailed, match=message):
        prepared(lambda run, inputs, _: (run(inputs), returned)[1])


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"z": X}, "run of python:mine passes z and leaves out x\n  fix: the inputs of the network are x"),
        ({"x": X[:, :5]}, "onnxruntime cannot run the network"),
        ({"x": X.astype(complex)}, "passes complex128 for input 'x'"),
        ({"x": [X[0], X[1, :3]]}, "passes samples of several shapes"),
    ],
)
def test_what_a_score_feeds_is_checked(feeds: Any, message: str) -> None:
    with pytest.raises(MeasurementFailed, match=message):
        prepared(lambda run, _inputs, _y: run(feeds)["logits"].sum())


def test_an_output_that_the_network_lacks_is_named() -> None:
    with pytest.raises(MeasurementFailed, match="KeyError: \"run returned no 'scores'; it returned logits\""):
        prepared(lambda run, inputs, _: run(inputs)["scores"].mean())


def test_prints_of_a_score_are_no_data_and_appear_once(capsys: pytest.CaptureFixture[str]) -> None:
    prepared(lambda run, inputs, y: (sys.stdout.write("seen"), share_of_set(run, inputs, y))[1])

    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("seen") == 1  # not once for each resample


def test_a_score_cannot_change_the_samples_and_must_run_the_network() -> None:
    def scale_in_place(_run: Any, inputs: Any, _y: Any) -> float:
        inputs["x"] *= 2
        return 0.0

    with pytest.raises(MeasurementFailed, match="read-only"):
        prepared(scale_in_place)
    with pytest.raises(MeasurementFailed, match="score of python:mine did not run the network"):
        prepared(lambda _run, _inputs, _y: 0.5)


def test_score_alone_decides_the_feeds_of_a_network_with_states() -> None:
    """A scalar input without an array of its own."""

    def score(run: Any, inputs: Any, y: Any) -> Any:
        return run({"x": inputs["x"], "rate": 1.0})["logits"].argmax(axis=1) == y

    task = prepared(score, name="scalar_input")

    assert task.source["share"].value == 0.9
    assert task.feeds == {}
    assert task.one_run["rate"].dtype == np.float32


def test_accuracy_of_a_score_is_counted() -> None:
    task = prepared(lambda run, inputs, y: {"share": 0.5, "accuracy": share_of_each(run, inputs, y)})

    assert task.targets == ("share", "accuracy")
    assert task.source["accuracy"].n_right == 180


@given(values=st.lists(st.floats(-10, 10), min_size=1, max_size=50))
def test_interval_contains_the_mean(values: list[float]) -> None:
    quality = mean_quality(np.array(values), seed=1)

    assert quality.lo <= quality.value <= quality.hi
    assert min(values) - 1e-9 <= quality.lo
    assert quality.hi <= max(values) + 1e-9


def test_bootstrap_interval_has_nominal_coverage() -> None:
    """The true mean of exponential values is 1; with 60 samples the percentile interval covers a little less."""
    rng = np.random.default_rng(0)
    qualities = [mean_quality(rng.exponential(size=60), seed=i) for i in range(150)]

    assert 0.82 < np.mean([quality.lo <= 1 <= quality.hi for quality in qualities]) < 0.94


def test_designs_are_compared_on_the_same_resamples() -> None:
    """Each sample of the second is better by .1: so is each bound."""
    values = np.random.default_rng(0).normal(size=80)
    first, second = mean_quality(values, seed=7), mean_quality(values + 0.1, seed=7)

    assert (second.lo - first.lo, second.hi - first.hi) == pytest.approx((0.1, 0.1))
