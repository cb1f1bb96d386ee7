"""Calibration of an average over forms: intervals that held-out rows, held-out values and outermost values confirm."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.fitting.calibration import (
    MIN_TO_CALIBRATE,
    EdgeUncertainty,
    InterpolationUncertainty,
    IntervalInflation,
    assign_levels,
    cliff_knobs,
    fit_between_levels,
    fit_edge_share,
    fit_uncertainty_share,
    half_width,
    held_out_changes,
    required_inflation,
)
from explorer.models.fitting.gaussian_process import TrainingData
from explorer.models.fitting.mode_fit import ModeFit
from explorer.models.forms.forms import unlink
from explorer.models.response.response import LEVEL, CandidateForm, FormFit, HeldOutRows, Response
from explorer.models.response.target_data import TargetData, is_predictable
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float
from explorer.problem.targets import is_relative

# Of three levels two remain when one is held out: they determine a slope but do not discriminate between forms.
LEVELS_TO_COMPARE = 4
_MIN_TO_REFIT, _MAX_TO_REFIT, _N_FOLDS = 16, 100, 5
_LEAST_FACTOR = 0.85  # intervals may be narrowed where refits in each fold show that they cover too much
_MIN_FOR_EDGES = 12  # fewer rows are too few once the outermost value is left out
_EDGE_PRIOR = 0.1  # share of the values' standard deviation per half range beyond the samples (assumed)


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Predictions of held-out designs by several forms, linked: shape (n, K) each.

    `variance` is that of a measurement with ordinary noise, also for rows whose own noise counts as larger.
    """

    mean: Float
    variance: Float
    density: Float

    def average(self, weights: Float) -> tuple[Float, Float]:
        """Return the mean and variance of the weighted average over the forms, shape (n,) each."""
        mean = self.mean @ weights
        return mean, (self.variance + (self.mean - mean[:, None]) ** 2) @ weights


def leave_out(fits: Sequence[FormFit], fold: NDArray[np.int64], *, relearn: bool = False) -> HeldOut:
    """Return predictions of each fold from the other folds, by every form.

    Args:
        fits: the forms.
        fold: index of each design's fold, shape (n,).
        relearn: with hyperparameters learned again in each fold.
    """
    parts = [fit.leave_out(fold, relearn=relearn) if isinstance(fit, ModeFit) else fit.leave_out(fold) for fit in fits]
    mean, variance, density = (np.stack(columns, axis=1) for columns in zip(*parts, strict=True))
    noise = np.array([fit.noise for fit in fits])
    roughness = np.broadcast_to(fits[0].table.roughness, (len(fold),))
    ordinary = fits[0].table.noise_factor(fits[0].table.points)
    # The excess noise of an outlier is that of all rows; a fold without it may have learned less. What remains is at
    # least the variance times the ratio of ordinary noise to the outlier's.
    least = variance * np.minimum(ordinary / roughness, 1.0)[:, None] ** 2
    variance = variance - noise**2 * (roughness**2 - ordinary**2)[:, None]
    return HeldOut(mean, np.maximum(variance, np.maximum(least, 1e-300)), density)


def calibrate_average(
    target: str, data: TargetData, fits: tuple[FormFit, ...], weights: Float, held_out: HeldOut,
    candidates: tuple[CandidateForm, ...], knobs: Sequence[KnobSpec], levels: Mapping[str, NDArray[np.int64]],
    by_level: Mapping[str, HeldOut],
) -> Response:  # fmt: skip
    """Return the response with intervals calibrated by held-out rows, held-out values and outermost values."""
    rows = is_predictable(data, data.fold)
    mean, variance = held_out.average(weights)
    roughness = outlier_roughness(data.table)
    # A quantile of many rows bears outliers; the root mean square of few does not.
    trusted = rows & ((roughness < 2) | (rows.sum() >= MIN_TO_CALIBRATE))
    z, least = (data.table.values - mean) / np.sqrt(variance), 1.0
    if _MIN_TO_REFIT <= data.inputs.n <= _MAX_TO_REFIT and any(isinstance(fit, ModeFit) for fit in fits):
        # Hyperparameters learned from all rows know the held-out one: noise seems smaller than it is.
        again = leave_out(fits, _few_folds(data.fold), relearn=True)
        refitted, spread = again.average(weights)
        z, least = (data.table.values - refitted) / np.sqrt(spread), _LEAST_FACTOR
    # Draws at the mode are stretched as Student's t, so that is what the residuals are compared with.
    freedom = [fit.freedom if isinstance(fit, ModeFit) else np.inf for fit in fits]
    reach = float(weights @ [half_width(min(one, 1e6), LEVEL) for one in freedom])
    factor = required_inflation(z[trusted], reach, LEVEL, least=least) if trusted.any() else 1.0
    by_level = {**by_level, **{name: leave_out(fits, v) for name, v in levels.items() if name not in by_level}}
    averaged = {name: one.average(weights) for name, one in by_level.items()}
    linked = _predictor(fits, weights, data)
    interpolation, gap_sd = _fit_interpolation(target, data, levels, averaged, linked)
    level_inflation = {}
    for name, (middle, spread) in averaged.items():
        sd = np.sqrt(spread + np.square(gap_sd.get(name, 0.0)))
        usable = trusted & is_predictable(data, levels[name])
        if usable.any():
            level_inflation[name] = required_inflation(((data.table.values - middle) / sd)[usable], reach, LEVEL)
    between_levels = fit_between_levels(data.coordinates, data.inputs, level_inflation, factor)
    usable = rows[data.row_design]
    middle = np.where(usable, mean[data.row_design], np.nan)
    sd = factor * np.sqrt(_row_variance(variance, data))[data.row_design]
    return Response(
        target, tuple(knobs), data.coordinates, data.samples, data.counts, data.table, data.repeat_sd, data.n_counted,
        fits, weights, IntervalInflation(factor, between_levels), interpolation, _fit_edge(fits, weights, data),
        candidates, held_out_scores("average", target, mean, variance * factor**2, data),
        HeldOutRows(data.rows, data.row_design, middle, sd), roughness >= 2, data.known_variance,
    )  # fmt: skip


