"""A response: the fitted model of one target over any knobs, its predictions and its draws."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from explorer.models.response.calibration import InterpolationUncertainty, IntervalInflation
from explorer.models.response.fitting import DesignMatrix, FormFit, degrees_of_freedom, design_matrix, term_indices
from explorer.models.response.forms import unlink
from explorer.models.response.gaussian_process import TrainingData, kernel, residual_covariance
from explorer.models.response.input_scaling import InputCoordinates, KnobSpec
from explorer.models.samples.binomial import sampling_variance
from explorer.problem.columns import Columns, Float, n_rows, take

N_DRAWS = 400
LEVEL = 0.9
_BLOCK = 10_000  # designs at once: the columns of a hundred terms are 8 MB
_FREQUENCIES = 256  # cosines that stand for a draw of the residual process
# Beyond the samples no law is known to hold: each half range outside adds this share of the values' spread (assumed;
# a seventh is what leaving out the outermost width of a real device's table cost).
_OUTSIDE = 0.1


@dataclass(frozen=True, slots=True)
class CandidateForm:
    """How well one form predicted rows that it had not seen.

    Args:
        name: the form.
        error: mean absolute for accuracy, mean relative for all others.
        r2: share of the variance (linked) that it explained; 0 is no better than the mean, below 0 worse.
        coverage: share of the rows within their 90 % interval.
        between: error where each measured value of a knob is left out whole, for knobs with four values or more
            (geometric mean over them); NaN without such knobs.
    """

    name: str
    error: float
    r2: float
    coverage: float
    between: float = np.nan

    @property
    def score(self) -> float:
        """What forms are chosen by: unseen rows and unseen values count alike (geometric mean)."""
        return float(np.sqrt(self.error * self.between)) if np.isfinite(self.between) else self.error


# Equal only to itself: what is derived of a fit (see `_pull`) is kept by identity, and arrays have no hash.
@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """A fitted form with its samples.

    Args:
        target: the column it predicts.
        knobs: what it needs of a design.
        coordinates: of the samples.
        samples: the distinct measured configurations, knobs of shape (n,).
        counts: how often each was measured, shape (n,).
        table: their linked values.
        repeat_sd: standard deviation of repeats of one configuration, linked; 0 where there are none.
        trials: on how many samples each accuracy was counted, shape (n,); 0 where that is not known.
        fit: the chosen form.
        widening: how much wider than the posterior's the intervals must be to cover.
        gaps: what a fall between two measured values of a knob adds to that.
        candidates: all forms tried, with scales fitted once.
        checked: the chosen form once more, everything fitted again in each of at most ten folds.
        choice: why this one, in a sentence.
        warnings: what is wrong with the fit, in sentences.
    """

    target: str
    knobs: tuple[KnobSpec, ...]
    coordinates: InputCoordinates
    samples: Columns
    counts: NDArray[np.int64]
    table: TrainingData
    repeat_sd: float
    trials: Float
    fit: FormFit
    widening: IntervalInflation
    gaps: InterpolationUncertainty
    candidates: tuple[CandidateForm, ...]
    checked: CandidateForm
    choice: str
    warnings: tuple[str, ...]

    def predict(self, designs: Columns) -> Float:
        """Return the most probable value of each design, shape (n,); NaN where a number is missing.

        Raises:
            UnknownName: a level of a category that was never measured.
        """
        parts = [self.linked(block) for block in _blocks(designs)]
        return unlink(self.target, np.concatenate(parts)) if parts else np.empty(0)

    def draws(self, designs: Columns, *, n: int = N_DRAWS, seed: int = 0, with_noise: bool = True) -> Float:
        """Return draws of the designs' values, shape (n, number of designs); see `ResponseDraws.at`."""
        return draw_response(self, n=n, seed=seed).at(designs, with_noise=with_noise)

    def interval(self, designs: Columns, *, level: float = LEVEL, seed: int = 0) -> tuple[Float, Float]:
        """Return the bounds that one new measurement lies between with probability `level`, shape (n,) each."""
        drawn, tail = draw_response(self, n=N_DRAWS, seed=seed), (1 - level) / 2
        parts = [np.quantile(drawn.at(block, with_noise=True), [tail, 1 - tail], axis=0) for block in _blocks(designs)]
        low, high = np.concatenate(parts, axis=1) if parts else (np.empty(0), np.empty(0))
        return low, high

    @property
    def noise(self) -> float:
        """Standard deviation of a measurement around the function, linked."""
        return float(np.hypot(np.exp(self.fit.scales.noise), self.repeat_sd))

    def linked(self, designs: Columns) -> Float:
        """Return the most probable linked value of each design, shape (n,)."""
        placed = self.coordinates.transform(designs)
        mean = design_matrix(self.fit.form, self.coordinates, placed).mean(self.fit.theta)
        if not np.isfinite(self.fit.scales.amplitude):
            return np.asarray(mean)
        around = kernel(self.coordinates.points(placed), self.table.points, self.fit.scales) @ _pull(self)
        return np.asarray(mean + around)


