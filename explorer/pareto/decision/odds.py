"""Odds of a choice: the probability that a design meets each limit, and all of them together."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from explorer.models.evaluation import Problem
from explorer.models.limits import (
    LimitProbabilities,
    chance_columns,
    limit_probabilities,
    measured_chance_columns,
    measured_limit_probabilities,
)
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import Draws, posterior_draws, split_into_blocks
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.results.measured_values import measured_by_draw
from explorer.problem.columns import N_LIMITS, Columns, is_uncertain, n_rows, take
from explorer.problem.constraints import Constraint


def limit_odds(
    designs: Columns, constraints: Sequence[Constraint], *, problem: Problem | None, draws: Draws | None = None
) -> LimitProbabilities:
    """Return the probabilities that evaluated designs meet limits, over forms and draws.

    Measured rows have the scatter of their reading. Without a model with a posterior, the intervals of the designs
    count: normal, and independent between columns.

    Args:
        designs: the designs with `design_id`, negative for measured rows, shape (n,) each.
        constraints: at least one limit.
        problem: the study with its model; None where it cannot be loaded.
        draws: draws of all limited targets; default: drawn anew.
    """
    model = problem.evaluator if problem is not None else None
    if problem is None or not isinstance(model, Surrogate):
        return measured_limit_probabilities(constraints, _with_intervals(designs, problem))
    statistics = problem.statistics_of(constraints)
    draws = posterior_draws(model, targets=statistics.targets) if draws is None else draws
    each, joint = np.full((len(constraints), n_rows(designs)), np.nan), np.full(n_rows(designs), np.nan)
    is_measured = designs["design_id"] < 0
    for rows, measured in ((np.flatnonzero(~is_measured), False), (np.flatnonzero(is_measured), True)):
        first = 0
        for block in split_into_blocks(take(designs, rows)) if rows.size else ():
            by_draw = (
                measured_by_draw(block, problem, model=model, draws=draws)
                if measured else statistics.by_draw(model, block, draws)
            )  # fmt: skip
            found = limit_probabilities(constraints, by_draw)
            own = rows[first : first + n_rows(block)]
            each[:, own], joint[own] = found.each, found.joint
            first += n_rows(block)
    return LimitProbabilities(tuple(constraints), each, joint)


def odds_columns(designs: Columns, constraints: Sequence[Constraint], *, problem: Problem, draws: Draws) -> Columns:
    """Return the columns `p_limits` and `p_limit_1`, ... of designs, in the order of the limits; see `limit_odds`.

    None where no limit is of a predicted value.
    """
    if not any(is_uncertain(c.column) for c in constraints) or not n_rows(designs):
        return {}
    found = limit_odds(designs, constraints, problem=problem, draws=draws)
    single = {f"p_limit_{k + 1}": found.each[k] for k in range(min(len(constraints), N_LIMITS))}
    return {"p_limits": found.joint, **(single if len(constraints) > 1 else {})}


def with_chance_columns(designs: Columns, constraints: Sequence[Constraint], *, problem: Problem | None) -> Columns:
    """Return designs with the columns that limits with a probability compare; see `chance_columns`.

    Args:
        designs: evaluated designs with `design_id`, negative for measured rows, shape (n,) each.
        constraints: limits; those without a probability need no further column.
        problem: the study with its model; None where it cannot be loaded: then the intervals of the designs count.
    """
    asked = [c for c in constraints if c.probability is not None]
    if not asked:
        return designs
    model = problem.evaluator if problem is not None else None
    if problem is None or not isinstance(model, Surrogate):
        return {**designs, **measured_chance_columns(asked, _with_intervals(designs, problem))}
    statistics = problem.statistics_of(asked)
    result = {name: np.full(n_rows(designs), np.nan) for name in statistics.names}
    rows, measured = np.flatnonzero(designs["design_id"] >= 0), np.flatnonzero(designs["design_id"] < 0)
    found = [(rows, statistics.columns(model, take(designs, rows)))] if rows.size else []
    if measured.size:
        draws = posterior_draws(model, targets=statistics.targets)
        readings = measured_by_draw(take(designs, measured), problem, model=model, draws=draws)
        found.append((measured, chance_columns(asked, readings)))
    for own, columns in found:
        for name, values in result.items():
            values[own] = columns[name]
    return {**designs, **result}


def odds_entry(found: LimitProbabilities) -> dict[str, Any]:
    """Return the entries of chosen.json on the odds of one design; null where a probability is unknown."""
    each = [float(p) for p in found.each[:, 0]]
    joint = float(found.joint[0])
    return {
        "limits": [
            {"constraint": c.text, "probability": p if np.isfinite(p) else None}
            for c, p in zip(found.constraints, each, strict=True)
        ],
        "joint_probability": joint if np.isfinite(joint) else None,
    }


def _with_intervals(designs: Columns, problem: Problem | None) -> Columns:
    if problem is not None and isinstance(problem.evaluator, TableEvaluator):
        return problem.evaluator.add_intervals(designs, constants=problem.study.constants)
    return designs
