"""Response of one target: repeats averaged, candidate forms fitted, and one selected by cross-validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from explorer.errors import WrongUsage
from explorer.models.response.calibration import (
    InterpolationUncertainty,
    IntervalInflation,
    cliff_knobs,
    fit_between_levels,
    fit_uncertainty_share,
    half_width,
    held_out_changes,
    knobs_with_levels,
    required_inflation,
)
from explorer.models.response.candidates import candidate_forms
from explorer.models.response.fitting import (
    FormFit,
    degrees_of_freedom,
    fit_form,
    predict_conditional,
    predict_held_out,
)
from explorer.models.response.forms import FunctionalForm, link, unlink
from explorer.models.response.gaussian_process import TrainingData
from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs, fit_coordinates
from explorer.models.response.response import LEVEL, CandidateForm, Response
from explorer.models.samples.binomial import clip_shares, sampling_variance
from explorer.models.samples.knobs import KnobSpec, distinct_designs
from explorer.problem.columns import Columns, Float, take

MAX_CONFIGURATIONS = 1_000  # the cost is cubic in them; larger tables are thinned evenly
# Factor on the best error within which a simpler form, or one with a law, is preferred: such differences are chance.
_AS_GOOD = 1.02
_AS_GOOD_WITH_LAW = 1.05
# Of three levels two remain when one is held out: they determine a slope but do not discriminate between forms.
_LEVELS_TO_COMPARE = 4
_MIN_ERROR = 1e-12  # a table without noise may be fitted exactly, and the logarithm of 0 is not finite
_NO_FIT_R2 = 0.1
# Up to this number of folds everything is refitted in each; above it ten folds are used.
_MAX_TO_RELEARN = 15
_FEWER_FOLDS = 10


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


def fit_response(
    target: str,
    designs: Columns,
    values: Float,
    *,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None = None,
    n_counted: Float | None = None,
) -> Response:
    """Fit the candidate forms that the knobs allow to one target, and select one by cross-validation.

    Args:
        target: the column; accuracy is fitted in log-odds, all others in logarithms.
        designs: the knobs of each measurement, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured. Positive; accuracy within [0, 1].
        knobs: declaration of each column of the designs.
        groups: label of each row's fold in cross-validation, shape (n,); default: leave one design out.
        n_counted: number of test items behind each accuracy, shape (n,); 0 or NaN if unknown, empty or None if all
            are unknown.

    Raises:
        WrongUsage: fewer than two rows have the target and all knobs, or a value has no logarithm.
    """
    # Single-threaded: with thousands of solves of a hundred rows, threads cost ten times what they save on a busy
    # machine.
    with threadpool_limits(1):
        has_counts = target == "accuracy" and n_counted is not None and n_counted.size > 0
        counted = np.nan_to_num(np.asarray(n_counted)) if has_counts else np.zeros(len(values))
        data, warnings = _prepare(target, designs, np.asarray(values, dtype=np.float64), knobs, groups, counted)
        return _fit(target, data, warnings, knobs=knobs, is_grouped=groups is not None)


def _fit(
    target: str, data: _Data, warnings: tuple[str, ...], *, knobs: Sequence[KnobSpec], is_grouped: bool
) -> Response:
    forms = candidate_forms(target, data.coordinates, data.table.values, data.inputs)
    fits = [fit_form(form, target, data.coordinates, data.inputs, data.table) for form in forms]
    levels = knobs_with_levels(data.coordinates, data.inputs)
    compared = {name: level for name, level in levels.items() if level.max() + 1 >= _LEVELS_TO_COMPARE}
    candidates = tuple(_score_form(fit, data, {} if is_grouped else compared) for fit in fits)
    selected = _select(candidates, forms, is_varied=bool(data.coordinates.varied))
    fit = fits[selected]
    checked, factor = _cross_validate(fit, data, _few_folds(data.fold), relearn=True)
    interpolation, gap_sd = _fit_interpolation(fit, data, levels)
    level_inflation = {
        name: _cross_validate(fit, data, level, relearn=False, gap_sd=gap_sd.get(name, 0.0))[1]
        for name, level in levels.items()
    }
    between_levels = fit_between_levels(data.coordinates, data.inputs, level_inflation, factor)
    return Response(
        target, tuple(knobs), data.coordinates, data.samples, data.counts, data.table, data.repeat_sd, data.n_counted,
        fit, IntervalInflation(factor, between_levels), interpolation, candidates, checked,
        _choice_text(target, candidates[selected], candidates, data),
        (*warnings, *_fit_warnings(target, checked, candidates[0], data)),
    )  # fmt: skip


def _score_form(fit: FormFit, data: _Data, levels: Mapping[str, NDArray[np.int64]]) -> CandidateForm:
    scores = _cross_validate(fit, data, data.fold, relearn=len(data.fold) <= _MAX_TO_RELEARN)[0]
    errors = [_cross_validate(fit, data, level, relearn=False)[0].error for level in levels.values()]
    if not errors:
        return scores
    return replace(scores, between=float(np.exp(np.mean(np.log(np.maximum(errors, _MIN_ERROR))))))


def _select(candidates: Sequence[CandidateForm], forms: Sequence[FunctionalForm], *, is_varied: bool) -> int:
    """Return the index of the selected form: of those as good as the best, one with a law, else the simplest.

    A law also extrapolates, which no score measures. The mean of the categories is the baseline. It cannot be selected
    when a number varies: the other forms shrink the effect of an irrelevant knob to zero and include the physics.
    """
    eligible = list(range(1 if is_varied and len(candidates) > 1 else 0, len(candidates)))
    best = min(candidates[i].score for i in eligible)
    with_law = [i for i in eligible if forms[i].law != "sum" and candidates[i].score <= _AS_GOOD_WITH_LAW * best]
    return (with_law or [i for i in eligible if candidates[i].score <= _AS_GOOD * best] or eligible)[0]


def _few_folds(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    n_folds = int(fold.max()) + 1
    if n_folds <= _MAX_TO_RELEARN:
        return fold
    return np.asarray((np.random.default_rng(0).permutation(n_folds) % _FEWER_FOLDS)[fold])


def _prepare(
    target: str, designs: Columns, values: Float, knobs: Sequence[KnobSpec], groups: NDArray[Any] | None, counted: Float
) -> tuple[_Data, tuple[str, ...]]:
    """Return the data of a fit, one row for each distinct design, with warnings about omitted rows."""
    has_all = np.isfinite(values)
    for knob in knobs:
        if knob.kind == "number":
            has_all &= np.isfinite(np.asarray(designs[knob.name], dtype=np.float64))
    n_measured = int(np.isfinite(values).sum())
    warnings = []
    if has_all.sum() < n_measured:
        missing = f"{n_measured - int(has_all.sum())} of {n_measured} rows lack a knob"
        warnings.append(f"{target}: {missing} and are left out of the fit")
    if has_all.sum() < 2:
        raise WrongUsage(f"{target}: fewer than two rows have it and all knobs", fix="measure more configurations")
    if target != "accuracy" and values[has_all].min() <= 0:
        raise WrongUsage(f"{target}: a value is not positive", fix="leave the cell empty where nothing was measured")
    rows, counted = take({knob.name: designs[knob.name] for knob in knobs}, has_all), counted[has_all]
    linked = link(target, clip_shares(values[has_all], counted) if counted.any() else values[has_all])
    first, index = distinct_designs(rows, knobs)
    if len(first) > MAX_CONFIGURATIONS:
        warnings.append(f"{target}: {len(first)} designs; every form is fitted to {MAX_CONFIGURATIONS} of them")
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
    return _Data(samples, counts, coordinates, inputs, table, repeat_sd, counted, fold), tuple(warnings)


def _fit_interpolation(
    fit: FormFit, data: _Data, levels: Mapping[str, NDArray[np.int64]]
) -> tuple[InterpolationUncertainty, dict[str, Float]]:
    """Return the interpolation uncertainty of a fit, and its part of each row's standard deviation by held-out knob."""

    def linked(designs: Columns) -> Float:
        inputs = data.coordinates.transform(designs)
        points = data.coordinates.points(inputs)
        return predict_conditional(fit, data.coordinates, data.inputs, data.table, inputs, points)[0]

    shares: dict[str, float] = {}
    gap_sd: dict[str, Float] = {}
    for name in cliff_knobs(fit.target, data.coordinates):
        level, change = levels.get(name), np.zeros(0)
        if level is None:
            shares[name] = fit_uncertainty_share(change, change, change, level=np.zeros(0, dtype=np.int64))
            continue
        middle, variance = predict_held_out(fit, data.coordinates, data.inputs, data.table, level, relearn=False)
        change = held_out_changes(data.samples, name, coordinates=data.coordinates, level=level, linked=linked)
        shares[name] = fit_uncertainty_share(data.table.values - middle, variance, change, level=level)
        gap_sd[name] = shares[name] * change
    return InterpolationUncertainty(shares), gap_sd


