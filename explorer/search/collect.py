"""Results of a study: its COMPLETE trials as one table, with notes and provenance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from explorer.models.evaluation import Problem, fingerprint
from explorer.models.evaluator import as_measurer
from explorer.models.machine import machine_notes
from explorer.models.posterior_draws import PosteriorModel
from explorer.pareto.results.results import Results
from explorer.pareto.uncertainty.front_warnings import front_warnings, objective_warnings
from explorer.problem.columns import Columns, by_configuration, knobs_of, stack, take
from explorer.problem.objectives import OBJECTIVES, add_objectives
from explorer.search.measured_designs import measured_designs
from explorer.search.run_log import build_provenance, runs_of
from explorer.search.session import SearchSession, failure_counts
from explorer.search.trial_table import ADOPTED

_MAX_REASONS = 5


def collect_results(session: SearchSession) -> Results:
    """Return the COMPLETE trials of a study and the measured rows of its model as results.

    Raises:
        WrongUsage, InvalidFile: the storage cannot be opened or read.
    """
    study, problem, trials = session.problem.study, session.problem, session.trials
    table = {**trials.table, "design_id": trials.numbers, "origin": trials.origin}
    rows = measured_designs(problem)
    table = stack([table, rows]) if rows else table
    samples, labels = _measured(problem)
    constraints = tuple(c.text for c in study.constraints)
    bare = Results(
        study.name, study.title, table, study.objectives, constraints, session.reference, samples, labels, (),
        own_columns=study.own_columns, model_warnings=model_warnings(problem.evaluator),
    )  # fmt: skip
    notes = (
        *problem.evaluator.notes,
        *session.notes,
        *_adoption_note(trials.origin.tolist()),
        *_failure_note(failure_counts(session.study)),
        *_coverage_note(problem, trials.table),
        *machine_notes(problem.study, problem.evaluator, problem.unsupported),
        *objective_warnings(problem),
        *front_warnings(bare.front_columns, problem),
    )
    origin = build_provenance(
        problem, storage_label=session.storage_label, runs=runs_of(session), model=fingerprint(problem.evaluator)
    )
    if measuring := as_measurer(problem.evaluator):
        origin["measurement"] = measuring.provenance(when=str(origin["ended"] or ""))
    return replace(bare, notes=notes, provenance=origin)


def model_warnings(model: object) -> tuple[dict[str, str], ...]:
    """Return the warnings of a model as plain JSON values: `kind` and `text` each."""
    return tuple({"kind": str(one.kind), "text": str(one.text)} for one in getattr(model, "warnings", ()))


def _adoption_note(origins: Sequence[str]) -> list[str]:
    """Return a note on the trials that earlier studies measured."""
    n = origins.count(ADOPTED)
    return [f"{n} of the trials were measured by earlier studies: origin `{ADOPTED}` in trials.csv"] if n else []


def _failure_note(reasons: Counter[str]) -> list[str]:
    """Return a note on the FAIL trials with their most frequent reasons."""
    if not reasons:
        return []
    summary = "; ".join(f"{reason} ({count})" for reason, count in reasons.most_common(_MAX_REASONS))
    more = f"; and {len(reasons) - _MAX_REASONS} other reasons" if len(reasons) > _MAX_REASONS else ""
    return [f"{reasons.total()} trials failed and are not among the results: {summary}{more}"]


def _coverage_note(problem: Problem, table: Columns) -> list[str]:
    """Return a note on the evaluated share of a finite space."""
    n = problem.n_designs
    if not np.isfinite(n):
        return []
    designs = {name: table[name] for name in knobs_of(table)}
    n_complete = int(by_configuration(designs).max(initial=-1)) + 1
    unit = "designs of the space" if problem.study.spaces else "rows of the table"
    if n_complete == n:
        return [f"all {n:.0f} {unit} were evaluated: no other can be on the front"]
    share = f"{n_complete / n:.0%}"
    return [f"{n_complete} of {n:.0f} {unit} were evaluated ({share}): --trials {n:.0f} evaluates all of them"]


def _measured(problem: Problem) -> tuple[Columns, tuple[str, ...]]:
    """Return the measured samples of the searched families, with the objectives computed from their values."""
    evaluator = problem.evaluator
    if not isinstance(evaluator, PosteriorModel):
        return {}, ()
    rows = np.isin(evaluator.samples.columns["family"].astype(str), list(problem.regions))
    samples = evaluator.samples.rows(rows)
    names, parts = dict.fromkeys([*samples.columns, *OBJECTIVES]), []
    for i in range(len(samples.labels)):
        row = take(samples.columns, np.array([i]))
        measured = {name: values for name, values in row.items() if values.dtype == object or np.isfinite(values).all()}
        derived = add_objectives(measured, problem.study.constants)
        parts.append({name: derived.get(name, np.array([np.nan])) for name in names})
    if not parts:
        return {}, samples.labels
    # Columns of a workload that the study does not state follow from no row.
    is_stated = {name for name, objective in OBJECTIVES.items() if not objective.lacking(problem.study.constants)}
    table = {n: v for n, v in stack(parts).items() if n not in OBJECTIVES or n in is_stated}
    return table, samples.labels
