"""The learner: a fast fit of few measurements, refitted after each, and draws of what else could be measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from explorer.models.online.draws import TargetDraws, draw_target
from explorer.models.online.form_fit import FittedForm, TargetObservations, fit_online_form, make_observations
from explorer.models.online.input_space import InputSpace
from explorer.models.online.priors import prior_forms
from explorer.problem.columns import Columns, Float, by_configuration, take

N_DRAWS = 64
_DISBELIEF = 3.0
_LEAST_SHARE = 0.1
_SAME = 9  # digits of coordinates: designs that agree in all of them are one
_OF_WEIGHTS = {"accuracy", "size_bytes"}  # what does not know why a weight is zero
_KNOWN_SPREAD = 0.3  # of its logarithm; before the data it is 1

DrawFunction = Callable[[Columns], Columns]
"""Designs, n of them, to each target in every draw, shape (S, n)."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedTarget:
    """One target as it was learned: what was measured, its forms, and on how many samples accuracy is counted."""

    rows: TargetObservations
    forms: tuple[FittedForm, ...]
    trials: float

    @property
    def shares(self) -> Float:
        """How much each form is believed, shape (number of forms,).

        By evidence, a third of it: none is right, and what a wrong one misses, it misses in many rows at once. One that
        is hardly believed is dropped: far from all rows it would promise what no other does.
        """
        evidence = np.array([one.evidence for one in self.forms])
        weights = np.exp((evidence - evidence.max()) / _DISBELIEF)
        weights = np.where(weights < _LEAST_SHARE * weights.sum(), 0.0, weights)
        return np.asarray(weights / weights.sum())

    def draws(self, n: int, rng: np.random.Generator) -> TargetDraws:
        """Return n draws."""
        return draw_target(self.rows, self.forms, self.shares, n=n, trials=self.trials, rng=rng)


@dataclass(frozen=True, slots=True, eq=False)
class OnlineSurrogate:
    """What a few measurements tell of all designs on a ground.

    Args:
        ground: of the search.
        targets: each as it was learned.
        spread: of the weights that rounding makes zero; infinite where nothing tells it.
    """

    ground: InputSpace
    targets: Mapping[str, FittedTarget]
    spread: float

    def draws(self, n: int = N_DRAWS, *, seed: int = 0) -> DrawFunction:
        """Return n functions that could be the truth; whatever is asked of them and how often, they stay the same.

        A measurement has luck of its own beside the function. In each draw all designs have the same luck: what one
        design may turn out to be is right, and none is preferred because it drew better luck than its neighbour.
        """
        streams = np.random.SeedSequence(seed).spawn(len(self.targets))
        drawn = {
            target: learned.draws(n, np.random.default_rng(stream))
            for (target, learned), stream in zip(self.targets.items(), streams, strict=True)
        }
        coordinates = self.ground.coordinates

        def at(designs: Columns) -> Columns:
            with _one_thread():
                bare = coordinates.transform(designs)
                rounded = coordinates.transform(with_rounded_zeros(designs, self.spread))
                found: Columns = {}
                for target, one in drawn.items():
                    placed = rounded if target in _OF_WEIGHTS else bare
                    found[target] = one.at(placed, coordinates.points(placed))
                return found

        return at


def fit_online(
    measured: Columns, targets: Sequence[str], ground: InputSpace, *, seed: int = 0, trials: Float | None = None
) -> OnlineSurrogate:
    """Fit each target to what was measured of it.

    Args:
        measured: knobs and targets of measured designs, shape (n,) each; NaN was not measured.
        targets: which to fit.
        ground: of the search.
        seed: of the particles.
        trials: on how many samples each accuracy was counted, shape (n,); 0 where that is not known.

    Raises:
        ValueError, numpy.linalg.LinAlgError: a target cannot be fitted to these rows.
    """
    streams = dict(zip(targets, np.random.SeedSequence(seed).spawn(len(targets)), strict=True))
    counted = np.zeros(len(measured[targets[0]])) if trials is None else trials
    learned: dict[str, FittedTarget] = {}
    spread = math.inf
    with _one_thread():
        # Sizes first: they show which weights rounding alone makes zero; then neither they nor accuracy know of these.
        if "size_bytes" in targets:
            rng = np.random.default_rng(streams["size_bytes"].spawn(1)[0])
            spread = _spread_of(_learned("size_bytes", measured, ground, counted, rng))
        for target in targets:
            rows = with_rounded_zeros(measured, spread) if target in _OF_WEIGHTS else measured
            learned[target] = _learned(target, rows, ground, counted, np.random.default_rng(streams[target]))
    return OnlineSurrogate(ground, {target: learned[target] for target in targets}, spread)


def with_rounded_zeros(designs: Columns, spread: float) -> Columns:
    """Return designs that prune what rounding makes zero anyway: 1 - exp(-D / spread) of the weights."""
    if not math.isfinite(spread):
        return designs
    rounded = -np.expm1(-designs["quant_step"] / spread)
    return {**designs, "pruning_ratio": np.maximum(designs["pruning_ratio"], rounded)}


def _learned(
    target: str, measured: Columns, ground: InputSpace, trials: Float, rng: np.random.Generator
) -> FittedTarget:
    values = np.asarray(measured[target], dtype=np.float64)
    is_known = np.isfinite(values)
    if not is_known.any():
        raise ValueError(f"{target} was never measured")
    if target != "accuracy" and values[is_known].min() <= 0:
        raise ValueError(f"{target} is not positive")
    placed = ground.coordinates.transform(take({knob.name: measured[knob.name] for knob in ground.knobs}, is_known))
    first, (means, counted) = _averaged(ground.coordinates.points(placed), (values[is_known], trials[is_known]))
    rows = make_observations(target, means, counted, placed=placed.rows(first), coordinates=ground.coordinates)
    forms = prior_forms(target, ground.coordinates, rows.table.values)
    return FittedTarget(rows, tuple(fit_online_form(f, rows, rng) for f in forms), float(np.median(trials[is_known])))


def _averaged(points: Float, columns: Sequence[Float]) -> tuple[NDArray[np.int64], list[Float]]:
    """Return the first row of each design, shape (k,), and the means of columns over its repeats, shape (k,) each.

    A design's luck is its own for ever: repeats that disagree would contradict that, beyond what any fit can mend.
    """
    n = len(points)
    same = by_configuration({str(j): np.round(z, _SAME) for j, z in enumerate(points.T)}) if points.size else [0] * n
    _, first, count = np.unique(same, return_index=True, return_counts=True)
    return first, [np.bincount(same, column) / count for column in columns]


def _spread_of(sizes: FittedTarget) -> float:
    """Return the spread of the weights, infinite where the sizes do not tell it."""
    best = sizes.forms[int(np.argmax(sizes.shares))]
    if best.form.law != "storage":
        return math.inf
    logs = best.theta[:, best.design.slices["spread"]]
    return float(np.exp(np.mean(logs))) if np.std(logs) < _KNOWN_SPREAD else math.inf


@cache
def _controller() -> ThreadpoolController:
    """Finding the libraries' threads costs more than a fit of few rows: it is done once."""
    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[Any]:
    """Thousands of solves of a hundred rows: threads cost ten times what they save where anything else runs as well."""
    return cast("AbstractContextManager[Any]", _controller().limit(limits=1))
