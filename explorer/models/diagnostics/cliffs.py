"""Cliffs: a target that changes abruptly between two adjacent values of a knob."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.diagnostics.curves import Curve
from explorer.models.diagnostics.warnings import ModelWarning, join_items, knob_text
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative, share_range

_ACCURACY_DROP = 0.25  # change of accuracy between adjacent values of a knob
_FACTOR = 1.5  # least jump of any other target
_STEEPER = 3.0  # than the neighbouring steps
_AGAINST = 2.0  # ratio to the largest step the other way, which is noise on a curve with a cliff
_ALONE = 3.0  # least jump to a last value, which could be an outlier
# A jump is more than proportional: latency to the batch 1, to the clock -1. Power and energy rise with V^2 to V^3.
_LEAST_EXPONENT, _LEAST_VOLTAGE_EXPONENT = 2.0, 4.0
_MIN_SHARE = 0.25  # of the curves; the noise along the cliff of another knob makes jumps on a few


def cliff_warnings(target: str, along: str, curves: Sequence[Curve], rows: NDArray[Any]) -> Iterator[ModelWarning]:
    """Yield a warning if a target jumps along a knob on more than a quarter of the curves.

    Args:
        target: the column.
        along: the knob.
        curves: the rows that differ in this knob only.
        rows: the rows' numbers in their file, shape (n,).
    """
    edges = [(curve, i) for curve in curves if (i := _edge(target, along, curve)) >= 0]
    signs = np.array([np.sign(curve.values[i + 1] - curve.values[i]) for curve, i in edges])
    main = 1.0 if np.sum(signs > 0) > np.sum(signs < 0) else -1.0
    edges = [edge for edge, sign in zip(edges, signs, strict=True) if sign == main]
    if not edges or len(edges) <= _MIN_SHARE * len(curves):
        return
    low = min(float(curve.knob[i]) for curve, i in edges)
    high = max(float(curve.knob[i + 1]) for curve, i in edges)
    listed = join_items([f"{rows[curve.rows[i]]} to {rows[curve.rows[i + 1]]}" for curve, i in edges])
    between = f"between {along} {knob_text(along, low)} and {knob_text(along, high)} (rows {listed})"
    fact = f"{target} falls off a cliff {between}"
    if is_relative(target):
        ratio = max(float(np.exp(abs(curve.values[i + 1] - curve.values[i]))) for curve, i in edges)
        fact = f"{target} jumps by up to {ratio:.1f} times {between}"
    fix = "every decision near it depends on its position. Measure more designs between these values"
    yield ModelWarning("cliff", f"{fact}: {fix}")


def _edge(target: str, along: str, curve: Curve) -> int:
    """Return the index of the value before the cliff of one curve, or -1."""
    is_share = share_range(target) is not None
    if not is_share and not is_relative(target):
        return -1
    change = np.diff(np.sin(curve.values) ** 2 if is_share else curve.values)
    size = np.abs(change)
    if is_share:
        is_edge = size > _ACCURACY_DROP
    else:
        is_edge = (size > np.log(_FACTOR)) & _is_steep(along, curve, change) & _is_followed(size)
    candidates = np.flatnonzero(is_edge)
    if not candidates.size:
        return -1
    i = int(candidates[np.argmax(size[candidates])])
    against = float(np.max(np.maximum(-change * np.sign(change[i]), 0.0)))
    return i if size[i] > _AGAINST * against else -1


def _is_steep(along: str, curve: Curve, change: Float) -> NDArray[np.bool_]:
    """Return a mask of the steps that are much steeper than their neighbours, and more than proportional."""
    slope = np.abs(change) / np.abs(np.diff(curve.scaled))
    padded = np.concatenate([[0.0], slope, [0.0]])
    neighbour = np.maximum(padded[:-2], padded[2:])
    result = (slope > _STEEPER * neighbour) & (len(change) > 2)
    factor = 1 - curve.knob if along == "pruning_ratio" else curve.knob
    if factor.min() <= 0:
        return np.asarray(result)
    least = _LEAST_VOLTAGE_EXPONENT if along == "voltage_v" else _LEAST_EXPONENT
    return np.asarray(result & (np.abs(change) > least * np.abs(np.diff(np.log(factor)))))


def _is_followed(size: Float) -> NDArray[np.bool_]:
    """Return a mask of the steps with two values on either side, or of a size that no outlier of noise has."""
    i = np.arange(len(size))
    return np.asarray(((i > 0) & (i < len(size) - 1)) | (size > np.log(_ALONE)))
