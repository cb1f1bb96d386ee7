"""Energy, power and latency that belong together: where the measurements satisfy E = P T, the third is derived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Columns, Float

_TARGETS = ("energy_j", "power_w", "latency_s")
# Exponents of the other two targets in each.
_POWERS: Mapping[str, Mapping[str, float]] = {
    "energy_j": {"power_w": 1.0, "latency_s": 1.0},
    "power_w": {"energy_j": 1.0, "latency_s": -1.0},
    "latency_s": {"energy_j": 1.0, "power_w": -1.0},
}
_TOLERANCE = 0.02  # of the logarithm: columns rounded to two or three digits still belong together
_MIN_SHARE = 0.9
_MIN_ROWS = 3


@dataclass(frozen=True, slots=True)
class Product:
    """Target that is a product of powers of two modelled targets.

    Args:
        target: the derived column.
        powers: exponent of each factor.
    """

    target: str
    powers: Mapping[str, float]

    @property
    def formula(self) -> str:
        """The product in one line."""
        (first, _), (second, power) = self.powers.items()
        return f"{self.target} = {first} {'x' if power > 0 else '/'} {second}"

    def compute(self, columns: Columns) -> Float:
        """Return the derived target, same shape as its factors."""
        first, second = (columns[name] ** power for name, power in self.powers.items())
        return np.asarray(first * second)


def product_ratio(columns: Columns) -> Float:
    """Return E / (P T) of the rows that have all three targets, shape (k,); empty if a column is missing."""
    if not all(name in columns for name in _TARGETS):
        return np.empty(0)
    energy, power, latency = (np.asarray(columns[name], dtype=np.float64) for name in _TARGETS)
    ratio = energy / (power * latency)
    return np.asarray(ratio[np.isfinite(ratio) & (ratio > 0)])


def is_product(columns: Columns) -> bool:
    """Return True if nearly all rows satisfy E = P T, and none of the three is measured in many further rows."""
    ratio = product_ratio(columns)
    if len(ratio) < _MIN_ROWS:
        return False
    n_most = max(int(np.isfinite(columns[name]).sum()) for name in _TARGETS)
    return bool(np.mean(np.abs(np.log(ratio)) <= _TOLERANCE) >= _MIN_SHARE and len(ratio) >= _MIN_SHARE * n_most)


def best_product(errors: Mapping[str, float], candidates: Mapping[str, float]) -> Product:
    """Return the product whose derivation loses least.

    Args:
        errors: of each target when modelled itself.
        candidates: of each target when derived from the others.
    """
    target = min(_TARGETS, key=lambda name: candidates[name] - errors[name])
    return Product(target, _POWERS[target])


def products() -> Sequence[Product]:
    """Return the three ways to derive one target from the other two."""
    return tuple(Product(target, powers) for target, powers in _POWERS.items())


def common_rows(columns: Columns, n_fitted: Mapping[str, int]) -> dict[str, NDArray[np.int64]] | None:
    """Return where the rows that have all of some targets stand among the rows of each.

    Args:
        columns: a table.
        n_fitted: number of rows that each of the targets is fitted to.

    Returns:
        Indices of equal shape (k,) by target; None if a target is missing, or fitted to some of its rows only.
    """
    if any(name not in columns for name in n_fitted):
        return None
    masks = {name: np.isfinite(columns[name]) for name in n_fitted}
    has_all = np.all([*masks.values()], axis=0)
    if all(np.array_equal(mask, has_all) for mask in masks.values()) and len({*n_fitted.values()}) == 1:
        return dict.fromkeys(n_fitted, np.arange(next(iter(n_fitted.values()))))  # thinned, perhaps: the same rows
    if any(mask.sum() != n_fitted[name] for name, mask in masks.items()):
        return None
    return {name: np.flatnonzero(has_all[mask]) for name, mask in masks.items()}


def _is_per_batch(columns: Columns) -> bool:
    """Return True if E / (P T) is one over some knob: energy of an inference, latency of a batch of so many."""
    energy, power, latency = (np.asarray(columns[name], dtype=np.float64) for name in _TARGETS)
    for name, values in columns.items():
        if name not in _TARGETS and values.dtype != object:
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log(energy * np.asarray(values, dtype=np.float64) / (power * latency))
            logs = logs[np.isfinite(logs)]
            if len(logs) >= _MIN_ROWS and np.mean(np.abs(logs) <= _TOLERANCE) >= _MIN_SHARE:
                return True
    return False


def mismatch_text(columns: Columns) -> str:
    """Return a sentence if energy, power and latency were measured but do not satisfy E = P T; else empty."""
    ratio = product_ratio(columns)
    if len(ratio) < _MIN_ROWS or is_product(columns):
        return ""
    if _is_per_batch(columns):
        return ""
    low, high = np.min(ratio), np.max(ratio)
    return (
        f"energy_j is not power_w x latency_s in these samples (E / (P T) is {low:.3g} to {high:.3g}): the columns do "
        f"not belong together, and a limit on one of them is no limit on another"
    )