@dataclass(frozen=True, slots=True)
class ResponseDraws:
    """Draws of a response, S of them; each is one function of the knobs, whatever is asked of it and how often.

    Args:
        response: what they are draws of.
        theta: coefficients, shape (S, p).
        frequencies: of the cosines that make the residual process, shape (d, m).
        phases: shape (m,).
        amplitudes: shape (S, m).
        pull: what the samples add to the process, shape (S, n).
        scatter: one standard normal for each draw, shape (S,).
        bridge: another, for falls between measured values: in one draw all of them come early, or all late.
        stretch: doubt of the size of all deviations (few rows know it badly), shape (S,).
    """

    response: Response
    theta: Float
    frequencies: Float
    phases: Float
    amplitudes: Float
    pull: Float
    scatter: Float
    bridge: Float
    stretch: Float

    @property
    def noise(self) -> Float:
        """Standard deviation of a measurement around the function in each draw, linked, shape (S,)."""
        return np.asarray(self.response.noise * self.stretch)

    def at(self, designs: Columns, *, with_noise: bool) -> Float:
        """Return the target of the designs in every draw, shape (S, number of designs).

        Differences between designs are meaningful: what two designs share, they share in every draw. With noise, a
        draw is what one new measurement would give; its scatter is one number a draw, the same for all designs.

        Args:
            designs: the knobs, shape (n,) each. S x n numbers are returned: ask for tables of thousands in blocks.
            with_noise: include the scatter of a measurement.
        """
        response = self.response
        parts = [self._linked(block, with_noise=with_noise) for block in _blocks(designs)]
        linked = np.concatenate(parts, axis=1) if parts else np.empty((len(self.theta), 0))
        return unlink(response.target, linked)

    def _linked(self, designs: Columns, *, with_noise: bool) -> Float:
        response = self.response
        scales, coordinates = response.fit.scales, response.coordinates
        placed = coordinates.transform(designs)
        points = coordinates.points(placed)
        design = design_matrix(response.fit.form, coordinates, placed)
        values = design.mean(self.theta)
        if np.isfinite(scales.amplitude):
            values = values + self.amplitudes @ _cosines(points, self.frequencies, self.phases).T
            values = values + self.pull @ kernel(response.table.points, points, scales)
        middle = response.linked(designs)
        deviation = values - middle
        if response.gaps.shares:
            doubt = response.gaps.doubt(designs, coordinates, response.samples, linked=response.linked)
            deviation = deviation + self.bridge[:, None] * doubt
        if with_noise:
            spread = max(float(np.std(response.table.values)), 0.02)
            doubt = _OUTSIDE * spread * coordinates.outside(placed)
            scatter = np.exp(2 * scales.noise) + response.repeat_sd**2 + doubt**2
            scatter = scatter + sampling_variance(middle, float(np.median(response.trials)))
            deviation = deviation + self.scatter[:, None] * np.sqrt(scatter)
        return np.asarray(middle + response.widening.at(placed) * self.stretch[:, None] * deviation)


