"""Fitting a response: repeats to configurations, a few forms tried, one chosen by the rows that it had not seen."""

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
from explorer.models.response.input_scaling import InputCoordinates, KnobSpec, ScaledInputs, fit_coordinates
from explorer.models.response.response import LEVEL, CandidateForm, Response
from explorer.models.samples.binomial import clip_shares, sampling_variance
from explorer.problem.columns import Columns, Float, take

MAX_CONFIGURATIONS = 1_000  # the algebra is cubic in them; more are thinned evenly
# A simpler form whose error is within this factor of the best is preferred: such differences are chance.
_AS_GOOD = 1.02
_AS_GOOD_WITH_LAW = 1.05
# Of three values, two are left when one is left out: they tell a slope, and no form from another.
_LEVELS_TO_JUDGE = 4
_LEAST_ERROR = 1e-12  # a table without noise can be fitted without error, which has no logarithm
_EXPLAINS_NOTHING = 0.1
# Up to this many folds everything is learned anew in each; above, ten folds stand in.
_MAX_TO_RELEARN = 15
_FEWER_FOLDS = 10


@dataclass(frozen=True, slots=True)
class _Data:
    samples: Columns
    counts: NDArray[np.int64]
    coordinates: InputCoordinates
    placed: ScaledInputs
    table: TrainingData
    repeat_sd: float
    trials: Float
    fold: NDArray[np.int64]


def fit_response(
    target: str,
    designs: Columns,
    values: Float,
    *,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None = None,
    trials: Float | None = None,
) -> Response:
    """Fit the few forms that the knobs allow to one target and keep the one that predicts unseen rows best.

    Args:
        target: the column; accuracy is fitted in log-odds, all others in logarithms.
        designs: the knobs of each measurement, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured. Positive; accuracy within [0, 1].
        knobs: what each column of the designs is.
        groups: rows that are left out together when forms are judged, shape (n,); default: each configuration alone.
        trials: on how many samples each accuracy was counted, shape (n,); 0 or NaN where that is not known, empty or
            None where it is nowhere.

    Raises:
        WrongUsage: fewer than two rows have the target and all knobs, or a value has no logarithm.
    """
    # Thousands of solves of a hundred rows: threads cost ten times what they save where anything else runs as well.
    with threadpool_limits(1):
        is_counted = target == "accuracy" and trials is not None and trials.size > 0
        counted = np.nan_to_num(np.asarray(trials)) if is_counted else np.zeros(len(values))
        data, warnings = _prepared(target, designs, np.asarray(values, dtype=np.float64), knobs, groups, counted)
        return _fitted(target, data, warnings, knobs=knobs, is_grouped=groups is not None)


def _fitted(
    target: str, data: _Data, warnings: tuple[str, ...], *, knobs: Sequence[KnobSpec], is_grouped: bool
) -> Response:
    fits = _fits(target, data)
    levels = knobs_with_levels(data.coordinates, data.placed)
    judged_by = {name: level for name, level in levels.items() if level.max() + 1 >= _LEVELS_TO_JUDGE}
    candidates = tuple(_candidate(fit, data, {} if is_grouped else judged_by) for fit in fits)
    chosen = _chosen(candidates, [fit.form for fit in fits], has_axes=bool(data.coordinates.varied))
    fit = fits[chosen]
    checked, factor = _judged(fit, data, _few_folds(data.fold), relearn=True)
    gaps, doubt = _gaps(fit, data, levels)
    without = {
        name: _judged(fit, data, level, relearn=False, doubt=doubt.get(name, 0.0))[1] for name, level in levels.items()
    }
    widening = IntervalInflation(factor, fit_between_levels(data.coordinates, data.placed, without, factor))
    return Response(
        target, tuple(knobs), data.coordinates, data.samples, data.counts, data.table, data.repeat_sd, data.trials,
        fit, widening, gaps, candidates, checked, _choice(target, candidates[chosen], candidates, data),
        (*warnings, *_fit_warnings(target, checked, candidates[0], data)),
    )  # fmt: skip


def _candidate(fit: FormFit, data: _Data, levels: Mapping[str, NDArray[np.int64]]) -> CandidateForm:
    one = _judged(fit, data, data.fold, relearn=len(data.fold) <= _MAX_TO_RELEARN)[0]
    between = [_judged(fit, data, level, relearn=False)[0].error for level in levels.values()]
    return replace(one, between=float(np.exp(np.mean(np.log(np.maximum(between, _LEAST_ERROR)))))) if between else one


