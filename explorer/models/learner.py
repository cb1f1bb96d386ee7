"""The learner: a fast fit of few measurements, refitted after each, and draws of what else could be measured."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import ndtri
from threadpoolctl import ThreadpoolController

from explorer.models.beliefs import believed_forms, believed_scales
from explorer.models.coordinates import Coordinates, Placed
from explorer.models.fitting import Design, design_of, term_of_columns
from explorer.models.forms import Form, link, unlink
from explorer.models.ground import Ground
from explorer.models.luck import Luck, luck_of, own_variance
from explorer.models.particles import posterior_particles
from explorer.models.process import Belief, Scales, Table, kernel, learn_scales
from explorer.models.trials import countable
from explorer.problem.columns import Columns, Float, take

N_DRAWS = 64
_PARTICLES, _FEW_PARTICLES = 256, 96  # the few find the place around which the scales are learned
_ROUNDS = 20
_COSINES = 160
_DISBELIEF = 3.0
_LEAST_SHARE = 0.1
_KNOWN_SPREAD = 0.3  # of its logarithm; before the data it is 1
# Assumed: no device and no network follows a smooth law closer than this, whatever few rows say; linked.
_LEAST_SCATTER = {"accuracy": 0.02}
_OTHER_LEAST_SCATTER = 0.003


@cache
def _controller() -> ThreadpoolController:
    """Finding the libraries' threads costs more than a fit of few rows: it is done once."""
    return ThreadpoolController()


def _one_thread() -> AbstractContextManager[Any]:
    """Thousands of solves of a hundred rows: threads cost ten times what they save where anything else runs as well."""
    return cast("AbstractContextManager[Any]", _controller().limit(limits=1))


Drawn = Callable[[Columns], Columns]
"""Designs, n of them, to each target in every draw, shape (S, n)."""


@dataclass(frozen=True, slots=True, eq=False)
class LearnedForm:
    """One form of a target as it was learned.

    Args:
        form: the believed form.
        design: the form's columns at the measured designs.
        scales: of residual process and scatter.
        theta: the form's coefficients where its law is not a sum, as particles, shape (k, p); else empty.
        evidence: logarithm of the probability of what was measured.
    """

    form: Form
    design: Design
    scales: Scales
    theta: Float
    evidence: float


