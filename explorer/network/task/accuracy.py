"""Accuracy of a network on labelled data, with its Wilson score interval."""

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
Float = NDArray[np.float64]
Array = NDArray[Any]


def wilson_interval(n_correct: ArrayLike, n: ArrayLike, *, confidence: float = CONFIDENCE) -> tuple[Float, Float]:
    """Return the Wilson score interval of a proportion, both bounds in [0, 1]; arguments broadcast.

    Args:
        n_correct: number of correct samples, 0 to n.
        n: number of samples, at least 1.
        confidence: coverage of the interval, in (0, 1).

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).

    >>> low, high = wilson_interval(706, 719)
    >>> round(float(low), 3), round(float(high), 3)
    (0.969, 0.989)
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    k, m = np.asarray(n_correct, dtype=np.float64), np.asarray(n, dtype=np.float64)
    share, weight = k / m, 1 + z**2 / m
    centre = (share + z**2 / (2 * m)) / weight
    half = z / weight * np.sqrt(share * (1 - share) / m + z**2 / (4 * m**2))
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
