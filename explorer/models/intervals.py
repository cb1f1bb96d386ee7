"""Prediction intervals of targets, and of the objectives computed from them, by posterior draws."""

from collections.abc import Sequence

import numpy as np

from explorer.models.posterior_draws import Draws, PosteriorModel, predict_draws, split_into_blocks
from explorer.problem.columns import TARGETS, Columns, Float, n_rows, stack
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives

LEVEL = 0.9


def add_intervals(
    columns: Columns, *, model: PosteriorModel, draws: Draws, constants: Constants, level: float = LEVEL
) -> Columns:
    """Return a table with columns `_lo` and `_hi` for each of its targets and objectives, shape (n,) each.

    The interval contains one new measurement of the design with probability `level`. Objectives are computed draw by
    draw, so errors that energy and latency share count once in their product.

    Args:
        columns: designs with predictions and `domain_distance`.
        model: the model that predicted them.
        draws: its posterior draws.
        constants: alpha and E_max of the weighted cost.
        level: probability, between 0 and 1.
    """
    if not n_rows(columns):
        return {
            **columns,
            **{f"{name}{end}": np.empty(0) for name in _interval_columns(columns) for end in ("_lo", "_hi")},
        }
    ends = stack([_block_bounds(block, model, draws, constants, level) for block in split_into_blocks(columns)])
    return {**columns, **ends}


def quantiles(samples: Float, shares: Sequence[float]) -> Float:
    """Return quantiles over the first axis, shape (len(shares), ...); NaN where a sample is NaN.

    Interpolated between samples. Beside an infinite sample (the latency of a device that cannot keep up) no
    interpolation exists: there they are order statistics.
    """
    if not np.isinf(samples).any():
        return np.asarray(np.quantile(samples, shares, axis=0))
    ordered = np.sort(samples, axis=0)  # NaN last
    ranks = [min(max(int(np.ceil(share * len(samples) - 1e-9)), 1), len(samples)) - 1 for share in shares]
    return np.where(np.isnan(ordered[-1]), np.nan, ordered[ranks])


def _block_bounds(block: Columns, model: PosteriorModel, draws: Draws, constants: Constants, level: float) -> Columns:
    samples = add_objectives(predict_draws(model, draws, block, with_noise=True), constants)
    tail = (1 - level) / 2
    ends: Columns = {}
    for name in _interval_columns(block):
        low, high = quantiles(samples[name], [tail, 1 - tail])
        # The prediction is the posterior mode, not its median: extend the interval where the mode is outside.
        ends[f"{name}_lo"], ends[f"{name}_hi"] = np.minimum(low, block[name]), np.maximum(high, block[name])
    return ends


def _interval_columns(columns: Columns) -> list[str]:
    return [name for name in dict.fromkeys((*TARGETS, *OBJECTIVES)) if name in columns]
