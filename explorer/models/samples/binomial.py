"""Binomial sampling error of an accuracy that was counted on a finite number of test items."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from explorer.io.csv_text import CsvTable, number_of
from explorer.problem.columns import Float

_SAME = 1e-3  # accuracies are often printed with three or four digits


def clip_shares(shares: Float, n_counted: Float) -> Float:
    """Return shares at least half an item away from 0 and 1, shape (n,); unchanged where the count is unknown (0)."""
    half = 0.5 / np.where(n_counted > 0, n_counted, np.inf)
    return np.clip(shares, half, 1 - half)


def sampling_variance(linked: Float, n_counted: NDArray[Any] | float) -> Float:
    """Return the binomial variance of counted log-odds, same shape; 0 where the count is unknown (0).

    Delta method: 1 / (n p (1 - p)). Designs measured on the same items share part of this error, so that the variance
    of their difference is smaller.

    >>> sampling_variance(np.array([0.0]), 400.0)
    array([0.01])
    """
    n = np.broadcast_to(np.asarray(n_counted, dtype=np.float64), linked.shape)
    at_least_one = np.maximum(n, 1.0)
    p = clip_shares(np.asarray(expit(linked)), at_least_one)
    variance = 1 / (at_least_one * np.maximum(p * (1 - p), 0.25 / at_least_one))
    return np.where(n > 0, variance, 0.0)


def sample_counts(table: CsvTable, accuracy: Float | None) -> Float:
    """Return the number of test items behind each accuracy of a table, shape (n,); 0 if unknown.

    Read from the columns n_right and n_samples, which `explorer measure` writes. A row is used only if n_right /
    n_samples equals its accuracy, which excludes unrelated columns of the same names.

    >>> rows = [["0.9", "90", "100"], ["0.5", "90", "100"], ["0.7", "", ""]]
    >>> table = CsvTable(["accuracy", "n_right", "n_samples"], rows, [2, 3, 4], "")
    >>> sample_counts(table, np.array([0.9, 0.5, 0.7]))
    array([100.,   0.,   0.])
    """
    if accuracy is None or not {"n_right", "n_samples"} <= set(table.header):
        return np.empty(0)
    n_right, counted = (np.array([number_of(cell) or 0.0 for cell in table.cells(n)]) for n in ("n_right", "n_samples"))
    is_counted = (counted >= 1) & np.isfinite(counted)
    is_same = np.abs(n_right / np.where(is_counted, counted, 1.0) - accuracy) <= _SAME
    return np.where(is_counted & is_same, counted, 0.0)
