"""Best value of one column over all feasible designs: finished ones, and those that the model has beyond them.

The front answers the question of its objectives only: the design of least power may be dominated in every objective.
Where designs are predicted, the model is solved again for the column (`optimum`); where they are measured, all measured
designs are searched.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.intervals import add_intervals
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import PosteriorModel, posterior_draws
from explorer.models.samples.nearest import nearest_sample
from explorer.pareto.decision.odds import with_chance_columns
from explorer.pareto.decision.rules import SOLVED, Answer, by_column, is_met, wanted_objective
from explorer.pareto.optimum import optimum, with_question
from explorer.pareto.results.measured_rows import measured_twin
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Column, Columns, Float, column_of, is_end, knobs_of, n_rows, stack, take
from explorer.problem.constraints import Constraint

_TOLERANCE = 1e-6  # a finished design within this relative difference of the optimum is the answer itself
_N_STARTS = 64
_SCOPE = "feasible design"
# Columns of finished designs that the model alone does not give.
_OF_FINISHED = frozenset({"p_front", "p_limits", "sample_distance"})


def answer_from_designs(
    results: Results, column: str, conditions: Sequence[Constraint], *, problem: Problem | str, is_inside: bool
) -> Answer:
    """Return the candidates for the best value of a column.

    Args:
        results: the results.
        column: what is asked for.
        conditions: limits besides the study's own.
        problem: the study of the results with its model, or the reason why it cannot be used.
        is_inside: leave designs outside the model's domain out.

    Raises:
        WrongUsage: the results have no such numeric column.
    """
    rows = results.table["is_feasible"].astype(np.bool_) & ~results.is_superseded
    finished = with_chance_columns(
        take(results.table, rows), conditions, problem=None if isinstance(problem, str) else problem
    )
    rule = by_column(finished, column)
    if isinstance(problem, str):
        return Answer(finished, rule, _SCOPE, (problem,))
    asked = [column, *(condition.column for condition in conditions)]
    if not n_rows(results.table):
        return Answer(finished, rule, _SCOPE)
    evaluated = problem.evaluate(_knobs(take(results.table, np.arange(1)), problem))
    if unknown := [name for name in asked if name not in evaluated and not is_end(name)]:
        return Answer(finished, rule, _SCOPE, (_known_of_finished(unknown[0], results),))
    met = _is_met(finished, conditions, is_inside=is_inside)
    best = np.flatnonzero(met)[np.argsort(rule.score[met], kind="stable")]
    question = with_question(problem, wanted_objective(column), conditions, is_inside=is_inside)
    found = optimum(question, start=_knobs(take(finished, best[:_N_STARTS]), problem))
    if found.violation[0] > 0:
        return Answer(
            finished, rule, _SCOPE, closest=_closest(take(found.designs, np.arange(1)), problem, asked, results)
        )
    score = found.values[:, 0]
    is_open = (found.violation <= 0) & ~_is_known(found.designs, results)
    if best.size:
        reached = float(rule.score[best[0]])
        is_open &= score < reached - _TOLERANCE * abs(reached)
    if not is_open.any():
        return Answer(finished, rule, _SCOPE)
    knobs = take(found.designs, np.flatnonzero(is_open)[:1])
    row = with_chance_columns(_as_row(_annotated(knobs, problem), results), conditions, problem=problem)
    candidates = stack([finished, row])
    kind = "a row of the table" if isinstance(problem.evaluator, TableEvaluator) else "the optimum of the model"
    note = f"{kind}, solved again for this question; not a trial of the search"
    return Answer(candidates, by_column(candidates, column), _SCOPE, (note,))


def problem_for_question(
    results: Results, columns: Sequence[str], *, load: Callable[[], Problem | str]
) -> Problem | str:
    """Return the study of results to be solved again, or the reason why finished designs answer.

    Args:
        results: the results.
        columns: the columns of the question and of its conditions.
        load: returns the study with its model, or the reason why it cannot be loaded.
    """
    if known := [name for name in columns if name in _OF_FINISHED]:
        return _known_of_finished(known[0], results)
    problem = load()
    return f"{problem}: {_from_finished(results)}" if isinstance(problem, str) else problem


def _known_of_finished(name: str, results: Results) -> str:
    return f"{name} is known of finished designs only: {_from_finished(results)}"


def _from_finished(results: Results) -> str:
    n = int(np.sum(results.table["is_feasible"].astype(np.bool_) & ~results.is_superseded))
    return f"the best of {n:,} finished feasible designs"


def _knobs(table: Columns, problem: Problem) -> Columns:
    """Return the knobs that the regions search."""
    names: dict[str, None] = {}
    for region in problem.regions.values():
        names |= dict.fromkeys(region.from_unit(np.full((1, len(region.axes)), 0.5)))
    return {name: table[name] for name in names if name in table}


def _is_met(columns: Columns, conditions: Sequence[Constraint], *, is_inside: bool) -> NDArray[np.bool_]:
    outside = is_extrapolated(columns["domain_distance"]) if is_inside else np.zeros(n_rows(columns), dtype=np.bool_)
    known = [c for c in conditions if c.compared in columns]
    return np.asarray(~outside & is_met(columns, known))


def _is_known(designs: Columns, results: Results) -> NDArray[np.bool_]:
    """Return a mask of the designs that are finished trials or measured rows: these are candidates themselves."""
    names = [name for name in knobs_of(results.table) if name in designs]
    finished = {name: results.table[name] for name in names}
    both = {**stack([{name: designs[name] for name in names}, finished])}
    n = n_rows(designs)
    both["design_id"] = np.concatenate([np.zeros(n, dtype=np.int64), np.full(n_rows(finished), -1, dtype=np.int64)])
    return measured_twin(both)[:n] >= 0


def _annotated(knobs: Columns, problem: Problem) -> Columns:
    """Return designs with predictions, intervals and nearest samples, as in results."""
    model, constants = problem.evaluator, problem.study.constants
    columns = problem.evaluate(knobs)
    if isinstance(model, TableEvaluator):
        return model.add_intervals(columns, constants=constants)
    if not isinstance(model, PosteriorModel):
        return columns
    columns = add_intervals(columns, model=model, draws=posterior_draws(model), constants=constants)
    row, distance = nearest_sample(model.samples, columns, model.domain)
    columns["nearest_sample"] = np.array([*model.samples.labels, ""], dtype=object)[row]
    columns["sample_distance"] = np.where(row < 0, np.nan, distance)
    return columns


def _as_row(columns: Columns, results: Results) -> Columns:
    """Return one design with the columns of the table of results; those that it lacks are NaN, or empty."""
    row: Columns = {}
    for name, values in results.table.items():
        missing = np.array([""], dtype=object) if values.dtype == object else np.array([np.nan])
        row[name] = columns.get(name, missing)
    row["design_id"] = np.array([max(int(results.table["design_id"].max()), -1) + 1], dtype=np.int64)
    row["origin"] = np.array([SOLVED], dtype=object)
    return row


def _closest(knobs: Columns, problem: Problem, names: Sequence[str], results: Results) -> str:
    columns = problem.evaluate(knobs)
    own: dict[str, Column] = dict(results.own_columns)
    limited = [c.column for c in problem.study.constraints]
    shown = [name for name in dict.fromkeys((*names, *limited)) if name in columns]
    values: dict[str, Float] = {name: columns[name] for name in shown}
    texts = [f"{name} {(own.get(name) or column_of(name)).text(float(value[0]))}" for name, value in values.items()]
    return f"closest design of the model: {', '.join(texts)}"
