"""Leave-one-out cross-validation of a parametric surrogate against two baselines, and calibration of its intervals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from explorer.models.intervals import LEVEL, add_intervals
from explorer.models.parametric.surrogate import Surrogate, fit_surrogate, reference_designs
from explorer.models.posterior_draws import posterior_draws
from explorer.models.response.calibration import MIN_TO_CALIBRATE
from explorer.models.samples.nearest import nearest_sample
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import domain_of
from explorer.problem.columns import KNOBS, TARGETS, Columns, Float, stack, take
from explorer.problem.objectives import CostWeights, add_objectives

VALIDATED = (*TARGETS, "edp_js")
MAX_FOLDS = 60  # above this number of samples ten folds replace leave-one-out
_FEWER_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Errors:
    """Leave-one-out errors of one target: mean absolute, and mean relative."""

    mae: float
    mape: float


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Leave-one-out scores of one target.

    Args:
        target: the column.
        n: number of rows predicted.
        model: errors of the surrogate.
        family_mean: errors of the mean of the family's other rows.
        nearest_sample: errors of the family's nearest other row.
        n_covered: number of rows within their 90 % interval.
        half_width: mean half width of the intervals: absolute for accuracy, relative to the truth for all others.
    """

    target: str
    n: int
    model: Errors
    family_mean: Errors
    nearest_sample: Errors
    n_covered: int
    half_width: float


def leave_one_out(samples: Samples, *, widening: Mapping[str, float] | None = None) -> Mapping[str, CrossValidation]:
    """Predict every sample from the others and return errors and coverage of every target, including EDP.

    A sample whose family has no other row cannot be predicted and does not count in `n`. The reference designs are
    those of the full table: they are knobs, not measurements. Above 60 rows ten folds replace leave-one-out.
    """
    table = _with_edp(samples.columns)
    predicted = _predict_held_out(samples, widening or {})
    mean, nearest = _baselines(samples, table)
    result = {}
    for target in (t for t in VALIDATED if t in table):
        truth = table[target]
        rows = np.isfinite(truth) & np.isfinite(predicted[target])
        if rows.any():
            predictions = (predicted[target], mean[target], nearest[target])
            low, high = predicted[f"{target}_lo"][rows], predicted[f"{target}_hi"][rows]
            inside = (low <= truth[rows]) & (truth[rows] <= high)
            half = (high - low) / 2 / (1.0 if target == "accuracy" else np.abs(truth[rows]))
            model, by_mean, by_nearest = (_errors(truth[rows], values[rows]) for values in predictions)
            n, n_covered = int(rows.sum()), int(inside.sum())
            result[target] = CrossValidation(target, n, model, by_mean, by_nearest, n_covered, float(half.mean()))
    return result


def calibrate_intervals(model: Surrogate) -> Surrogate:
    """Widen a model's intervals for targets whose held-out residuals are covered too rarely.

    Conformal calibration (Lei et al. 2018): the score is the held-out residual in half widths of its interval. If its
    90 % quantile (with the finite-sample correction) exceeds 1, the noise is multiplied by it. Needs 20 rows a target.
    """
    samples = model.samples
    if len(samples.labels) < MIN_TO_CALIBRATE:
        return model
    predicted = _predict_held_out(samples, {})
    widening = {}
    for target in model.targets:
        truth = samples.columns[target]
        rows = np.isfinite(truth) & np.isfinite(predicted[target])
        n = int(rows.sum())
        if n < MIN_TO_CALIBRATE:
            continue
        linked = model.fits[target].form.linked
        middle, low, high = (linked(predicted[f"{target}{end}"][rows]) for end in ("", "_lo", "_hi"))
        residual = linked(truth[rows]) - middle
        half = np.where(residual < 0, middle - low, high - middle)
        score = np.abs(residual) / np.maximum(half, 1e-12)
        quantile = float(np.quantile(score, min(1.0, LEVEL * (n + 1) / n), method="higher"))
        if quantile > 1:
            widening[target] = quantile
    return replace(model, widening=widening)


