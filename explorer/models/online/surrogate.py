"""Online surrogate: a fast fit of few measurements, refitted after each, with posterior draws of all designs."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.models.fitting.threads import one_thread
from explorer.models.online.draws import TargetDraws, draw_target
from explorer.models.online.form_fit import FittedForm, TargetObservations, fit_online_form, make_observations
from explorer.models.online.input_space import InputSpace
from explorer.models.online.priors import prior_forms
from explorer.problem.columns import Columns, Float, by_configuration, take
from explorer.problem.targets import is_relative

_N_DRAWS = 64
_EVIDENCE_TEMPERATURE = 3.0  # log evidences are divided by it: tempered weights of misspecified forms
_MIN_SHARE = 0.1
_COORDINATE_DIGITS = 9  # designs whose coordinates agree in so many digits are repeats of one design
_WEIGHT_TARGETS = {"accuracy", "size_bytes"}  # depend on the number of zero weights, pruned or rounded to zero
_MAX_SPREAD_DEVIATION = 0.3  # posterior standard deviation of the logarithm of the spread; the prior's is 1

DrawFunction = Callable[[Columns], Columns]
"""Function from n designs to each target in every draw, shape (S, n)."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedTarget:
    """Fit of one target: observations, forms, and the number of samples on which accuracy is counted."""

    rows: TargetObservations
    forms: tuple[FittedForm, ...]
    n_counted: float

    @property
    def shares(self) -> Float:
        """Posterior weight of each form, shape (number of forms,).

        The evidence is tempered (power posterior, Bissiri et al. 2016): every form is misspecified, and its errors are
        correlated between rows. Forms below a tenth are dropped, because they would dominate the extremes far from
        all rows.
        """
        evidence = np.array([one.evidence for one in self.forms])
        weights = np.exp((evidence - evidence.max()) / _EVIDENCE_TEMPERATURE)
        weights = np.where(weights < _MIN_SHARE * weights.sum(), 0.0, weights)
        return np.asarray(weights / weights.sum())

    def draws(self, n: int, rng: np.random.Generator) -> TargetDraws:
        """Return n posterior draws."""
        return draw_target(self.rows, self.forms, self.shares, n=n, n_counted=self.n_counted, rng=rng)


@dataclass(frozen=True, slots=True, eq=False)
class OnlineSurrogate:
    """Surrogate of all designs of an input space, fitted to few measurements.

    Args:
        space: input space of the search.
        targets: fit of each target.
        spread: spread of the weights, from which the share that rounding makes zero follows; infinite if unknown.
    """

    space: InputSpace
    targets: Mapping[str, FittedTarget]
    spread: float

    def draws(self, n: int = _N_DRAWS, *, seed: int = 0) -> DrawFunction:
        """Return n posterior draws as a deterministic function of designs.

        Each draw includes the nugget of a measurement. Its open part is the same standard normal for all designs: the
        marginal of each design is right, and no design is preferred by chance over its neighbour.
        """
        streams = np.random.SeedSequence(seed).spawn(len(self.targets))
        draws = {
            target: fitted.draws(n, np.random.default_rng(stream))
            for (target, fitted), stream in zip(self.targets.items(), streams, strict=True)
        }
        coordinates = self.space.coordinates

        def at(designs: Columns) -> Columns:
            with one_thread():
                bare = coordinates.transform(designs)
                rounded = coordinates.transform(with_rounded_zeros(designs, self.spread))
                values: Columns = {}
                for target, one in draws.items():
                    inputs = rounded if target in _WEIGHT_TARGETS else bare
                    values[target] = one.at(inputs, coordinates.points(inputs))
                return values

        return at


def fit_online(
    measured: Columns, targets: Sequence[str], space: InputSpace, *, seed: int = 0, n_counted: Float | None = None
) -> OnlineSurrogate:
    """Fit each target to its measured values.

    Args:
        measured: knobs and targets of measured designs, shape (n,) each; NaN if not measured.
        targets: names of the targets to fit.
        space: input space of the search.
        seed: of the particles.
        n_counted: number of samples on which each accuracy was counted, shape (n,); 0 if unknown.

    Raises:
        ValueError, numpy.linalg.LinAlgError: a target cannot be fitted to these rows.
    """
    streams = dict(zip(targets, np.random.SeedSequence(seed).spawn(len(targets)), strict=True))
    counts = np.zeros(len(measured[targets[0]])) if n_counted is None else n_counted
    fitted: dict[str, FittedTarget] = {}
    spread = math.inf
    with one_thread():
        # Size first, for the spread of the weights. Size and accuracy are then fitted with rounded weights as pruned.
        if "size_bytes" in targets:
            rng = np.random.default_rng(streams["size_bytes"].spawn(1)[0])
            spread = _weight_spread(_fit_target("size_bytes", measured, space, counts, rng))
        for target in targets:
            rows = with_rounded_zeros(measured, spread) if target in _WEIGHT_TARGETS else measured
            fitted[target] = _fit_target(target, rows, space, counts, np.random.default_rng(streams[target]))
    return OnlineSurrogate(space, {target: fitted[target] for target in targets}, spread)


def with_rounded_zeros(designs: Columns, spread: float) -> Columns:
    """Return designs with at least the pruning ratio that rounding alone gives: 1 - exp(-D / spread)."""
    if not math.isfinite(spread):
        return designs
    rounded = -np.expm1(-designs["quant_step"] / spread)
    return {**designs, "pruning_ratio": np.maximum(designs["pruning_ratio"], rounded)}


def _fit_target(
    target: str, measured: Columns, space: InputSpace, n_counted: Float, rng: np.random.Generator
) -> FittedTarget:
    values = np.asarray(measured[target], dtype=np.float64)
    is_finite = np.isfinite(values)
    if not is_finite.any():
        raise ValueError(f"{target} was never measured")
    if is_relative(target) and values[is_finite].min() <= 0:
        raise ValueError(f"{target} is not positive")
    inputs = space.coordinates.transform(take({knob.name: measured[knob.name] for knob in space.knobs}, is_finite))
    first, (means, counts) = _average_repeats(
        space.coordinates.points(inputs), (values[is_finite], n_counted[is_finite])
    )
    rows = make_observations(target, means, counts, inputs=inputs.rows(first), coordinates=space.coordinates)
    forms = prior_forms(target, space.coordinates, rows.table.values)
    fits = tuple(fit_online_form(form, rows, rng) for form in forms)
    return FittedTarget(rows, fits, float(np.median(n_counted[is_finite])))


def _average_repeats(points: Float, columns: Sequence[Float]) -> tuple[NDArray[np.int64], list[Float]]:
    """Return the first row of each design, shape (k,), and the means of columns over its repeats, shape (k,) each.

    The nugget of a design is fixed: repeats that differ would contradict the model.
    """
    n = len(points)
    rounded = {str(j): np.round(z, _COORDINATE_DIGITS) for j, z in enumerate(points.T)}
    same = by_configuration(rounded) if points.size else [0] * n
    _, first, count = np.unique(same, return_index=True, return_counts=True)
    return first, [np.bincount(same, column) / count for column in columns]


def _weight_spread(sizes: FittedTarget) -> float:
    """Return the spread of the weights; infinite if the sizes do not determine it."""
    best = sizes.forms[int(np.argmax(sizes.shares))]
    if best.form.law != "storage":
        return math.inf
    logs = best.theta[:, best.design.slices["spread"]]
    return float(np.exp(np.mean(logs))) if np.std(logs) < _MAX_SPREAD_DEVIATION else math.inf
