"""Response: fitted model of one target over any knobs, with predictions, intervals and posterior draws."""

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
from explorer.models.response.input_scaling import InputCoordinates
from explorer.models.samples.binomial import sampling_variance
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float, n_rows, take

N_DRAWS = 400
LEVEL = 0.9
_BLOCK = 10_000  # designs per block: 8 MB of columns for a hundred terms
_FREQUENCIES = 256  # random Fourier features of a draw of the residual process
# Extrapolation uncertainty: each half range outside the samples adds this share of the values' standard deviation
# (assumed; leaving out the outermost width of the H100 table cost a seventh).
_EXTRAPOLATION_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class CandidateForm:
    """Cross-validation scores of one candidate form.

    Args:
        name: the form.
        error: of held-out rows: mean absolute for accuracy, mean relative for all others.
        r2: share of the variance (linked) explained; 0 is no better than the mean, below 0 worse.
        coverage: share of the rows within their 90 % interval.
        between: error of held-out levels, for knobs with four levels or more (geometric mean over knobs); NaN without
            such knobs.
    """

    name: str
    error: float
    r2: float
    coverage: float
    between: float = np.nan

    @property
    def score(self) -> float:
        """Selection score: geometric mean of the errors of held-out rows and held-out levels."""
        return float(np.sqrt(self.error * self.between)) if np.isfinite(self.between) else self.error


