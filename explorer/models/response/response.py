"""Response: model of one target over any knobs, an average over forms, with predictions, intervals and draws."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from explorer.models.fitting.calibration import EdgeUncertainty, InterpolationUncertainty, IntervalInflation
from explorer.models.fitting.gaussian_process import TrainingData
from explorer.models.fitting.mode_fit import ModeDraws, ModeFit
from explorer.models.fitting.sampled_fit import SampledDraws, SampledFit
from explorer.models.fitting.threads import one_thread
from explorer.models.forms.forms import unlink
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.models.samples.binomial import sampling_variance
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float, n_rows, take

N_DRAWS = 1_500
LEVEL = 0.9
_DIGITS = 13
_N_PAIRED = 20  # samples at which the draws are ranked
_BLOCK = 10_000  # designs per block: 8 MB of columns for a hundred terms

FormFit = ModeFit | SampledFit


@dataclass(frozen=True, slots=True)
class CandidateForm:
    """Cross-validation scores of one candidate form, or of the average over forms.

    Args:
        name: the form.
        error: of held-out rows: mean absolute for accuracy, mean relative for all others.
        r2: share of the variance (linked) explained; 0 is no better than the mean, below 0 worse.
        coverage: share of the rows within their 90 % interval.
        between: error of held-out levels, for knobs with four levels or more (geometric mean over knobs); NaN without
            such knobs.
        weight: in the average.
    """

    name: str
    error: float
    r2: float
    coverage: float
    between: float = np.nan
    weight: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """Measured rows and their predictions from the other rows, linked, shape (n,) each.

    Args:
        values: the measurements; each repeat is a row.
        design: index of each row's design among the distinct ones.
        middle: prediction without the row's design; NaN where impossible.
        sd: standard deviation of a measurement around it, after calibration.
    """

    values: Float
    design: NDArray[np.int64]
    middle: Float
    sd: Float


# eq=False: arrays have no hash.
@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Average over fitted forms of one target, with its samples.

    Args:
        target: the column it predicts.
        knobs: the knobs that it needs.
        coordinates: of the samples.
        samples: the distinct measured designs, knobs of shape (n,).
        counts: number of measurements of each, shape (n,).
        table: their linked values.
        repeat_sd: standard deviation of repeats of one design, linked; 0 without repeats.
        n_counted: number of test items behind each accuracy, shape (n,); 0 if unknown.
        fits: the forms with a weight.
        weights: of the forms, shape (number of fits,), summing to 1.
        widening: inflation of the posterior intervals.
        interpolation: uncertainty of cliffs between two measured values of a knob.
        edge: uncertainty beyond the outermost values of each knob.
        candidates: scores of all candidate forms.
        checked: scores of the average, from rows.
        held_out: the rows and their predictions from the others.
        is_outlier: mask of the designs whose measurement counts little, shape (n,).
        known_variance: median variance of a measurement by its own interval, linked; 0 if unknown.
    """

    target: str
    knobs: tuple[KnobSpec, ...]
    coordinates: InputCoordinates
    samples: Columns
    counts: NDArray[np.int64]
    table: TrainingData
    repeat_sd: float
    n_counted: Float
    fits: tuple[FormFit, ...]
    weights: Float
    widening: IntervalInflation
    interpolation: InterpolationUncertainty
    edge: EdgeUncertainty
    candidates: tuple[CandidateForm, ...]
    checked: CandidateForm
    held_out: HeldOutRows
    is_outlier: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    known_variance: float = 0.0

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
        """Standard deviation of a measurement around the function, linked; averaged over the forms."""
        mean = sum(weight * fit.noise for weight, fit in zip(self.weights, self.fits, strict=True))
        return float(np.hypot(mean, self.repeat_sd))

    def linked(self, designs: Columns) -> Float:
        """Return the linked prediction of each design, shape (n,)."""
        inputs = self.coordinates.transform(designs)
        return self.linked_inputs(inputs, self.coordinates.points(inputs))

    def linked_inputs(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the linked prediction of scaled designs, shape (n,): the forms' weighted mean."""
        total = np.zeros(inputs.n)
        for weight, fit in zip(self.weights, self.fits, strict=True):
            total += weight * fit.linked(inputs, points)
        # The last digits of matrix products depend on how many designs are predicted at once.
        return np.round(total, _DIGITS)


@dataclass(frozen=True, slots=True, eq=False)
class ResponseDraws:
    """Posterior draws of a response, S functions of the knobs; repeated evaluations of a draw are consistent.

    Each draw is of one form, so differences between draws contain the doubt about the form.

    Args:
        response: the response.
        parts: the draws of each form.
        order: permutation of the draws, so that forms of two targets are paired at random, shape (S,).
        noise_normals: a standard normal per draw for the measurement noise, shape (S,).
        bridge_normals: a standard normal per draw for cliffs between levels, shared by all of them, shape (S,).
        edge_normals: a standard normal per draw for the uncertainty beyond the samples, shape (S,).
    """

    response: Response
    parts: tuple[ModeDraws | SampledDraws, ...]
    order: NDArray[np.int64]
    noise_normals: Float
    bridge_normals: Float
    edge_normals: Float

    @property
    def noise(self) -> Float:
        """Standard deviation of a measurement around the function in each draw, linked, shape (S,)."""
        own = np.concatenate([part.noise for part in self.parts])[self.order]
        return np.asarray(np.hypot(own, self.response.repeat_sd))

    @property
    def n(self) -> int:
        """Number of draws."""
        return len(self.order)

    def evaluate(self, designs: Columns, *, with_noise: bool) -> Float:
        """Return the target of the designs in every draw, shape (S, number of designs).

        Designs are jointly distributed, so their differences are valid. With noise a draw is one new measurement, with
        the same noise normal for all designs.

        Args:
            designs: the knobs, shape (n,) each. The result has S x n numbers: pass thousands of designs in blocks.
            with_noise: include the measurement noise.
        """
        parts = [self._linked(block, with_noise=with_noise) for block in _blocks(designs)]
        linked = np.concatenate(parts, axis=1) if parts else np.empty((self.n, 0))
        return unlink(self.response.target, linked)

    def _linked(self, designs: Columns, *, with_noise: bool) -> Float:
        response, coordinates = self.response, self.response.coordinates
        inputs = coordinates.transform(designs)
        points = coordinates.points(inputs)
        smooth = np.concatenate([part.smooth(inputs, points) for part in self.parts])[self.order]
        middle = response.linked_inputs(inputs, points)
        deviation = smooth - middle
        if response.interpolation.shares:
            bridge_sd = response.interpolation.standard_deviation(
                designs, coordinates, response.samples, linked=response.linked
            )
            deviation = deviation + self.bridge_normals[:, None] * bridge_sd
        edge_sd = response.edge.standard_deviation(inputs)
        if edge_sd.any():
            deviation = deviation + self.edge_normals[:, None] * edge_sd
        if with_noise:
            counted = sampling_variance(middle, float(np.median(response.n_counted))) + response.known_variance
            noise = np.sqrt((self.noise[:, None] * response.table.noise_factor(points)) ** 2 + counted)
            deviation = deviation + self.noise_normals[:, None] * noise
        return np.asarray(middle + response.widening.factors(inputs) * deviation)


def draw_response(response: Response, *, n: int = N_DRAWS, seed: int = 0) -> ResponseDraws:
    """Return n posterior draws of a response, distributed over its forms; the same seed gives the same draws."""
    rng = np.random.default_rng(seed)
    counts = np.diff(np.round(np.cumsum(response.weights) * n).astype(np.int64), prepend=0)
    # Single-threaded: the matrices are small, and on a busy machine waiting threads cost ten times what they save.
    with one_thread():
        parts = tuple(fit.draw(int(k), rng) for fit, k in zip(response.fits, counts, strict=True) if k)
    order = rng.permutation(n)
    # Stratified normals (one from each n-th of the distribution) reduce the variance of quantiles of few draws.
    normals = [rng.permutation(ndtri((np.arange(n) + 0.5) / n)) for _ in range(3)]
    normals[0] = _paired_normals(response, parts)[order]
    return ResponseDraws(response, parts, order, *normals)


def _paired_normals(response: Response, parts: Sequence[ModeDraws | SampledDraws]) -> Float:
    """Return a standard normal for each draw, shape (S,), evenly spread over the draws' own deviations.

    Rank of a draw's deviation and noise form a Hammersley point set: their sum has quantiles as stable as those of
    many more draws that are paired at random.
    """
    inputs = response.coordinates.transform(response.samples)
    rows = np.unique(np.linspace(0, inputs.n - 1, min(inputs.n, _N_PAIRED)).astype(np.int64))
    some = inputs.rows(rows)
    with one_thread():
        level = np.concatenate([part.smooth(some, response.table.points[rows]).mean(axis=1) for part in parts])
    n = len(level)
    normals = np.empty(n)
    normals[np.argsort(level)] = ndtri((np.argsort(np.argsort(_radical_inverse(n))) + 0.5) / n)
    return normals


def _radical_inverse(n: int) -> Float:
    """Return the van der Corput sequence in base 2, shape (n,)."""
    index, result, digit = np.arange(1, n + 1), np.zeros(n), 0.5
    while index.any():
        result += digit * (index & 1)
        index, digit = index >> 1, digit / 2
    return result


def _blocks(designs: Columns) -> Iterator[Columns]:
    for start in range(0, n_rows(designs), _BLOCK):
        yield take(designs, np.arange(start, min(start + _BLOCK, n_rows(designs))))
