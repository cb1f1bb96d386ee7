"""Fit of one target: all candidate forms, weighted by how well they predict rows and values that they have not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from explorer.models.fitting.calibration import (
    cliff_knobs,
    knobs_with_levels,
)
from explorer.models.fitting.mode_fit import ModeFit, fit_form
from explorer.models.fitting.sampled_fit import SampledFit, sample_form
from explorer.models.fitting.stacking import form_weights
from explorer.models.fitting.threads import one_thread
from explorer.models.forms.candidates import candidate_forms
from explorer.models.response.average_calibration import (
    LEVELS_TO_COMPARE,
    HeldOut,
    calibrate_average,
    held_out_error,
    held_out_scores,
    leave_out,
)
from explorer.models.response.response import CandidateForm, FormFit, Response
from explorer.models.response.target_data import TargetData, is_predictable, prepare_target
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float

_MIN_ERROR = 1e-12  # a table without noise may be fitted exactly, and the logarithm of 0 is not finite
_EVIDENCE_TEMPERATURE = 5.0  # log evidences of physical forms are divided by it (assumed, as the power of the draws)
_MIN_WEIGHT = 0.02  # forms with less are dropped: they cost as much as the others and change nothing
# Up to this number of rows hyperparameters are learned again in each fold.
_MAX_TO_RELEARN = 15
# Student t noise with so many degrees of freedom, as a scale mixture: rows far from their prediction count less.
_T_FREEDOM = 4.0
_OUTLIER_Z = 5.0
_MIN_Z_SCALE = 0.3  # a row within 1.5 standard deviations is no outlier, however close the others are
_MIN_FOR_OUTLIERS = 8


def fit_response(
    target: str,
    designs: Columns,
    values: Float,
    *,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None = None,
    n_counted: Float | None = None,
    without: Sequence[str] = (),
) -> Response:
    """Fit the candidate forms that the knobs allow to one target, and average over them.

    Args:
        target: the column; accuracy is fitted in log-odds, all others in logarithms.
        designs: the knobs of each measurement, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured. Positive; accuracy within [0, 1].
        knobs: declaration of each column of the designs.
        groups: label of each row's fold in cross-validation, shape (n,); default: leave one design out.
        n_counted: number of test items behind each accuracy, shape (n,); 0 or NaN if unknown, empty or None if all
            are unknown.
        without: names of forms to leave out.

    Raises:
        WrongUsage: fewer than two rows have the target and all knobs, or a value has no logarithm.
    """
    # Single-threaded: with thousands of solves of a hundred rows, threads cost ten times what they save on a busy
    # machine.
    with one_thread():
        has_counts = target == "accuracy" and n_counted is not None and n_counted.size > 0
        counted = np.nan_to_num(np.asarray(n_counted)) if has_counts else np.zeros(len(values))
        data = prepare_target(target, designs, np.asarray(values, dtype=np.float64), knobs, groups, counted)
        return _fit(target, data, knobs=knobs, is_grouped=groups is not None, without=without)


def _fit(
    target: str, data: TargetData, *, knobs: Sequence[KnobSpec], is_grouped: bool, without: Sequence[str]
) -> Response:
    fits = _fit_forms(target, data, without)
    held_out, weights = _compare(fits, data)
    if (outlying := _outliers(fits, held_out, weights, data)) is not None:
        data = replace(data, table=replace(data.table, roughness=outlying))
        fits = _fit_forms(target, data, without)
        held_out, weights = _compare(fits, data)
    levels = knobs_with_levels(data.coordinates, data.inputs)
    compared = {} if is_grouped else {name: v for name, v in levels.items() if v.max() + 1 >= LEVELS_TO_COMPARE}
    by_level = {name: leave_out(fits, level) for name, level in compared.items()}
    weights = _average_weights(fits, held_out, by_level, data)
    candidates = tuple(_score(f, k, held_out, by_level, data, weights) for k, f in enumerate(fits))
    used = np.flatnonzero(weights)
    fits, weights = tuple(fits[k] for k in used), weights[used]
    return calibrate_average(
        target, data, fits, weights, _select(held_out, used), candidates, knobs, levels,
        {name: _select(one, used) for name, one in by_level.items()},
    )  # fmt: skip


def _fit_forms(target: str, data: TargetData, without: Sequence[str]) -> tuple[FormFit, ...]:
    forms = candidate_forms(target, data.coordinates, data.table.values, data.inputs, without=without)
    return tuple(
        sample_form(form, target, data.coordinates, data.inputs, data.table)
        if form.is_sampled
        else fit_form(form, target, data.coordinates, data.inputs, data.table)
        for form in forms
    )


def _select(held_out: HeldOut, used: NDArray[np.int64]) -> HeldOut:
    return HeldOut(held_out.mean[:, used], held_out.variance[:, used], held_out.density[:, used])


def _compare(fits: Sequence[FormFit], data: TargetData) -> tuple[HeldOut, Float]:
    held_out = leave_out(fits, data.fold)
    weights = _average_weights(fits, held_out, {}, data)
    if data.inputs.n > _MAX_TO_RELEARN:
        return held_out, weights
    # With few rows the hyperparameters know the held-out one: forms that matter are learned again without it.
    again = [k for k, fit in enumerate(fits) if weights[k] and isinstance(fit, ModeFit)]
    if again:
        relearned = leave_out([fits[k] for k in again], data.fold, relearn=True)
        for j, k in enumerate(again):
            held_out.mean[:, k], held_out.variance[:, k] = relearned.mean[:, j], relearned.variance[:, j]
            held_out.density[:, k] = relearned.density[:, j]
        weights = _average_weights(fits, held_out, {}, data)
    return held_out, weights


def _average_weights(
    fits: Sequence[FormFit], held_out: HeldOut, by_level: Mapping[str, HeldOut], data: TargetData
) -> Float:
    """Return the weight of each form, shape (K,).

    The sampled forms share one weight by their evidence: few rows lie on one line, where held-out rows cannot tell
    forms apart that differ elsewhere. The evidence is tempered (power posterior, Bissiri et al. 2016), because every
    form is a simplification, whose errors are correlated between rows. That group and each other form are weighted by
    held-out densities, of rows and of whole values of a knob. The mean of the categories is the baseline: it has no
    weight when a number varies, since the other forms shrink the effect of an irrelevant knob to zero.
    """
    sampled = np.array([isinstance(fit, SampledFit) for fit in fits])
    eligible = ~sampled
    if data.coordinates.varied and len(fits) > 1:
        eligible[0] = False
    evidence = np.array([fit.evidence if isinstance(fit, SampledFit) else -np.inf for fit in fits])
    shares = softmax(evidence / _EVIDENCE_TEMPERATURE) if sampled.any() else np.zeros(len(fits))
    rows = is_predictable(data, data.fold)
    if not rows.any() or len(np.unique(data.fold)) < 2:
        return shares if sampled.any() else _uniform(eligible)
    density = held_out.density
    if by_level:
        density = 0.5 * density + 0.5 * np.mean([one.density for one in by_level.values()], axis=0)
    density = np.maximum(density[rows], -1e3)
    columns = [density[:, k] for k in np.flatnonzero(eligible)]
    if sampled.any():
        columns.append(logsumexp(density[:, sampled] + np.log(shares[sampled] + 1e-300), axis=1))
    by_group = form_weights(np.stack(columns, axis=1))
    weights = np.zeros(len(fits))
    weights[eligible] = by_group[: int(eligible.sum())]
    if sampled.any():
        weights += by_group[-1] * shares
    weights[weights < _MIN_WEIGHT] = 0.0
    return np.asarray(weights / weights.sum())


def _uniform(eligible: NDArray[np.bool_]) -> Float:
    return np.asarray(eligible / eligible.sum(), dtype=np.float64)


def _outliers(fits: Sequence[FormFit], held_out: HeldOut, weights: Float, data: TargetData) -> Float | None:
    """Return the relative noise of each design under Student t noise, shape (n,); None if no row is far off.

    The t distribution is a scale mixture of normals: the expected precision of a row with standardized residual z is
    (v + 1) / (v + z^2) for v degrees of freedom.
    """
    rows = is_predictable(data, data.fold)
    # Beside a cliff of accuracy rows scatter: they are the measurement, not outliers.
    is_cliff = bool(cliff_knobs(fits[0].target, data.coordinates)) and fits[0].target == "accuracy"
    if data.inputs.n < _MIN_FOR_OUTLIERS or not rows.any() or is_cliff:
        return None
    mean, variance = held_out.average(weights)
    z = np.abs(data.table.values - mean) / np.sqrt(variance)
    robust = z / max(1.4826 * float(np.median(z[rows])), _MIN_Z_SCALE)
    if not np.any(robust[rows] > _OUTLIER_Z):
        return None
    precision = np.where(robust > _OUTLIER_Z / 2, (_T_FREEDOM + 1) / (_T_FREEDOM + robust**2), 1.0)
    return np.where(rows, 1 / np.sqrt(precision), 1.0)


def _score(
    fit: FormFit, k: int, held_out: HeldOut, by_level: Mapping[str, HeldOut], data: TargetData, weights: Float
) -> CandidateForm:
    score = held_out_scores(fit.form.name, fit.target, held_out.mean[:, k], held_out.variance[:, k], data)
    errors = [held_out_error(fit.target, one.mean[:, k], data) for one in by_level.values()]
    between = float(np.exp(np.mean(np.log(np.maximum(errors, _MIN_ERROR))))) if errors else np.nan
    return replace(score, between=between, weight=float(weights[k]))


def format_error(target: str, error: float) -> str:
    """Format an error: absolute for accuracy, relative for all others."""
    if not np.isfinite(error):
        return "unknown"
    return f"{error:.4f}" if target == "accuracy" else f"{error:.1%}"