@dataclass(frozen=True, slots=True, eq=False)
class LearnedTarget:
    """One target as it was learned: what was measured, linked, and its forms."""

    target: str
    table: Table
    forms: tuple[LearnedForm, ...]
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


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What a few measurements tell of all designs on a ground."""

    ground: Ground
    targets: Mapping[str, LearnedTarget]
    spread: float

    def draws(self, n: int = N_DRAWS, *, seed: int = 0) -> Drawn:
        """Return n functions that could be the truth; whatever is asked of them and how often, they stay the same.

        A measurement has luck of its own beside the function. In each draw all designs have the same luck: what one
        design may turn out to be is right, and none is preferred because it drew better luck than its neighbour.
        """
        streams = np.random.SeedSequence(seed).spawn(len(self.targets))
        drawn = [
            _draw(learned, n, np.random.default_rng(stream))
            for learned, stream in zip(self.targets.values(), streams, strict=True)
        ]

        def at(designs: Columns) -> Columns:
            with _one_thread():
                coordinates = self.ground.coordinates
                bare = coordinates.place(designs)
                rounded = coordinates.place(with_rounded_zeros(designs, self.spread))
                place = {one.target: rounded if one.target == "accuracy" else bare for one in drawn}
                return {one.target: one.at(place[one.target], coordinates.points(place[one.target])) for one in drawn}

        return at


def learn(
    measured: Columns, targets: Sequence[str], ground: Ground, *, seed: int = 0, trials: Float | None = None
) -> Learned:
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
    learned: dict[str, LearnedTarget] = {}
    spread = np.inf
    with _one_thread():
        # Sizes first: they show which weights rounding alone makes zero, and accuracy depends on no others.
        for target in sorted(targets, key=lambda name: name != "size_bytes"):
            rows = with_rounded_zeros(measured, spread) if target == "accuracy" else measured
            learned[target] = _learned(target, rows, ground, counted, np.random.default_rng(streams[target]))
            spread = _spread_of(learned[target]) if target == "size_bytes" else spread
    return Learned(ground, {target: learned[target] for target in targets}, spread)


def with_rounded_zeros(designs: Columns, spread: float) -> Columns:
    """Return designs that prune what rounding makes zero anyway: 1 - exp(-D / spread) of the weights."""
    if not math.isfinite(spread):
        return designs
    rounded = -np.expm1(-designs["quant_step"] / spread)
    return {**designs, "pruning_ratio": np.maximum(designs["pruning_ratio"], rounded)}


def _spread_of(sizes: LearnedTarget) -> float:
    """Return the spread of the weights, infinite where the sizes do not tell it."""
    best = sizes.forms[int(np.argmax(sizes.shares))]
    if best.form.law != "stored":
        return math.inf
    logs = best.theta[:, best.design.slices["spread"]]
    return float(np.exp(np.mean(logs))) if np.std(logs) < _KNOWN_SPREAD else math.inf


def _learned(target: str, measured: Columns, ground: Ground, trials: Float, rng: np.random.Generator) -> LearnedTarget:
    values = np.asarray(measured[target], dtype=np.float64)
    is_known = np.isfinite(values)
    if not is_known.any():
        raise ValueError(f"{target} was never measured")
    if target != "accuracy" and values[is_known].min() <= 0:
        raise ValueError(f"{target} is not positive")
    designs = take({knob.name: measured[knob.name] for knob in ground.knobs}, is_known)
    placed = ground.coordinates.place(designs)
    table = _table(target, values[is_known], trials[is_known], ground.coordinates.points(placed))
    forms = believed_forms(target, ground.coordinates, table.values)
    return LearnedTarget(
        target, table, tuple(_learned_form(form, target, placed, table, ground, rng) for form in forms),
        float(np.median(trials[is_known])),
    )  # fmt: skip


def _learned_form(
    form: Form, target: str, placed: Placed, table: Table, ground: Ground, rng: np.random.Generator
) -> LearnedForm:
    design = design_of(form, ground.coordinates, placed)
    belief = believed_scales(form, target, ground.coordinates)
    least = float(np.log(_LEAST_SCATTER.get(target, _OTHER_LEAST_SCATTER)))
    if form.law == "sum":
        centers = _centers(form, ground.coordinates)
        scales = _scales(design, table, centers, belief, least=least)
        return LearnedForm(form, design, scales, np.zeros((0, len(centers))), _evidence(design, table, scales))
    theta, _ = _particles(design, table, belief.centers, ground.coordinates, rng, n=_FEW_PARTICLES)
    scales = _scales(design, table, _best(theta, design, table, belief.centers), belief, least=least)
    theta, evidence = _particles(design, table, scales, ground.coordinates, rng, n=_PARTICLES)
    return LearnedForm(form, design, scales, theta, evidence)


def _evidence(design: Design, table: Table, scales: Scales) -> float:
    """Return the logarithm of the marginal likelihood of terms that are summed."""
    columns = design.blocks["level"] * np.exp(scales.widths)[term_of_columns(design.form, design.coordinates)]
    gap = table.values - design.mean(_centers(design.form, design.coordinates))
    return float(_log_normal(gap[None, :], _covariance(table, scales) + columns @ columns.T)[0])


def _log_normal(gaps: Float, covariance: Float) -> Float:
    """Return the logarithm of normal densities, shape (k,), of rows of shape (k, n); without the constant."""
    root = cholesky(covariance, lower=True)
    squares = np.sum(solve_triangular(root, gaps.T, lower=True) ** 2, axis=0)
    return np.asarray(-0.5 * squares - np.sum(np.log(np.diag(root))))


def _table(target: str, values: Float, trials: Float, points: Float) -> Table:
    linked = link(target, countable(values, trials) if target == "accuracy" and trials.any() else values)
    return Table(linked, own_variance(target, linked, trials), points)


def _covariance(table: Table, scales: Scales) -> Float:
    """Return the covariance of what was measured around the terms: residual process and luck, shape (n, n)."""
    return kernel(table.points, table.points, scales) + luck_of(table, scales).covariance


def _centers(form: Form, coordinates: Coordinates) -> Float:
    return np.array([form.terms[i].center for i in term_of_columns(form, coordinates)])


def _scales(design: Design, table: Table, around: Float, belief: Belief, *, least: float) -> Scales:
    """Return the most probable scales with the coefficients integrated out, to first order around some."""
    form, coordinates = design.form, design.coordinates
    columns, term = design.jacobian(around), term_of_columns(form, coordinates)
    offset = table.values - design.mean(around) + columns @ (around - _centers(form, coordinates))
    scales = learn_scales(table, columns, term, offset, belief=belief, start=belief.centers, rounds=_ROUNDS)
    return replace(scales, scatter=max(scales.scatter, least))


def _particles(
    design: Design, table: Table, scales: Scales, coordinates: Coordinates, rng: np.random.Generator, *, n: int
) -> tuple[Float, float]:
    covariance = _covariance(table, scales)
    widths = np.exp(scales.widths)[term_of_columns(design.form, coordinates)]
    return posterior_particles(
        lambda theta: _log_normal(table.values - design.mean(theta), covariance),
        centers=_centers(design.form, coordinates), widths=widths, n=n, rng=rng,
    )  # fmt: skip


def _best(theta: Float, design: Design, table: Table, scales: Scales) -> Float:
    root = cholesky(_covariance(table, scales), lower=True)
    gap = solve_triangular(root, (table.values - design.mean(theta)).T, lower=True)
    return np.asarray(theta[np.argmin(np.sum(gap**2, axis=0))])


@dataclass(frozen=True, slots=True, eq=False)
class _Draws:
    """Draws of one form: coefficients, cosines that make the residual process, and what the samples add to it."""

    learned: LearnedForm
    theta: Float
    frequencies: Float
    phases: Float
    amplitudes: Float
    pull: Float
    luck: Luck
    found: Float

    def at(self, placed: Placed, points: Float, open_luck: Float, own: Callable[[Float], Float]) -> Float:
        """Return linked values, shape (S, m): the function, and luck; `open_luck` is one number a draw."""
        learned = self.learned
        values = design_of(learned.form, learned.design.coordinates, placed).mean(self.theta)
        values = values + self.amplitudes @ np.cos(points @ self.frequencies + self.phases).T
        values = values + self.pull @ kernel(self.luck.points, points, learned.scales)
        near, left = self.luck.near(points, self.found)
        size = np.sqrt(np.exp(2 * learned.scales.scatter) + own(values))
        return np.asarray(values + size * (near + open_luck[:, None] * left))


@dataclass(frozen=True, slots=True, eq=False)
class _TargetDraws:
    """Draws of one target from all of its forms, in an order of their own."""

    target: str
    parts: tuple[_Draws, ...]
    order: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    luck: Float
    trials: float

    def at(self, placed: Placed, points: Float) -> Float:
        """Return the target's values, shape (S, m)."""
        ends = np.cumsum([0, *(len(part.theta) for part in self.parts)])
        linked = [
            part.at(placed, points, self.luck[ends[i] : ends[i + 1]], self._own) for i, part in enumerate(self.parts)
        ]
        return unlink(self.target, np.concatenate(linked)[self.order])

    def _own(self, linked: Float) -> Float:
        return own_variance(self.target, linked, self.trials)


