"""Draws of the values of measured designs: their readings with the scatter of a measurement.

The true value of a measured design is its reading within the scatter of a measurement, whatever the model predicts
there. So the doubt about a measured row is that of its reading, not that of the model's form. An outlier is no reading
of its design: the model's draws take its place.
"""

import numpy as np

from explorer.models.evaluation import Problem
from explorer.models.intervals import quantiles
from explorer.models.posterior_draws import Draws, PosteriorModel, predict_draws
from explorer.models.samples.nearest import nearest_sample
from explorer.models.worst_case import anchored
from explorer.problem.columns import TARGETS, Columns, Float, bounds, by_configuration, knobs_of
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives
from explorer.problem.targets import is_relative, share_range

_TAIL = 0.05


def measured_draws(
    rows: Columns, *, model: PosteriorModel, draws: Draws, constants: Constants, is_new: bool = False, seed: int = 0
) -> Columns:
    """Return targets and objectives of measured designs in every draw, shape (S, k) each.

    The scatter is that of the model at the design, independent between designs and targets: relative where values are
    positive, absolute for the accuracy. The mean of r readings scatters by 1 / sqrt(r) of it around the true value.

    Args:
        rows: measured designs with their readings, shape (k,) each.
        model: the model that was fitted to them.
        draws: its draws.
        constants: alpha and E_max of the weighted cost.
        is_new: draw a new reading of the design instead of its true value.
        seed: of the scatter.
    """
    rng = np.random.default_rng(seed)
    knobs = {name: rows[name] for name in knobs_of(rows)}
    plain, noisy = (predict_draws(model, draws, knobs, with_noise=has_noise) for has_noise in (False, True))
    size = np.sqrt(1 / _n_repeats(knobs, model) + (1.0 if is_new else 0.0))
    targets: Columns = {}
    for name in (name for name in TARGETS if name in plain and name in rows):
        reading = rows[name]
        if is_relative(name) and np.all(np.nan_to_num(plain[name], nan=1.0) > 0) and np.all(~(reading <= 0)):
            ratio = np.maximum(noisy[name], 1e-300) / plain[name]
            targets[name] = reading * np.exp(size * rng.permuted(np.log(ratio), axis=0))
        else:
            targets[name] = reading + size * rng.permuted(noisy[name] - plain[name], axis=0)
        is_outlier = model.is_outlier(name, knobs)
        targets[name][:, is_outlier] = (noisy if is_new else plain)[name][:, is_outlier]
    for name in targets:
        if (ends := share_range(name)) is not None:
            targets[name] = np.clip(targets[name], *ends)
    return add_objectives(targets, constants)


def measured_by_draw(rows: Columns, problem: Problem, *, model: PosteriorModel, draws: Draws) -> Columns:
    """Return all columns of measured designs in every draw, shape (S, k) or (1, k) each, and the named worst cases.

    Args:
        rows: measured designs with their readings, shape (k,) each.
        problem: the study.
        model: the model that was fitted to them.
        draws: its draws.
    """
    targets = measured_draws(rows, model=model, draws=draws, constants=problem.study.constants)
    if problem.worst_case:
        own = {**{name: rows[name] for name in knobs_of(rows)}, **targets}

        def predict(designs: Columns) -> Columns:
            return predict_draws(model, draws, designs, with_noise=False)

        targets |= problem.worst_case.columns(own, anchored(predict, own), is_needed_only=True)
    return {**{name: values[None, :] for name, values in rows.items()}, **targets}


def measured_intervals(rows: Columns, *, model: PosteriorModel, draws: Draws, constants: Constants) -> Columns:
    """Return the columns `_lo` and `_hi` of measured designs: 90 % intervals of a new reading, shape (k,) each."""
    samples = measured_draws(rows, model=model, draws=draws, constants=constants, is_new=True)
    ends: Columns = {}
    for name in (name for name in dict.fromkeys((*TARGETS, *OBJECTIVES)) if name in samples and name in rows):
        low, high = quantiles(samples[name], [_TAIL, 1 - _TAIL])
        for end, value in zip(bounds(name), (np.minimum(low, rows[name]), np.maximum(high, rows[name])), strict=True):
            ends[end] = value
    return ends


def _n_repeats(knobs: Columns, model: PosteriorModel) -> Float:
    """Return the number of readings of each measured design, shape (k,)."""
    samples = model.samples.columns
    index = by_configuration({name: samples[name] for name in knobs_of(samples)})
    row, _ = nearest_sample(model.samples, knobs, model.domain)
    return np.bincount(index)[index[row]].astype(np.float64)