def outlier_roughness(table: TrainingData) -> Float:
    """Return the noise of each design relative to the ordinary, shape (n,): above 1 for outliers."""
    return np.broadcast_to(table.roughness, table.values.shape)


def _few_folds(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return five folds of whole groups, shape (n,)."""
    return np.asarray((np.random.default_rng(0).permutation(int(fold.max()) + 1) % _N_FOLDS)[fold])


def _predictor(fits: Sequence[FormFit], weights: Float, data: TargetData) -> Callable[[Columns], Float]:
    def linked(designs: Columns) -> Float:
        inputs = data.coordinates.transform(designs)
        points = data.coordinates.points(inputs)
        total = np.zeros(inputs.n)
        for weight, fit in zip(weights, fits, strict=True):
            total += weight * fit.linked(inputs, points)
        return total

    return linked


def _fit_edge(fits: Sequence[FormFit], weights: Float, data: TargetData) -> EdgeUncertainty:
    """Return the uncertainty beyond the samples, from predictions of the outermost value of each knob without it."""
    prior = _EDGE_PRIOR * max(float(np.std(data.table.values)), 0.02)
    shares = {}
    for name in data.coordinates.varied:
        z = data.inputs.z[name]
        level = assign_levels(z)
        n_levels = int(level.max()) + 1
        residual, variance, beyond = np.empty(0), np.empty(0), np.empty(0)
        if n_levels >= LEVELS_TO_COMPARE and data.inputs.n >= _MIN_FOR_EDGES:
            ends = (level == 0) | (level == n_levels - 1)
            # Both ends are separate folds; the other rows are one fold whose predictions are not used.
            fold = np.where(level == 0, 0, np.where(level == n_levels - 1, 1, 2))
            mean, spread = leave_out(fits, fold).average(weights)
            inner = (float(z[level > 0].min()), float(z[level < n_levels - 1].max()))
            residual, variance = (data.table.values - mean)[ends], spread[ends]
            beyond = np.where(level == 0, inner[0] - z, z - inner[1])[ends]
        shares[name] = fit_edge_share(residual, variance, beyond, prior=prior)
    return EdgeUncertainty(shares)


def _fit_interpolation(
    target: str, data: TargetData, levels: Mapping[str, NDArray[np.int64]], averaged: Mapping[str, tuple[Float, Float]],
    linked: Any,
) -> tuple[InterpolationUncertainty, dict[str, Float]]:  # fmt: skip
    """Return the interpolation uncertainty of a target, and its part of each row's deviation by held-out knob."""
    shares: dict[str, float] = {}
    gap_sd: dict[str, Float] = {}
    for name in cliff_knobs(target, data.coordinates):
        level, change = levels.get(name), np.zeros(0)
        if level is None:
            shares[name] = fit_uncertainty_share(change, change, change, level=np.zeros(0, dtype=np.int64))
            continue
        middle, variance = averaged[name]
        change = held_out_changes(data.samples, name, coordinates=data.coordinates, level=level, linked=linked)
        shares[name] = fit_uncertainty_share(data.table.values - middle, variance, change, level=level)
        gap_sd[name] = shares[name] * change
    return InterpolationUncertainty(shares), gap_sd


def held_out_scores(name: str, target: str, mean: Float, variance: Float, data: TargetData) -> CandidateForm:
    """Return the scores of predictions of held-out designs, from rows: repeats count one by one."""
    usable = is_predictable(data, data.fold)[data.row_design]
    if not usable.any() or len(np.unique(data.fold)) < 2:
        return CandidateForm(name, np.inf, -np.inf, np.nan)
    values, index = data.rows[usable], data.row_design[usable]
    residual, total = values - mean[index], float(np.sum((values - values.mean()) ** 2))
    r2 = 1 - float(residual @ residual) / total if total > 0 else 0.0
    reach = half_width(1e6, LEVEL) * np.sqrt(_row_variance(variance, data)[index])
    return CandidateForm(name, held_out_error(target, mean, data), r2, float(np.mean(np.abs(residual) <= reach)))


def _row_variance(variance: Float, data: TargetData) -> Float:
    """Return the variance of one measurement of each design from that of the mean of its repeats, shape (n,)."""
    return np.asarray(variance + (data.repeat_sd**2 + data.known_variance) * (1 - 1 / data.counts))


def held_out_error(target: str, mean: Float, data: TargetData) -> float:
    """Return the mean error of rows: relative for positive targets, else absolute; infinite where none is predicted.

    Args:
        target: the column.
        mean: held-out prediction of each design, linked, shape (n,).
        data: the samples.
    """
    usable = is_predictable(data, data.fold)[data.row_design]
    truth = unlink(target, data.rows[usable])
    absolute = np.abs(unlink(target, mean[data.row_design[usable]]) - truth)
    return float(np.mean(absolute / truth if is_relative(target) else absolute)) if usable.any() else np.inf
