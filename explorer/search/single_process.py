"""Search of a study with predicted designs: propose, assess and record them in blocks."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import PosteriorModel
from explorer.pareto.acquisition.batch_plan import batch_plan
from explorer.problem.columns import Columns, knobs_of, n_rows, stack, take
from explorer.search.encoding import Encoding, columns_of
from explorer.search.enqueued import fill_params, is_enqueued
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
from explorer.search.trial_table import ORIGIN_ATTR, SAMPLE, SEARCH, TrialTable, design_keys, row_of, user_attributes

# Number of finished trials that each sampler has to know; None: all. The sequence of `qmc` needs the first one only.
_HISTORY: Mapping[str, int | None] = {"tpe": None, "gp": None, "grid": None, "qmc": 1, "random": 0}


def search_single_process(
    run: SearchSession, *, progress: Progress | None, should_stop: Callable[[], bool], notify: Callable[[str], None]
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    Raises:
        Interrupted: `should_stop` returned True before that; all assessed designs are recorded.
        StorageLost: the storage went away and did not come back.
    """
    patience = RetryPolicy(run.place, say=notify, ensure_lock=run.ensure_lock)
    first, front = run.trials.n, FrontTracker(run, progress)
    _record_enqueued(run, patience)
    if not run.trials.n:
        _record_samples(run, patience)
    wanted = _n_wanted(run)
    front.look(wanted)
    source = _source(run, wanted - run.trials.n) if run.trials.n < wanted else None
    while source and run.trials.n < wanted:
        if should_stop():
            raise interruption_error(run, run.trials.n, wanted)
        proposal = source.propose(min(source.batch, wanted - run.trials.n))
        if not proposal.n:
            break
        columns = _record(run, proposal, patience)
        source.learn(proposal, run.problem.values(columns), run.problem.constraint_violations(columns))
        front.look(wanted)
    return run.trials.n - first


def _n_wanted(run: SearchSession) -> int:
    """Return the number of COMPLETE trials at which a search ends: those asked for, or those of a finite space."""
    if not is_full_factorial(run.problem):
        return run.problem.study.trials
    return run.trials.n + n_rows(_untried(run))  # some designs may have two trials


def _untried(run: SearchSession) -> Columns:
    """Return the designs of a finite space that have no COMPLETE trial."""
    every, complete = run.problem.every_design(), set(design_keys(run.trials.table))
    rows = {key: i for i, key in enumerate(design_keys(every)) if key not in complete}
    return take(every, np.array([*rows.values()], dtype=np.int64))


def _source(run: SearchSession, n: int) -> ListGenerator | SamplerGenerator | NSGAGenerator:
    """Return the source of the n designs that are missing."""
    problem, study, tried = run.problem, run.problem.study, run.trials
    name = sampler_name(problem)
    if name == MODEL:
        planned = batch_plan(problem, run.reference, n, seed=study.seed, known=tried.table)
        return ListGenerator(planned, problem, system_attrs=_as_parents(run, max(0, POPULATION - tried.n)))
    if is_full_factorial(problem):
        return ListGenerator(_untried(run), problem)
    if name in GENERATION_KEYS:
        return NSGAGenerator(name, run.study, problem, tried, seed=derive_seed(study.seed, done=tried.n))
    distributions = Encoding(problem.regions).distributions()
    sampler = make_sampler(name, seed=study.seed, done=tried.n, trials=study.trials, distributions=distributions)
    return SamplerGenerator(
        StudyMirror(sampler, run.study, distributions, n_history=_HISTORY[name]), batch=batch_size(name)
    )


def _record_samples(run: SearchSession, patience: RetryPolicy) -> None:
    """Record the measured samples of a new study as its first designs, whatever its sampler."""
    samples = _samples(run.problem)
    if not samples:
        return
    n, params = len(samples), Encoding(run.problem.regions).encode(stack([design for _, design in samples]))
    attrs = {ORIGIN_ATTR: [SAMPLE] * n, "sample": [label for label, _ in samples]}
    _record(run, CandidateBatch(params, n, _as_parents(run, n)), patience, origin=SAMPLE, attrs=attrs)


