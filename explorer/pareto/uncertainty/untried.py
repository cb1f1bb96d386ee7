"""Alternatives: untried designs that a front has to be held against, for a search tries what its model likes best.

In one draw of what the samples allow, the designs that were tried lie somewhere behind the front that is true there:
the model's own front was proposed, and the draw has another. Designs around the front, in every direction that a knob
can take, and a scan of the whole space stand for what was not tried.
"""

import numpy as np

from explorer.models.evaluation import Problem
from explorer.problem.columns import Columns, Float, n_rows, stack, take
from explorer.problem.design_space import DesignSpace

_SCANNED = 512
_STEP = 0.15  # median size of a step, as a share of an axis; from small ones to half of it
_OTHER_CHOICE = 0.15


def untried_designs(front: Columns, problem: Problem, *, n: int, seed: int = 0) -> Columns:
    """Return about n untried designs, assessed: around the designs of a front, and anywhere.

    Args:
        front: the knobs of its designs, shape (k,) each.
        problem: the study.
        n: how many around it.
        seed: of the steps.
    """
    rng = np.random.default_rng(seed)
    tables = [problem.sample(_SCANNED, seed=seed)]
    families = front["family"].astype(str)
    for family, region in problem.regions.items():
        own = take(front, np.flatnonzero(families == family))
        if n_rows(own):
            share = max(1, n * n_rows(own) // n_rows(front))
            tables.append(problem.evaluate(region.from_unit(_around(own, region, share, rng))))
    return stack([{name: table[name] for name in tables[0]} for table in tables])


def _around(designs: Columns, region: DesignSpace, n: int, rng: np.random.Generator) -> Float:
    """Return points of the unit cube around designs of a region, shape (n, d)."""
    knobs = region.knobs(designs)
    unit = np.stack([axis.to_unit(knobs[axis.name]) for axis in region.axes], axis=-1)
    parents = unit[np.arange(n) % len(unit)]
    size = _STEP * np.exp(rng.normal(size=(n, 1)))
    moved = parents + rng.normal(size=parents.shape) * size * (rng.random(parents.shape) < 0.6)
    is_choice = np.array([bool(axis.labels) for axis in region.axes])
    other = np.where(rng.random(parents.shape) < _OTHER_CHOICE, rng.random(parents.shape), parents)
    return np.clip(np.where(is_choice, other, moved), 0.0, 1.0)
