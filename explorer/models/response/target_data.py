"""Data of one target: distinct designs with the mean of their repeats, and the rows they came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import WrongUsage
from explorer.models.fitting.gaussian_process import TrainingData
from explorer.models.forms.forms import link
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs, fit_coordinates
from explorer.models.samples.binomial import clip_shares, sampling_variance
from explorer.models.samples.knobs import KnobSpec, distinct_designs
from explorer.problem.columns import Columns, Float, take
from explorer.problem.targets import declared_target, is_relative

MAX_CONFIGURATIONS = 1_000  # the cost is cubic in them; larger tables are thinned evenly


@dataclass(frozen=True, slots=True)
class TargetData:
    """Samples of one target.

    Args:
        samples: the distinct designs, knobs of shape (n,) each.
        counts: number of rows of each, shape (n,).
        coordinates: of the samples.
        inputs: the scaled designs.
        table: mean of the repeats of each design, linked.
        repeat_sd: standard deviation of repeats, linked; 0 without repeats.
        n_counted: number of test items behind each accuracy, shape (n,); 0 if unknown.
        known_variance: median variance of a measurement by its own interval, linked; 0 if unknown.
        fold: of each design in cross-validation, shape (n,).
        rows: the measurements, linked, shape (k,).
        row_design: index of each row's design, shape (k,).
    """

    samples: Columns
    counts: NDArray[np.int64]
    coordinates: InputCoordinates
    inputs: ScaledInputs
    table: TrainingData
    repeat_sd: float
    n_counted: Float
    known_variance: float
    fold: NDArray[np.int64]
    rows: Float
    row_design: NDArray[np.int64]


def prepare_target(
    target: str,
    designs: Columns,
    values: Float,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None,
    counted: Float,
    deviations: Float | None = None,
) -> TargetData:
    """Return the data of a fit, one row for each distinct design."""
    has_all = np.isfinite(values)
    for knob in knobs:
        if knob.kind == "number":
            has_all &= np.isfinite(np.asarray(designs[knob.name], dtype=np.float64))
    if has_all.sum() < 2:
        raise WrongUsage(f"{target}: fewer than two rows have it and all knobs", fix="measure more configurations")
    if is_relative(target) and values[has_all].min() <= 0:
        fix = "leave the cell empty where nothing was measured"
        if declared_target(target) is not None:
            fix += f", or declare its range: [targets.{target}] range = [0, 1] or [-inf, inf]"
        raise WrongUsage(f"{target}: a value is not positive", fix=fix)
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
    known = _known_variance(target, values[has_all], None if deviations is None else deviations[has_all])
    known_mean = (np.bincount(index, known) / np.bincount(index) ** 2)[picked]
    variance = repeat_sd**2 / counts + sampling_variance(means, counted) + known_mean
    table = TrainingData(means, variance, coordinates.points(inputs))
    position = np.full(len(first), -1)
    position[picked] = np.arange(len(picked))
    row_design = position[index]
    return TargetData(
        samples, counts, coordinates, inputs, table, repeat_sd, counted, float(np.median(known)), fold,
        linked[row_design >= 0], row_design[row_design >= 0],
    )  # fmt: skip


def _known_variance(target: str, values: Float, deviations: Float | None) -> Float:
    """Return the variance of each value by its own interval, linked, shape (n,); 0 where it is unknown."""
    if deviations is None or not deviations.any():
        return np.zeros(len(values))
    # Positive values stay so: an interval wider than its value is cut at half of it.
    below = np.minimum(deviations, 0.5 * np.abs(values)) if is_relative(target) else deviations
    half = (link(target, values + deviations) - link(target, values - below)) / 2
    return np.asarray(half**2)


def is_predictable(data: TargetData, fold: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the designs whose category levels all occur in another fold as well, shape (n,)."""
    result = np.full(data.inputs.n, fill_value=True)
    for name in data.coordinates.categories:
        codes = data.inputs.codes[name]
        for level in np.unique(codes):
            rows = codes == level
            result[rows] &= len(np.unique(fold[rows])) > 1
    return result
