"""Search of a study with predicted designs: propose, evaluate and record them in batches."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import PosteriorModel
from explorer.pareto.acquisition.batch_plan import batch_plan
from explorer.problem.columns import Columns, n_rows, take
from explorer.search.encoding import Encoding, columns_of
from explorer.search.enqueued import fill_params, is_enqueued
from explorer.search.measured_designs import sample_designs
from explorer.search.progress import FrontTracker, Progress, interruption_error
from explorer.search.samplers.generators import CandidateBatch, ListGenerator, SamplerGenerator
from explorer.search.samplers.mirror import StudyMirror
from explorer.search.samplers.nsga import GENERATION_KEYS, NSGAGenerator
from explorer.search.samplers.registry import (
    MODEL,
    POPULATION,
    batch_size,
    derive_seed,
    is_full_factorial,
    make_sampler,
    sampler_name,
)
from explorer.search.session import SearchSession
from explorer.search.storage.bulk import TrialBatch, finish_enqueued, insert_trials
from explorer.search.storage.retry import RetryPolicy
from explorer.search.trial_table import INITIAL, ORIGIN_ATTR, SEARCH, TrialTable, design_keys, row_of, user_attributes

# Number of finished trials that each sampler needs; None: all. The sequence of `qmc` needs only the first one.
_HISTORY: Mapping[str, int | None] = {"tpe": None, "gp": None, "grid": None, "qmc": 1, "random": 0}


def search_single_process(
    session: SearchSession, *, progress: Progress | None, should_stop: Callable[[], bool], notify: Callable[[str], None]
) -> int:
    """Search until the requested number of trials is COMPLETE; return the number of added trials.

    Raises:
        Interrupted: `should_stop` returned True before that; all evaluated designs are recorded.
        StorageUnavailable: the storage stayed unreachable until the retry timeout.
    """
    retry = RetryPolicy(session.storage_label, notify=notify, ensure_lock=session.ensure_lock)
    n_initial, front = session.trials.n, FrontTracker(session, progress)
    _record_enqueued(session, retry)
    if not session.trials.n:
        _record_initial_design(session, retry)
    n_requested = _n_requested(session)
    front.update(n_requested)
    source = _make_generator(session, n_requested - session.trials.n) if session.trials.n < n_requested else None
    while source and session.trials.n < n_requested:
        if should_stop():
            raise interruption_error(session, session.trials.n, n_requested)
        proposal = source.propose(min(source.batch, n_requested - session.trials.n))
        if not proposal.n:
            break
        columns = _record(session, proposal, retry)
        source.tell(proposal, session.problem.values(columns), session.problem.constraint_violations(columns))
        front.update(n_requested)
    return session.trials.n - n_initial


def _n_requested(session: SearchSession) -> int:
    """Return the number of COMPLETE trials at which a search ends: the requested number, or that of a finite space."""
    if not is_full_factorial(session.problem):
        return session.problem.study.trials
    return session.trials.n + n_rows(_remaining_designs(session))  # some designs may have two trials


def _remaining_designs(session: SearchSession) -> Columns:
    """Return the designs of a finite space that have no COMPLETE trial."""
    every, complete = session.problem.every_design(), set(design_keys(session.trials.table))
    rows = {key: i for i, key in enumerate(design_keys(every)) if key not in complete}
    return take(every, np.array([*rows.values()], dtype=np.int64))


def _make_generator(session: SearchSession, n: int) -> ListGenerator | SamplerGenerator | NSGAGenerator:
    """Return the generator of the n missing designs."""
    problem, study, trials = session.problem, session.problem.study, session.trials
    name = sampler_name(problem)
    if name == MODEL:
        planned = batch_plan(problem, session.reference, n, seed=study.seed, known=trials.table)
        return ListGenerator(
            planned, problem, system_attrs=_first_generation_attrs(session, max(0, POPULATION - trials.n))
        )
    if is_full_factorial(problem):
        return ListGenerator(_remaining_designs(session), problem)
    if name in GENERATION_KEYS:
        return NSGAGenerator(name, session.study, problem, trials, seed=derive_seed(study.seed, done=trials.n))
    distributions = Encoding(problem.regions).distributions()
    sampler = make_sampler(name, seed=study.seed, done=trials.n, trials=study.trials, distributions=distributions)
    return SamplerGenerator(
        StudyMirror(sampler, session.study, distributions, n_history=_HISTORY[name]), batch=batch_size(name)
    )


def _record_initial_design(session: SearchSession, retry: RetryPolicy) -> None:
    """Record the predictions at the measured samples of a new study as its initial design."""
    labels, designs = _samples(session.problem)
    if not labels:
        return
    n, params = len(labels), Encoding(session.problem.regions).encode(designs)
    attrs = {ORIGIN_ATTR: [INITIAL] * n, "sample": labels}
    _record(session, CandidateBatch(params, n, _first_generation_attrs(session, n)), retry, origin=INITIAL, attrs=attrs)


def _samples(problem: Problem) -> tuple[list[str], Columns]:
    """Return labels and designs of the model's samples within the regions, without duplicates, shape (k,) each."""
    rows, designs = sample_designs(problem)
    unique: dict[tuple[Any, ...], int] = {}
    for i, key in enumerate(design_keys(designs)):
        unique.setdefault(key, i)
    labels = problem.evaluator.samples.labels if isinstance(problem.evaluator, PosteriorModel) else ()
    kept = [*unique.values()]
    return [labels[rows[i]] for i in kept], take(designs, np.array(kept, dtype=np.int64))