def _draw(learned: LearnedTarget, n: int, rng: np.random.Generator) -> _TargetDraws:
    ends = np.round(np.cumsum(learned.shares) * n).astype(np.int64)
    counts = np.diff(ends, prepend=0)
    parts = tuple(
        _draw_form(one, learned.table, int(count), rng)
        for one, count in zip(learned.forms, counts, strict=True)
        if count
    )
    luck = rng.permutation(ndtri((np.arange(n) + 0.5) / n))
    return _TargetDraws(learned.target, parts, rng.permutation(n), luck, learned.trials)


def _draw_form(learned: LearnedForm, table: Table, n: int, rng: np.random.Generator) -> _Draws:
    """Draw by Matheron's rule: a draw from before the data, moved by what the data then lacks (see `draw_response`)."""
    scales, design, luck = learned.scales, learned.design, luck_of(table, learned.scales)
    within = kernel(table.points, table.points, scales)
    around = within + luck.covariance
    frequencies, phases, amplitudes = _prior_process(table.points.shape[1], scales, n, rng)
    process = amplitudes @ np.cos(table.points @ frequencies + phases).T
    noise = luck.drawn(n, rng)
    if learned.form.law == "sum":
        theta = _coefficients(learned, table, around, process + noise, rng)
    else:
        theta = learned.theta[rng.permutation(len(learned.theta))[np.arange(n) % len(learned.theta)]]
    left = table.values - design.mean(theta) - process - noise
    pull = cho_solve(cho_factor(around, lower=True), left.T).T
    found = left + noise - pull @ within
    return _Draws(learned, theta, frequencies, phases, amplitudes, pull, luck, found)


def _coefficients(learned: LearnedForm, table: Table, around: Float, beside: Float, rng: np.random.Generator) -> Float:
    """Draw the coefficients of terms that are summed, shape (n, p)."""
    design, coordinates = learned.design, learned.design.coordinates
    columns = design.blocks["level"]
    widths = np.exp(learned.scales.widths)[term_of_columns(learned.form, coordinates)]
    before = _centers(learned.form, coordinates) + widths * rng.standard_normal((len(beside), columns.shape[1]))
    weighted = columns * widths
    whole = cho_factor(around + weighted @ weighted.T, lower=True)
    lacking = table.values - before @ columns.T - beside
    return np.asarray(before + cho_solve(whole, lacking.T).T @ columns * widths**2)


def _prior_process(d: int, scales: Scales, n: int, rng: np.random.Generator) -> tuple[Float, Float, Float]:
    """Return cosines whose random sums have the process's covariance: Matern 5/2 is t-distributed in frequency."""
    heavy = np.sqrt(5 / rng.chisquare(5, _COSINES))
    frequencies = rng.standard_normal((d, _COSINES)) * heavy / np.exp(scales.lengths)[:, None]
    phases = rng.uniform(0, 2 * np.pi, _COSINES)
    size = np.exp(scales.amplitude) * np.sqrt(2 / _COSINES)
    return frequencies, phases, size * rng.standard_normal((n, _COSINES))
