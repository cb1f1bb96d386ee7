"""Task of a network: feeds, read output and score, decided once from the source network and used for each version."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import MeasurementFailed, UnknownName
from explorer.network.graph.session import Array, Session
from explorer.network.task.feeds import (
    Feeds,
    Remaining,
    Stacking,
    late_batch_hint,
    match_inputs,
    name_only_input,
    random_warnings,
    settle_batch,
)
from explorer.network.task.labelled_data import LabelledData, Samples, take_inputs, take_samples
from explorer.network.task.outputs import ClassReading, choose_output
from explorer.network.task.replay import OutputStore, Runner
from explorer.network.task.runs import run_samples
from explorer.network.task.score import (
    Float,
    Quality,
    call_user,
    interval_quality,
    mean_quality,
    read_scores,
    resample_rows,
    share_quality,
)

_N_SET_RESAMPLES = (20, 200)  # least and most, of a score of the whole set
_RESAMPLE_SECONDS = 10.0  # for one design


@dataclass(frozen=True, slots=True)
class Task:
    """Feeds, output and score of a network and all its compressed versions.

    Args:
        data: labelled samples.
        feeds: all samples by input name, in the types and shapes of the network's inputs; empty where `predict` or
            `score` decides the feeds.
        constants: arrays that every run takes, by input name.
        batch: number of samples of a run.
        output: name of the scored output; empty where `predict` or `score` decides.
        targets: the measured qualities.
        one_run: feeds of one real run, which are timed and counted.
        notes: the decisions, in sentences for the user.
        warnings: doubts in the decisions, in sentences for the user.
        source: quality of the source network by target.
        prepared: the samples as they are run; None where `predict` or `score` runs them.
        reading: how the output gives classes; None where `predict` or `score` gives them.
        stacking: outcome of a run of several samples, where `predict` or `score` runs them.
        n_resamples: number of resamples of a score of the whole set; 0 without an interval.
    """

    data: LabelledData
    feeds: Mapping[str, Array]
    constants: Mapping[str, Array]
    batch: int
    output: str
    targets: tuple[str, ...]
    one_run: Mapping[str, Array]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    source: Mapping[str, Quality] = field(default_factory=dict)
    prepared: Feeds | None = None
    reading: ClassReading | None = None
    stacking: Stacking | None = None
    n_resamples: int = 0

    def sample_runs(self, n: int) -> list[dict[str, Array]]:
        """Return feeds of up to n runs, evenly spaced over the samples; the one real run where a module feeds."""
        if self.prepared is None:
            return [dict(self.one_run)]
        last = max(self.prepared.n_samples - self.batch, 0)
        starts = np.unique(np.linspace(0, last, n).astype(int)).tolist()
        return [self.prepared.of(start, min(start + self.batch, self.prepared.n_samples)) for start in starts]

    def evaluate(
        self, session: Session, rows: NDArray[Any] | None = None, *, remaining: Remaining = lambda: None
    ) -> dict[str, Quality]:
        """Return the quality of a version of the network by target.

        Args:
            session: inference session of the version.
            rows: indices or mask of the samples to use; None: all of them.
            remaining: returns the seconds that are left, None without a limit.

        Raises:
            MeasurementFailed: a run failed or exceeded its time limit, an output is NaN, or `predict` or `score` fails.
        """
        if self.prepared is not None and self.reading is not None:
            labels = self.data.labels if rows is None else take_samples(self.data.labels, rows)
            outputs, ignored = run_samples(
                session, self.prepared.take(rows), keep=(self.output,), remaining=remaining
            )  # fmt: skip
            if self.output in ignored:
                text = f"output '{self.output}' {ignored[self.output]}"
                raise MeasurementFailed(text, fix="use the source network's shapes")
            return {"accuracy": share_quality(self.reading.classes(outputs[self.output]) == labels)}
        return _Evaluation(self, session, rows, remaining).qualities()

    def summarize(self, per_sample: NDArray[Any], target: str = "accuracy") -> Quality:
        """Return the quality under a target from the value of each sample, shape (n,)."""
        del target
        if per_sample.dtype == np.bool_:
            return share_quality(per_sample)
        return mean_quality(per_sample, seed=_seed(self.data))

    def evaluate_parts(
        self, session: Session, parts: Mapping[str, NDArray[np.bool_]], *, remaining: Remaining = lambda: None
    ) -> dict[str, dict[str, Quality]]:
        """Return the qualities of several parts of the samples, by name of the part; each sample is run once.

        Scores of the whole set are computed again for each part.

        Raises:
            MeasurementFailed: as `evaluate`.
        """
        if self._is_split_afterwards(parts):
            return self._split(self.evaluate(session, remaining=remaining), parts)
        return {name: self.evaluate(session, mask, remaining=remaining) for name, mask in parts.items()}

    def source_parts(
        self, session: Session, parts: Mapping[str, NDArray[np.bool_]], *, remaining: Remaining = lambda: None
    ) -> dict[str, dict[str, Quality]]:
        """Return the qualities of parts of the samples for the source network, run again only where it must be.

        Raises:
            MeasurementFailed: as `evaluate`.
        """
        if self._is_split_afterwards(parts):
            return self._split(self.source, parts)
        return self.evaluate_parts(session, parts, remaining=remaining)

    def _is_split_afterwards(self, parts: Mapping[str, NDArray[np.bool_]]) -> bool:
        is_each = all(quality.per_sample is not None for quality in self.source.values())
        return is_each or (len(parts) == 1 and all(mask.all() for mask in parts.values()))

    def _split(
        self, qualities: Mapping[str, Quality], parts: Mapping[str, NDArray[np.bool_]]
    ) -> dict[str, dict[str, Quality]]:
        if len(parts) == 1:
            return {name: dict(qualities) for name in parts}
        values = {target: np.asarray(quality.per_sample) for target, quality in qualities.items()}
        return {
            name: {target: self.summarize(each[mask], target) for target, each in values.items()}
            for name, mask in parts.items()
        }  # fmt: skip


def prepare_task(
    session: Session,
    data: LabelledData,
    *,
    output: str | None = None,
    targets: Sequence[str] = (),
    is_scored: bool = True,
    remaining: Remaining = lambda: None,
) -> Task:
    """Decide on feeds, read output and score from the source network, and evaluate it.

    Args:
        session: inference session of the source network.
        data: labelled samples.
        output: name of the output to read; None or empty chooses it.
        targets: declared targets that `score` returns; empty: accuracy.
        is_scored: False only decides on the feeds, for data whose labels do not matter: the task evaluates nothing.
        remaining: returns the seconds that are left, None without a limit.

    Raises:
        UnknownName: there is no such output.
        InvalidFile: the data does not fit the network.
        MeasurementFailed: the network cannot be run, no output gives classes, or `predict` or `score` fails.
    """
    if output and output not in session.outputs:
        raise UnknownName("output", output, session.outputs)
    if data.decides_feeds:
        return _prepare_own(session, data, targets=tuple(targets), remaining=remaining)
    if targets:
        fix = "give --data python:MODULE with score(run, inputs, y)"
        raise MeasurementFailed(f"{', '.join(targets)} cannot be measured: {data.source} has no score", fix=fix)
    feeds = match_inputs(data.inputs, session.inputs, n=data.n_samples, source=data.source)
    try:
        return _prepare_fed(session, data, feeds, output=output or "", is_scored=is_scored, remaining=remaining)
    except MeasurementFailed as error:
        hint = late_batch_hint(feeds, session.inputs)
        raise MeasurementFailed(error.problem, fix=hint or error.fix) from error


def _prepare_fed(
    session: Session, data: LabelledData, feeds: Feeds, *, output: str, is_scored: bool, remaining: Remaining
) -> Task:
    """Return the task whose samples are fed as they match the network's inputs."""
    feeds = settle_batch(session, feeds, remaining=remaining)
    if not is_scored:
        return Task(
            data, feeds.samples, feeds.constants, feeds.batch, output, (), feeds.of(0, 1), notes=(_fed(feeds),),
            prepared=feeds,
        )  # fmt: skip
    doubts = random_warnings(session, feeds, remaining=remaining)
    outputs, ignored = run_samples(session, feeds, remaining=remaining)
    if output in ignored and feeds.is_stacked and feeds.batch == 1:  # it may have a row where samples are run alone
        feeds = replace(feeds, is_stacked=False, why=f"output '{output}' has no row for each sample of a batch")
        outputs, ignored = run_samples(session, feeds, remaining=remaining)
    read = choose_output(outputs, ignored, np.asarray(data.labels), name=output, source=data.source)
    return Task(
        data, feeds.samples, feeds.constants, feeds.batch, read.reading.name, ("accuracy",), feeds.of(0, 1),
        notes=(_fed(feeds), *read.notes), warnings=(*doubts, *read.warnings),
        source={"accuracy": share_quality(read.is_correct)}, prepared=feeds, reading=read.reading,
    )  # fmt: skip


