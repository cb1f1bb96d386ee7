"""Posterior draws of a model: joint samples of forms and coefficients, so shared errors count once."""

from collections.abc import Collection, Mapping

import numpy as np

from explorer.models.response.response import N_DRAWS, ResponseDraws
from explorer.models.response.surrogate import Surrogate
from explorer.problem.columns import Columns, n_rows, take

__all__ = ["N_DRAWS", "Draws", "PosteriorModel", "posterior_draws", "predict_draws", "split_into_blocks"]

_BLOCK = 2_000  # designs at once: 1,000 draws of a block take 16 MB a target

# Model with posterior draws, samples and a domain, as intervals, front probabilities and advice need it.
PosteriorModel = Surrogate
Draws = Mapping[str, ResponseDraws]


def posterior_draws(
    model: PosteriorModel, *, n: int = N_DRAWS, seed: int = 0, targets: Collection[str] | None = None
) -> Draws:
    """Return n posterior draws of what some targets (default: all) need, reproducible by seed."""
    return model.posterior(n=n, seed=seed, targets=targets)


def predict_draws(model: PosteriorModel, draws: Draws, designs: Columns, *, with_noise: bool) -> Columns:
    """Return every target of the designs in every draw, shape (S, n) each; NaN for families without samples.

    Args:
        model: the model.
        draws: its posterior draws.
        designs: the knobs, shape (n,) each.
        with_noise: add the scatter of a new measurement.
    """
    return model.evaluate_draws(draws, designs, with_noise=with_noise)


def split_into_blocks(designs: Columns) -> list[Columns]:
    """Return designs in blocks, so that all draws of a block fit into memory."""
    return [take(designs, np.arange(i, min(i + _BLOCK, n_rows(designs)))) for i in range(0, n_rows(designs), _BLOCK)]
