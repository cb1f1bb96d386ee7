"""Turning points: a target that falls and rises again along a knob, all other knobs equal."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from explorer.models.diagnostics.curves import Curve
from explorer.models.diagnostics.warnings import ModelWarning, join_items, knob_text
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative

_POWER_DROP = 0.03  # relative; a smaller drop of power at a higher clock is within the error of a meter
_LEAST_DEPTH = 0.03  # relative; for accuracy in radian of arcsin(sqrt(p)), about 0.03
# Prior of the noise where few rows measure it: 2 % with the weight of four degrees of freedom (assumed).
_PRIOR_NOISE, _PRIOR_FREEDOM = 0.02, 4
_FALSE_ALARM = 2e-3  # of one table and knob
_MIN_POINTS = 4


def turning_point_warnings(
    target: str, along: str, curves: Sequence[Curve], rows: NDArray[Any], *, repeat_scatter: tuple[float, int]
) -> Iterator[ModelWarning]:
    """Yield a warning if a target has an inner minimum or maximum along a knob, deeper than noise makes.

    Args:
        target: the column.
        along: the knob.
        curves: the rows that differ in this knob only.
        rows: the rows' numbers in their file, shape (n,).
        repeat_scatter: sum of squares of the repeats around their designs' means, and its degrees of freedom.
    """
    curves = [curve for curve in curves if len(curve.knob) >= _MIN_POINTS]
    if not curves:
        return
    least = max(_LEAST_DEPTH, _depth_of_noise(curves, repeat_scatter))
    for sign, name in ((1.0, "least"), (-1.0, "highest")):
        turns = [(*_deepest(sign * curve.values), curve) for curve in curves]
        turns = sorted((turn for turn in turns if turn[0] > least), key=lambda turn: -turn[0])
        if turns:
            depth, i, curve = turns[0]
            listed = join_items([str(rows[c.rows[k]]) for _, k, c in turns])
            word = "rows" if len(turns) > 1 else "row"
            where = f"inside the range of {along}, at {knob_text(along, float(curve.knob[i]))} ({word} {listed})"
            change = "higher" if sign > 0 else "lower"
            share = f"{np.expm1(depth) if sign > 0 else -np.expm1(-depth):.0%}"
            amount = f"at least {share} " if is_relative(target) else ""
            text = f"{target} is {name} {where} and {amount}{change} on both sides, all else equal"
            many = f", on {len(turns)} of {len(curves)} curves" if len(curves) > 1 else ""
            fix = f"a form that only rises or falls along {along} contradicts these rows"
            yield ModelWarning("non_monotone", f"{text}{many}: {fix}")


def falling_power_warnings(
    curves: Sequence[Curve], rows: NDArray[Any], *, repeat_scatter: tuple[float, int]
) -> Iterator[ModelWarning]:
    """Yield a warning if the power falls although the clock rises, beyond the scatter of repeats.

    Args:
        curves: the rows that differ in the clock only (and the voltage that follows it), of power.
        rows: the rows' numbers in their file, shape (n,).
        repeat_scatter: sum of squares of the repeats around their designs' means, and its degrees of freedom.
    """
    squares, freedom = repeat_scatter
    noise = float(stdtrit(freedom, 1 - _FALSE_ALARM) * np.sqrt(2 * squares / freedom)) if freedom else 0.0
    least = max(-np.log1p(-_POWER_DROP), noise)
    drops = [
        f"{rows[curve.rows[i]]} to {rows[curve.rows[i + 1]]}"
        for curve in curves
        for i in np.flatnonzero(np.diff(curve.values) < -least)
    ]
    if drops:
        fact = f"power_w falls although the clock rises, all else equal (rows {join_items(drops)})"
        yield ModelWarning("non_monotone", f"{fact}: throttling, or a meter that missed the load?")


def _depth_of_noise(curves: Sequence[Curve], repeat_scatter: tuple[float, int]) -> float:
    """Return the depth that a turning point of noise alone exceeds with a probability of about `_FALSE_ALARM`.

    The noise is that of repeats, and of third differences along the curves, which vanish for a parabola.
    """
    squares, freedom = repeat_scatter
    # A parabola in the knob or in its logarithm: whichever fits the curves better.
    squares += min(
        sum(float(np.sum(_third_differences(x, curve.values) ** 2)) for x, curve in zip(xs, curves, strict=True))
        for xs in ([curve.scaled for curve in curves], [curve.knob for curve in curves])
    )
    # Overlapping differences are correlated: half of them count.
    freedom += sum((len(curve.values) - 2) // 2 for curve in curves)
    noise = np.sqrt((_PRIOR_FREEDOM * _PRIOR_NOISE**2 + squares) / (_PRIOR_FREEDOM + freedom))
    return float(np.sqrt(2) * noise * stdtrit(_PRIOR_FREEDOM + freedom, 1 - _FALSE_ALARM / len(curves)))


def _third_differences(x: Float, values: Float) -> Float:
    """Return the third divided differences, scaled to the standard deviation of one value, shape (k - 3,)."""
    index = np.arange(len(values) - 3)[:, None] + np.arange(4)
    z, y = x[index] / np.ptp(x), values[index]
    gaps = z[:, :, None] - z[:, None, :] + np.eye(4)
    weights = 1 / gaps.prod(axis=2)
    return np.asarray(np.sum(weights * y, axis=1) / np.sqrt(np.sum(weights**2, axis=1)))


def _deepest(values: Float) -> tuple[float, int]:
    """Return the depth and the index of the deepest inner minimum: how far the values rise on both sides of it."""
    before = np.maximum.accumulate(values)[:-2]
    after = np.maximum.accumulate(values[::-1])[::-1][2:]
    depth = np.minimum(before, after) - values[1:-1]
    i = int(np.argmax(depth))
    return float(depth[i]), i + 1
