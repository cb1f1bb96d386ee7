"""Intervals: how far each prediction, and each objective made of predictions, can be from the truth."""

import numpy as np

from explorer.models.posterior_draws import Draws, PosteriorModel, predict_draws, split_into_blocks
from explorer.problem.columns import TARGETS, Columns, n_rows, stack
from explorer.problem.objectives import OBJECTIVES, CostWeights, add_objectives

LEVEL = 0.9


def add_intervals(
    columns: Columns, *, model: PosteriorModel, draws: Draws, weights: CostWeights, level: float = LEVEL
) -> Columns:
    """Return a table with `_lo` and `_hi` beside every predicted column and objective that it has, shape (n,) each.

    The interval holds what one new measurement of the design would give, with probability `level`. Objectives are
    computed draw by draw: where energy and latency err together, EDP errs once.

    Args:
        columns: designs with predictions and `domain_distance`.
        model: the model that predicted them.
        draws: its draws.
        weights: alpha and E_max of the weighted cost.
        level: probability, between 0 and 1.
    """
    if not n_rows(columns):
        return {**columns, **{f"{name}{end}": np.empty(0) for name in _bounded(columns) for end in ("_lo", "_hi")}}
    bounds = stack([_block_bounds(block, model, draws, weights, level) for block in split_into_blocks(columns)])
    return {**columns, **bounds}


def _block_bounds(block: Columns, model: PosteriorModel, draws: Draws, weights: CostWeights, level: float) -> Columns:
    drawn = add_objectives(predict_draws(model, draws, block, with_noise=True), weights)
    tail = (1 - level) / 2
    bounds: Columns = {}
    for name in _bounded(block):
        low, high = np.quantile(drawn[name], [tail, 1 - tail], axis=0)
        # The prediction is the mode of the posterior, not its median; it must not stand outside its own interval.
        bounds[f"{name}_lo"], bounds[f"{name}_hi"] = np.minimum(low, block[name]), np.maximum(high, block[name])
    return bounds


def _bounded(columns: Columns) -> list[str]:
    return [name for name in dict.fromkeys((*TARGETS, *OBJECTIVES)) if name in columns]