def _record_enqueued(session: SearchSession, retry: RetryPolicy) -> None:
    """Evaluate and record the enqueued designs under their own numbers; missing parameters are drawn at random."""
    enqueued = [trial for trial in session.study.get_trials(deepcopy=False) if is_enqueued(trial)]
    if not enqueued:
        return
    problem, encoding = session.problem, Encoding(session.problem.regions)
    distributions = encoding.distributions()
    sampler = RandomSampler(seed=derive_seed(problem.study.seed, done=session.trials.n))
    random = StudyMirror(sampler, None, distributions)
    params = columns_of([fill_params(trial, encoding, random.draw()) for trial in enqueued])
    columns = problem.evaluate(encoding.decode(params, n=len(enqueued)))
    values, excess, attrs = (
        problem.values(columns),
        problem.constraint_violations(columns),
        user_attributes(columns, params),
    )
    for i, trial in enumerate(enqueued):
        retry(
            lambda i=i, trial=trial: finish_enqueued(  # type: ignore[misc]
                session.study, trial, params=row_of(params, i), distributions=distributions, state=TrialState.COMPLETE,
                values=values[i].tolist(), constraints={name: float(of[i]) for name, of in excess.items()},
                user_attrs=row_of(attrs, i), system_attrs={},
            )
        )  # fmt: skip
    numbers = np.array([trial.number for trial in enqueued], dtype=np.int64)
    session.add(TrialTable(numbers, columns, np.full(len(enqueued), SEARCH, dtype=object)))


def _first_generation_attrs(session: SearchSession, n: int) -> Mapping[str, Sequence[Any]]:
    """Return the attributes that make n trials the first generation of Optuna's NSGA samplers."""
    return {GENERATION_KEYS.get(session.problem.study.sampler, GENERATION_KEYS["nsga2"]): [0] * n}


def _record(
    session: SearchSession,
    proposal: CandidateBatch,
    retry: RetryPolicy,
    *,
    origin: str = SEARCH,
    attrs: Mapping[str, Sequence[Any]] | None = None,
) -> Columns:
    """Evaluate and record a proposal; return the evaluated designs."""
    began = datetime.datetime.now(datetime.UTC)
    problem, encoding = session.problem, Encoding(session.problem.regions)
    columns = problem.evaluate(encoding.decode(proposal.params, n=proposal.n))
    batch = TrialBatch(
        params=proposal.params,
        distributions=encoding.distributions(),
        values=problem.values(columns),
        constraints=problem.constraint_violations(columns),
        user_attrs={**user_attributes(columns, proposal.params), **(attrs or {})},
        system_attrs=proposal.system_attrs,
        began=began,
        ended=datetime.datetime.now(datetime.UTC),
    )
    inserted = retry(lambda: insert_trials(session.study, batch))
    session.add_note(inserted.note)
    session.add(
        TrialTable(np.array(inserted.numbers, dtype=np.int64), columns, np.full(proposal.n, origin, dtype=object))
    )
    return columns