def _samples(problem: Problem) -> list[tuple[str, Columns]]:
    """Return label and design of the model's samples within the regions, each design once, shape (1,) each."""
    evaluator, unique = problem.evaluator, dict[tuple[Any, ...], tuple[str, Columns]]()
    if isinstance(evaluator, PosteriorModel):
        columns = evaluator.samples.columns
        for i, label in enumerate(evaluator.samples.labels):
            region = problem.regions.get(columns["family"][i])
            row = {name: columns[name][i : i + 1] for name in knobs_of(columns)}
            if region is not None and region.contains(row).all():
                knobs = region.knobs(row)
                made = region.designs({a.name: np.clip(knobs[a.name], a.low, a.high) for a in region.axes})
                unique.setdefault(design_keys(made)[0], (label, made))
    return [*unique.values()]


def _record_enqueued(run: SearchSession, patience: RetryPolicy) -> None:
    """Assess and record the enqueued designs under their own numbers; parameters without a value are drawn."""
    enqueued = [trial for trial in run.study.get_trials(deepcopy=False) if is_enqueued(trial)]
    if not enqueued:
        return
    problem, encoding = run.problem, Encoding(run.problem.regions)
    distributions = encoding.distributions()
    sampler = RandomSampler(seed=derive_seed(problem.study.seed, done=run.trials.n))
    random = StudyMirror(sampler, None, distributions)
    params = columns_of([fill_params(trial, random.draw()) for trial in enqueued])
    columns = problem.evaluate(encoding.decode(params, n=len(enqueued)))
    values, excess, attrs = (
        problem.values(columns),
        problem.constraint_violations(columns),
        user_attributes(columns, params),
    )
    for i, trial in enumerate(enqueued):
        patience(
            lambda i=i, trial=trial: finish_enqueued(  # type: ignore[misc]
                run.study, trial, params=row_of(params, i), distributions=distributions, state=TrialState.COMPLETE,
                values=values[i].tolist(), constraints={name: float(of[i]) for name, of in excess.items()},
                user_attrs=row_of(attrs, i), system_attrs={},
            )
        )  # fmt: skip
    numbers = np.array([trial.number for trial in enqueued], dtype=np.int64)
    run.add(TrialTable(numbers, columns, np.full(len(enqueued), SEARCH, dtype=object)))


def _as_parents(run: SearchSession, n: int) -> Mapping[str, Sequence[Any]]:
    """Return the attributes that make n trials the first generation of plain Optuna's NSGA samplers."""
    return {GENERATION_KEYS.get(run.problem.study.sampler, GENERATION_KEYS["nsga2"]): [0] * n}


def _record(
    run: SearchSession,
    proposal: CandidateBatch,
    patience: RetryPolicy,
    *,
    origin: str = SEARCH,
    attrs: Mapping[str, Sequence[Any]] | None = None,
) -> Columns:
    """Assess and record a proposal; return the assessed designs."""
    began = datetime.datetime.now(datetime.UTC)
    problem, encoding = run.problem, Encoding(run.problem.regions)
    columns = problem.evaluate(encoding.decode(proposal.params, n=proposal.n))
    block = TrialBatch(
        params=proposal.params,
        distributions=encoding.distributions(),
        values=problem.values(columns),
        constraints=problem.constraint_violations(columns),
        user_attrs={**user_attributes(columns, proposal.params), **(attrs or {})},
        system_attrs=proposal.system_attrs,
        began=began,
        ended=datetime.datetime.now(datetime.UTC),
    )
    recorded = patience(lambda: insert_trials(run.study, block))
    run.say(recorded.note)
    run.add(TrialTable(np.array(recorded.numbers, dtype=np.int64), columns, np.full(proposal.n, origin, dtype=object)))
    return columns