def _chosen(candidates: Sequence[CandidateForm], forms: Sequence[FunctionalForm], *, has_axes: bool) -> int:
    """Return which form to keep: of those as good as the best, one with a law, else the simplest.

    A law holds outside the rows as well, which no score can see. The mean of the categories is what the others are
    measured by; where a number varies it is not offered, since a knob that does nothing shrinks to nothing in the
    others too, and physics is in them.
    """
    offered = list(range(1 if has_axes and len(candidates) > 1 else 0, len(candidates)))
    best = min(candidates[i].score for i in offered)
    lawful = [i for i in offered if forms[i].law != "sum" and candidates[i].score <= _AS_GOOD_WITH_LAW * best]
    return (lawful or [i for i in offered if candidates[i].score <= _AS_GOOD * best] or offered)[0]


def _few_folds(fold: NDArray[np.int64]) -> NDArray[np.int64]:
    n_folds = int(fold.max()) + 1
    if n_folds <= _MAX_TO_RELEARN:
        return fold
    return np.asarray((np.random.default_rng(0).permutation(n_folds) % _FEWER_FOLDS)[fold])


def _fits(target: str, data: _Data) -> list[FormFit]:
    forms = candidate_forms(target, data.coordinates, data.table.values, data.placed)
    return [fit_form(form, target, data.coordinates, data.placed, data.table) for form in forms]


def _prepared(
    target: str, designs: Columns, values: Float, knobs: Sequence[KnobSpec], groups: NDArray[Any] | None, trials: Float
) -> tuple[_Data, tuple[str, ...]]:
    has_all = np.isfinite(values)
    for knob in knobs:
        if knob.kind == "number":
            has_all &= np.isfinite(np.asarray(designs[knob.name], dtype=np.float64))
    measured = int(np.isfinite(values).sum())
    warnings = []
    if has_all.sum() < measured:
        missing = f"{measured - int(has_all.sum())} of {measured} rows lack a knob"
        warnings.append(f"{target}: {missing} and are left out of the fit")
    if has_all.sum() < 2:
        raise WrongUsage(f"{target}: fewer than two rows have it and all knobs", fix="measure more configurations")
    if target != "accuracy" and values[has_all].min() <= 0:
        raise WrongUsage(f"{target}: a value is not positive", fix="leave the cell empty where nothing was measured")
    kept, trials = take({knob.name: designs[knob.name] for knob in knobs}, has_all), trials[has_all]
    linked = link(target, clip_shares(values[has_all], trials) if trials.any() else values[has_all])
    first, index = distinct_designs(kept, knobs)
    if len(first) > MAX_CONFIGURATIONS:
        warnings.append(f"{target}: {len(first)} configurations; every form is fitted to {MAX_CONFIGURATIONS} of them")
    counts = np.bincount(index)
    means = np.bincount(index, linked) / counts
    freedom = len(linked) - len(first)
    repeat_sd = float(np.sqrt(np.sum((linked - means[index]) ** 2) / freedom)) if freedom else 0.0
    picked = np.unique(np.linspace(0, len(first) - 1, min(len(first), MAX_CONFIGURATIONS)).astype(np.int64))
    samples, counts, means = take(kept, first[picked]), counts[picked], means[picked]
    trials = trials[first[picked]]
    coordinates = fit_coordinates(samples, knobs)
    placed = coordinates.transform(samples)
    own = groups[has_all][first[picked]].astype(str) if groups is not None else np.arange(len(picked))
    fold = np.unique(own, return_inverse=True)[1]
    # Repeats on the same samples say nothing of other samples: their number does not lower this part.
    table = TrainingData(means, repeat_sd**2 / counts + sampling_variance(means, trials), coordinates.points(placed))
    return _Data(samples, counts, coordinates, placed, table, repeat_sd, trials, fold), tuple(warnings)