# eq=False: arrays have no hash, and `_process_weights` caches by identity.
@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Fitted form of one target with its samples.

    Args:
        target: the column it predicts.
        knobs: the knobs that it needs.
        coordinates: of the samples.
        samples: the distinct measured designs, knobs of shape (n,).
        counts: number of measurements of each, shape (n,).
        table: their linked values.
        repeat_sd: standard deviation of repeats of one design, linked; 0 without repeats.
        n_counted: number of test items behind each accuracy, shape (n,); 0 if unknown.
        fit: the selected form.
        widening: inflation of the posterior intervals.
        interpolation: uncertainty of cliffs between two measured values of a knob.
        candidates: scores of all candidate forms, with hyperparameters fitted once.
        checked: scores of the selected form, with everything refitted in each of at most ten folds.
        choice: reason of the selection, in a sentence.
        warnings: problems of the fit, in sentences.
    """

    target: str
    knobs: tuple[KnobSpec, ...]
    coordinates: InputCoordinates
    samples: Columns
    counts: NDArray[np.int64]
    table: TrainingData
    repeat_sd: float
    n_counted: Float
    fit: FormFit
    widening: IntervalInflation
    interpolation: InterpolationUncertainty
    candidates: tuple[CandidateForm, ...]
    checked: CandidateForm
    choice: str
    warnings: tuple[str, ...]

    def predict(self, designs: Columns) -> Float:
        """Return the prediction of each design, shape (n,); NaN for a missing number.

        Raises:
            UnknownName: a level of a category is not among the samples.
        """
        parts = [self.linked(block) for block in _blocks(designs)]
        return unlink(self.target, np.concatenate(parts)) if parts else np.empty(0)

    def draws(self, designs: Columns, *, n: int = N_DRAWS, seed: int = 0, with_noise: bool = True) -> Float:
        """Return posterior draws of the target, shape (n, number of designs); see `ResponseDraws.evaluate`."""
        return draw_response(self, n=n, seed=seed).evaluate(designs, with_noise=with_noise)

    def interval(self, designs: Columns, *, level: float = LEVEL, seed: int = 0) -> tuple[Float, Float]:
        """Return the prediction interval of one new measurement of each design, shape (n,) each bound."""
        draws, tail = draw_response(self, n=N_DRAWS, seed=seed), (1 - level) / 2
        parts = [
            np.quantile(draws.evaluate(block, with_noise=True), [tail, 1 - tail], axis=0) for block in _blocks(designs)
        ]
        low, high = np.concatenate(parts, axis=1) if parts else (np.empty(0), np.empty(0))
        return low, high

    @property
    def noise(self) -> float:
        """Standard deviation of a measurement around the function, linked."""
        return float(np.hypot(np.exp(self.fit.scales.noise), self.repeat_sd))

    def linked(self, designs: Columns) -> Float:
        """Return the linked prediction of each design, shape (n,)."""
        inputs = self.coordinates.transform(designs)
        mean = design_matrix(self.fit.form, self.coordinates, inputs).mean(self.fit.theta)
        if not np.isfinite(self.fit.scales.amplitude):
            return np.asarray(mean)
        covariance = kernel(self.coordinates.points(inputs), self.table.points, self.fit.scales)
        return np.asarray(mean + covariance @ _process_weights(self))


@dataclass(frozen=True, slots=True)
class ResponseDraws:
    """Posterior draws of a response, S functions of the knobs; repeated evaluations of a draw are consistent.

    Args:
        response: the response.
        theta: coefficients, shape (S, p).
        frequencies: of the random Fourier features of the residual process, shape (d, m).
        phases: shape (m,).
        amplitudes: shape (S, m).
        update: weights of the samples in Matheron's rule, shape (S, n).
        noise_normals: a standard normal per draw for the measurement noise, shape (S,).
        bridge_normals: a standard normal per draw for cliffs between levels, shared by all of them, shape (S,).
        stretch: factor on all deviations per draw: their size is uncertain with few rows (Student t), shape (S,).
    """

    response: Response
    theta: Float
    frequencies: Float
    phases: Float
    amplitudes: Float
    update: Float
    noise_normals: Float
    bridge_normals: Float
    stretch: Float

    @property
    def noise(self) -> Float:
        """Standard deviation of a measurement around the function in each draw, linked, shape (S,)."""
        return np.asarray(self.response.noise * self.stretch)

    def evaluate(self, designs: Columns, *, with_noise: bool) -> Float:
        """Return the target of the designs in every draw, shape (S, number of designs).

        Designs are jointly distributed, so their differences are valid. With noise a draw is one new measurement, with
        the same noise normal for all designs.

        Args:
            designs: the knobs, shape (n,) each. The result has S x n numbers: pass thousands of designs in blocks.
            with_noise: include the measurement noise.
        """
        response = self.response
        parts = [self._linked(block, with_noise=with_noise) for block in _blocks(designs)]
        linked = np.concatenate(parts, axis=1) if parts else np.empty((len(self.theta), 0))
        return unlink(response.target, linked)

    def _linked(self, designs: Columns, *, with_noise: bool) -> Float:
        response = self.response
        scales, coordinates = response.fit.scales, response.coordinates
        inputs = coordinates.transform(designs)
        points = coordinates.points(inputs)
        design = design_matrix(response.fit.form, coordinates, inputs)
        values = design.mean(self.theta)
        if np.isfinite(scales.amplitude):
            values = values + self.amplitudes @ _cosines(points, self.frequencies, self.phases).T
            values = values + self.update @ kernel(response.table.points, points, scales)
        middle = response.linked(designs)
        deviation = values - middle
        if response.interpolation.shares:
            bridge_sd = response.interpolation.standard_deviation(
                designs, coordinates, response.samples, linked=response.linked
            )
            deviation = deviation + self.bridge_normals[:, None] * bridge_sd
        if with_noise:
            spread = max(float(np.std(response.table.values)), 0.02)
            extrapolation_sd = _EXTRAPOLATION_SHARE * spread * coordinates.distance_outside(inputs)
            variance = np.exp(2 * scales.noise) + response.repeat_sd**2 + extrapolation_sd**2
            variance = variance + sampling_variance(middle, float(np.median(response.n_counted)))
            deviation = deviation + self.noise_normals[:, None] * np.sqrt(variance)
        return np.asarray(middle + response.widening.factors(inputs) * self.stretch[:, None] * deviation)


def draw_response(response: Response, *, n: int = N_DRAWS, seed: int = 0) -> ResponseDraws:
    """Return n posterior draws of a response; the same seed gives the same draws.

    Matheron's rule: a prior draw of coefficients, process and noise, updated by its residuals at the samples (Wilson et
    al. 2020, "Efficiently sampling functions from Gaussian process posteriors"). Exact for `sum`, to first order around
    the mode for the other laws, up to the finite number of Fourier features.
    """
    # Single-threaded: the matrices are small, and on a busy machine waiting threads cost ten times what they save.
    with threadpool_limits(1):
        return _draw(response, n, np.random.default_rng(seed))


def _draw(response: Response, n: int, rng: np.random.Generator) -> ResponseDraws:
    fit, table = response.fit, response.table
    design = design_matrix(fit.form, response.coordinates, response.coordinates.transform(response.samples))
    term = term_indices(fit.form, response.coordinates)
    centers, widths = np.array([fit.form.terms[i].center for i in term]), np.exp(fit.scales.widths)[term]
    covariance = residual_covariance(table, fit.scales)
    noise_covariance = covariance - kernel(table.points, table.points, fit.scales)
    columns = design.jacobian(fit.theta)
    weighted = columns * widths
    whole = cho_factor(covariance + weighted @ weighted.T, lower=True)
    frequencies, phases, amplitudes = _prior_process(table.points.shape[1], fit, n, rng)
    process = amplitudes @ _cosines(table.points, frequencies, phases).T
    noise = rng.standard_normal((n, len(table.values))) * np.sqrt(np.diag(noise_covariance))
    prior_theta = centers + widths * rng.standard_normal((n, len(centers)))
    tangent = table.values - design.mean(fit.theta) + columns @ fit.theta
    prior_residual = tangent - prior_theta @ columns.T - process - noise
    theta = prior_theta + cho_solve(whole, prior_residual.T).T @ columns * widths**2
    residual = table.values - _mean(design, theta, columns, fit) - process - noise
    update = cho_solve(cho_factor(covariance, lower=True), residual.T).T
    freedom = degrees_of_freedom(fit, response.coordinates, response.coordinates.transform(response.samples), table)
    stretch = np.sqrt(freedom / rng.chisquare(freedom, n))
    # Stratified normals (one from each n-th of the distribution) reduce the variance of quantiles of few draws.
    noise_normals, bridge_normals = (rng.permutation(ndtri((np.arange(n) + 0.5) / n)) for _ in range(2))
    return ResponseDraws(
        response, theta, frequencies, phases, amplitudes, update, noise_normals, bridge_normals, stretch
    )


def _mean(design: DesignMatrix, theta: Float, columns: Float, fit: FormFit) -> Float:
    return theta @ columns.T if fit.form.law == "sum" else design.mean(theta)


def _prior_process(d: int, fit: FormFit, n: int, rng: np.random.Generator) -> tuple[Float, Float, Float]:
    """Return random Fourier features (Rahimi and Recht 2007) of the process: Matern 5/2 has a t spectral density."""
    if not np.isfinite(fit.scales.amplitude):
        return np.zeros((d, 0)), np.zeros(0), np.zeros((n, 0))
    t_factor = np.sqrt(5 / rng.chisquare(5, _FREQUENCIES))
    frequencies = rng.standard_normal((d, _FREQUENCIES)) * t_factor / np.exp(fit.scales.lengths)[:, None]
    phases = rng.uniform(0, 2 * np.pi, _FREQUENCIES)
    size = np.exp(fit.scales.amplitude) * np.sqrt(2 / _FREQUENCIES)
    return frequencies, phases, size * rng.standard_normal((n, _FREQUENCIES))


def _cosines(points: Float, frequencies: Float, phases: Float) -> Float:
    return np.asarray(np.cos(points @ frequencies + phases))


@lru_cache(maxsize=32)
def _process_weights(response: Response) -> Float:
    """Return the weight of each sample in the predictive mean of the residual process, shape (n,)."""
    fit, table = response.fit, response.table
    design = design_matrix(fit.form, response.coordinates, response.coordinates.transform(response.samples))
    covariance = residual_covariance(table, fit.scales)
    with threadpool_limits(1):
        return np.asarray(cho_solve(cho_factor(covariance, lower=True), table.values - design.mean(fit.theta)))


def _blocks(designs: Columns) -> Iterator[Columns]:
    for start in range(0, n_rows(designs), _BLOCK):
        yield take(designs, np.arange(start, min(start + _BLOCK, n_rows(designs))))
