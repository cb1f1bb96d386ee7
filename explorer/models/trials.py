"""Trials: how far a share of right answers is known that was counted on so many samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from explorer.problem.columns import Float


def countable(shares: Float, trials: Float) -> Float:
    """Return shares no closer to 0 and 1 than half of one answer, shape (n,); as they are where trials are unknown."""
    half = 0.5 / np.where(trials > 0, trials, np.inf)
    return np.clip(shares, half, 1 - half)


def sampling_variance(linked: Float, trials: NDArray[Any] | float) -> Float:
    """Return the variance of counted log-odds around the true ones, same shape; 0 where trials are unknown (0).

    Binomial, to first order: 1 / (n p (1 - p)). Designs that are measured on the same samples share a part of it, so
    that a difference between two of them is known better than this.

    >>> sampling_variance(np.array([0.0]), 400.0)
    array([0.01])
    """
    n = np.broadcast_to(np.asarray(trials, dtype=np.float64), linked.shape)
    known = np.maximum(n, 1.0)
    p = countable(np.asarray(expit(linked)), known)
    return np.where(n > 0, 1 / (known * np.maximum(p * (1 - p), 0.25 / known)), 0.0)
