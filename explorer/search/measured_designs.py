"""Measured rows as designs: the samples of a model inside a study's spaces, with their measured values."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.models.limits import chance_columns
from explorer.models.posterior_draws import PosteriorModel, posterior_draws
from explorer.models.worst_case import anchored
from explorer.pareto.results.measured_values import measured_by_draw, measured_intervals
from explorer.problem.columns import TARGETS, Columns, Float, knobs_of, n_rows, stack, take
from explorer.problem.objectives import OBJECTIVES, add_objectives
from explorer.search.encoding import Encoding
from explorer.search.trial_table import SAMPLE, design_keys


def sample_designs(problem: Problem) -> tuple[list[int], Columns]:
    """Return the samples of a model inside the regions of a problem, repeats included.

    Returns:
        Their rows among the samples, and their designs in the same order, shape (k,) each; none for another evaluator.
    """
    model = problem.evaluator
    if not isinstance(model, PosteriorModel):
        return [], {}
    columns, rows, parts = model.samples.columns, [], []
    for family, region in problem.regions.items():
        own = np.flatnonzero(columns["family"] == family)
        knobs = {name: columns[name][own] for name in knobs_of(columns)}
        own = own[region.contains(knobs)] if own.size else own
        if own.size:
            values = region.knobs({name: columns[name][own] for name in knobs})
            parts.append(region.designs({a.name: np.clip(values[a.name], a.low, a.high) for a in region.axes}))
            rows.append(own)
    if not rows:
        return [], {}
    order = np.argsort(np.concatenate(rows), kind="stable")
    return np.concatenate(rows)[order].tolist(), take(stack(parts), order)


def measured_designs(problem: Problem) -> Columns:
    """Return the measured rows as designs of a study, shape (k,) each; empty where there are none.

    A row counts if it lies in a space of the study and holds every objective and every constrained column. Repeats are
    averaged. `design_id` is -1, -2, ... in the order of the samples, so it does not depend on the number of trials.
    Targets without a reading are NaN, and `domain_distance` is 0: a measurement does not extrapolate.
    """
    rows, designs = sample_designs(problem)
    if not rows:
        return {}
    encoding = Encoding(problem.regions)  # the same rounding as in the trials: equal designs have equal knobs
    designs = encoding.decode(encoding.encode(designs), n=len(rows))
    groups: dict[object, list[int]] = {}
    for i, key in enumerate(design_keys(designs)):
        groups.setdefault(key, []).append(i)
    table = problem.evaluate(take(designs, np.array([members[0] for members in groups.values()])))
    index = [np.array([rows[i] for i in members]) for members in groups.values()]
    columns = getattr(problem.evaluator, "samples").columns  # noqa: B009 - checked by `sample_designs`
    for name in (*TARGETS, *OBJECTIVES):
        if name in table:
            table[name] = _averages(columns.get(name), index)
    bare = {name: values for name, values in table.items() if name not in OBJECTIVES or name in TARGETS}
    table |= add_objectives(bare, problem.study.constants)
    if problem.worst_case:
        # What changes in a scenario is predicted, from the reading.
        table |= problem.worst_case.columns(table, anchored(problem.evaluator.evaluate, table))
    table["domain_distance"] = np.zeros(n_rows(table))
    table |= _statistics(problem, table)
    violations = problem.constraint_violations(table)
    table["is_feasible"] = np.all([v <= 0 for v in violations.values()], axis=0) if violations else _all(table)
    needed = [*(o.name for o in problem.study.objectives), *(c.column for c in problem.study.constraints)]
    table = take(table, _is_complete(table, needed))
    n = n_rows(table)
    return {**table, "design_id": -1 - np.arange(n), "origin": np.full(n, SAMPLE, dtype=object)}


def _statistics(problem: Problem, table: Columns) -> Columns:
    """Return the columns of limits with a probability from readings and their scatter, and named ends of intervals."""
    statistics, model = problem.statistics, problem.evaluator
    if not statistics or not isinstance(model, PosteriorModel):
        return {}
    draws = posterior_draws(model, targets=statistics.targets)
    columns = chance_columns(statistics.constraints, measured_by_draw(table, problem, model=model, draws=draws))
    if statistics.ends:
        ends = measured_intervals(table, model=model, draws=draws, constants=problem.study.constants)
        columns |= {name: ends[name] for name in statistics.ends if name in ends}
    return columns


def _averages(values: "NDArray[np.float64] | None", index: Iterable[NDArray[np.int64]]) -> Float:
    """Return the mean of the finite readings of each group, shape (k,); NaN where a group has none."""
    means = []
    for rows in index:
        readings = values[rows] if values is not None else np.empty(0)
        readings = readings[np.isfinite(readings)]
        means.append(float(readings.mean()) if readings.size else np.nan)
    return np.array(means)


def _is_complete(table: Columns, names: Iterable[str]) -> NDArray[np.bool_]:
    is_finite = [np.isfinite(table[name].astype(np.float64)) for name in dict.fromkeys(names)]
    return np.asarray(np.all(is_finite, axis=0))


def _all(table: Columns) -> NDArray[np.bool_]:
    return np.ones(n_rows(table), dtype=np.bool_)
