"""Fit of one prior form of a target to few rows, with residual process and nugget."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from explorer.models.fitting.gaussian_process import Hyperparameters, TrainingData, fit_hyperparameters, kernel
from explorer.models.fitting.smc import smc_sample
from explorer.models.forms.design_matrix import DesignMatrix, design_matrix, term_indices
from explorer.models.forms.forms import FunctionalForm, link
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.models.online.nugget import (
    CorrelationLengths,
    Nugget,
    correlation_lengths,
    fit_nugget,
    nugget_variance,
    roughness,
)
from explorer.models.online.priors import hyperprior
from explorer.models.samples.binomial import clip_shares
from explorer.problem.columns import Float
from explorer.problem.targets import share_range

_PARTICLES, _FEW_PARTICLES = 256, 96  # the few give the coefficients around which the scales are fitted
_ROUNDS = 20
# The scales are few numbers and are fitted to at most so many rows, evenly chosen: each of the many iterations is cubic
# in the number of rows. All other cubic steps run once.
_MAX_SCALE_ROWS = 80
# Assumed lower bound of the scatter, linked: no device or network is smoother, even if few rows suggest it.
_MIN_SHARE_SCATTER, _DEFAULT_MIN_SCATTER = 0.02, 0.003


@dataclass(frozen=True, slots=True, eq=False)
class TargetObservations:
    """Measured values of one target.

    Args:
        target: the column.
        coordinates: of the input space.
        inputs: the measured designs.
        table: their values, linked.
        lengths: correlation lengths of the nugget.
    """

    target: str
    coordinates: InputCoordinates
    inputs: ScaledInputs
    table: TrainingData
    lengths: CorrelationLengths

    def nugget(self, scales: Hyperparameters) -> Nugget:
        """Return the nugget of the rows."""
        return fit_nugget(self.table, scales, self.lengths)

    def covariance(self, scales: Hyperparameters) -> Float:
        """Return the covariance of the rows around the terms: residual process and nugget, shape (n, n)."""
        return kernel(self.table.points, self.table.points, scales) + self.nugget(scales).covariance


@dataclass(frozen=True, slots=True, eq=False)
class FittedForm:
    """Fit of one form of a target.

    Args:
        form: the prior form.
        design: the form's columns at the measured designs.
        scales: of residual process and scatter.
        theta: particles of the coefficients, shape (k, p); empty if the law is a sum.
        evidence: log marginal likelihood of the measurements.
    """

    form: FunctionalForm
    design: DesignMatrix
    scales: Hyperparameters
    theta: Float
    evidence: float

    @property
    def centers(self) -> Float:
        """Prior means of the coefficients, shape (p,)."""
        return _centers(self.design)

    @property
    def widths(self) -> Float:
        """Prior standard deviations of the coefficients, shape (p,)."""
        return _widths(self.design, self.scales)


def make_observations(
    target: str, values: Float, n_counted: Float, *, inputs: ScaledInputs, coordinates: InputCoordinates
) -> TargetObservations:
    """Return the observations of one target, linked, with their variances.

    Args:
        target: the column.
        values: measured values, shape (n,).
        n_counted: number of samples on which each accuracy was counted, shape (n,); 0 if unknown.
        inputs: the measured designs.
        coordinates: of the input space.
    """
    linked = link(target, clip_shares(values, n_counted) if target == "accuracy" and n_counted.any() else values)
    table = TrainingData(
        linked, nugget_variance(target, linked, n_counted), coordinates.points(inputs), roughness(target, linked)
    )
    return TargetObservations(target, coordinates, inputs, table, correlation_lengths(target, coordinates))


def fit_online_form(form: FunctionalForm, rows: TargetObservations, rng: np.random.Generator) -> FittedForm:
    """Fit a form: a sum of terms in closed form, any other law by particles with scales fitted around the best."""
    design = design_matrix(form, rows.coordinates, rows.inputs)
    if form.law == "sum":
        scales = _fit_scales(design, rows, _centers(design))
        return FittedForm(
            form, design, scales, np.zeros((0, len(_centers(design)))), _log_evidence(design, rows, scales)
        )
    prior_scales = hyperprior(form, rows.target, rows.coordinates).centers
    few, _ = _sample_particles(design, rows, prior_scales, rng, n=_FEW_PARTICLES)
    scales = _fit_scales(design, rows, _best_particle(few, design, rows, prior_scales))
    theta, evidence = _sample_particles(design, rows, scales, rng, n=_PARTICLES)
    return FittedForm(form, design, scales, theta, evidence)


def _centers(design: DesignMatrix) -> Float:
    return np.array([design.form.terms[i].center for i in term_indices(design.form, design.coordinates)])


def _widths(design: DesignMatrix, scales: Hyperparameters) -> Float:
    return np.asarray(np.exp(scales.widths)[term_indices(design.form, design.coordinates)])


def _fit_scales(design: DesignMatrix, rows: TargetObservations, around: Float) -> Hyperparameters:
    """Return the most probable scales, with the coefficients integrated out to first order around given ones.

    The nugget of each row counts as independent: with few rows, few are close enough to share it.
    """
    prior = hyperprior(design.form, rows.target, rows.coordinates)
    columns, term = design.jacobian(around), term_indices(design.form, design.coordinates)
    offset = rows.table.values - design.mean(around) + columns @ (around - _centers(design))
    n = len(offset)
    chosen = np.isin(np.arange(n), np.linspace(0, n - 1, min(n, _MAX_SCALE_ROWS)).astype(np.int64))
    scales = fit_hyperparameters(
        rows.table.rows(chosen), columns[chosen], term, offset[chosen],
        prior=prior, start=prior.centers, rounds=_ROUNDS,
    )  # fmt: skip
    lowest = float(np.log(_MIN_SHARE_SCATTER if share_range(rows.target) else _DEFAULT_MIN_SCATTER))
    return replace(scales, noise=max(scales.noise, lowest))


def _sample_particles(
    design: DesignMatrix, rows: TargetObservations, scales: Hyperparameters, rng: np.random.Generator, *, n: int
) -> tuple[Float, float]:
    root = cholesky(rows.covariance(scales), lower=True)
    return smc_sample(
        lambda theta: _log_normal_density(rows.table.values - design.mean(theta), root),
        centers=_centers(design), widths=_widths(design, scales), n=n, rng=rng,
    )  # fmt: skip


def _best_particle(theta: Float, design: DesignMatrix, rows: TargetObservations, scales: Hyperparameters) -> Float:
    root = cholesky(rows.covariance(scales), lower=True)
    likelihood = _log_normal_density(rows.table.values - design.mean(theta), root)
    return np.asarray(theta[int(np.argmax(likelihood))])


def _log_evidence(design: DesignMatrix, rows: TargetObservations, scales: Hyperparameters) -> float:
    """Return the log marginal likelihood of a sum of terms."""
    columns = design.blocks["level"] * _widths(design, scales)
    residual = rows.table.values - design.mean(_centers(design))
    return float(
        _log_normal_density(residual[None, :], cholesky(rows.covariance(scales) + columns @ columns.T, lower=True))[0]
    )


def _log_normal_density(residuals: Float, root: Float) -> Float:
    """Return log normal densities up to a constant, shape (k,).

    Args:
        residuals: from the mean, shape (k, n).
        root: lower Cholesky root of the covariance, shape (n, n).
    """
    squares = np.sum(solve_triangular(root, residuals.T, lower=True) ** 2, axis=0)
    return np.asarray(-0.5 * squares - np.sum(np.log(np.diag(root))))
