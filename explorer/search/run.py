"""Running a study: ask designs from Optuna, assess them together, tell the values, and go on where it stopped."""

import datetime
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.trial import Trial, TrialState

from explorer.errors import ExplorerError, Interrupted, MeasurementFailed
from explorer.files import cannot_write
from explorer.models.assessment import Assessment
from explorer.models.live import Live
from explorer.pareto.front import feasible_front, hypervolume
from explorer.problem.columns import TARGETS, Columns, Float, bounds, knobs_of
from explorer.problem.objectives import OBJECTIVES
from explorer.search.begin import (
    FAILED_ATTR,
    MEASURED_ATTR,
    RUNS_ATTR,
    Run,
    begin,
    complete_trials,
    is_feasible_of,
    values_of,
    wanted_trials,
)
from explorer.search.encoding import Encoding
from explorer.search.samplers import batch_size, make_sampler

Clock = Callable[[], datetime.datetime]
# A network that cannot be run at all must not be tried for ever; one in twenty that can keeps a search alive.
MAX_FAILURES_IN_A_ROW = 20


class Progress(Protocol):
    """Whoever wants to know how far a run is."""

    def __call__(self, done: int, wanted: int, best_hypervolume: float) -> None:
        """Called after each batch, with COMPLETE trials so far and the front's hypervolume."""


