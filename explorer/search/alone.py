"""Searching alone: where designs cost nothing to assess, many are proposed, assessed and recorded at once."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from explorer.pareto.plan import plan_designs
from explorer.problem.columns import Columns, n_rows, take
from explorer.search.begin import Run
from explorer.search.bulk import Block, finish_enqueued, record
from explorer.search.encoding import Encoding, columns_of
from explorer.search.enqueued import is_enqueued, with_drawn
from explorer.search.first import measured_designs, wanted_trials, wants_all
from explorer.search.generations import GENERATION_KEYS, Generational
from explorer.search.mirror import Mirror
from explorer.search.patience import Patience
from explorer.search.progress import FrontSoFar, Progress, stopped
from explorer.search.samplers import MODEL, POPULATION, batch_size, make_sampler, own_seed, proposed_by
from explorer.search.sources import Asked, Listed, Proposal, Source
from explorer.search.tried import ORIGIN_ATTR, SAMPLE, SEARCH, Tried, attributes, keys_of, row_of

# What a sampler has to know of history: all that it learns from or has given out; the sequence only its first trial.
_HISTORY: Mapping[str, int | None] = {"tpe": None, "gp": None, "grid": None, "qmc": 1, "random": 0}


def search_alone(
    run: Run, *, progress: Progress | None, should_stop: Callable[[], bool], notify: Callable[[str], None]
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    Raises:
        Interrupted: it was stopped before it was done; everything told is recorded.
        StorageLost: the storage went away and did not come back.
    """
    patience = Patience(run.place, say=notify, ensure_lock=run.ensure_lock)
    first, front = run.tried.n, FrontSoFar(run, progress)
    _try_first(run, patience)
    wanted = wanted_trials(run)
    front.look(wanted)
    source = _source(run, wanted - run.tried.n) if run.tried.n < wanted else None
    while source and run.tried.n < wanted:
        if should_stop():
            raise stopped(run, run.tried.n, wanted)
        proposal = source.propose(min(source.batch, wanted - run.tried.n))
        if not proposal.n:
            break  # there are no more designs than that
        columns = _try(run, proposal, patience)
        source.learn(proposal, run.assessment.values(columns), run.assessment.excess(columns))
        front.look(wanted)
    return run.tried.n - first


def _source(run: Run, n: int) -> Source:
    """Return what proposes the n designs that are missing."""
    assessment, study, tried = run.assessment, run.assessment.study, run.tried
    name = proposed_by(assessment)
    if name == MODEL:
        planned = plan_designs(assessment, run.reference, n, seed=study.seed, known=tried.table)
        return Listed(planned, assessment, system_attrs=_as_parents(run, max(0, POPULATION - tried.n)))
    if wants_all(assessment):
        every, known = assessment.every_design(), set(keys_of(tried.table))
        rows = [i for i, key in enumerate(keys_of(every)) if key not in known]
        return Listed(take(every, np.array(rows, dtype=np.int64)), assessment)
    seed = own_seed(study.seed, done=tried.n)
    if name in GENERATION_KEYS:
        return Generational(name, run.study, assessment, tried, seed=seed)
    distributions = Encoding(assessment.regions).distributions()
    sampler = make_sampler(name, seed=study.seed, done=tried.n, trials=study.trials, distributions=distributions)
    return Asked(Mirror(sampler, run.study, distributions, n_history=_HISTORY[name]), batch=batch_size(name))


def _try_first(run: Run, patience: Patience) -> None:
    """Try what somebody enqueued, and in a new study the measured configurations, first of all."""
    _try_enqueued(run, patience)
    if run.tried.n:
        return
    designs, labels = measured_designs(run.assessment)
    if designs:
        n = n_rows(designs)
        proposal = Proposal(Encoding(run.assessment.regions).encode(designs), n, _as_parents(run, n))
        _try(run, proposal, patience, origin=SAMPLE, attrs={ORIGIN_ATTR: [SAMPLE] * n, "sample": labels})


def _try_enqueued(run: Run, patience: Patience) -> None:
    """Assess the designs that somebody enqueued, each under its own number; what nobody fixed is drawn at random."""
    enqueued = [trial for trial in run.study.get_trials(deepcopy=False) if is_enqueued(trial)]
    if not enqueued:
        return
    assessment, encoding = run.assessment, Encoding(run.assessment.regions)
    distributions = encoding.distributions()
    seed = own_seed(assessment.study.seed, done=run.tried.n)
    drawn = Mirror(RandomSampler(seed=seed), None, distributions)
    params = columns_of([with_drawn(trial, drawn.ask().params) for trial in enqueued])
    columns = assessment.assess(encoding.decode(params, n=len(enqueued)))
    values, excess, attrs = assessment.values(columns), assessment.excess(columns), attributes(columns, params)
    for i, trial in enumerate(enqueued):
        patience(
            lambda i=i, trial=trial: finish_enqueued(  # type: ignore[misc]
                run.study, trial, params=row_of(params, i), distributions=distributions, state=TrialState.COMPLETE,
                values=values[i].tolist(), constraints={name: float(of[i]) for name, of in excess.items()},
                user_attrs=row_of(attrs, i), system_attrs={},
            )
        )  # fmt: skip
    numbers = np.array([trial.number for trial in enqueued], dtype=np.int64)
    run.add(Tried(numbers, columns, np.full(len(enqueued), SEARCH, dtype=object)))


def _as_parents(run: Run, n: int) -> Mapping[str, Sequence[Any]]:
    """Return what marks n trials as a first generation, so that plain Optuna's NSGA samplers go on from them."""
    return {GENERATION_KEYS.get(run.assessment.study.sampler, GENERATION_KEYS["nsga2"]): [0] * n}


def _try(
    run: Run,
    proposal: Proposal,
    patience: Patience,
    *,
    origin: str = SEARCH,
    attrs: Mapping[str, Sequence[Any]] | None = None,
) -> Columns:
    """Assess a proposal and record it; return the assessed designs."""
    began = datetime.datetime.now(datetime.UTC)
    assessment, encoding = run.assessment, Encoding(run.assessment.regions)
    columns = assessment.assess(encoding.decode(proposal.params, n=proposal.n))
    block = Block(
        params=proposal.params,
        distributions=encoding.distributions(),
        values=assessment.values(columns),
        constraints=assessment.excess(columns),
        user_attrs={**attributes(columns, proposal.params), **(attrs or {})},
        system_attrs=proposal.system_attrs,
        began=began,
        ended=datetime.datetime.now(datetime.UTC),
    )
    recorded = patience(lambda: record(run.study, block))
    run.say(recorded.note)
    run.add(Tried(np.array(recorded.numbers, dtype=np.int64), columns, np.full(proposal.n, origin, dtype=object)))
    return columns
