"""Known standard deviations of measured values of declared targets: from given intervals, or from counts."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.io.csv_text import CsvTable, number_of
from explorer.models.samples.binomial import sample_counts
from explorer.problem.columns import Float, bounds
from explorer.problem.targets import declared_target, share_range

_HALF_90 = 1.6448536269514722  # half width of a central 90 % interval, in standard deviations


def known_deviations(table: CsvTable, columns: Mapping[str, NDArray[Any]]) -> dict[str, Float]:
    """Return the standard deviation of each value of the declared targets that state it, shape (n,) each; 0 if unknown.

    A given interval (NAME_lo, NAME_hi) is a central one of 90 %; a counted share p of n has p (1 - p) / n as variance.

    Args:
        table: the file.
        columns: its targets in SI, shape (n,) each.
    """
    found: dict[str, Float] = {}
    for name, values in columns.items():
        target = declared_target(name)
        if target is None or target.interval == "none":
            continue
        if target.interval == "counts":
            low, high = share_range(name) or (0.0, 1.0)
            counts = sample_counts(table, (values - low) / (high - low))
            share = np.clip((values - low) / (high - low), 0.0, 1.0)
            at_least_one = np.maximum(counts, 1.0) if counts.size else np.ones(len(values))
            spread = np.sqrt(np.maximum(share * (1 - share), 0.25 / at_least_one) / at_least_one)
            known = np.where(counts > 0, (high - low) * spread, 0.0) if counts.size else np.zeros(len(values))
        else:
            known = _from_interval(table, name, len(values))
        if np.nan_to_num(known).any():
            found[name] = np.nan_to_num(known)
    return found


def _from_interval(table: CsvTable, name: str, n: int) -> Float:
    if not set(bounds(name)) <= set(table.header):
        return np.zeros(n)
    ends = ([number_of(cell) for cell in table.cells(end)] for end in bounds(name))
    low, high = (np.array([np.nan if value is None else value for value in values]) for values in ends)
    return np.asarray(np.maximum(high - low, 0.0) / (2 * _HALF_90))