def search(
    run: Run,
    *,
    quota: int | None = None,
    worker: int = 0,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    Ctrl-C ends it after the batch at hand: everything told so far is stored. Where every design is measured, a batch is
    one design, and one that cannot be measured is told as failed and does not count.

    Args:
        run: the study at its storage.
        quota: add this many trials instead, as one of several workers.
        worker: the index of this worker; each draws its own numbers.
        progress: who wants to know how far it is.
        should_stop: asked between batches.

    Raises:
        Interrupted: it was stopped before it was done.
        MeasurementFailed: so many designs in a row could not be measured that none will be.
        WrongUsage, InvalidFile, MissingPart: the storage or sampler cannot be used, or holds another question.
    """
    study = run.assessment.study
    optuna_study = begin(run)
    encoding = Encoding(run.assessment.regions)
    history = complete_trials(optuna_study)
    done = first = len(history)
    wanted = wanted_trials(optuna_study, run.assessment) if quota is None else done + quota
    if done >= wanted:
        return 0
    distributions = encoding.distributions()
    optuna_study.sampler = make_sampler(
        study.sampler, seed=study.seed, done=done, trials=study.trials, worker=worker, distributions=distributions
    )
    front = _Front(run, values_of(history), is_feasible_of(history))
    if progress:
        progress(done, wanted, front.hypervolume)
    n_failed = 0
    with _stoppable() as is_interrupted:
        while done < wanted:
            if is_interrupted() or should_stop():
                raise Interrupted(
                    f"stopped after {done} of {wanted} trials; all of them are in {run.place}",
                    fix="run the same command again to go on",
                )
            n = min(batch_size(study.sampler) if run.assessment.is_cheap else 1, wanted - done)
            try:
                front.add(*_batch(optuna_study, run.assessment, encoding, distributions, n))
            except MeasurementFailed as error:
                n_failed += 1
                if n_failed >= MAX_FAILURES_IN_A_ROW:
                    raise _hopeless(error, place=run.place) from None
                continue
            done, n_failed = done + n, 0
            if progress:
                progress(done, wanted, front.hypervolume)
    return done - first


def _hopeless(error: MeasurementFailed, *, place: str) -> MeasurementFailed:
    what = f"{MAX_FAILURES_IN_A_ROW} designs in a row could not be measured, the last one because: {error.problem}"
    return MeasurementFailed(f"{what}; all finished trials are in {place}", fix=error.fix)


@contextmanager
def logged(run: Run, *, clock: Clock) -> Iterator[None]:
    """Keep with the study who searched what and when, however the run ends."""
    study = run.assessment.study
    optuna_study = begin(run)
    began, first = clock(), len(complete_trials(optuna_study))
    try:
        yield
    except OSError as error:
        raise cannot_write(Path(run.place), error) from None
    finally:
        done = len(complete_trials(optuna_study))
        if done > first:
            entry = {
                "sampler": study.sampler,
                "seed": study.seed,
                "from": first,
                "to": done,
                "began": began.isoformat(timespec="seconds"),
                "ended": clock().isoformat(timespec="seconds"),
            }
            with suppress(OSError):
                optuna_study.set_user_attr(RUNS_ATTR, [*optuna_study.user_attrs.get(RUNS_ATTR, []), entry])


def utc_now() -> datetime.datetime:
    """Return the time, for provenance."""
    return datetime.datetime.now(datetime.UTC)


class _Front:
    """The front so far, kept small: only its own points are compared with new ones."""

    def __init__(self, run: Run, values: Float, is_feasible: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
        self._objectives, self._reference = run.assessment.study.objectives, run.reference
        self._values = np.empty((0, len(self._objectives)))
        if len(values):
            self.add(values, is_feasible)

    def add(self, values: Float, is_feasible: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
        together = np.concatenate([self._values, values[is_feasible]])
        everyone = np.ones(len(together), dtype=np.bool_)
        self._values = together[feasible_front(together, everyone, self._objectives)]

    @property
    def hypervolume(self) -> float:
        return hypervolume(self._values, self._reference, self._objectives)


def _batch(
    optuna_study: optuna.Study, assessment: Assessment, encoding: Encoding, distributions: Mapping[str, Any], n: int
) -> tuple[Float, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    asked: list[Trial] = []
    told = 0
    try:
        for _ in range(n):
            asked.append(optuna_study.ask(dict(distributions)))  # noqa: PERF401 - a half-asked batch must be known
        columns = _assessed(assessment, encoding.decode([trial.params for trial in asked]), asked)
        excess, values = assessment.excess(columns), assessment.values(columns)
        for i, trial in enumerate(asked):
            _record(trial, columns, excess, i)
            optuna_study.tell(trial, values[i].tolist())
            told += 1
    except BaseException:
        # Whatever stops a batch, no trial stays RUNNING for ever: a later worker would take it for alive. Where the
        # storage itself is what fails, there is nothing more to do for them.
        with suppress(OSError):
            for trial in asked[told:]:
                optuna_study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    return values, columns["is_feasible"]


def _assessed(assessment: Assessment, designs: Columns, asked: Sequence[Trial]) -> Columns:
    """Assess designs; what was measured is kept with its trial, whole, and why one could not be, too.

    Raises:
        MeasurementFailed: the one design of a live batch could not be measured.
    """
    evaluator = assessment.evaluator
    if not isinstance(evaluator, Live):
        return assessment.assess(designs)
    try:
        columns = assessment.assess(designs)
    except ExplorerError as error:
        for trial in asked:
            trial.set_user_attr(FAILED_ATTR, error.problem)
        raise MeasurementFailed(error.problem, fix=error.fix) from None
    for trial, row in zip(asked, evaluator.recorded(designs), strict=True):
        trial.set_user_attr(MEASURED_ATTR, row)
    return columns


def _record(trial: Trial, columns: Columns, excess: Columns, i: int) -> None:
    for name, misses in excess.items():
        trial.set_constraint(name, float(misses[i]))
    # Scalars, so that optuna-dashboard shows them; the knobs that are not parameters themselves are among them.
    targets = [own for name in TARGETS for own in (name, *bounds(name))]
    for name in (*[k for k in knobs_of(columns) if k != "family"], *targets, *OBJECTIVES, "domain_distance"):
        if name in columns and name not in trial.params:
            value = columns[name][i]
            trial.set_user_attr(name, value if isinstance(value, str) else float(value))
    trial.set_user_attr("is_feasible", bool(columns["is_feasible"][i]))


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that the loop asks between batches; the second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def remember(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, remember)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