def draw_response(response: Response, *, n: int = N_DRAWS, seed: int = 0) -> ResponseDraws:
    """Return n draws of a response; the same seed gives the same draws.

    By Matheron's rule: a draw of coefficients, process and noise before the data, moved by what the data then lacks
    (Wilson and others 2020, "Efficiently sampling functions from Gaussian process posteriors"). Exact for terms that
    are summed, to first order around the mode for the others, but for the process's finite number of cosines.
    """
    # Small matrices: threads that wait for each other cost more than they save, on a busy machine ten times as much.
    with threadpool_limits(1):
        return _drawn(response, n, np.random.default_rng(seed))


def _drawn(response: Response, n: int, rng: np.random.Generator) -> ResponseDraws:
    fit, table = response.fit, response.table
    design = design_matrix(fit.form, response.coordinates, response.coordinates.transform(response.samples))
    term = term_indices(fit.form, response.coordinates)
    centers, widths = np.array([fit.form.terms[i].center for i in term]), np.exp(fit.scales.widths)[term]
    around = residual_covariance(table, fit.scales)
    own = around - kernel(table.points, table.points, fit.scales)
    columns = design.jacobian(fit.theta)
    weighted = columns * widths
    whole = cho_factor(around + weighted @ weighted.T, lower=True)
    frequencies, phases, amplitudes = _prior_process(table.points.shape[1], fit, n, rng)
    process = amplitudes @ _cosines(table.points, frequencies, phases).T
    noise = rng.standard_normal((n, len(table.values))) * np.sqrt(np.diag(own))
    before = centers + widths * rng.standard_normal((n, len(centers)))
    tangent = table.values - design.mean(fit.theta) + columns @ fit.theta
    lacking = tangent - before @ columns.T - process - noise
    theta = before + cho_solve(whole, lacking.T).T @ columns * widths**2
    left = table.values - _mean(design, theta, columns, fit) - process - noise
    pull = cho_solve(cho_factor(around, lower=True), left.T).T
    freedom = degrees_of_freedom(fit, response.coordinates, response.coordinates.transform(response.samples), table)
    stretch = np.sqrt(freedom / rng.chisquare(freedom, n))
    # One normal from each n-th of the distribution: quantiles of few draws stay steady.
    scatter, bridge = (rng.permutation(ndtri((np.arange(n) + 0.5) / n)) for _ in range(2))
    return ResponseDraws(response, theta, frequencies, phases, amplitudes, pull, scatter, bridge, stretch)


def _mean(design: DesignMatrix, theta: Float, columns: Float, fit: FormFit) -> Float:
    return theta @ columns.T if fit.form.law == "sum" else design.mean(theta)


def _prior_process(d: int, fit: FormFit, n: int, rng: np.random.Generator) -> tuple[Float, Float, Float]:
    """Return cosines whose random sums have the process's covariance: Matern 5/2 is t-distributed in frequency."""
    if not np.isfinite(fit.scales.amplitude):
        return np.zeros((d, 0)), np.zeros(0), np.zeros((n, 0))
    heavy = np.sqrt(5 / rng.chisquare(5, _FREQUENCIES))
    frequencies = rng.standard_normal((d, _FREQUENCIES)) * heavy / np.exp(fit.scales.lengths)[:, None]
    phases = rng.uniform(0, 2 * np.pi, _FREQUENCIES)
    size = np.exp(fit.scales.amplitude) * np.sqrt(2 / _FREQUENCIES)
    return frequencies, phases, size * rng.standard_normal((n, _FREQUENCIES))


def _cosines(points: Float, frequencies: Float, phases: Float) -> Float:
    return np.asarray(np.cos(points @ frequencies + phases))


@lru_cache(maxsize=32)
def _pull(response: Response) -> Float:
    """Return what each sample adds to the residual process, shape (n,)."""
    fit, table = response.fit, response.table
    design = design_matrix(fit.form, response.coordinates, response.coordinates.transform(response.samples))
    around = residual_covariance(table, fit.scales)
    with threadpool_limits(1):
        return np.asarray(cho_solve(cho_factor(around, lower=True), table.values - design.mean(fit.theta)))


def _blocks(designs: Columns) -> Iterator[Columns]:
    for start in range(0, n_rows(designs), _BLOCK):
        yield take(designs, np.arange(start, min(start + _BLOCK, n_rows(designs))))
