"""Fit of one target: all candidate forms, weighted by how well they predict rows and values that they have not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from explorer.models.diagnostics.residuals import noise_slopes
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
from explorer.models.response.robust_noise import with_robust_noise
from explorer.models.response.target_data import TargetData, is_predictable, prepare_target
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float
from explorer.problem.targets import is_relative

_MIN_ERROR = 1e-12  # a table without noise may be fitted exactly, and the logarithm of 0 is not finite
EVIDENCE_TEMPERATURE = 4.0  # log evidences of physical forms are divided by it (assumed, as the power of the draws)
_DECISIVE = 8.0  # log Bayes factor against a form that leaves no weight (a factor of 3,000)
_MIN_GAIN = 3.0  # of the log held-out density, from noise that depends on a knob
_AS_GOOD = 1.2  # ratio of errors up to which a form with a law is as good as one without
_MIN_WEIGHT = 0.02  # forms with less are dropped: they cost as much as the others and change nothing
# Up to this number of rows hyperparameters are learned again in each fold.
_MAX_TO_RELEARN = 15


def fit_response(
    target: str,
    designs: Columns,
    values: Float,
    *,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None = None,
    n_counted: Float | None = None,
    deviations: Float | None = None,
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
        deviations: known standard deviation of each measurement, shape (n,); 0 or None if unknown.
        without: names of forms to leave out.

    Raises:
        WrongUsage: fewer than two rows have the target and all knobs, or a value has no logarithm.
    """
    # Single-threaded: with thousands of solves of a hundred rows, threads cost ten times what they save on a busy
    # machine.
    with one_thread():
        has_counts = target == "accuracy" and n_counted is not None and n_counted.size > 0
        counted = np.nan_to_num(np.asarray(n_counted)) if has_counts else np.zeros(len(values))
        data = prepare_target(target, designs, np.asarray(values, dtype=np.float64), knobs, groups, counted, deviations)
        return _fit(target, data, knobs=knobs, is_grouped=groups is not None, without=without)


def _fit(
    target: str, data: TargetData, *, knobs: Sequence[KnobSpec], is_grouped: bool, without: Sequence[str]
) -> Response:
    data = with_robust_noise(target, data)
    fits = _fit_forms(target, data, without)
    held_out, weights = _compare(fits, data)
    data = _with_noise_slopes(target, data, fits, held_out, weights)
    if data.table.slopes.size:
        fits = tuple(replace(fit, table=data.table) for fit in fits)
        held_out, weights = _compare(fits, data)
    levels = knobs_with_levels(data.coordinates, data.inputs)
    compared = {} if is_grouped else {name: v for name, v in levels.items() if v.max() + 1 >= LEVELS_TO_COMPARE}
    by_level = {name: leave_out(fits, level) for name, level in compared.items()}
    weights = _prefer_laws(fits, _average_weights(fits, held_out, by_level, data), held_out, by_level, data)
    candidates = tuple(_score(f, k, held_out, by_level, data, weights) for k, f in enumerate(fits))
    used = np.flatnonzero(weights)
    fits, weights = tuple(fits[k] for k in used), weights[used]
    return calibrate_average(
        target, data, fits, weights, _select(held_out, used), candidates, knobs, levels,
        {name: _select(one, used) for name, one in by_level.items()},
    )  # fmt: skip


def _with_noise_slopes(
    target: str, data: TargetData, fits: Sequence[FormFit], held_out: HeldOut, weights: Float
) -> TargetData:
    """Return the data with noise that depends on knobs, where that raises the density of the held-out residuals.

    The forms are fitted with equal noise: their errors of form are not smaller where measurements are quieter.
    """
    if cliff_knobs(target, data.coordinates):
        return data  # next to a cliff the residuals are large everywhere along its edge
    mean, variance = held_out.average(weights)
    rows = is_predictable(data, data.fold)
    residual = np.where(rows, data.table.values - mean, np.nan)
    slopes = noise_slopes(data.table.points, residual)
    if not slopes.any():
        return data
    table = replace(data.table, slopes=slopes)
    mean_square = float(np.mean(table.noise_factor(table.points) ** 2))
    table = replace(table, offset=0.5 * float(np.log(mean_square)))
    noise = float(weights @ [fit.noise**2 for fit in fits])
    varying = np.maximum(variance + noise * (table.noise_factor(table.points) ** 2 - 1), 1e-300)
    densities = [-0.5 * (np.log(v) + residual**2 / v)[rows].sum() for v in (variance, varying)]
    return replace(data, table=table) if densities[1] > densities[0] + _MIN_GAIN else data


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
    if sampled.any():
        evidence = np.where(evidence < evidence.max() - _DECISIVE, -np.inf, evidence)
    shares = softmax(evidence / EVIDENCE_TEMPERATURE) if sampled.any() else np.zeros(len(fits))
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


def _prefer_laws(
    fits: Sequence[FormFit], weights: Float, held_out: HeldOut, by_level: Mapping[str, HeldOut], data: TargetData
) -> Float:
    """Return weights of the forms with a law alone, if one is nearly as good as the best form.

    A law also extrapolates and bridges gaps, which held-out rows of a dense table do not measure.
    """
    has_law = np.array([fit.form.law != "sum" for fit in fits])
    if any(fit.form.is_sampled for fit in fits) or not has_law.any():
        return weights
    target = fits[0].target
    tables = [held_out, *by_level.values()]
    errors = np.array([[held_out_error(target, one.mean[:, k], data) for one in tables] for k in range(len(fits))])
    score = np.exp(np.mean(np.log(np.maximum(errors, _MIN_ERROR)), axis=1))
    good = has_law & (score <= _AS_GOOD * score.min())
    if not good.any():
        return weights
    kept = np.where(good, np.maximum(weights, 1e-6), 0.0)
    return np.asarray(kept / kept.sum())


def _uniform(eligible: NDArray[np.bool_]) -> Float:
    return np.asarray(eligible / eligible.sum(), dtype=np.float64)


def _score(
    fit: FormFit, k: int, held_out: HeldOut, by_level: Mapping[str, HeldOut], data: TargetData, weights: Float
) -> CandidateForm:
    score = held_out_scores(fit.form.name, fit.target, held_out.mean[:, k], held_out.variance[:, k], data)
    errors = [held_out_error(fit.target, one.mean[:, k], data) for one in by_level.values()]
    between = float(np.exp(np.mean(np.log(np.maximum(errors, _MIN_ERROR))))) if errors else np.nan
    return replace(score, between=between, weight=float(weights[k]))


def format_error(target: str, error: float) -> str:
    """Format an error: relative for positive targets, absolute for shares and values of any sign."""
    if not np.isfinite(error):
        return "unknown"
    return f"{error:.1%}" if is_relative(target) else f"{error:.4g}"
