"""Errors on rows that a fit has not seen: of the model, of baselines, and of comparisons of two rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtr

from explorer.models.fitting.sampled_fit import SampledFit, sample_form
from explorer.models.forms.forms import unlink
from explorer.models.forms.input_scaling import fit_coordinates
from explorer.models.response.products import common_rows
from explorer.models.response.response import HeldOutRows, Response
from explorer.models.response.surrogate import Surrogate
from explorer.problem.columns import Float, take
from explorer.problem.targets import is_relative

EDP = "edp_js"
STATED = 0.95
_Z_90 = 1.6448536269514722  # 95 % quantile of the standard normal: bounds of a 90 % interval
_MAX_PAIRED = 400  # rows whose pairs are compared
_N_PARTICLES = 256  # of a refit with a moved reference
_MAX_TO_MOVE = 15  # rows up to which the reference is moved as well: each move samples all forms again


@dataclass(frozen=True, slots=True)
class Pairs:
    """Statements that one of two rows is lower, made with a probability of at least `STATED`.

    Args:
        n: number of statements.
        stated: their mean probability; NaN without any.
        right: share of them that the measurements confirm; NaN without any.
    """

    n: int
    stated: float
    right: float


def rows_held_out(model: Surrogate) -> Mapping[str, HeldOutRows]:
    """Return the rows of each target and their predictions from the other rows, linked; also of the derived target.

    Energy times latency is included in the rows that have both: errors of the two add up.
    """
    rows = {target: response.held_out for target, response in model.responses.items()}
    powers, delay_product = {}, {"energy_j": 1.0, "latency_s": 1.0}
    if model.product:
        powers[model.product.target] = model.product.powers
        # In modelled targets, whose errors are independent: a derived one shares those of its factors.
        power = delay_product.pop(model.product.target, 0.0)
        for name, exponent in model.product.powers.items():
            delay_product[name] = delay_product.get(name, 0.0) + power * exponent
    powers[EDP] = {name: power for name, power in delay_product.items() if power}
    for target, factors in powers.items():
        if not factors.keys() <= rows.keys():
            continue
        n_fitted = {name: len(rows[name].values) for name in factors}
        found = (common_rows(table.samples.columns, n_fitted) for table in model.tables)
        common = next((index for index in found if index is not None), None)
        if common is None:
            continue
        parts = [(power, rows[name], common[name]) for name, power in factors.items()]
        first = next(iter(factors))
        rows[target] = HeldOutRows(
            np.asarray(sum(power * part.values[i] for power, part, i in parts)), rows[first].design[common[first]],
            np.asarray(sum(power * part.middle[i] for power, part, i in parts)),
            np.asarray(np.sqrt(sum((power * part.sd[i]) ** 2 for power, part, i in parts))),
        )  # fmt: skip
    return rows


def interval_of(target: str, rows: HeldOutRows) -> tuple[Float, Float, Float, Float]:
    """Return measured values, predictions and 90 % bounds in the target's units, shape (k,), where predictable."""
    usable = np.isfinite(rows.middle)
    middle, reach = rows.middle[usable], _Z_90 * rows.sd[usable]
    truth, predicted, low, high = (
        unlink(target, x) for x in (rows.values[usable], middle, middle - reach, middle + reach)
    )
    return truth, predicted, low, high


def pair_calibration(rows: HeldOutRows) -> Pairs:
    """Compare all pairs of rows of different designs, each row predicted without its design."""
    usable = np.flatnonzero(np.isfinite(rows.middle))
    if len(usable) > _MAX_PAIRED:
        usable = usable[np.linspace(0, len(usable) - 1, _MAX_PAIRED).astype(np.int64)]
    first, second = np.triu_indices(len(usable), k=1)
    first, second = usable[first], usable[second]
    differ = rows.design[first] != rows.design[second]
    first, second = first[differ], second[differ]
    probability = ndtr((rows.middle[second] - rows.middle[first]) / np.hypot(rows.sd[first], rows.sd[second]))
    is_lower = rows.values[first] < rows.values[second]
    stated = np.maximum(probability, 1 - probability)
    sure = stated >= STATED
    if not sure.any():
        return Pairs(0, float("nan"), float("nan"))
    right = (probability[sure] > 0.5) == is_lower[sure]
    return Pairs(int(sure.sum()), float(stated[sure].mean()), float(right.mean()))


def baseline_errors(target: str, response: Response) -> tuple[float, float]:
    """Return mean absolute and mean relative error of the mean of the other rows of the same categories."""
    codes = np.zeros(len(response.counts), dtype=np.int64)
    inputs = response.coordinates.transform(response.samples)
    for name in response.coordinates.categories:
        codes = codes * len(response.coordinates.levels[name]) + inputs.codes[name]
    _, group = np.unique(codes, return_inverse=True)
    rows = response.held_out
    values, own = unlink(target, rows.values), group[rows.design]
    sums, counts = np.bincount(own, values), np.bincount(own)
    design_sums, design_counts = np.bincount(rows.design, values), np.bincount(rows.design)
    n_others = counts[own] - design_counts[rows.design]
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (sums[own] - design_sums[rows.design]) / n_others
    usable = n_others > 0
    if not usable.any():
        return float("nan"), float("nan")
    absolute = np.abs(mean - values)[usable]
    return float(absolute.mean()), float((absolute / np.abs(values[usable])).mean())


def moved_reference_error(response: Response) -> float | None:
    """Return the leave-one-out error if the reference designs are left out as well; None where it does not differ.

    Sampled forms describe designs relative to the least compressed one of the family. That is a knob and no
    measurement, but where it is the held-out row, the other rows alone would have another reference.
    """
    n, references = len(response.counts), response.coordinates.references
    if n > _MAX_TO_MOVE or not any(isinstance(fit, SampledFit) for fit in response.fits):
        return None
    rows, middle = response.held_out, response.held_out.middle.copy()
    for i in range(n):
        rest = np.arange(n) != i
        without = fit_coordinates(take(response.samples, rest), response.knobs).references
        if (
            all(without.get(name) == reference for name, reference in references.items())
            or without.keys() != references.keys()
        ):
            continue
        coordinates = replace(response.coordinates, references=without)
        inputs, shift = coordinates.transform(response.samples), 0.0
        for weight, fit in zip(response.weights, response.fits, strict=True):
            if isinstance(fit, SampledFit):
                train = response.table.rows(rest)
                moved = sample_form(
                    fit.form, response.target, coordinates, inputs.rows(rest), train, n_particles=_N_PARTICLES
                )
                whole = sample_form(
                    fit.form,
                    response.target,
                    response.coordinates,
                    fit.design.inputs.rows(rest),
                    train,
                    n_particles=_N_PARTICLES,
                )
                one = np.array([i])
                shift += weight * float(
                    moved.linked(inputs.rows(one), response.table.points[one])[0]
                    - whole.linked(fit.design.inputs.rows(one), response.table.points[one])[0]
                )
        middle[rows.design == i] += shift
    moved_rows = replace(rows, middle=middle)
    truth, predicted, _, _ = interval_of(response.target, moved_rows)
    error = np.abs(predicted - truth)
    return float(np.mean(error / truth if is_relative(response.target) else error)) if error.size else None