def _predict_held_out(samples: Samples, widening: Mapping[str, float]) -> Columns:
    """Return each sample's targets, EDP and intervals predicted from the other folds, shape (n,); NaN if impossible."""
    n = len(samples.labels)
    references = reference_designs(samples)
    fold = np.arange(n) if n <= MAX_FOLDS else np.random.default_rng(0).permutation(n) % _FEWER_FOLDS
    parts: list[Columns] = []
    order: list[np.ndarray] = []
    for k in range(int(fold.max()) + 1):
        test = np.flatnonzero(fold == k)
        train = samples.rows(fold != k)
        is_predictable = np.isin(samples.columns["family"][test].astype(str), train.families)
        for rows, can_predict in ((test[is_predictable], True), (test[~is_predictable], False)):
            if rows.size:
                order.append(rows)
                designs = take({name: samples.columns[name] for name in KNOBS}, rows)
                parts.append(_predict_from(train, designs, references, widening) if can_predict else {})
    names = list(dict.fromkeys(name for part in parts for name in part))
    if not names:
        return {target: np.full(n, np.nan) for target in (*samples.targets, "edp_js")}
    filled = [
        {name: part.get(name, np.full(len(rows), np.nan)) for name in names}
        for part, rows in zip(parts, order, strict=True)
    ]
    return take(stack(filled), np.argsort(np.concatenate(order)))


def _predict_from(
    train: Samples, designs: Columns, references: Mapping[str, Mapping[str, float]], widening: Mapping[str, float]
) -> Columns:
    train_references = {family: reference for family, reference in references.items() if family in train.families}
    model = replace(fit_surrogate(train, name="held out", references=train_references), widening=widening)
    columns = {k: v for k, v in model.evaluate(designs).items() if k not in TARGETS or k in model.fits}
    weights = CostWeights()
    if {"energy_j", "latency_s"} <= columns.keys():
        columns["edp_js"] = columns["energy_j"] * columns["latency_s"]
    bounded = add_intervals(columns, model=model, draws=posterior_draws(model), weights=weights)
    return {name: values for name, values in bounded.items() if name not in KNOBS}


def _with_edp(columns: Columns) -> Columns:
    targets = {name: values for name, values in columns.items() if name in TARGETS}
    if "energy_j" in targets and "latency_s" in targets:
        both = np.isfinite(targets["energy_j"]) & np.isfinite(targets["latency_s"])
        edp = np.full(len(both), np.nan)
        edp[both] = add_objectives({k: targets[k][both] for k in ("energy_j", "latency_s")}, CostWeights())["edp_js"]
        targets["edp_js"] = edp
    return targets


def _baselines(samples: Samples, table: Columns) -> tuple[Columns, Columns]:
    """Return the two baselines of each target: the mean of the family's other rows, and its nearest other row."""
    n, family = len(samples.labels), samples.columns["family"]
    mean = {target: np.full(n, np.nan) for target in table}
    nearest = {target: np.full(n, np.nan) for target in table}
    domain = domain_of(samples.columns)
    for i in range(n):
        design = take(samples.columns, np.array([i]))
        for target, values in table.items():
            train = (np.arange(n) != i) & (family == family[i]) & np.isfinite(values)
            if train.any():
                mean[target][i] = values[train].mean()
                row, _ = nearest_sample(samples.rows(train), design, {family[i]: domain[family[i]]})
                nearest[target][i] = values[train][row[0]]
    return mean, nearest


def _errors(truth: Float, predicted: Float) -> Errors:
    rows = np.isfinite(predicted)
    absolute = np.abs(predicted[rows] - truth[rows])
    if not absolute.size:
        return Errors(float("nan"), float("nan"))
    return Errors(float(absolute.mean()), float((absolute / np.abs(truth[rows])).mean()))
