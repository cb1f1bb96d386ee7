"""Results of a study: its COMPLETE trials as one table, with notes and provenance."""

from collections import Counter
from dataclasses import replace

import numpy as np

from explorer.models.evaluation import Problem, fingerprint
from explorer.models.evaluator import as_measurer
from explorer.models.posterior_draws import PosteriorModel
from explorer.pareto.results.results import Results
from explorer.pareto.uncertainty.front_warnings import front_warnings, objective_warnings
from explorer.problem.columns import Columns, by_configuration, knobs_of, stack, take
from explorer.problem.objectives import OBJECTIVES, add_objectives
from explorer.search.run_log import build_provenance, runs_of
from explorer.search.session import SearchSession, failure_counts

_SHOWN_REASONS = 5


def collect_results(run: SearchSession) -> Results:
    """Return the COMPLETE trials of a study as results.

    Raises:
        WrongUsage, InvalidFile: the storage cannot be used.
    """
    study, problem, tried = run.problem.study, run.problem, run.trials
    table = {**tried.table, "design_id": tried.numbers, "origin": tried.origin}
    samples, labels = _measured(problem)
    constraints = tuple(c.text for c in study.constraints)
    bare = Results(
        study.name, study.title, table, study.objectives, constraints, run.reference, samples, labels, (),
        own_columns=study.own_columns,
    )  # fmt: skip
    notes = (
        *problem.evaluator.notes,
        *run.said,
        *_failed(failure_counts(run.study)),
        *_coverage(problem, table),
        *objective_warnings(problem),
        *front_warnings(bare.front_columns, problem),
    )
    origin = build_provenance(problem, place=run.place, runs=runs_of(run), model=fingerprint(problem.evaluator))
    if measuring := as_measurer(problem.evaluator):
        origin["measurement"] = measuring.provenance(when=str(origin["ended"] or ""))
    return replace(bare, notes=notes, provenance=origin)


def _failed(reasons: Counter[str]) -> list[str]:
    """Return a note on the FAIL trials and their reasons."""
    if not reasons:
        return []
    why = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_SHOWN_REASONS))
    more = f"; and {len(reasons) - _SHOWN_REASONS} other reasons" if len(reasons) > _SHOWN_REASONS else ""
    return [f"{reasons.total()} trials failed and are not among the results: {why}{more}"]


def _coverage(problem: Problem, table: Columns) -> list[str]:
    """Return a note on the share of a finite space that is complete."""
    n = problem.n_designs
    if not np.isfinite(n):
        return []
    tried = {name: table[name] for name in knobs_of(table)}
    n_tried = int(by_configuration(tried).max(initial=-1)) + 1
    what = "rows of the table" if not problem.study.spaces else "designs that there are"
    if n_tried == n:
        return [f"all {n:.0f} {what} were tried: no other can be on the front"]
    return [f"{n_tried} of {n:.0f} {what} were tried ({n_tried / n:.0%}): ask for {n:.0f} trials to try them all"]


def _measured(problem: Problem) -> tuple[Columns, tuple[str, ...]]:
    """Return the measured samples of the searched families, with the objectives that their own values give."""
    evaluator = problem.evaluator
    if not isinstance(evaluator, PosteriorModel):
        return {}, ()
    rows = np.isin(evaluator.samples.columns["family"].astype(str), list(problem.regions))
    samples = evaluator.samples.rows(rows)
    parts = []
    for i in range(len(samples.labels)):
        row = take(samples.columns, np.array([i]))
        measured = {name: values for name, values in row.items() if values.dtype == object or np.isfinite(values).all()}
        derived = add_objectives(measured, problem.study.weights)
        parts.append({name: derived.get(name, np.array([np.nan])) for name in _sample_columns(samples.columns)})
    return (stack(parts) if parts else {}), samples.labels


def _sample_columns(columns: Columns) -> list[str]:
    return list(dict.fromkeys([*columns, *OBJECTIVES]))
