"""Checks of a fit's held-out residuals: outliers, fits that are no better than a mean, noise that depends on a knob."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from explorer.models.diagnostics.repeats import row_numbers
from explorer.models.diagnostics.table_checks import is_constant
from explorer.models.diagnostics.warnings import ModelWarning
from explorer.models.forms.forms import unlink
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative

_OUTLIER_Z, _OUTLIER_SHARE = 5.0, 0.1  # residual in robust standard deviations, and linked (10 % of the value)
_MAX_OUTLIERS, _MIN_FOR_OUTLIERS = 3, 8
_NO_FIT_R2, _AS_GOOD = 0.1, 0.95
_MIN_FOR_NOISE, _MAX_NOISE_KNOBS, _NOISE_P = 20, 5, 0.01
# |residuals| below a tenth of their median count as a tenth: the logarithm of one near 0 would outweigh all others.
_LEAST_RESIDUAL = 0.1
_MOST_RESIDUAL = 5.0  # medians, 3.4 standard deviations: an outlier counts no more than a large residual
_N_NEWTON = 8


def residual_warnings(
    target: str,
    truth: Float,
    predicted: Float,
    sd: Float,
    *,
    baseline_error: float | None = None,
    numbers: Sequence[int] | None = None,
    design_index: NDArray[np.int64] | None = None,
) -> tuple[ModelWarning, ...]:
    """Return warnings about held-out predictions of rows: outliers, and a fit that is no better than the mean.

    A constant target (`is_constant`) gets no warning about its fit.

    Args:
        target: the column.
        truth: the measurements on the scale of the link (logarithm; log-odds of accuracy), shape (n,), each row of the
            table counted by itself; NaN was not measured.
        predicted: their held-out predictions on the same scale, shape (n,); NaN was not predicted.
        sd: standard deviation of each prediction of a row, linked, shape (n,).
        baseline_error: held-out error of the mean of each category: mean absolute error of accuracy, else relative.
        numbers: the rows' numbers in their file; default: 2 for the first, below a header.
        design_index: index of each row's design, shape (n,): repeats of a design are listed together.
    """
    is_used = np.isfinite(truth) & np.isfinite(predicted) & (sd > 0)
    rows = row_numbers(len(truth), numbers)[is_used]
    truth, predicted, sd = truth[is_used], predicted[is_used], sd[is_used]
    index = np.arange(len(truth)) if design_index is None else design_index[is_used]
    return (
        *_outlier_warnings(target, truth, predicted, sd, rows, index),
        *_baseline_warnings(target, truth, predicted, baseline_error),
    )


def noise_slopes(points: Float, residuals: Float) -> Float:
    """Return the significant log-linear dependence of the noise on each scaled knob, shape (d,); 0 if none.

    The standard deviation of a residual is modelled as `exp(a + points @ slopes)` (multiplicative heteroscedasticity,
    Harvey 1976). Knobs enter by forward selection on log |residual| with a Bonferroni correction; the slopes of the
    knobs selected are then estimated by maximum likelihood of normal residuals, Winsorized against outliers.

    Args:
        points: the knobs, scaled to about [-1, 1], shape (n, d).
        residuals: held-out residuals on the link's scale, shape (n,); NaN is left out.
    """
    is_used = np.isfinite(residuals) & np.isfinite(points).all(axis=1)
    x, size = points[is_used], np.abs(residuals[is_used])
    slopes = np.zeros(points.shape[1])
    middle = float(np.median(size)) if size.size else 0.0
    if len(size) < _MIN_FOR_NOISE or middle <= 0:
        return slopes
    chosen = _select_knobs(x, np.log(np.clip(size / middle, _LEAST_RESIDUAL, _MOST_RESIDUAL)))
    if chosen:
        slopes[chosen] = _fit_slopes(x[:, chosen], size / middle)
    return slopes


def _select_knobs(x: Float, log_size: Float) -> list[int]:
    """Return the knobs on which log |residual| depends, by forward selection."""
    n, d = x.shape
    basis = np.full((n, 1), 1 / np.sqrt(n))
    chosen: list[int] = []
    while len(chosen) < min(_MAX_NOISE_KNOBS, n // 10):
        left = x - basis @ (basis.T @ x)
        error = log_size - basis @ (basis.T @ log_size)
        norms = np.sqrt(np.sum(left**2, axis=0))
        is_open = norms > 1e-6 * np.sqrt(n)
        gain = np.where(is_open, (left.T @ error) / np.where(is_open, norms, 1.0), 0.0)
        best = int(np.argmax(np.abs(gain))) if d else 0
        freedom = n - len(chosen) - 2
        rest = float(error @ error) - float(gain[best]) ** 2 if d else 0.0
        least = float(stdtrit(freedom, 1 - _NOISE_P / (2 * max(d, 1))))
        if not d or gain[best] ** 2 * freedom <= least**2 * max(rest, 1e-300):
            break
        chosen.append(best)
        basis = np.column_stack([basis, left[:, best] / norms[best]])
    return chosen


def _fit_slopes(x: Float, size: Float) -> Float:
    """Return the maximum likelihood slopes of the logarithmic standard deviation, shape (k,)."""
    design = np.column_stack([np.ones(len(x)), x])
    clipped = np.log(np.clip(size, _LEAST_RESIDUAL, _MOST_RESIDUAL))
    theta = np.linalg.lstsq(design, clipped, rcond=None)[0]
    for _ in range(_N_NEWTON):
        z = size * np.exp(-design @ theta)
        # 2.5 robust standard deviations: an outlier is no sign of noise that grows.
        z = np.minimum(z, 2.5 * float(np.median(z)) / 0.6745)
        # Fisher scoring: the information of the logarithmic standard deviation is 2 a row.
        theta += np.linalg.lstsq(design, (z**2 - np.mean(z**2)) / (2 * np.mean(z**2)), rcond=None)[0]
    return np.asarray(theta[1:])


def _outlier_warnings(
    target: str, truth: Float, predicted: Float, sd: Float, rows: NDArray[Any], index: NDArray[np.int64]
) -> Iterator[ModelWarning]:
    """Yield a warning that lists the rows far from their held-out predictions, the worst first."""
    if len(np.unique(index)) < _MIN_FOR_OUTLIERS:
        return
    z = np.abs(truth - predicted) / sd
    robust = z / max(1.4826 * float(np.median(z)), 1e-12)
    is_outlier = (robust > _OUTLIER_Z) & (np.abs(truth - predicted) > _OUTLIER_SHARE)
    worst = np.flatnonzero(is_outlier)[np.argsort(-robust[is_outlier], kind="stable")]
    designs = [*dict.fromkeys(index[worst].tolist())]
    listed = []
    for design in designs[:_MAX_OUTLIERS]:
        same = np.flatnonzero(is_outlier & (index == design))
        label = f"row{'s' if len(same) > 1 else ''} {', '.join(str(row) for row in rows[same])}"
        value, fitted = (float(np.median(unlink(target, linked[same]))) for linked in (truth, predicted))
        listed.append(f"{label} ({value:.4g}; predicted {fitted:.4g})")
    if listed:
        more = f" and {len(designs) - len(listed)} more" if len(designs) > len(listed) else ""
        text = (
            f"{target}: outliers among the rows, the worst first: {'; '.join(listed)}{more}: measure again, or remove"
        )
        yield ModelWarning("outlier", text)


def _baseline_warnings(
    target: str, truth: Float, predicted: Float, baseline_error: float | None
) -> Iterator[ModelWarning]:
    """Yield a warning if the held-out predictions explain no variance, or err as much as the mean of each category."""
    values = unlink(target, truth)
    if len(truth) < 2 or is_constant(target, values):
        return
    r2 = 1 - float(np.sum((truth - predicted) ** 2) / np.sum((truth - truth.mean()) ** 2))
    absolute = np.abs(unlink(target, predicted) - values)
    error = float(np.mean(absolute / values if is_relative(target) else absolute))
    if r2 < _NO_FIT_R2:
        text = (
            f"{target}: THE FIT EXPLAINS NOTHING (R^2 {r2:.2f} on held-out rows): its predictions are no better than "
            f"the mean of the rows. Measure a knob that matters, or repeat to lower the noise"
        )
        yield ModelWarning("no_better_than_baseline", text)
    elif baseline_error is not None and error > _AS_GOOD * baseline_error:
        error_text, mean_text = (f"{e:.1%}" if is_relative(target) else f"{e:.4g}" for e in (error, baseline_error))
        text = f"{target}: the numeric knobs explain almost nothing: the mean of each category is as good"
        yield ModelWarning("no_better_than_baseline", f"{text} ({mean_text} against {error_text})")