def _prepare_own(session: Session, data: LabelledData, *, targets: tuple[str, ...], remaining: Remaining) -> Task:
    """Return the task whose `predict` or `score` runs the network."""
    names = tuple(targets) or ("accuracy",)
    if data.score is None and targets:
        text = f"{', '.join(targets)} cannot be measured: {data.source} has no score"
        raise MeasurementFailed(text, fix="write score(run, inputs, y), which returns it")
    task = Task(data, {}, {}, 1, "", names, {})
    evaluation = _Evaluation(task, session, None, remaining)
    values = evaluation.values()
    if not evaluation.runner.one_run:
        text = f"{evaluation.name} of {data.source} did not run the network"
        raise MeasurementFailed(text, fix="call run(inputs) in it: it returns the outputs by name")
    n_resamples, warnings = evaluation.plan_resamples(values)
    task = replace(
        task, targets=tuple(values), one_run=evaluation.runner.one_run, stacking=evaluation.runner.stacking,
        n_resamples=n_resamples,
    )  # fmt: skip
    evaluation.task = task
    shapes = ", ".join(f"'{name}' {array.dtype} {array.shape}" for name, array in task.one_run.items())
    notes = [f"fed and read by {evaluation.name} of {data.source}; its first run was fed {shapes}"]
    if n_resamples:
        sets = ", ".join(name for name, value in values.items() if not value.ndim)
        notes.append(f"{sets}: one number for the set, with the 90 % bootstrap interval of {n_resamples} resamples")
    return replace(task, notes=tuple(notes), warnings=tuple(warnings), source=evaluation.qualities(values))


