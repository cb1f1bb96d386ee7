"""Trials: how far a share of right answers is known that was counted on so many samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from explorer.io.csv_text import CsvTable, number_of
from explorer.problem.columns import Float

_SAME = 1e-3  # accuracies are often printed with three or four digits


def clip_shares(shares: Float, trials: Float) -> Float:
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
    p = clip_shares(np.asarray(expit(linked)), known)
    return np.where(n > 0, 1 / (known * np.maximum(p * (1 - p), 0.25 / known)), 0.0)


def sample_counts(table: CsvTable, accuracy: Float | None) -> Float:
    """Return on how many samples each accuracy of a table was counted, shape (n,); 0 where the table does not tell.

    It does in the columns n_right and n_samples, as `explorer measure` writes them, where their ratio is the accuracy:
    a column that is only called so counts nothing.

    >>> rows = [["0.9", "90", "100"], ["0.5", "90", "100"], ["0.7", "", ""]]
    >>> trials_of(CsvTable(["accuracy", "n_right", "n_samples"], rows, [2, 3, 4], ""), np.array([0.9, 0.5, 0.7]))
    array([100.,   0.,   0.])
    """
    if accuracy is None or not {"n_right", "n_samples"} <= set(table.header):
        return np.empty(0)
    right, counted = (np.array([number_of(cell) or 0.0 for cell in table.cells(n)]) for n in ("n_right", "n_samples"))
    is_counted = (counted >= 1) & np.isfinite(counted)
    is_same = np.abs(right / np.where(is_counted, counted, 1.0) - accuracy) <= _SAME
    return np.where(is_counted & is_same, counted, 0.0)
