"""Leave-one-out: what a surrogate's predictions and intervals are worth, beside two answers that need no model."""

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
MAX_FOLDS = 60  # above this many samples ten folds stand in for leave-one-out
_FEWER_FOLDS = 10


@dataclass(frozen=True, slots=True)
class Errors:
    """Leave-one-out errors of one target: mean absolute, and mean relative."""

    mae: float
    mape: float


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """What leave-one-out says of one target.

    Args:
        target: the column.
        n: number of rows judged.
        model: the surrogate's errors.
        family_mean: errors of the family's mean of the other rows.
        nearest_sample: errors of the nearest other row of the family.
        n_covered: rows that lie within their 90 % interval.
        half_width: the intervals' mean half width: in accuracy as it is, in the others relative to the truth.
    """

    target: str
    n: int
    model: Errors
    family_mean: Errors
    nearest_sample: Errors
    n_covered: int
    half_width: float


def leave_one_out(samples: Samples, *, widening: Mapping[str, float] | None = None) -> Mapping[str, CrossValidation]:
    """Predict every sample by the others and return the errors and coverage of every target, EDP included.

    A sample whose family has no other row cannot be predicted and is left out of `n`. The reference designs stay those
    of the full table: they are knobs, not measurements. Above 60 rows ten folds stand in for single rows.
    """
    table = _with_derived(samples.columns)
    held_out = _held_out(samples, widening or {})
    mean, nearest = _baselines(samples, table)
    result = {}
    for target in (t for t in VALIDATED if t in table):
        truth = table[target]
        rows = np.isfinite(truth) & np.isfinite(held_out[target])
        if rows.any():
            guesses = (held_out[target], mean[target], nearest[target])
            low, high = held_out[f"{target}_lo"][rows], held_out[f"{target}_hi"][rows]
            inside = (low <= truth[rows]) & (truth[rows] <= high)
            half = (high - low) / 2 / (1.0 if target == "accuracy" else np.abs(truth[rows]))
            model, by_mean, by_nearest = (_errors(truth[rows], guess[rows]) for guess in guesses)
            n, n_covered = int(rows.sum()), int(inside.sum())
            result[target] = CrossValidation(target, n, model, by_mean, by_nearest, n_covered, float(half.mean()))
    return result


def calibrate_intervals(model: Surrogate) -> Surrogate:
    """Widen a model's intervals where its held-out residuals show that they cover too little.

    Conformal calibration: each held-out residual is measured in its own interval's half width; where the 90 % quantile
    of these (with the finite-sample correction) exceeds one, the scatter is widened by it. Needs 20 rows a target.
    """
    samples = model.samples
    if len(samples.labels) < MIN_TO_CALIBRATE:
        return model
    held_out = _held_out(samples, {})
    widening = {}
    for target in model.targets:
        truth = samples.columns[target]
        rows = np.isfinite(truth) & np.isfinite(held_out[target])
        n = int(rows.sum())
        if n < MIN_TO_CALIBRATE:
            continue
        linked = model.fits[target].form.linked
        middle, low, high = (linked(held_out[f"{target}{end}"][rows]) for end in ("", "_lo", "_hi"))
        residual = linked(truth[rows]) - middle
        half = np.where(residual < 0, middle - low, high - middle)
        score = np.abs(residual) / np.maximum(half, 1e-12)
        quantile = float(np.quantile(score, min(1.0, LEVEL * (n + 1) / n), method="higher"))
        if quantile > 1:
            widening[target] = quantile
    return replace(model, widening=widening)


def _held_out(samples: Samples, widening: Mapping[str, float]) -> Columns:
    n = len(samples.labels)
    references = reference_designs(samples)
    fold = np.arange(n) if n <= MAX_FOLDS else np.random.default_rng(0).permutation(n) % _FEWER_FOLDS
    parts: list[Columns] = []
    order: list[np.ndarray] = []
    for k in range(int(fold.max()) + 1):
        left_out = np.flatnonzero(fold == k)
        known = samples.rows(fold != k)
        can_be_predicted = np.isin(samples.columns["family"][left_out].astype(str), known.families)
        for rows, is_known in ((left_out[can_be_predicted], True), (left_out[~can_be_predicted], False)):
            if rows.size:
                order.append(rows)
                designs = take({name: samples.columns[name] for name in KNOBS}, rows)
                parts.append(_predicted(known, designs, references, widening) if is_known else {})
    blank = list(dict.fromkeys(name for part in parts for name in part))
    filled = [
        {name: part.get(name, np.full(len(rows), np.nan)) for name in blank}
        for part, rows in zip(parts, order, strict=True)
    ]
    place = np.argsort(np.concatenate(order))
    return take(stack(filled), place) if blank else {t: np.full(n, np.nan) for t in (*samples.targets, "edp_js")}


def _predicted(
    known: Samples, designs: Columns, references: Mapping[str, Mapping[str, float]], widening: Mapping[str, float]
) -> Columns:
    kept = {family: reference for family, reference in references.items() if family in known.families}
    model = replace(fit_surrogate(known, name="held out", references=kept), widening=widening)
    columns = {k: v for k, v in model.evaluate(designs).items() if k not in TARGETS or k in model.fits}
    weights = CostWeights()
    if {"energy_j", "latency_s"} <= columns.keys():
        columns["edp_js"] = columns["energy_j"] * columns["latency_s"]
    bounded = add_intervals(columns, model=model, draws=posterior_draws(model), weights=weights)
    return {name: values for name, values in bounded.items() if name not in KNOBS}


def _with_derived(columns: Columns) -> Columns:
    targets = {name: values for name, values in columns.items() if name in TARGETS}
    if "energy_j" in targets and "latency_s" in targets:
        both = np.isfinite(targets["energy_j"]) & np.isfinite(targets["latency_s"])
        edp = np.full(len(both), np.nan)
        edp[both] = add_objectives({k: targets[k][both] for k in ("energy_j", "latency_s")}, CostWeights())["edp_js"]
        targets["edp_js"] = edp
    return targets


def _baselines(samples: Samples, table: Columns) -> tuple[Columns, Columns]:
    n, family = len(samples.labels), samples.columns["family"]
    mean = {target: np.full(n, np.nan) for target in table}
    nearest = {target: np.full(n, np.nan) for target in table}
    domain = domain_of(samples.columns)
    for i in range(n):
        here = take(samples.columns, np.array([i]))
        for target, values in table.items():
            others = (np.arange(n) != i) & (family == family[i]) & np.isfinite(values)
            if others.any():
                mean[target][i] = values[others].mean()
                row, _ = nearest_sample(samples.rows(others), here, {family[i]: domain[family[i]]})
                nearest[target][i] = values[others][row[0]]
    return mean, nearest


def _errors(truth: Float, guess: Float) -> Errors:
    rows = np.isfinite(guess)
    gap = np.abs(guess[rows] - truth[rows])
    if not gap.size:
        return Errors(float("nan"), float("nan"))
    return Errors(float(gap.mean()), float((gap / np.abs(truth[rows])).mean()))
