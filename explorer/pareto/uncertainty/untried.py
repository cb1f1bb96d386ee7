"""Untried designs: alternatives that the front of a search is compared with in front probabilities.

A search proposes the front of its model's prediction, but the front of a posterior draw is another one. Among evaluated
designs alone, front probabilities would be too large. Mutations of the front along all knobs and a scan of the space
represent the designs that were not evaluated.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluation import Problem
from explorer.problem.columns import Columns, Float, n_rows, stack, take
from explorer.problem.design_space import DesignSpace

# At least this many untried designs are compared with a sure design: the count may stand still once by chance.
N_MIN = 4_000
N_MAX = 8_400  # bound of their number: 400 draws of them take a second
_N_FIRST, _N_SCANNED = 512, 512
_N_KEPT = 1_000
_STEP = 0.15  # median of the log-normal step size, as a share of an axis
_SHRINKAGE, _SMALLEST_STEP = 0.6, 0.05  # of the step size from batch to batch
_RESAMPLED_CHOICE_SHARE = 0.15


class UntriedDesigns:
    """Batches of untried designs, each as large as all batches before it together.

    The first batch is a scan of the space and mutations of the designs of a front. Later batches mutate also the
    untried designs that were on the front of most posterior draws so far, with smaller steps: the rivals that could
    remove a sure design lie beside those that nearly did.
    """

    def __init__(self, front: Columns, problem: Problem, *, n_max: int = N_MAX, seed: int = 0) -> None:
        """Start without any batch.

        Args:
            front: the knobs of the designs of a front, shape (k,) each.
            problem: the study.
            n_max: bound of the number of untried designs.
            seed: of the scans and mutations.
        """
        self._problem, self._seed, self._n_max = problem, seed, n_max
        self._parents = front
        self._best: Columns = {}
        self._n_best = np.zeros(0, dtype=np.int64)
        self.n = 0

    def __iter__(self) -> Iterator[Columns]:
        """Yield evaluated designs, shape (n,) each, until the bound is reached."""
        step, k = _STEP, 0
        while not self.n or 2 * self.n <= self._n_max:
            parents = self._parents if not self._best else stack([self._parents, self._best])
            n_mutated, n_scanned = (_N_FIRST, _N_SCANNED) if not self.n else (self.n, 0)
            batch = untried_designs(
                parents, self._problem, n=n_mutated, n_scanned=n_scanned, seed=self._seed + k, step=step
            )
            self.n += n_rows(batch)
            yield batch
            step, k = max(step * _SHRINKAGE, _SMALLEST_STEP), k + 1

    def keep(self, batch: Columns, n_fronts: NDArray[np.int64]) -> None:
        """Keep the designs of a batch that are on the front of most draws as parents of later batches.

        Args:
            batch: the last batch.
            n_fronts: number of draws in which each of its designs is on the front, shape (n,).
        """
        rows = np.flatnonzero(n_fronts)
        own = take({name: batch[name] for name in self._parents}, rows)
        every = stack([self._best, own]) if self._best else own
        counts = np.concatenate([self._n_best, n_fronts[rows]])
        order = np.argsort(-counts, kind="stable")[:_N_KEPT]
        self._best, self._n_best = take(every, order), counts[order]


def untried_designs(
    front: Columns, problem: Problem, *, n: int, n_scanned: int = _N_SCANNED, seed: int = 0, step: float = _STEP
) -> Columns:
    """Return evaluated designs: about n mutations of the designs of a front, and a scan of the space.

    Args:
        front: the knobs of its designs, shape (k,) each.
        problem: the study.
        n: number of mutations.
        n_scanned: number of designs of the scan.
        seed: of the mutations and the scan.
        step: median size of a mutation, as a share of an axis.
    """
    rng = np.random.default_rng(seed)
    tables = [problem.sample(n_scanned, seed=seed, is_needed_only=True)] if n_scanned else []
    families = front["family"].astype(str)
    for family, region in problem.regions.items():
        own = take(front, np.flatnonzero(families == family))
        if n_rows(own):
            n_mutated = max(1, n * n_rows(own) // n_rows(front))
            tables.append(
                problem.evaluate(region.from_unit(_mutate(own, region, n_mutated, rng, step)), is_needed_only=True)
            )
    return stack([{name: table[name] for name in tables[0]} for table in tables])


def _mutate(designs: Columns, region: DesignSpace, n: int, rng: np.random.Generator, step: float) -> Float:
    """Return n mutations of designs of a region as points of its unit cube, shape (n, d)."""
    knobs = region.knobs(designs)
    unit = np.stack([axis.to_unit(knobs[axis.name]) for axis in region.axes], axis=-1)
    parents = unit[np.arange(n) % len(unit)]
    size = step * np.exp(rng.normal(size=(n, 1)))
    mutated = parents + rng.normal(size=parents.shape) * size * (rng.random(parents.shape) < 0.6)
    is_choice = np.array([bool(axis.labels) for axis in region.axes])
    choices = np.where(rng.random(parents.shape) < _RESAMPLED_CHOICE_SHARE, rng.random(parents.shape), parents)
    return np.clip(np.where(is_choice, choices, mutated), 0.0, 1.0)