def _cross_validate(
    fit: FormFit, data: _Data, fold: NDArray[np.int64], *, relearn: bool, gap_sd: Float | float = 0.0
) -> tuple[CandidateForm, float]:
    """Return the scores of a form on held-out folds, and the inflation that its intervals require to cover."""
    table, rows = data.table, _is_predictable(data, fold)
    if not rows.any() or len(np.unique(fold)) < 2:
        return CandidateForm(fit.form.name, np.inf, -np.inf, np.nan), 1.0
    middle, variance = predict_held_out(fit, data.coordinates, data.inputs, table, fold, relearn=relearn)
    residual, sd = (table.values - middle)[rows], np.sqrt(variance + np.square(gap_sd))[rows]
    truth = unlink(fit.target, table.values[rows])
    absolute = np.abs(unlink(fit.target, middle[rows]) - truth)
    error = float(np.mean(absolute if fit.target == "accuracy" else absolute / truth))
    total = float(np.sum((table.values[rows] - table.values[rows].mean()) ** 2))
    r2 = 1 - float(residual @ residual) / total if total > 0 else 0.0
    z, reach = residual / sd, half_width(degrees_of_freedom(fit, data.coordinates, data.inputs, table), LEVEL)
    return CandidateForm(fit.form.name, error, r2, float(np.mean(np.abs(z) <= reach))), required_inflation(
        z, reach, LEVEL
    )


