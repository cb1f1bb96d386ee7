"""Fit of one target: all candidate forms, weighted by how well they predict rows and values that they have not seen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax
from threadpoolctl import threadpool_limits

from explorer.errors import WrongUsage
from explorer.models.forms.candidates import candidate_forms
from explorer.models.forms.design_matrix import design_matrix
from explorer.models.forms.forms import FunctionalForm, link, unlink
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs, fit_coordinates
from explorer.models.response.calibration import (
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
    knobs_with_levels,
    required_inflation,
)
from explorer.models.response.gaussian_process import Hyperparameters, TrainingData
from explorer.models.response.mode_fit import ModeFit, fit_form
from explorer.models.response.response import LEVEL, CandidateForm, FormFit, HeldOutRows, Response
from explorer.models.response.sampled_fit import SampledFit, sample_form
from explorer.models.response.stacking import form_weights
from explorer.models.samples.binomial import clip_shares, sampling_variance
from explorer.models.samples.knobs import KnobSpec, distinct_designs
from explorer.problem.columns import Columns, Float, take

MAX_CONFIGURATIONS = 1_000  # the cost is cubic in them; larger tables are thinned evenly
# Of three levels two remain when one is held out: they determine a slope but do not discriminate between forms.
_LEVELS_TO_COMPARE = 4
_MIN_ERROR = 1e-12  # a table without noise may be fitted exactly, and the logarithm of 0 is not finite
_MIN_WEIGHT = 0.02  # forms with less are dropped: they cost as much as the others and change nothing
# Up to this number of rows hyperparameters are learned again in each fold.
_MAX_TO_RELEARN = 15
# Student t noise with so many degrees of freedom, as a scale mixture: rows far from their prediction count less.
_T_FREEDOM = 4.0
_OUTLIER_Z = 5.0
_MIN_FOR_OUTLIERS = 8
_EDGE_PRIOR = 0.1  # share of the values' standard deviation per half range beyond the samples (assumed)


@dataclass(frozen=True, slots=True)
class _Data:
    samples: Columns
    counts: NDArray[np.int64]
    coordinates: InputCoordinates
    inputs: ScaledInputs
    table: TrainingData
    repeat_sd: float
    n_counted: Float
    fold: NDArray[np.int64]
    rows: Float
    row_design: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _HeldOut:
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
    with threadpool_limits(1):
        has_counts = target == "accuracy" and n_counted is not None and n_counted.size > 0
        counted = np.nan_to_num(np.asarray(n_counted)) if has_counts else np.zeros(len(values))
        data = _prepare(target, designs, np.asarray(values, dtype=np.float64), knobs, groups, counted)
        return _fit(target, data, knobs=knobs, is_grouped=groups is not None, without=without)


def _fit(target: str, data: _Data, *, knobs: Sequence[KnobSpec], is_grouped: bool, without: Sequence[str]) -> Response:
    fits = _fit_forms(target, data, without)
    held_out, weights = _compare(fits, data)
    if (outlying := _outliers(fits, held_out, weights, data)) is not None:
        data = replace(data, table=replace(data.table, roughness=outlying))
        fits = _fit_forms(target, data, without)
        held_out, weights = _compare(fits, data)
    levels = knobs_with_levels(data.coordinates, data.inputs)
    compared = {} if is_grouped else {name: v for name, v in levels.items() if v.max() + 1 >= _LEVELS_TO_COMPARE}
    by_level = {name: _leave_out(fits, level) for name, level in compared.items()}
    weights = _average_weights(fits, held_out, by_level, data)
    candidates = tuple(_score(f, k, held_out, by_level, data, weights) for k, f in enumerate(fits))
    used = np.flatnonzero(weights)
    fits, weights = tuple(fits[k] for k in used), weights[used]
    return _calibrated(
        target, data, fits, weights, _select(held_out, used), candidates, knobs, levels,
        {name: _select(one, used) for name, one in by_level.items()},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class StoredFit:
    """Fitted numbers of one form, from a file.

    Args:
        form: its name.
        weight: in the average.
        theta: coefficients of a fit at its mode, shape (p,); None for a sampled one.
        scales: hyperparameters of a fit at its mode; None for a sampled one.
        point: of a sampled fit, shape (q + 1,); None for a fit at its mode.
    """

    form: str
    weight: float
    theta: Float | None
    scales: Hyperparameters | None
    point: Float | None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """Fitted numbers of one target, from a file; see `Response`."""

    fits: tuple[StoredFit, ...]
    roughness: Float
    widening: IntervalInflation
    interpolation: InterpolationUncertainty
    edge: EdgeUncertainty
    candidates: tuple[CandidateForm, ...]
    checked: CandidateForm
    middle: Float
    sd: Float


def restore_response(
    target: str,
    designs: Columns,
    values: Float,
    stored: StoredResponse,
    *,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None = None,
    n_counted: Float | None = None,
) -> Response:
    """Return a response from its samples and fitted numbers, as `fit_response` returned it.

    Sampled forms are sampled again with the same seed; their predictions come from the stored point.

    Raises:
        WrongUsage: the numbers do not fit the forms of these samples.
    """
    counted = (
        np.nan_to_num(np.asarray(n_counted)) if n_counted is not None and n_counted.size else np.zeros(len(values))
    )
    with threadpool_limits(1):
        data = _prepare(target, designs, values, knobs, groups, counted)
        if len(stored.middle) != len(data.rows) or len(stored.roughness) not in (0, data.inputs.n):
            raise WrongUsage(f"{target}: the stored predictions are not of these rows", fix="fit the samples again")
        if stored.roughness.size:
            data = replace(data, table=replace(data.table, roughness=stored.roughness))
        forms = {f.name: f for f in candidate_forms(target, data.coordinates, data.table.values, data.inputs)}
        fits = tuple(_restore_fit(target, one, forms.get(one.form), data) for one in stored.fits)
    weights = np.array([one.weight for one in stored.fits])
    roughness = np.broadcast_to(data.table.roughness, (data.inputs.n,))
    return Response(
        target, tuple(knobs), data.coordinates, data.samples, data.counts, data.table, data.repeat_sd, data.n_counted,
        fits, weights, stored.widening, stored.interpolation, stored.edge, stored.candidates, stored.checked,
        HeldOutRows(data.rows, data.row_design, stored.middle, stored.sd), roughness >= 2,
    )  # fmt: skip


def _restore_fit(target: str, stored: StoredFit, form: FunctionalForm | None, data: _Data) -> FormFit:
    fault = WrongUsage(f"{target}: '{stored.form}' is not a form of these samples", fix="fit the samples again")
    if form is None or form.is_sampled != (stored.point is not None):
        raise fault
    if stored.point is not None:
        fit = sample_form(form, target, data.coordinates, data.inputs, data.table)
        if fit.point.shape != stored.point.shape:
            raise fault
        return replace(fit, point=stored.point)
    design = design_matrix(form, data.coordinates, data.inputs)
    n_coefficients = sum(block.shape[1] for block in design.blocks.values())
    if stored.theta is None or stored.scales is None or len(stored.theta) != n_coefficients:
        raise fault
    if len(stored.scales.widths) != len(form.terms) or len(stored.scales.lengths) != len(data.coordinates.tie):
        raise fault
    return ModeFit(form, target, design, data.table, stored.theta, stored.scales)


def _fit_forms(target: str, data: _Data, without: Sequence[str]) -> tuple[FormFit, ...]:
    forms = candidate_forms(target, data.coordinates, data.table.values, data.inputs, without=without)
    return tuple(
        sample_form(form, target, data.coordinates, data.inputs, data.table)
        if form.is_sampled
        else fit_form(form, target, data.coordinates, data.inputs, data.table)
        for form in forms
    )


def _leave_out(fits: Sequence[FormFit], fold: NDArray[np.int64], *, relearn: bool = False) -> _HeldOut:
    parts = [fit.leave_out(fold, relearn=relearn) if isinstance(fit, ModeFit) else fit.leave_out(fold) for fit in fits]
    mean, variance, density = (np.stack(columns, axis=1) for columns in zip(*parts, strict=True))
    noise = np.array([fit.noise for fit in fits])
    roughness = np.broadcast_to(fits[0].table.roughness, (len(fold),))
    variance = variance - noise**2 * (roughness**2 - 1)[:, None]
    return _HeldOut(mean, np.maximum(variance, 1e-300), density)


def _select(held_out: _HeldOut, used: NDArray[np.int64]) -> _HeldOut:
    return _HeldOut(held_out.mean[:, used], held_out.variance[:, used], held_out.density[:, used])


def _compare(fits: Sequence[FormFit], data: _Data) -> tuple[_HeldOut, Float]:
    held_out = _leave_out(fits, data.fold)
    weights = _average_weights(fits, held_out, {}, data)
    if data.inputs.n > _MAX_TO_RELEARN:
        return held_out, weights
    # With few rows the hyperparameters know the held-out one: forms that matter are learned again without it.
    again = [k for k, fit in enumerate(fits) if weights[k] and isinstance(fit, ModeFit)]
    if again:
        relearned = _leave_out([fits[k] for k in again], data.fold, relearn=True)
        for j, k in enumerate(again):
            held_out.mean[:, k], held_out.variance[:, k] = relearned.mean[:, j], relearned.variance[:, j]
            held_out.density[:, k] = relearned.density[:, j]
        weights = _average_weights(fits, held_out, {}, data)
    return held_out, weights


def _average_weights(
    fits: Sequence[FormFit], held_out: _HeldOut, by_level: Mapping[str, _HeldOut], data: _Data
) -> Float:
    """Return the weight of each form, shape (K,).

    The sampled forms share one weight in proportion to their evidence: few rows lie on one line, where held-out rows
    cannot tell forms apart that differ elsewhere. That group and each other form are weighted by held-out densities, of
    rows and of whole values of a knob. The mean of the categories is the baseline: it has no weight when a number
    varies, since the other forms shrink the effect of an irrelevant knob to zero.
    """
    sampled = np.array([isinstance(fit, SampledFit) for fit in fits])
    eligible = ~sampled
    if data.coordinates.varied and len(fits) > 1:
        eligible[0] = False
    evidence = np.array([fit.evidence if isinstance(fit, SampledFit) else -np.inf for fit in fits])
    shares = softmax(evidence) if sampled.any() else np.zeros(len(fits))
    rows = _is_predictable(data, data.fold)
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


def _outliers(fits: Sequence[FormFit], held_out: _HeldOut, weights: Float, data: _Data) -> Float | None:
    """Return the relative noise of each design under Student t noise, shape (n,); None if no row is far off.

    The t distribution is a scale mixture of normals: the expected precision of a row with standardized residual z is
    (v + 1) / (v + z^2) for v degrees of freedom.
    """
    rows = _is_predictable(data, data.fold)
    # Beside a cliff of accuracy rows scatter: they are the measurement, not outliers.
    is_cliff = bool(cliff_knobs(fits[0].target, data.coordinates)) and fits[0].target == "accuracy"
    if data.inputs.n < _MIN_FOR_OUTLIERS or not rows.any() or is_cliff:
        return None
    mean, variance = held_out.average(weights)
    z = np.abs(data.table.values - mean) / np.sqrt(variance)
    robust = z / max(1.4826 * float(np.median(z[rows])), 1e-9)
    if not np.any(robust[rows] > _OUTLIER_Z):
        return None
    precision = np.where(robust > _OUTLIER_Z / 2, (_T_FREEDOM + 1) / (_T_FREEDOM + robust**2), 1.0)
    return np.where(rows, 1 / np.sqrt(precision), 1.0)


def _score(
    fit: FormFit, k: int, held_out: _HeldOut, by_level: Mapping[str, _HeldOut], data: _Data, weights: Float
) -> CandidateForm:
    score = _scores(fit.form.name, fit.target, held_out.mean[:, k], held_out.variance[:, k], data)
    errors = [_error(fit.target, one.mean[:, k], data) for one in by_level.values()]
    between = float(np.exp(np.mean(np.log(np.maximum(errors, _MIN_ERROR))))) if errors else np.nan
    return replace(score, between=between, weight=float(weights[k]))


def _scores(name: str, target: str, mean: Float, variance: Float, data: _Data) -> CandidateForm:
    """Return the scores of predictions of held-out designs, from rows: repeats count one by one."""
    usable = _is_predictable(data, data.fold)[data.row_design]
    if not usable.any() or len(np.unique(data.fold)) < 2:
        return CandidateForm(name, np.inf, -np.inf, np.nan)
    values, index = data.rows[usable], data.row_design[usable]
    residual, total = values - mean[index], float(np.sum((values - values.mean()) ** 2))
    r2 = 1 - float(residual @ residual) / total if total > 0 else 0.0
    reach = half_width(1e6, LEVEL) * np.sqrt(_row_variance(variance, data)[index])
    return CandidateForm(name, _error(target, mean, data), r2, float(np.mean(np.abs(residual) <= reach)))


def _row_variance(variance: Float, data: _Data) -> Float:
    """Return the variance of one measurement of each design from that of the mean of its repeats, shape (n,)."""
    return np.asarray(variance + data.repeat_sd**2 * (1 - 1 / data.counts))


def _error(target: str, mean: Float, data: _Data) -> float:
    usable = _is_predictable(data, data.fold)[data.row_design]
    truth = unlink(target, data.rows[usable])
    absolute = np.abs(unlink(target, mean[data.row_design[usable]]) - truth)
    return float(np.mean(absolute if target == "accuracy" else absolute / truth)) if usable.any() else np.inf


def _calibrated(
    target: str, data: _Data, fits: tuple[FormFit, ...], weights: Float, held_out: _HeldOut,
    candidates: tuple[CandidateForm, ...], knobs: Sequence[KnobSpec], levels: Mapping[str, NDArray[np.int64]],
    by_level: Mapping[str, _HeldOut],
) -> Response:  # fmt: skip
    """Return the response with intervals calibrated by held-out rows, held-out values and outermost values."""
    rows = _is_predictable(data, data.fold)
    mean, variance = held_out.average(weights)
    roughness = np.broadcast_to(data.table.roughness, (data.inputs.n,))
    # A quantile of many rows bears outliers; the root mean square of few does not.
    trusted = rows & ((roughness < 2) | (rows.sum() >= MIN_TO_CALIBRATE))
    z = (data.table.values - mean) / np.sqrt(variance)
    reach = half_width(1e6, LEVEL)
    factor = required_inflation(z[trusted], reach, LEVEL) if trusted.any() else 1.0
    by_level = {**by_level, **{name: _leave_out(fits, v) for name, v in levels.items() if name not in by_level}}
    averaged = {name: one.average(weights) for name, one in by_level.items()}
    linked = _predictor(fits, weights, data)
    interpolation, gap_sd = _fit_interpolation(target, data, levels, averaged, linked)
    level_inflation = {}
    for name, (middle, spread) in averaged.items():
        sd = np.sqrt(spread + np.square(gap_sd.get(name, 0.0)))
        usable = trusted & _is_predictable(data, levels[name])
        if usable.any():
            level_inflation[name] = required_inflation(((data.table.values - middle) / sd)[usable], reach, LEVEL)
    between_levels = fit_between_levels(data.coordinates, data.inputs, level_inflation, factor)
    usable = rows[data.row_design]
    middle = np.where(usable, mean[data.row_design], np.nan)
    sd = factor * np.sqrt(_row_variance(variance, data))[data.row_design]
    return Response(
        target, tuple(knobs), data.coordinates, data.samples, data.counts, data.table, data.repeat_sd, data.n_counted,
        fits, weights, IntervalInflation(factor, between_levels), interpolation, _fit_edge(fits, weights, data),
        candidates, _scores("average", target, mean, variance * factor**2, data),
        HeldOutRows(data.rows, data.row_design, middle, sd), roughness >= 2,
    )  # fmt: skip


def _predictor(fits: Sequence[FormFit], weights: Float, data: _Data) -> Callable[[Columns], Float]:
    def linked(designs: Columns) -> Float:
        inputs = data.coordinates.transform(designs)
        points = data.coordinates.points(inputs)
        total = np.zeros(inputs.n)
        for weight, fit in zip(weights, fits, strict=True):
            total += weight * fit.linked(inputs, points)
        return total

    return linked


def _fit_edge(fits: Sequence[FormFit], weights: Float, data: _Data) -> EdgeUncertainty:
    """Return the uncertainty beyond the samples, from predictions of the outermost value of each knob without it."""
    prior = _EDGE_PRIOR * max(float(np.std(data.table.values)), 0.02)
    shares = {}
    for name in data.coordinates.varied:
        z = data.inputs.z[name]
        level = assign_levels(z)
        n_levels = int(level.max()) + 1
        residual, variance, beyond = np.empty(0), np.empty(0), np.empty(0)
        if n_levels >= _LEVELS_TO_COMPARE and data.inputs.n >= 2 * _LEVELS_TO_COMPARE:
            ends = (level == 0) | (level == n_levels - 1)
            # Both ends are separate folds; the other rows are one fold whose predictions are not used.
            fold = np.where(level == 0, 0, np.where(level == n_levels - 1, 1, 2))
            mean, spread = _leave_out(fits, fold).average(weights)
            inner = (float(z[level > 0].min()), float(z[level < n_levels - 1].max()))
            residual, variance = (data.table.values - mean)[ends], spread[ends]
            beyond = np.where(level == 0, inner[0] - z, z - inner[1])[ends]
        shares[name] = fit_edge_share(residual, variance, beyond, prior=prior)
    return EdgeUncertainty(shares)


def _prepare(
    target: str, designs: Columns, values: Float, knobs: Sequence[KnobSpec], groups: NDArray[Any] | None, counted: Float
) -> _Data:
    """Return the data of a fit, one row for each distinct design."""
    has_all = np.isfinite(values)
    for knob in knobs:
        if knob.kind == "number":
            has_all &= np.isfinite(np.asarray(designs[knob.name], dtype=np.float64))
    if has_all.sum() < 2:
        raise WrongUsage(f"{target}: fewer than two rows have it and all knobs", fix="measure more configurations")
    if target != "accuracy" and values[has_all].min() <= 0:
        raise WrongUsage(f"{target}: a value is not positive", fix="leave the cell empty where nothing was measured")
    rows, counted = take({knob.name: designs[knob.name] for knob in knobs}, has_all), counted[has_all]
    linked = link(target, clip_shares(values[has_all], counted) if counted.any() else values[has_all])
    first, index = distinct_designs(rows, knobs)
    counts = np.bincount(index)
    means = np.bincount(index, linked) / counts
    freedom = len(linked) - len(first)
    repeat_sd = float(np.sqrt(np.sum((linked - means[index]) ** 2) / freedom)) if freedom else 0.0
    picked = np.unique(np.linspace(0, len(first) - 1, min(len(first), MAX_CONFIGURATIONS)).astype(np.int64))
    samples, counts, means = take(rows, first[picked]), counts[picked], means[picked]
    counted = counted[first[picked]]
    coordinates = fit_coordinates(samples, knobs)
    inputs = coordinates.transform(samples)
    group = groups[has_all][first[picked]].astype(str) if groups is not None else np.arange(len(picked))
    fold = np.unique(group, return_inverse=True)[1]
    # Repeats use the same test items, so averaging them does not reduce the sampling variance.
    table = TrainingData(means, repeat_sd**2 / counts + sampling_variance(means, counted), coordinates.points(inputs))
    position = np.full(len(first), -1)
    position[picked] = np.arange(len(picked))
    row_design = position[index]
    return _Data(
        samples, counts, coordinates, inputs, table, repeat_sd, counted, fold,
        linked[row_design >= 0], row_design[row_design >= 0],
    )  # fmt: skip


def _fit_interpolation(
    target: str, data: _Data, levels: Mapping[str, NDArray[np.int64]], averaged: Mapping[str, tuple[Float, Float]],
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


def _is_predictable(data: _Data, fold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the designs whose category levels all occur in another fold as well, shape (n,)."""
    result = np.full(data.inputs.n, fill_value=True)
    for name in data.coordinates.categories:
        codes = data.inputs.codes[name]
        for level in np.unique(codes):
            rows = codes == level
            result[rows] &= len(np.unique(fold[rows])) > 1
    return result


def format_error(target: str, error: float) -> str:
    """Format an error: absolute for accuracy, relative for all others."""
    if not np.isfinite(error):
        return "unknown"
    return f"{error:.4f}" if target == "accuracy" else f"{error:.1%}"
