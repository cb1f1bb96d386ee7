"""Global sensitivity analysis: Sobol indices of each knob for each objective over the searched region."""

from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import Draws, PosteriorModel, posterior_draws, split_into_blocks
from explorer.problem.columns import Columns, Float, n_rows, within_finite
from explorer.problem.design_space import DesignSpace

_N = 1024  # base points of the Saltelli design: an error of about 0.01 for these smooth models
_N_OF_DRAWS, _N_DRAWS = 512, 32  # intervals over draws tolerate more noise than point values
_TAILS = (0.05, 0.95)


def knob_importance(problem: Problem, *, seed: int = 0) -> tuple[dict[str, Any], ...]:
    """Return one row for each family, objective and knob: its first-order and total Sobol index.

    Knobs are independent and uniform over the searched region (log-uniform on logarithmic axes), so the indices depend
    on its ranges. A first-order index of 0.3 is 30 % of the objective's variance explained by the knob alone; a total
    index of 0.4 adds 10 % by interactions. With a posterior, `total_lo` and `total_hi` are its 90 % interval: it is
    wide for two knobs whose effects the samples do not separate.

    Args:
        problem: the study, with a model cheap enough for about ten thousand evaluations.
        seed: of the random points.

    Returns:
        Rows with `family`, `objective`, `knob`, `first_order`, `total`, and `total_lo`, `total_hi` (NaN without a
        posterior). Fixed knobs have no row.

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

    def predict(unit: Float) -> Float:
        """Return the predicted objectives, shape (objectives, n)."""
        columns = problem.evaluate(_designs(region, unit), is_needed_only=True, has_statistics=False)
        return within_finite(problem.values(columns)).T

    def predict_draws(unit: Float) -> Float:
        """Return the objectives in every draw, shape (draws * objectives, n)."""
        return within_finite(_posterior_objectives(problem, draws or {}, _designs(region, unit)).T).T

    first, total = _sobol(predict, region, n=_N, seed=seed)
    low = high = np.full_like(total, np.nan)
    if draws:
        _, totals = _sobol(predict_draws, region, n=_N_OF_DRAWS, seed=seed)
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

    dists: Any = [uniform()] * len(region.axes)  # scipy's stubs do not declare ppf of its distributions
    indices = sobol_indices(func=values, n=n, dists=dists, rng=np.random.default_rng(seed))
    # A constant objective has no variance (NaN); small negative indices are noise of the estimator.
    first, total = (np.clip(np.nan_to_num(order), 0.0, 1.0) for order in (indices.first_order, indices.total_order))
    # scipy squeezes axes of length one, of functions and of knobs.
    return first.reshape(-1, len(region.axes)), total.reshape(-1, len(region.axes))


def _designs(region: DesignSpace, unit: Float) -> Columns:
    return region.from_unit(np.ascontiguousarray(unit.T))


def _draws(problem: Problem) -> Draws | None:
    """Return draws of the targets that the objectives need; None for a model without a posterior."""
    model = problem.evaluator
    if not isinstance(model, PosteriorModel):
        return None
    needed = {name for objective in problem.study.objectives for name in objective.needs}
    return posterior_draws(model, n=_N_DRAWS, targets=needed)


def _posterior_objectives(problem: Problem, draws: Draws, designs: Columns) -> Float:
    """Return the objectives in every draw, shape (draws * objectives, n)."""
    model, objectives = problem.evaluator, problem.study.objectives
    if not isinstance(model, PosteriorModel):
        return np.empty((0, n_rows(designs)))
    parts = []
    for block in split_into_blocks(designs):
        table = problem.worst_case.by_draw(model, draws, block)
        shape = next(iter(table.values())).shape
        if any(o.name not in table for o in objectives):  # an end of an interval is equal in all draws
            table = {**problem.evaluate(block, is_needed_only=True, has_statistics=False), **table}
        parts.append(np.stack([np.broadcast_to(table[o.name], shape) for o in objectives], axis=1))
    return np.concatenate(parts, axis=-1).reshape(-1, n_rows(designs))
