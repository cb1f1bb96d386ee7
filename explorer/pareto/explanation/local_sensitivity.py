"""Local sensitivity: the change of each quantity by each perturbation of one design, with posterior intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.models.evaluation import Problem
from explorer.models.evaluator import Evaluator
from explorer.models.intervals import LEVEL
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import Draws, PosteriorModel
from explorer.pareto.explanation.perturbations import Perturbation
from explorer.problem.columns import Columns, Float, bounds, is_end, n_rows, stack

Sign = Literal["+", "-", "0", "?"]
# Two predictions of one design differ by rounding, 1e-16 of the value; the stencil of a thousandth of a step amplifies
# it to 1e-13. No measurable effect is below this limit.
_ROUNDING = 1e-11


@dataclass(frozen=True, slots=True)
class LocalSensitivity:
    """First-order change of one quantity by one perturbation, in SI units, with its 90 % posterior interval.

    Between measured rows the interval comes from their repeated readings. It is NaN where a row was measured once, and
    where a model has no posterior. `relative` is the change as a share of the quantity (NaN where that is 0).
    `elasticity` is in % per % of the knob (of the voltage, where the clock follows it), NaN for a choice. `sign` is `?`
    where the interval contains 0 and `0` where the model has no such effect. Without an interval it is the sign of the
    change.
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
        """The sign as 1 or -1 where it is significant, else 0."""
        return {"+": 1, "-": -1}.get(self.sign, 0)


Rates = Mapping[str, Mapping[str, LocalSensitivity]]
"""Local sensitivities by quantity and name of the perturbation."""


def local_sensitivities(
    design: Columns, moves: Sequence[Perturbation], *, quantities: Sequence[str], problem: Problem, model: Evaluator,
    draws: Draws | None,
) -> Rates:  # fmt: skip
    """Return the local sensitivity of every quantity to every perturbation of one design.

    Differences are taken within each draw, without the scatter of single measurements, so errors common to the design
    and its neighbour (levels, coefficients) cancel.

    Args:
        design: the knobs of one design, shape (1,) each.
        moves: the perturbations.
        quantities: columns of evaluated designs, finite at the design.
        problem: the study.
        model: the model that predicts.
        draws: its draws; None where it has no posterior.
    """
    table = stack([design, *[{name: move.designs[name] for name in design} for move in moves]])
    mode, by_draw = mode_and_draws(table, problem=problem, model=model, draws=draws)
    readings = model.add_intervals(mode, constants=problem.study.constants) if isinstance(model, TableEvaluator) else {}
    rates: dict[str, dict[str, LocalSensitivity]] = {}
    for quantity in quantities:
        values = np.concatenate([mode[quantity][None, :], by_draw[quantity]])
        rates[quantity] = {}
        first = 1
        for move in moves:
            rows = slice(first, first + len(move.weights))
            first = rows.stop
            # In draws where the device cannot keep up, both are infinite: `interval` leaves these out.
            with np.errstate(invalid="ignore"):
                changes = (values[:, rows] - values[:, :1]) @ move.weights
            if np.all(np.abs(changes) <= _ROUNDING * np.abs(values[:, 0])):
                changes = np.zeros(len(changes))
            limits = interval(float(changes[0]), changes[1:])
            if readings and bounds(quantity)[0] in readings:
                low, high = (readings[end] for end in bounds(quantity))
                limits = float(low[rows][0] - high[0]), float(high[rows][0] - low[0])
            rates[quantity][move.name] = _sensitivity(changes, values[:, 0], move, limits=limits)
    return rates


def mode_and_draws(
    table: Columns, *, problem: Problem, model: Evaluator, draws: Draws | None
) -> tuple[Columns, Columns]:  # fmt: skip
    """Return an evaluated table at the posterior mode, shape (n,) each, and in every posterior draw, shape (S, n) each.

    Columns that do not depend on the draw (knobs, checks) are repeated. Without a posterior S is 0.
    """
    mode, by_draw, shape = problem.evaluate(table), {}, (0, n_rows(table))
    if draws is not None and isinstance(model, PosteriorModel):
        by_draw = problem.worst_case.by_draw(model, draws, table)
        shape = next(iter(by_draw.values())).shape
        # The effect of a knob on the end of an interval is as doubtful as that on the value itself.
        for end in (name for name in mode if is_end(name) and name[:-3] in by_draw):
            by_draw[end] = by_draw[end[:-3]] + (mode[end] - mode[end[:-3]])
    numeric = {name: values for name, values in mode.items() if values.dtype.kind == "f"}
    return mode, {**{name: np.broadcast_to(values, shape) for name, values in numeric.items()}, **by_draw}


def interval(mode: float, draws: Float) -> tuple[float, float]:
    """Return the 90 % interval of finite draws, shape (S,), widened to contain the value at the mode; NaN without."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return math.nan, math.nan
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return min(float(low), mode), max(float(high), mode)


def _sensitivity(changes: Float, values: Float, move: Perturbation, *, limits: tuple[float, float]) -> LocalSensitivity:
    """Return a sensitivity from changes and values, shape (1 + S,) each, mode first, and the changes' interval."""
    relative = np.full(len(changes), np.nan)  # undefined where the value is 0
    np.divide(changes, values, out=relative, where=values != 0)
    elasticities = relative / move.share
    change, elasticity = float(changes[0]), float(elasticities[0])
    return LocalSensitivity(change, *limits, float(relative[0]), elasticity, *interval(elasticity, elasticities[1:]),
                            _sign(changes, *limits))  # fmt: skip


def _sign(changes: Float, low: float, high: float) -> Sign:
    if not changes.any() and not low < high:
        return "0"
    if math.isnan(low):
        return "+" if changes[0] > 0 else "-"
    return "+" if low > 0 else "-" if high < 0 else "?"


def has_value(columns: Columns, name: str) -> bool:
    """Return whether a table of one design has a finite value in a column."""
    return name in columns and n_rows(columns) == 1 and bool(np.isfinite(columns[name][0]))
