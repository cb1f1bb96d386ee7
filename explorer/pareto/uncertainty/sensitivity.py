"""Importance: how much of each objective's variance over the searched region each knob explains (Sobol indices)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import Draws, PosteriorModel, posterior_draws, predict_draws, split_into_blocks
from explorer.problem.columns import Columns, Float, n_rows
from explorer.problem.design_space import DesignSpace
from explorer.problem.objectives import add_objectives

_N = 1024  # base points of the Saltelli design; with it the indices of these smooth models are known to about 0.01
_N_OF_DRAWS, _N_DRAWS = 512, 32  # an interval over draws bears more noise than a point
_TAILS = (0.05, 0.95)


def knob_importance(problem: Problem, *, seed: int = 0) -> tuple[dict[str, Any], ...]:
    """Return one row for each family, objective and knob: its first-order and total Sobol index.

    The knobs are taken as independent and uniform over the region that a search may propose (uniform in the logarithm
    where the axis is), so the answer depends on those ranges. A knob of first order 0.3 explains 30 % of the
    objective's variance alone, of total order 0.4 another tenth together with others. Where the model has a posterior,
    `total_lo` and `total_hi` hold 90 % of what its draws give: two knobs that the samples do not separate show it here.

    Args:
        problem: the study with a model that is cheap enough to ask some ten thousand times.
        seed: of the random points.

    Returns:
        Rows with `family`, `objective`, `knob`, `first_order`, `total`, and `total_lo`, `total_hi` (NaN without a
        posterior). Knobs that are fixed have no row.

    Source: A. Saltelli et al., Computer Physics Communications 181 (2010) 259-270, as in `scipy.stats.sobol_indices`.
    """
    rows: list[dict[str, Any]] = []
    draws = _draws(problem)
    for family, region in problem.regions.items():
        indices = _indices(problem, region, draws, seed)
        for j, objective in enumerate(problem.study.objectives):
            for i, axis in enumerate(region.axes):
                if not axis.is_fixed:
                    values = {name: float(array[j, i]) for name, array in indices.items()}
                    rows.append({"family": family, "objective": objective.name, "knob": axis.name, **values})
    return tuple(rows)


def _indices(problem: Problem, region: DesignSpace, draws: Draws | None, seed: int) -> dict[str, Float]:
    n_objectives = len(problem.study.objectives)

    def predicted(unit: Float) -> Float:
        """Return the prediction's objectives, shape (objectives, n)."""
        return problem.values(problem.evaluate(_designs(region, unit))).T

    def drawn(unit: Float) -> Float:
        """Return the objectives of every draw, shape (draws * objectives, n)."""
        return _drawn(problem, draws or {}, _designs(region, unit))

    first, total = _sobol(predicted, region, n=_N, seed=seed)
    low = high = np.full_like(total, np.nan)
    if draws:
        _, totals = _sobol(drawn, region, n=_N_OF_DRAWS, seed=seed)
        low, high = np.quantile(totals.reshape(-1, n_objectives, len(region.axes)), _TAILS, axis=0)
    return {
        "first_order": first,
        "total": total,
        "total_lo": np.minimum(low, total),
        "total_hi": np.maximum(high, total),
    }


def _sobol(values: Callable[[Float], Float], region: DesignSpace, *, n: int, seed: int) -> tuple[Float, Float]:
    """Return first-order and total indices of functions of the unit cube, shape (functions, axes) each."""
    from scipy.stats import sobol_indices, uniform

    dists: Any = [uniform()] * len(region.axes)  # scipy's stubs do not see that its own distributions have a ppf
    found = sobol_indices(func=values, n=n, dists=dists, rng=np.random.default_rng(seed))
    # A constant objective has no variance to explain; what is left of a small negative index is noise of the estimate.
    first, total = (np.clip(np.nan_to_num(order), 0.0, 1.0) for order in (found.first_order, found.total_order))
    # scipy drops an axis of length one, be it of functions or of knobs.
    return first.reshape(-1, len(region.axes)), total.reshape(-1, len(region.axes))


def _designs(region: DesignSpace, unit: Float) -> Columns:
    return region.from_unit(np.ascontiguousarray(unit.T))


def _draws(problem: Problem) -> Draws | None:
    """Return draws of the targets that the objectives need; None where the model has no posterior."""
    model = problem.evaluator
    if not isinstance(model, PosteriorModel):
        return None
    needed = {name for objective in problem.study.objectives for name in objective.needs}
    every: Any = posterior_draws(model, n=_N_DRAWS)  # of one kind or the other, which a comprehension cannot tell
    return {name: drawn for name, drawn in every.items() if name in needed}


def _drawn(problem: Problem, draws: Draws, designs: Columns) -> Float:
    """Return the objectives of every draw, shape (draws * objectives, n)."""
    model, objectives = problem.evaluator, problem.study.objectives
    if not isinstance(model, PosteriorModel):
        return np.empty((0, n_rows(designs)))
    parts = []
    for block in split_into_blocks(designs):
        table = add_objectives(predict_draws(model, draws, block, with_noise=False), problem.study.weights)
        parts.append(np.stack([table[o.name] for o in objectives], axis=1))
    return np.concatenate(parts, axis=-1).reshape(-1, n_rows(designs))