def _is_predictable(data: _Data, fold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the designs whose category levels all occur in another fold as well, shape (n,)."""
    result = np.full(data.inputs.n, fill_value=True)
    for name in data.coordinates.categories:
        codes = data.inputs.codes[name]
        for level in np.unique(codes):
            rows = codes == level
            result[rows] &= len(np.unique(fold[rows])) > 1
    return result


def _choice_text(target: str, selected: CandidateForm, candidates: Sequence[CandidateForm], data: _Data) -> str:
    n_folds = len(np.unique(data.fold))
    folds = "one design" if n_folds == len(data.fold) else f"one of {n_folds} groups"
    text = f"{target}: '{selected.name}', error {format_error(target, selected.error)} when {folds} is held out"
    if np.isfinite(selected.between):
        text += f", {format_error(target, selected.between)} when one value of a knob is"
    runners_up = sorted((c for c in candidates if c != selected), key=lambda c: c.score)
    if not runners_up:
        return text
    second = runners_up[0]
    errors = " and ".join(format_error(target, e) for e in (second.error, second.between) if np.isfinite(e))
    comparison = "is not better by enough to be preferred" if second.score < selected.score else "is second"
    return f"{text}; '{second.name}' {comparison} ({errors})"


def format_error(target: str, error: float) -> str:
    """Format an error: absolute for accuracy, relative for all others."""
    if not np.isfinite(error):
        return "unknown"
    return f"{error:.4f}" if target == "accuracy" else f"{error:.1%}"


def _fit_warnings(target: str, checked: CandidateForm, mean: CandidateForm, data: _Data) -> list[str]:
    if not np.isfinite(checked.error):
        return [f"{target}: cross-validation is impossible, no row shares its categories with another: error unknown"]
    if checked.r2 < _NO_FIT_R2:
        text = (
            f"{target}: THE FIT EXPLAINS NOTHING (R^2 {checked.r2:.2f} on held-out rows): its predictions are no "
            f"better than the mean of the rows. Measure a knob that matters, or repeat to lower the noise"
        )
        return [text]
    if data.coordinates.varied and checked.error > 0.95 * mean.error:
        as_good = f"the mean of each category is as good ({format_error(target, mean.error)})"
        return [f"{target}: the numeric knobs explain almost nothing: {as_good}"]
    return []