@dataclass
class _Evaluation:
    """One evaluation of a network by the user's predict or score."""

    task: Task
    session: Session
    rows: NDArray[Any] | None
    remaining: Remaining
    inputs: dict[str, Samples] = field(init=False)
    labels: Samples = field(init=False)
    store: OutputStore | None = field(init=False)
    runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        data = self.task.data
        inputs, labels = dict(data.inputs), data.labels
        if self.rows is not None:
            inputs = take_inputs(inputs, self.rows, n=data.n_samples)
            labels = take_samples(labels, self.rows)
        named = name_only_input(inputs, self.session.inputs)
        self.inputs = {name: _read_only(values) for name, values in named.items()}
        self.labels = _read_only(labels)
        is_set = data.score is not None and (self.task.n_resamples > 0 or not self.task.source)
        self.store = OutputStore(self.inputs, n=len(labels)) if is_set else None
        self.runner = Runner(
            self.session, data.source, self.store, self.remaining, len(labels), stacking=self.task.stacking
        )

    @property
    def name(self) -> str:
        """Name of the user's function."""
        return "score" if self.task.data.score is not None else "predict"

    def values(self) -> dict[str, NDArray[Any]]:
        """Return the values of the user's function by target: shape (n,), or () for the set."""
        return self._call(self.runner, self.inputs, self.labels)

    def qualities(self, values: Mapping[str, NDArray[Any]] | None = None) -> dict[str, Quality]:
        """Return the quality by target, with its interval."""
        values = self.values() if values is None else values
        n, resampled = len(self.labels), self._resampled(values)
        return {
            name: self.task.summarize(each, name) if each.ndim
            else interval_quality(float(each), resampled[name], n=n)
            for name, each in values.items()
        }  # fmt: skip

    def plan_resamples(self, values: Mapping[str, NDArray[Any]]) -> tuple[int, list[str]]:
        """Return the number of resamples that a score of the whole set can have, and warnings; 0: it can have none."""
        if self.store is None or all(each.ndim for each in values.values()):
            return 0, []
        if not self.store.is_complete:
            text = "the outputs are too large to be stored: the score has no interval, unless it is one number a sample"
            return 0, [text]
        start = time.perf_counter()
        self._resample(resample_rows(len(self.labels), 1, seed=_seed(self.task.data))[0])
        seconds = time.perf_counter() - start
        least, most = _N_SET_RESAMPLES
        rest = self.remaining()
        budget = _RESAMPLE_SECONDS if rest is None else min(_RESAMPLE_SECONDS, rest / 4)
        n = int(np.clip(budget / max(seconds, 1e-6), least, most))
        if not self.store.n_missed:
            return n, []
        text = "score feeds the network with arrays that depend on the other samples"
        return n, [f"{text}: it is run again for each of {n} resamples of the interval"]

    def _resampled(self, values: Mapping[str, NDArray[Any]]) -> dict[str, Float]:
        """Return the scores of resamples of the set by target, shape (m,); m is 0 without an interval."""
        names = [name for name, each in values.items() if not each.ndim]
        m = self.task.n_resamples
        if not names or not m or self.store is None or not self.store.is_complete:
            return dict.fromkeys(names, np.empty(0))
        scores = [self._resample(rows) for rows in resample_rows(len(self.labels), m, seed=_seed(self.task.data))]
        valid = [one for one in scores if one is not None]
        if len(valid) < m / 2:
            return dict.fromkeys(names, np.empty(0))
        return {name: np.array([float(one[name]) for one in valid]) for name in names}

    def _resample(self, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]] | None:
        """Return the scores of one resample; None where score is not defined for it, such as without a class."""
        store = self.store
        if store is None:
            return None
        inputs = {name: _read_only(values) for name, values in
                  take_inputs(self.inputs, rows, n=len(self.labels)).items()}  # fmt: skip
        self.remaining()
        store.show(inputs, rows)
        runner = replace(self.runner, is_replay=True)
        try:
            return self._call(runner, inputs, take_samples(self.labels, rows))
        except MeasurementFailed:
            self.remaining()
            return None

    def _call(self, run: Runner, inputs: Mapping[str, Samples], labels: Samples) -> dict[str, NDArray[Any]]:
        data, n, named = self.task.data, len(labels), _Inputs(inputs)
        score, predict = data.score, data.predict
        if score is not None:
            returned = call_user(
                lambda: score(run, named, labels), name="score", source=data.source, is_silent=run.is_replay
            )
            scores = read_scores(
                returned, n=n, source=data.source, declared=[name for name in self.task.targets if name != "accuracy"]
            )
            return {name: _as_counts(name, values) for name, values in scores.items()}
        if predict is None:
            raise TypeError("neither predict nor score")
        classes = np.asarray(call_user(lambda: predict(run, named), name="predict", source=data.source))
        if classes.shape != (n,):
            fault = f"predict of {data.source} returned shape {classes.shape}"
            raise MeasurementFailed(fault, fix=f"return one class for each of {n} samples")
        return {"accuracy": np.asarray(classes == labels)}


