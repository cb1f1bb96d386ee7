"""Accuracy of a network on labelled data, with its Wilson score interval."""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explorer.errors import MeasurementFailed

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


def predicted_classes(outputs: Mapping[str, Array], *, n: int) -> Array:
    """Return the predicted class of each of n samples, from the first output that gives classes.

    A floating-point output of shape (n, C) gives the argmax over classes, an integer output of shape (n,) the classes.

    Raises:
        MeasurementFailed: an output is NaN or infinite, or no output gives classes.
    """
    for name, values in outputs.items():
        if not isinstance(values, np.ndarray) or values.shape[:1] != (n,):
            continue
        if values.dtype.kind == "f" and values.ndim == 2 and values.shape[1] > 1:
            is_invalid = ~np.isfinite(values).all(axis=1)
            if is_invalid.any():
                raise MeasurementFailed(
                    f"output '{name}' is NaN or infinite for {int(is_invalid.sum()):,} of {n:,} samples",
                    fix="check the network and the scale of its inputs; a large step D can also cause this",
                )
            return np.asarray(values.argmax(axis=1))
        if values.dtype.kind in "iu" and values.ndim == 1:
            return values
    shapes = ", ".join(f"'{name}' {getattr(values, 'shape', '?')}" for name, values in outputs.items())
    raise MeasurementFailed(
        f"no output gives classes for {n:,} samples: {shapes or 'none has one row for each'}",
        fix="return (n, classes) scores or (n,) classes, or convert them in a module: --data python:MODULE",
    )
