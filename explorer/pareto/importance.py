"""Importance: how much of each objective's variance over the searched region each knob explains (Sobol indices)."""

from typing import Any

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import PosteriorModel, blocks_of, drawn_targets, posterior_draws
from explorer.problem.columns import Columns, Float
from explorer.problem.objectives import add_objectives
from explorer.problem.region import Region

_N = 1024  # base points of the Saltelli design; with it the indices of these smooth models are known to about 0.01
_N_DRAWS = 64
_TAILS = (0.05, 0.95)


def knob_importance(assessment: Assessment, *, seed: int = 0) -> tuple[dict[str, Any], ...]:
    """Return one row for each family, objective and knob: its first-order and total Sobol index.

    The knobs are taken as independent and uniform over the region that a search may propose (uniform in the logarithm
    where the axis is), so the answer depends on those ranges. A knob of first order 0.3 explains 30 % of the
    objective's variance alone, of total order 0.4 another tenth together with others. Where the model has a posterior,
    `total_lo` and `total_hi` hold 90 % of what its draws give: two knobs that the samples do not separate show it here.

    Args:
        assessment: the study with a model that is cheap enough to ask some ten thousand times.
        seed: of the random points.

    Returns:
        Rows with `family`, `objective`, `knob`, `first_order`, `total`, and `total_lo`, `total_hi` (NaN without a
        posterior). Knobs that are fixed have no row.

    Source: A. Saltelli et al., Computer Physics Communications 181 (2010) 259-270, as in `scipy.stats.sobol_indices`.
    """
    rows: list[dict[str, Any]] = []
    for family, region in assessment.regions.items():
        indices = _indices(assessment, region, seed)
        for j, objective in enumerate(assessment.study.objectives):
            for i, axis in enumerate(region.axes):
                if not axis.is_fixed:
                    values = {name: float(array[j, i]) for name, array in indices.items()}
                    rows.append({"family": family, "objective": objective.name, "knob": axis.name, **values})
    return tuple(rows)


def _indices(assessment: Assessment, region: Region, seed: int) -> dict[str, Float]:
    from scipy.stats import sobol_indices, uniform

    n_objectives, n_axes = len(assessment.study.objectives), len(region.axes)

    def values(unit: Float) -> Float:
        """Return the prediction's objectives, then those of every draw, shape (objectives * (1 + draws), n)."""
        designs = region.from_unit(np.ascontiguousarray(unit.T))
        predicted = assessment.values(assessment.assess(designs)).T
        return np.concatenate([predicted, *_drawn(assessment, designs)])

    dists: Any = [uniform()] * n_axes  # scipy's stubs do not see that its own distributions have a ppf
    found = sobol_indices(func=values, n=_N, dists=dists, rng=np.random.default_rng(seed))
    # A constant objective has no variance to explain; what is left of a small negative index is noise of the estimate.
    first, total = (
        np.clip(np.nan_to_num(order), 0.0, 1.0).reshape(-1, n_objectives, n_axes)
        for order in (found.first_order, found.total_order)
    )
    low, high = np.quantile(total[1:], _TAILS, axis=0) if len(total) > 1 else np.full((2, *total[0].shape), np.nan)
    return {"first_order": first[0], "total": total[0], "total_lo": low, "total_hi": high}


def _drawn(assessment: Assessment, designs: Columns) -> list[Float]:
    """Return the objectives of some draws, each of shape (objectives, n); none where the model has no posterior."""
    model = assessment.evaluator
    if not isinstance(model, PosteriorModel):
        return []
    draws = posterior_draws(model, n=_N_DRAWS)
    parts = []
    for block in blocks_of(designs):
        table = add_objectives(drawn_targets(model, draws, block, with_noise=False), assessment.study.weights)
        parts.append(np.stack([table[o.name] for o in assessment.study.objectives], axis=1))
    return list(np.concatenate(parts, axis=-1))
