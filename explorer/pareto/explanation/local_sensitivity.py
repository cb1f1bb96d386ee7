"""Marginal rates: what each small move from one design changes, with an interval over the model's posterior."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.models.evaluation import Problem
from explorer.models.evaluator import Evaluator
from explorer.models.intervals import LEVEL
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import Draws, PosteriorModel, predict_draws
from explorer.pareto.explanation.perturbations import Perturbation
from explorer.problem.columns import Columns, Float, bounds, n_rows, stack
from explorer.problem.objectives import add_objectives

Sign = Literal["+", "-", "0", "?"]
# The same design predicted twice in one table differs by the rounding of its sums, 1e-16 of it; a difference over a
# thousandth of a step makes 1e-13 of that. No effect that anybody could measure is as small.
_ROUNDING = 1e-11


@dataclass(frozen=True, slots=True)
class LocalSensitivity:
    """What one step of a move changes in one quantity (first order), in SI, with its 90 % interval over the posterior.

    Between measured rows the interval is what their readings leave open; it is NaN where one was measured once, as it
    is where a model has no posterior. `relative` is the change as a share of the quantity (NaN where that is 0).
    `elasticity` is in % per % of the knob (of the voltage, where the clock follows it); NaN for a choice. `sign` is `?`
    where the interval holds 0, `0` where the model knows no such effect; without an interval it is the change's own.
    """

    change: float
    lo: float
    hi: float
    relative: float
    elasticity: float
    elasticity_lo: float
    elasticity_hi: float
    sign: Sign

    @property
    def direction(self) -> int:
        """1 or -1 where the sign is certain, else 0."""
        return {"+": 1, "-": -1}.get(self.sign, 0)


Rates = Mapping[str, Mapping[str, LocalSensitivity]]
"""For each quantity, for each move's name, its rate."""


def local_sensitivities(
    design: Columns, moves: Sequence[Perturbation], *, quantities: Sequence[str], problem: Problem, model: Evaluator,
    draws: Draws | None,
) -> Rates:  # fmt: skip
    """Return the rate of every quantity in every move from one design.

    Differences are taken draw by draw and without the scatter of single measurements: what the design and its
    neighbour share (levels, errors of the same coefficients) cancels.

    Args:
        design: the knobs of one design, shape (1,) each.
        moves: the moves.
        quantities: columns of assessed designs, finite at the design.
        problem: the study.
        model: the model that predicts.
        draws: its draws; None where it has no posterior.
    """
    table = stack([design, *[{name: move.designs[name] for name in design} for move in moves]])
    mode, drawn = mode_and_draws(table, problem=problem, model=model, draws=draws)
    readings = model.add_intervals(mode, weights=problem.study.weights) if isinstance(model, TableEvaluator) else {}
    rates: dict[str, dict[str, LocalSensitivity]] = {}
    for quantity in quantities:
        values = np.concatenate([mode[quantity][None, :], drawn[quantity]])
        rates[quantity] = {}
        first = 1
        for move in moves:
            rows = slice(first, first + len(move.weights))
            first = rows.stop
            changes = (values[:, rows] - values[:, :1]) @ move.weights
            if np.all(np.abs(changes) <= _ROUNDING * np.abs(values[:, 0])):
                changes = np.zeros(len(changes))
            held = interval(float(changes[0]), changes[1:])
            if readings and bounds(quantity)[0] in readings:
                low, high = (readings[end] for end in bounds(quantity))
                held = float(low[rows][0] - high[0]), float(high[rows][0] - low[0])
            rates[quantity][move.name] = _rate(changes, values[:, 0], move, held=held)
    return rates


def mode_and_draws(
    table: Columns, *, problem: Problem, model: Evaluator, draws: Draws | None
) -> tuple[Columns, Columns]:  # fmt: skip
    """Return a table as assessed, shape (n,) each, and in every draw of the posterior, shape (S, n) each.

    What does not depend on the draw (knobs, checks) is the same in all of them. Without a posterior S is 0.
    """
    mode, drawn, shape = problem.evaluate(table), {}, (0, n_rows(table))
    if draws is not None and isinstance(model, PosteriorModel):
        drawn = add_objectives(predict_draws(model, draws, table, with_noise=False), problem.study.weights)
        shape = next(iter(drawn.values())).shape
    numeric = {name: values for name, values in mode.items() if values.dtype.kind == "f"}
    return mode, {**{name: np.broadcast_to(values, shape) for name, values in numeric.items()}, **drawn}


def interval(mode: float, drawn: Float) -> tuple[float, float]:
    """Return the 90 % interval of draws, shape (S,), widened to hold the value at the mode; NaN for none."""
    if not len(drawn):
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return min(float(low), mode), max(float(high), mode)


def _rate(changes: Float, values: Float, move: Perturbation, *, held: tuple[float, float]) -> LocalSensitivity:
    """Make a rate from the changes and the values here, shape (1 + S,), mode first, and the changes' interval."""
    relative = np.full(len(changes), np.nan)  # what is 0 has no share of itself
    np.divide(changes, values, out=relative, where=values != 0)
    elasticities = relative / move.share
    change, elasticity = float(changes[0]), float(elasticities[0])
    return LocalSensitivity(change, *held, float(relative[0]), elasticity, *interval(elasticity, elasticities[1:]),
                _sign(changes, *held))  # fmt: skip


def _sign(changes: Float, low: float, high: float) -> Sign:
    if not changes.any() and not low < high:
        return "0"
    if math.isnan(low):
        return "+" if changes[0] > 0 else "-"
    return "+" if low > 0 else "-" if high < 0 else "?"


def is_known(columns: Columns, name: str) -> bool:
    """Tell whether a table of one design has a finite value of a column."""
    return name in columns and n_rows(columns) == 1 and bool(np.isfinite(columns[name][0]))
