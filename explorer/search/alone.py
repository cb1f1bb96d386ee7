"""Searching alone: where designs cost nothing to assess, many are proposed, assessed and recorded at once."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from explorer.pareto.plan import plan_designs
from explorer.problem.columns import Columns, n_rows, take
from explorer.search.begin import Run
from explorer.search.bulk import Block, record
from explorer.search.encoding import Encoding
from explorer.search.first import measured_designs, wanted_trials, wants_all
from explorer.search.generations import GENERATION_KEYS, Generational
from explorer.search.patience import Patience
from explorer.search.progress import FrontSoFar, Progress, stopped
from explorer.search.samplers import MODEL, POPULATION, batch_size, make_sampler, own_seed, proposed_by
from explorer.search.shared import is_given, search_shared
from explorer.search.sources import Asked, Listed, Proposal, Source
from explorer.search.tried import ORIGIN_ATTR, SAMPLE, SEARCH, Tried, attributes, keys_of

# What a sampler has to know of history: all that it learns from or has given out; the sequence only its first trial.
_HISTORY: Mapping[str, int | None] = {"tpe": None, "gp": None, "grid": None, "qmc": 1, "random": 0}


def search_alone(
    run: Run, *, progress: Progress | None, should_stop: Callable[[], bool], say: Callable[[str], None]
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    Raises:
        Interrupted: it was stopped before it was done; everything told is recorded.
        StorageLost: the storage went away and did not come back.
    """
    patience = Patience(run.place, say=say)
    first, front = run.tried.n, FrontSoFar(run, progress)
    _try_first(run, patience, say)
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
    return Asked(sampler, run.study, assessment, batch=batch_size(name), n_history=_HISTORY[name])


def _try_first(run: Run, patience: Patience, say: Callable[[str], None]) -> None:
    """Try what somebody enqueued or a killed run left, and in a new study the measured configurations, first of all."""
    if is_given(run.study):
        search_shared(run, should_stop=lambda: False, say=say, only_given=True)
    if run.tried.n:
        return
    designs, labels = measured_designs(run.assessment)
    if designs:
        n = n_rows(designs)
        proposal = Proposal(Encoding(run.assessment.regions).encode(designs), n, _as_parents(run, n))
        _try(run, proposal, patience, origin=SAMPLE, attrs={ORIGIN_ATTR: [SAMPLE] * n, "sample": labels})


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
