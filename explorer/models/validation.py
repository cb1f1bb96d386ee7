"""Leave-one-out: what a surrogate's predictions are worth, beside two answers that need no model."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.models.samples import Samples
from explorer.models.surrogate import fit_surrogate, nearest_sample, reference_designs
from explorer.problem.columns import TARGETS, Columns, Float, take
from explorer.problem.domain import domain_of
from explorer.problem.objectives import CostWeights, add_objectives

JUDGED = (*TARGETS, "edp_js")


@dataclass(frozen=True, slots=True)
class Errors:
    """Leave-one-out errors of one target: mean absolute, and mean relative."""

    mae: float
    mape: float


@dataclass(frozen=True, slots=True)
class Judged:
    """What leave-one-out says of one target: `n` rows judged, the model's errors, and those of the two baselines."""

    target: str
    n: int
    model: Errors
    family_mean: Errors
    nearest_sample: Errors


def leave_one_out(samples: Samples) -> Mapping[str, Judged]:
    """Predict every sample by the others and return the errors of every target, EDP included.

    A sample whose family has no other row cannot be predicted and is left out of `n`. The reference designs stay those
    of the full table: they are knobs, not measurements.
    """
    table = _with_derived(samples.columns)
    predicted = _held_out(samples)
    mean, nearest = _baselines(samples, table)
    result = {}
    for target in JUDGED:
        if target not in table:
            continue
        truth = table[target]
        rows = np.isfinite(truth) & np.isfinite(predicted[target])
        if rows.any():
            errors = [_errors(truth[rows], guess[target][rows]) for guess in (predicted, mean, nearest)]
            result[target] = Judged(target, int(rows.sum()), *errors)
    return result


def _held_out(samples: Samples) -> Columns:
    n = len(samples.labels)
    references = reference_designs(samples)
    rows: list[Columns] = []
    for i in range(n):
        others = np.arange(n) != i
        row = take(samples.columns, ~others)
        family = row["family"][0]
        if not np.any(samples.columns["family"][others] == family):
            rows.append({target: np.array([np.nan]) for target in samples.targets})
            continue
        model = fit_surrogate(samples.rows(others), name="leave-one-out", references=references)
        knobs = {name: values for name, values in row.items() if name not in TARGETS}
        evaluated = model.evaluate(knobs)
        rows.append({target: evaluated.get(target, np.array([np.nan])) for target in samples.targets})
    table = {target: np.concatenate([row[target] for row in rows]) for target in samples.targets}
    return _with_derived(table)


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
        others = (np.arange(n) != i) & (family == family[i])
        if not others.any():
            continue
        rest = samples.rows(others)
        closest = np.flatnonzero(others)[
            nearest_sample(rest, take(samples.columns, np.array([i])), {family[i]: domain[family[i]]})[0]
        ]
        for target, values in table.items():
            if np.isfinite(values[others]).any():
                mean[target][i] = np.nanmean(values[others])
            nearest[target][i] = values[closest]
    return mean, nearest


def _errors(truth: Float, guess: Float) -> Errors:
    rows = np.isfinite(guess)
    gap = np.abs(guess[rows] - truth[rows])
    if not gap.size:
        return Errors(float("nan"), float("nan"))
    return Errors(float(gap.mean()), float((gap / np.abs(truth[rows])).mean()))