def distinct_designs(designs: Columns, knobs: Sequence[KnobSpec]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each distinct configuration, and which one each row is; in order of appearance."""
    keys = [np.unique(designs[knob.name].astype(str if knob.kind == "category" else np.float64), return_inverse=True)[1]
            for knob in knobs]  # fmt: skip
    rows = np.stack(keys, axis=1) if keys else np.zeros((len(next(iter(designs.values()))), 1), dtype=np.int64)
    _, first, index = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[index.reshape(-1)]


def _gaps(
    fit: FormFit, data: _Data, levels: Mapping[str, NDArray[np.int64]]
) -> tuple[InterpolationUncertainty, dict[str, Float]]:
    """Return the gaps of a fit, and what they add to each row's standard deviation where its level is left out."""

    def linked(designs: Columns) -> Float:
        asked = data.coordinates.transform(designs)
        points = data.coordinates.points(asked)
        return predict_conditional(fit, data.coordinates, data.placed, data.table, asked, points)[0]

    shares: dict[str, float] = {}
    doubt: dict[str, Float] = {}
    for name in cliff_knobs(fit.target, data.coordinates):
        level, change = levels.get(name), np.zeros(0)
        if level is None:
            shares[name] = fit_uncertainty_share(change, change, change, level=np.zeros(0, dtype=np.int64))
            continue
        middle, variance = predict_held_out(fit, data.coordinates, data.placed, data.table, level, relearn=False)
        change = held_out_changes(data.samples, name, coordinates=data.coordinates, level=level, linked=linked)
        shares[name] = fit_uncertainty_share(data.table.values - middle, variance, change, level=level)
        doubt[name] = shares[name] * change
    return InterpolationUncertainty(shares), doubt


def _judged(
    fit: FormFit, data: _Data, fold: NDArray[np.int64], *, relearn: bool, doubt: Float | float = 0.0
) -> tuple[CandidateForm, float]:
    """Return how well a form predicts rows left out by fold, and how much wider its intervals must be to cover."""
    table, can_be = data.table, _can_be_predicted(data, fold)
    if not can_be.any() or len(np.unique(fold)) < 2:
        return CandidateForm(fit.form.name, np.inf, -np.inf, np.nan), 1.0
    middle, variance = predict_held_out(fit, data.coordinates, data.placed, table, fold, relearn=relearn)
    residual, sd = (table.values - middle)[can_be], np.sqrt(variance + np.square(doubt))[can_be]
    truth = unlink(fit.target, table.values[can_be])
    gap = np.abs(unlink(fit.target, middle[can_be]) - truth)
    error = float(np.mean(gap if fit.target == "accuracy" else gap / truth))
    total = float(np.sum((table.values[can_be] - table.values[can_be].mean()) ** 2))
    r2 = 1 - float(residual @ residual) / total if total > 0 else 0.0
    z, reach = residual / sd, half_width(degrees_of_freedom(fit, data.coordinates, data.placed, table), LEVEL)
    return CandidateForm(fit.form.name, error, r2, float(np.mean(np.abs(z) <= reach))), required_inflation(
        z, reach, LEVEL
    )


def _can_be_predicted(data: _Data, fold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which configurations have each of their levels in another fold as well, shape (n,)."""
    result = np.full(data.placed.n, fill_value=True)
    for name in data.coordinates.categories:
        codes = data.placed.codes[name]
        for level in np.unique(codes):
            rows = codes == level
            result[rows] &= len(np.unique(fold[rows])) > 1
    return result


def _choice(target: str, chosen: CandidateForm, candidates: Sequence[CandidateForm], data: _Data) -> str:
    n_folds = len(np.unique(data.fold))
    how = "each configuration" if n_folds == len(data.fold) else f"each of {n_folds} groups"
    text = f"{target}: '{chosen.name}', {format_error(target, chosen.error)} off when {how} is predicted by the others"
    if np.isfinite(chosen.between):
        text += f", {format_error(target, chosen.between)} when every row with one value of a knob is"
    others = sorted((c for c in candidates if c != chosen), key=lambda c: c.score)
    if not others:
        return text
    errors = " and ".join(format_error(target, e) for e in (others[0].error, others[0].between) if np.isfinite(e))
    is_better = others[0].score < chosen.score
    return f"{text}; '{others[0].name}' {'is not enough better to prefer it' if is_better else 'is next'} ({errors})"


def format_error(target: str, error: float) -> str:
    """Return an error as people read it: of accuracy absolute, of all others relative."""
    if not np.isfinite(error):
        return "nobody knows how far"
    return f"{error:.4f}" if target == "accuracy" else f"{error:.1%}"


def _fit_warnings(target: str, chosen: CandidateForm, mean: CandidateForm, data: _Data) -> list[str]:
    if not np.isfinite(chosen.error):
        return [f"{target}: no row can be predicted by the others: nothing tells what this model is worth"]
    if chosen.r2 < _EXPLAINS_NOTHING:
        text = (
            f"{target}: THE FIT EXPLAINS NOTHING (R^2 {chosen.r2:.2f} on rows that it had not seen): its predictions "
            f"are no better than the mean of the rows; measure a knob that matters, or repeat to lower the noise"
        )
        return [text]
    if data.coordinates.varied and chosen.error > 0.95 * mean.error:
        as_good = f"the mean of each category is as good ({format_error(target, mean.error)})"
        return [f"{target}: the numeric knobs explain next to nothing: {as_good}"]
    return []
