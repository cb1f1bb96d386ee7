"""Marginal rates: what each small move from one design changes, with an interval over the model's posterior."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import Draws, drawn_targets
from explorer.models.intervals import LEVEL
from explorer.models.surrogate import Surrogate
from explorer.pareto.moves import Move
from explorer.problem.columns import Columns, Float, n_rows, stack
from explorer.problem.objectives import add_objectives

Sign = Literal["+", "-", "0", "?"]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one step of a move changes in one quantity (first order), in SI, with its 90 % interval over the posterior.

    `relative` is the change as a share of the quantity (NaN where that is 0). `elasticity` is in % per % of the knob
    (of the voltage, where the clock follows it); NaN for an operating point of a table. `sign` is `?` where the
    interval holds 0, `0` where the model's shapes know no such effect.
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


Rates = Mapping[str, Mapping[str, Rate]]
"""For each quantity, for each move's name, its rate."""


def marginal_rates(
    design: Columns, moves: Sequence[Move], *, quantities: Sequence[str], assessment: Assessment, model: Surrogate,
    draws: Draws,
) -> Rates:  # fmt: skip
    """Return the rate of every quantity in every move from one design.

    Differences are taken draw by draw and without the scatter of single measurements: what the design and its
    neighbour share (levels, errors of the same coefficients) cancels.

    Args:
        design: the knobs of one design, shape (1,) each.
        moves: the moves.
        quantities: columns of assessed designs, finite at the design.
        assessment: the study.
        model: the surrogate that predicts.
        draws: its draws.
    """
    table = stack([{name: design[name] for name in moves[0].designs}, *[move.designs for move in moves]])
    mode, drawn = worlds(table, assessment=assessment, model=model, draws=draws)
    rates: dict[str, dict[str, Rate]] = {}
    for quantity in quantities:
        values = np.concatenate([mode[quantity][None, :], drawn[quantity]])
        rates[quantity] = {}
        first = 1
        for move in moves:
            rows = slice(first, first + len(move.weights))
            first = rows.stop
            rates[quantity][move.name] = _rate((values[:, rows] - values[:, :1]) @ move.weights, values[:, 0], move)
    return rates


def worlds(table: Columns, *, assessment: Assessment, model: Surrogate, draws: Draws) -> tuple[Columns, Columns]:
    """Return a table as assessed, shape (n,) each, and in every draw of the posterior, shape (S, n) each.

    What does not depend on the draw (knobs, checks) is the same in all of them.
    """
    mode = assessment.assess(table)
    drawn = add_objectives(drawn_targets(model, draws, table, with_noise=False), assessment.study.weights)
    shape = next(iter(drawn.values())).shape
    numeric = {name: values for name, values in mode.items() if values.dtype.kind == "f"}
    return mode, {**{name: np.broadcast_to(values, shape) for name, values in numeric.items()}, **drawn}


def interval(mode: float, drawn: Float) -> tuple[float, float]:
    """Return the 90 % interval of draws, shape (S,), widened to hold the value at the posterior's mode."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return min(float(low), mode), max(float(high), mode)


def _rate(changes: Float, values: Float, move: Move) -> Rate:
    """Make a rate from the changes and the values here, shape (1 + S,): first at the mode, then in each draw."""
    relative = np.full(len(changes), np.nan)  # what is 0 has no share of itself
    np.divide(changes, values, out=relative, where=values != 0)
    elasticities = relative / move.share
    low, high = interval(float(changes[0]), changes[1:])
    sign: Sign = "0" if not changes.any() else "+" if low > 0 else "-" if high < 0 else "?"
    elasticity = float(elasticities[0])
    held = interval(elasticity, elasticities[1:])
    return Rate(float(changes[0]), low, high, float(relative[0]), elasticity, *held, sign)


def is_known(columns: Columns, name: str) -> bool:
    """Tell whether a table of one design has a finite value of a column."""
    return name in columns and n_rows(columns) == 1 and bool(np.isfinite(columns[name][0]))
