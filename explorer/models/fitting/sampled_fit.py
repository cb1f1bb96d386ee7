"""Fit of a form to few rows by posterior sampling: shape coefficients and scatter sampled, the level integrated out.

With few rows the posterior of the shape is wide and not normal: shares of a mixture may be anything between none and
all. Levels and slopes are linear with normal priors, so given the shape their posterior, the likelihood and the
leave-out predictions are exact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.special import logsumexp

from explorer.models.fitting.gaussian_process import TrainingData
from explorer.models.fitting.smc import smc_sample
from explorer.models.forms.design_matrix import DesignMatrix, design_matrix, term_indices
from explorer.models.forms.forms import FunctionalForm, Term, evaluate_form
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float

_MANY_PARTICLES, _FEW_PARTICLES = 1024, 384
_FEW_ROWS = 30
# Prior of the scatter around a form (linked): median, and standard deviation of its logarithm. Assumed: tables print
# two to three digits, and forms are simplifications.
_SCATTER, _SCATTER_WIDTH = 0.05, 0.7
TEMPERATURE = 4.0  # of the likelihood in draws (assumed; see `tests/models/test_doubt.py` for what it has to cover)
_LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class SampledFit:
    """Posterior of one form of one target.

    Args:
        form: the functional form.
        target: the column.
        design: the form's columns at the samples.
        table: the samples.
        shapes: particles of the shape coefficients, shape (N, q).
        log_scatter: logarithm of the scatter of each particle, shape (N,).
        point: shape coefficients of the particle whose predictions are closest to the posterior mean, then the
            logarithm of the median scatter, shape (q + 1,): the prediction's.
        evidence: log marginal likelihood.
    """

    form: FunctionalForm
    target: str
    design: DesignMatrix
    table: TrainingData
    shapes: Float
    log_scatter: Float
    point: Float
    evidence: float

    @property
    def noise(self) -> float:
        """Scatter of a measurement around the form, linked: posterior median."""
        return float(np.exp(self.point[-1]))

    def linked(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the linked prediction of designs, shape (n,)."""
        del points
        mean = _shape_effect(self.form, self.design.coordinates, inputs, self.point[None, :-1])[0]
        columns, _ = _level_columns(self.form, self.design.coordinates, inputs)
        return np.asarray(mean + columns @ self._point_level)

    @cached_property
    def _rows(self) -> "_Rows":
        return _Rows(self.form, self.design, self.table)

    @cached_property
    def _wide(self) -> tuple[Float, Float]:
        shapes, log_scatter, _ = _sample(self._rows, self.design, temperature=TEMPERATURE, seed=1)
        return shapes, log_scatter

    @cached_property
    def _point_level(self) -> Float:
        rows = self._rows
        residual = rows.residual(self.point[None, :-1])
        sigma = np.exp(self.point[-1:])
        return np.asarray(rows.level_centers + rows.conditional_level(residual, sigma)[0])

    def draw(self, n: int, rng: np.random.Generator) -> "SampledDraws":
        """Return n draws from the power posterior; the same generator state gives the same draws.

        The likelihood counts to the power of 1 / `TEMPERATURE` (Bissiri et al. 2016): every form is a simplification,
        whose errors are correlated between the rows, so that the rows count as fewer.
        """
        rows = self._rows
        all_shapes, log_scatter = self._wide
        size = len(all_shapes)
        # Evenly spaced particles in the order of their mean effect: fewer draws give the same quantiles.
        order = np.argsort(rows.residual(all_shapes).mean(axis=1))
        picks = order[(np.arange(n) * size // n + rng.integers(size)) % size if n <= size else np.arange(n) % size]
        shapes, sigma = all_shapes[picks], np.exp(log_scatter[picks])
        prior = rows.level_widths * rng.standard_normal((n, len(rows.level_widths)))
        noise = rng.standard_normal((n, len(self.table.values))) * np.sqrt(
            (sigma[:, None] * rows.roughness) ** 2 + self.table.repeat_variance
        )
        residual = rows.residual(shapes) - prior @ rows.columns.T - noise
        level = rows.level_centers + prior + rows.conditional_level(residual, sigma)
        return SampledDraws(self, shapes, level, sigma)

    def leave_out(self, fold: NDArray[np.int64]) -> tuple[Float, Float, Float]:
        """Return prediction, variance and log density of each row from the other folds, linked, shape (n,) each.

        Given a particle, levels are refitted exactly without the fold; particles are weighted by the inverse of the
        fold's predictive density (Gelfand 1996, importance-sampling leave-one-out).
        """
        rows = self._rows
        residual, sigma = rows.residual(self.shapes), np.exp(self.log_scatter)
        mean, variance, density = (np.empty(len(fold)) for _ in range(3))
        for k in np.unique(fold):
            out = np.flatnonzero(fold == k)
            predicted, own_variance, joint = rows.leave_out(residual, sigma, out)
            # The density's inverse has heavy tails: weights are truncated (Ionides 2008).
            logs = np.minimum(-joint, 8 - np.median(joint))
            weights = np.exp(logs - logs.max())
            weights = np.minimum(weights, weights.mean() * np.sqrt(len(weights)))
            weights /= weights.sum()
            truth = self.table.values[out]
            middle = weights @ predicted
            mean[out] = middle
            variance[out] = weights @ (own_variance + (predicted - middle) ** 2)
            log_density = -0.5 * ((truth - predicted) ** 2 / own_variance + np.log(own_variance) + _LOG_2PI)
            density[out] = logsumexp(log_density + np.log(weights + 1e-300)[:, None], axis=0)
        return mean, variance, density

    def coefficient_summary(self) -> list[tuple[str, float, float, float, float]]:
        """Return (name, median, lower, upper, share from data) of each reported shape coefficient, natural units."""
        result = []
        shapes, _ = self._wide
        for j, term in enumerate(_shape_terms(self.form, self.design.coordinates)):
            if term.meaning:
                low, middle, high = (float(v) for v in term.natural(np.quantile(shapes[:, j], [0.05, 0.5, 0.95])))
                share = 1 - float(np.std(shapes[:, j])) / term.width
                result.append((term.predictor, middle, low, high, float(np.clip(share, 0.0, 1.0))))
        return result


@dataclass(frozen=True, eq=False)
class SampledDraws:
    """Posterior draws of a sampled fit.

    Args:
        fit: the fit.
        shapes: shape coefficients, shape (S, q).
        level: coefficients of the level, shape (S, p).
        noise: scatter of a measurement in each draw, shape (S,).
    """

    fit: SampledFit
    shapes: Float
    level: Float
    noise: Float

    def smooth(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the linked target without the scatter of measurements, shape (S, n)."""
        del points
        form, coordinates = self.fit.form, self.fit.design.coordinates
        columns, _ = _level_columns(form, coordinates, inputs)
        return np.asarray(_shape_effect(form, coordinates, inputs, self.shapes) + self.level @ columns.T)


class _Rows:
    """Samples of one form with the covariance of the level: predictions given the shape in closed form."""

    def __init__(self, form: FunctionalForm, design: DesignMatrix, table: TrainingData) -> None:
        self.form, self.design, self.table = form, design, table
        self.columns, terms = _level_columns(form, design.coordinates, design.inputs)
        self.level_centers = np.array([form.terms[i].center for i in terms])
        self.level_widths = np.array([form.terms[i].width for i in terms])
        n = len(table.values)
        self.roughness = np.broadcast_to(table.roughness, (n,))
        weighted = self.columns * self.level_widths
        shared = weighted @ weighted.T + np.diag(np.broadcast_to(table.repeat_variance, (n,)))
        values, self.basis = eigh(shared / np.outer(self.roughness, self.roughness))
        self.eigenvalues = np.maximum(values, 0.0)

    def residual(self, shapes: Float) -> Float:
        """Return the values minus shape effect and prior mean of the level, shape (S, n)."""
        effect = _shape_effect(self.form, self.design.coordinates, self.design.inputs, shapes)
        return np.asarray(self.table.values - effect - self.columns @ self.level_centers)

    def log_likelihood(self, residual: Float, sigma: Float) -> Float:
        """Return the log marginal likelihood up to a constant, shape (S,)."""
        variance = sigma[:, None] ** 2 + self.eigenvalues
        whitened = (residual / self.roughness) @ self.basis
        return np.asarray(-0.5 * np.sum(whitened**2 / variance + np.log(variance), axis=1))

    def _solve(self, residual: Float, sigma: Float) -> Float:
        """Return the inverse covariance times residuals, shape (S, n)."""
        whitened = (residual / self.roughness) @ self.basis / (sigma[:, None] ** 2 + self.eigenvalues)
        return np.asarray(whitened @ self.basis.T / self.roughness)

    def conditional_level(self, residual: Float, sigma: Float) -> Float:
        """Return the posterior mean of the level's coefficients minus their prior mean, shape (S, p)."""
        return np.asarray(self._solve(residual, sigma) @ self.columns * self.level_widths**2)

    def leave_out(self, residual: Float, sigma: Float, out: NDArray[np.int64]) -> tuple[Float, Float, Float]:
        """Return prediction and variance, shape (S, b), and joint log density, shape (S,), of rows from the others."""
        pull = self._solve(residual, sigma)[:, out]
        basis = self.basis[out] / self.roughness[out, None]
        precision = np.einsum("bj,sj,cj->sbc", basis, 1 / (sigma[:, None] ** 2 + self.eigenvalues), basis)
        covariance = np.linalg.inv(precision)
        error = np.einsum("sbc,sc->sb", covariance, pull)
        variance = np.maximum(np.einsum("sbb->sb", covariance), 1e-300)
        _, log_determinant = np.linalg.slogdet(precision)
        joint = -0.5 * np.einsum("sb,sb->s", error, pull) + 0.5 * log_determinant - 0.5 * len(out) * _LOG_2PI
        return self.table.values[out] - error, variance, np.asarray(joint)


def sample_form(
    form: FunctionalForm, target: str, coordinates: InputCoordinates, inputs: ScaledInputs, table: TrainingData,
    *, seed: int = 0, n_particles: int | None = None,
) -> SampledFit:  # fmt: skip
    """Sample the posterior of a form's shape and scatter by sequential Monte Carlo.

    Args:
        form: the form; its terms have fixed widths.
        target: the column.
        coordinates: of the samples.
        inputs: the scaled samples.
        table: their values, linked.
        seed: of the particles.
        n_particles: their number; default: 1,024, or 384 for more than 30 rows.
    """
    design = design_matrix(form, coordinates, inputs)
    shapes, log_scatter, evidence = _sample(
        _Rows(form, design, table), design, temperature=1.0, seed=seed, n_particles=n_particles
    )
    central = _central_particle(form, coordinates, inputs, shapes)
    point = np.append(shapes[central], np.median(log_scatter))
    return SampledFit(form, target, design, table, shapes, log_scatter, point, evidence)


def _sample(
    rows: "_Rows", design: DesignMatrix, *, temperature: float, seed: int, n_particles: int | None = None
) -> tuple[Float, Float, float]:
    """Return particles of the shape (N, q) and of the logarithm of the scatter (N,), and the log evidence."""
    terms = _shape_terms(design.form, design.coordinates)
    centers = np.array([*(term.center for term in terms), np.log(_SCATTER)])
    widths = np.array([*(term.width for term in terms), _SCATTER_WIDTH])

    def log_likelihood(state: Float) -> Float:
        sigma = np.exp(np.clip(state[:, -1], -20, 5))
        return rows.log_likelihood(rows.residual(state[:, :-1]), sigma) / temperature

    n = n_particles or (_MANY_PARTICLES if design.inputs.n <= _FEW_ROWS else _FEW_PARTICLES)
    state, evidence = smc_sample(log_likelihood, centers=centers, widths=widths, n=n, rng=np.random.default_rng(seed))
    return state[:, :-1], np.clip(state[:, -1], -20, 5), evidence


def _central_particle(form: FunctionalForm, coordinates: InputCoordinates, inputs: ScaledInputs, shapes: Float) -> int:
    """Return the particle closest to the posterior mean effect at the samples and at recombinations of their knobs."""
    if not shapes.shape[1]:
        return 0
    rng = np.random.default_rng(0)
    scan = _recombined(inputs, rng, n_times=max(1, 60 // inputs.n))
    effect = _shape_effect(form, coordinates, scan, shapes)
    return int(np.argmin(np.sum((effect - effect.mean(axis=0)) ** 2, axis=1)))


def _recombined(inputs: ScaledInputs, rng: np.random.Generator, *, n_times: int) -> ScaledInputs:
    """Return the designs and others that combine the numeric knobs of different rows: designs off the samples' line."""

    def mixed(columns: Mapping[str, Float], picks: Mapping[str, NDArray[np.int64]]) -> dict[str, Float]:
        return {name: np.concatenate([values, values[picks[name]]]) for name, values in columns.items()}

    n, size = inputs.n, inputs.n * n_times
    by_knob = {name: rng.integers(n, size=size) for name in inputs.raw}
    of_quantity = {
        "weights": "pruning_ratio", "clock": "frequency_hz", "voltage": "voltage_v",
        "bits": "quant_step" if "quant_step" in inputs.raw else "weight_bits",
    }  # fmt: skip
    rows = np.tile(np.arange(n), n_times)
    return ScaledInputs(
        {name: np.concatenate([codes, codes[rows]]) for name, codes in inputs.codes.items()},
        mixed(inputs.z, by_knob), mixed(inputs.raw, by_knob),
        mixed(inputs.logs, {name: by_knob[of_quantity[name]] for name in inputs.logs}), n + size,
    )  # fmt: skip


def _shape_terms(form: FunctionalForm, coordinates: InputCoordinates) -> list[Term]:
    return [form.terms[i] for i in term_indices(form, coordinates) if form.terms[i].predictor != "level"]


def _level_columns(
    form: FunctionalForm, coordinates: InputCoordinates, inputs: ScaledInputs
) -> tuple[Float, list[int]]:
    terms = [i for i in term_indices(form, coordinates) if form.terms[i].predictor == "level"]
    blocks = [term.columns(coordinates, inputs) for term in form.terms if term.predictor == "level"]
    return (np.concatenate(blocks, axis=1) if blocks else np.zeros((inputs.n, 0))), terms


def _shape_effect(form: FunctionalForm, coordinates: InputCoordinates, inputs: ScaledInputs, shapes: Float) -> Float:
    """Return the linked target minus its level, shape (S, n), for shape coefficients of shape (S, q)."""
    sums: dict[str, Float] = {"level": np.zeros(1)}
    start = 0
    for name in form.predictors:
        if name == "level":
            continue
        own = [term for term in form.terms if term.predictor == name]
        if any(term.categories or term.powers for term in own):
            block = np.concatenate([term.columns(coordinates, inputs) for term in own], axis=1)
            sums[name] = shapes[:, start : start + block.shape[1]] @ block.T
            start += block.shape[1]
        else:
            sums[name] = shapes[:, start : start + 1]
            start += 1
    return np.asarray(np.broadcast_to(evaluate_form(form, sums, inputs), (len(shapes), inputs.n)))