class _Inputs(dict[str, Any]):
    """Inputs by name; `x` is the only input under any name."""

    def __missing__(self, name: str) -> Any:
        if name == "x" and len(self) == 1:
            return next(iter(self.values()))
        raise KeyError(name)


def _as_counts(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """Return an accuracy of 0 and 1 for each sample as right and wrong ones, which are counted."""
    is_counted = name == "accuracy" and values.ndim and ((values == 0) | (values == 1)).all()
    return values.astype(np.bool_) if is_counted else values


def _read_only(values: Samples) -> Samples:
    """Return samples that the user's function cannot change: every design is measured on the same ones."""
    if not isinstance(values, np.ndarray):
        return tuple(_read_only(value) if isinstance(value, np.ndarray) else value for value in values)
    view = np.ascontiguousarray(values).view() if values.ndim else values.view()
    view.flags.writeable = False
    return view


def _seed(data: LabelledData) -> int:
    return int(data.sha256[:16], 16)


def _fed(feeds: Feeds) -> str:
    """Return the feeds in words, for the user."""
    samples = ", ".join(f"'{name}' {values.dtype} (n{''.join(f', {k}' for k in values.shape[1:])})"
                        for name, values in feeds.samples.items())  # fmt: skip
    constants = ", ".join(f"'{name}' {values.dtype} {values.shape}" for name, values in feeds.constants.items())
    how = "samples are run one by one" if feeds.batch == 1 else f"samples are run by {feeds.batch}"
    return (
        f"fed: {samples}, n = {feeds.n_samples:,}"
        + (f"; the same in every run: {constants}" if constants else "")
        + (f"; {feeds.why}: {how}" if feeds.why else "")
    )
