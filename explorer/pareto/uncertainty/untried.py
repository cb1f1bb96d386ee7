"""Untried designs: alternatives that the front of a search is compared with in front probabilities.

A search proposes the front of its model's prediction, but the front of a posterior draw is another one. Among evaluated
designs alone, front probabilities would be too large. Mutations of the front along all knobs and a scan of the space
represent the designs that were not evaluated.
"""

import numpy as np

from explorer.models.evaluation import Problem
from explorer.problem.columns import Columns, Float, n_rows, stack, take
from explorer.problem.design_space import DesignSpace

_N_SCANNED = 512
_STEP = 0.15  # median of the log-normal step size, as a share of an axis
_RESAMPLED_CHOICE_SHARE = 0.15


def untried_designs(front: Columns, problem: Problem, *, n: int, seed: int = 0) -> Columns:
    """Return evaluated designs: about n mutations of the designs of a front, and a scan of the space.

    Args:
        front: the knobs of its designs, shape (k,) each.
        problem: the study.
        n: number of mutations.
        seed: of the mutations and the scan.
    """
    rng = np.random.default_rng(seed)
    tables = [problem.sample(_N_SCANNED, seed=seed)]
    families = front["family"].astype(str)
    for family, region in problem.regions.items():
        own = take(front, np.flatnonzero(families == family))
        if n_rows(own):
            n_mutated = max(1, n * n_rows(own) // n_rows(front))
            tables.append(problem.evaluate(region.from_unit(_mutate(own, region, n_mutated, rng))))
    return stack([{name: table[name] for name in tables[0]} for table in tables])


def _mutate(designs: Columns, region: DesignSpace, n: int, rng: np.random.Generator) -> Float:
    """Return n mutations of designs of a region as points of its unit cube, shape (n, d)."""
    knobs = region.knobs(designs)
    unit = np.stack([axis.to_unit(knobs[axis.name]) for axis in region.axes], axis=-1)
    parents = unit[np.arange(n) % len(unit)]
    size = _STEP * np.exp(rng.normal(size=(n, 1)))
    mutated = parents + rng.normal(size=parents.shape) * size * (rng.random(parents.shape) < 0.6)
    is_choice = np.array([bool(axis.labels) for axis in region.axes])
    choices = np.where(rng.random(parents.shape) < _RESAMPLED_CHOICE_SHARE, rng.random(parents.shape), parents)
    return np.clip(np.where(is_choice, choices, mutated), 0.0, 1.0)
