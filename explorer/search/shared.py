"""Searching on a shared storage, or where every design is measured: one trial after the other, asked and told."""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import optuna
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from explorer.errors import ExplorerError, MeasurementFailed
from explorer.models.evaluator import measurer
from explorer.pareto.plan import MAX_OBJECTIVES
from explorer.problem.columns import Columns
from explorer.search.begin import FAILED_ATTR, MEASURED_ATTR, Run, complete_trials
from explorer.search.encoding import Encoding, columns_of
from explorer.search.first import enqueue_first, wanted_trials
from explorer.search.learning import LearningSampler
from explorer.search.model_sampler import ModelSampler
from explorer.search.progress import FrontSoFar, Progress, stopped
from explorer.search.samplers import make_sampler, own_seed
from explorer.search.tried import ORIGIN_ATTR, SEARCH, Tried, attributes

# A network that cannot be run at all must not be tried for ever; one in twenty that can keeps a search alive.
MAX_FAILURES_IN_A_ROW = 20


def search_shared(
    run: Run, *, quota: int | None, worker: int, progress: Progress | None, should_stop: Callable[[], bool]
) -> int:
    """Search until the wanted number of trials is COMPLETE, or a quota was added; return how many were added.

    Raises:
        Interrupted: it was stopped before it was done; everything told is recorded.
        MeasurementFailed: so many designs in a row could not be measured that none will be.
    """
    enqueue_first(run)
    run.forget()
    first = done = len(complete_trials(run.study))
    wanted = wanted_trials(run) if quota is None else done + quota
    if done >= wanted:
        return 0
    run.study.sampler = _sampler(run, done=done, worker=worker)
    front = FrontSoFar(run, progress)
    front.look(wanted)
    n_failed = 0
    while done < wanted:
        if should_stop():
            raise stopped(run, done, wanted)
        try:
            try_next(run)
        except MeasurementFailed as error:
            n_failed += 1
            if n_failed >= MAX_FAILURES_IN_A_ROW:
                raise _hopeless(error, place=run.place) from None
            continue
        done, n_failed = done + 1, 0
        front.look(wanted)
    return done - first


def _sampler(run: Run, *, done: int, worker: int) -> BaseSampler:
    assessment, study = run.assessment, run.assessment.study
    name = study.sampler
    if name == "auto" and assessment.is_cheap and len(study.objectives) <= MAX_OBJECTIVES:
        return ModelSampler(assessment, n_trials=study.trials, reference=run.reference, seed=study.seed)
    if name == "auto" and not assessment.is_cheap:
        # One plan for all of a study's runs, and another one for each worker: history decides the rest.
        return LearningSampler(assessment, reference=run.reference, seed=own_seed(study.seed, done=0, worker=worker))
    if name == "auto":
        name = "nsga3"
    return make_sampler(
        name, seed=study.seed, done=done, trials=study.trials, worker=worker,
        distributions=Encoding(assessment.regions).distributions(),
    )  # fmt: skip


def n_waiting(optuna_study: optuna.Study) -> int:
    """Return how many trials wait to be tried: those that somebody enqueued."""
    return len(optuna_study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))


def try_next(run: Run) -> None:
    """Try one design: the first that waits, else what the sampler proposes.

    Raises:
        MeasurementFailed: it could not be measured; its trial is told as failed.
    """
    encoding = Encoding(run.assessment.regions)
    trial = run.study.ask(dict(encoding.distributions()))
    try:
        columns = _assessed(run, encoding.decode(columns_of([trial.params]), n=1), trial)
        _record(run, trial, columns)
        run.study.tell(trial, run.assessment.values(columns)[0].tolist())
        origin = trial.user_attrs.get(ORIGIN_ATTR, SEARCH)
        run.add(Tried(np.array([trial.number]), columns, np.array([origin], dtype=object)))
    except BaseException:
        # Whatever stops a trial, it does not stay RUNNING for ever: a later worker would take it for alive. Where the
        # storage itself is what fails, there is nothing more to do for it.
        with suppress(OSError):
            run.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise


def _hopeless(error: MeasurementFailed, *, place: str) -> MeasurementFailed:
    what = f"{MAX_FAILURES_IN_A_ROW} designs in a row could not be measured, the last one because: {error.problem}"
    return MeasurementFailed(f"{what}; all finished trials are in {place}", fix=error.fix)


def _assessed(run: Run, design: Columns, trial: Trial) -> Columns:
    """Assess a design; what was measured is kept with its trial, whole, and why one could not be, too.

    Raises:
        MeasurementFailed: it could not be measured.
    """
    measuring = measurer(run.assessment.evaluator)
    if measuring is None:
        return run.assessment.assess(design)
    try:
        columns = run.assessment.assess(design)
    except ExplorerError as error:
        trial.set_user_attr(FAILED_ATTR, error.problem)
        raise MeasurementFailed(error.problem, fix=error.fix) from None
    trial.set_user_attr(MEASURED_ATTR, measuring.recorded(design)[0])
    return columns


def _record(run: Run, trial: Trial, columns: Columns) -> None:
    for name, misses in run.assessment.excess(columns).items():
        trial.set_constraint(name, float(misses[0]))
    for name, values in attributes(columns, {name: [value] for name, value in trial.params.items()}).items():
        trial.set_user_attr(name, values[0])
