"""A learned form: one believed form of a target, fitted to few rows with what it leaves to a process and to luck."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from explorer.models.online.nugget import (
    CorrelationLengths,
    Nugget,
    correlation_lengths,
    fit_nugget,
    nugget_variance,
    roughness,
)
from explorer.models.online.priors import hyperprior
from explorer.models.online.smc import smc_sample
from explorer.models.response.fitting import DesignMatrix, design_matrix, term_indices
from explorer.models.response.forms import FunctionalForm, link
from explorer.models.response.gaussian_process import Hyperparameters, TrainingData, fit_hyperparameters, kernel
from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs
from explorer.models.samples.binomial import clip_shares
from explorer.problem.columns import Float

_PARTICLES, _FEW_PARTICLES = 256, 96  # the few find the place around which the scales are learned
_ROUNDS = 20
# Of many rows an even choice tells the scales as well, which are few numbers: learning them is cubic in rows and done
# over and over, all else that is cubic is done once.
_SCALED = 80
# Assumed: no device and no network follows a smooth law closer than this, whatever few rows say; linked.
_LEAST_SCATTER = {"accuracy": 0.02}
_OTHER_LEAST_SCATTER = 0.003


@dataclass(frozen=True, slots=True, eq=False)
class TargetObservations:
    """What was measured of one target.

    Args:
        target: the column.
        coordinates: of the ground.
        placed: the measured designs.
        table: their values, linked.
        reach: how far luck reaches.
    """

    target: str
    coordinates: InputCoordinates
    placed: ScaledInputs
    table: TrainingData
    reach: CorrelationLengths

    def luck(self, scales: Hyperparameters) -> Nugget:
        """Return what the rows have for themselves."""
        return fit_nugget(self.table, scales, self.reach)

    def covariance(self, scales: Hyperparameters) -> Float:
        """Return the covariance of the rows around the terms: residual process and luck, shape (n, n)."""
        return kernel(self.table.points, self.table.points, scales) + self.luck(scales).covariance


@dataclass(frozen=True, slots=True, eq=False)
class FittedForm:
    """One form of a target as it was learned.

    Args:
        form: the believed form.
        design: the form's columns at the measured designs.
        scales: of residual process and scatter.
        theta: the form's coefficients where its law is not a sum, as particles, shape (k, p); else empty.
        evidence: logarithm of the probability of what was measured.
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
    target: str, values: Float, trials: Float, *, placed: ScaledInputs, coordinates: InputCoordinates
) -> TargetObservations:
    """Return the rows of one target.

    Args:
        target: the column.
        values: what was measured, shape (n,).
        trials: on how many samples each accuracy was counted, shape (n,); 0 where that is not known.
        placed: the measured designs.
        coordinates: of the ground.
    """
    linked = link(target, clip_shares(values, trials) if target == "accuracy" and trials.any() else values)
    table = TrainingData(
        linked, nugget_variance(target, linked, trials), coordinates.points(placed), roughness(target, linked)
    )
    return TargetObservations(target, coordinates, placed, table, correlation_lengths(target, coordinates))


def fit_online_form(form: FunctionalForm, rows: TargetObservations, rng: np.random.Generator) -> FittedForm:
    """Fit a form: in closed form where its terms are summed, else as particles, the scales learned around the best."""
    design = design_matrix(form, rows.coordinates, rows.placed)
    if form.law == "sum":
        scales = _scales(design, rows, _centers(design))
        return FittedForm(form, design, scales, np.zeros((0, len(_centers(design)))), _evidence(design, rows, scales))
    first = hyperprior(form, rows.target, rows.coordinates).centers
    few, _ = _particles(design, rows, first, rng, n=_FEW_PARTICLES)
    scales = _scales(design, rows, _best(few, design, rows, first))
    theta, evidence = _particles(design, rows, scales, rng, n=_PARTICLES)
    return FittedForm(form, design, scales, theta, evidence)


def _centers(design: DesignMatrix) -> Float:
    return np.array([design.form.terms[i].center for i in term_indices(design.form, design.coordinates)])


def _widths(design: DesignMatrix, scales: Hyperparameters) -> Float:
    return np.asarray(np.exp(scales.widths)[term_indices(design.form, design.coordinates)])


def _scales(design: DesignMatrix, rows: TargetObservations, around: Float) -> Hyperparameters:
    """Return the most probable scales with the coefficients integrated out, to first order around some.

    Nugget counts as if every row had its own: rows that are close enough to share it are few when this matters.
    """
    prior = hyperprior(design.form, rows.target, rows.coordinates)
    columns, term = design.jacobian(around), term_indices(design.form, design.coordinates)
    offset = rows.table.values - design.mean(around) + columns @ (around - _centers(design))
    n = len(offset)
    some = np.isin(np.arange(n), np.linspace(0, n - 1, min(n, _SCALED)).astype(np.int64))
    scales = fit_hyperparameters(
        rows.table.rows(some), columns[some], term, offset[some],
        prior=prior, start=prior.centers, rounds=_ROUNDS,
    )  # fmt: skip
    least = float(np.log(_LEAST_SCATTER.get(rows.target, _OTHER_LEAST_SCATTER)))
    return replace(scales, noise=max(scales.noise, least))


def _particles(
    design: DesignMatrix, rows: TargetObservations, scales: Hyperparameters, rng: np.random.Generator, *, n: int
) -> tuple[Float, float]:
    root = cholesky(rows.covariance(scales), lower=True)
    return smc_sample(
        lambda theta: _log_normal(rows.table.values - design.mean(theta), root),
        centers=_centers(design), widths=_widths(design, scales), n=n, rng=rng,
    )  # fmt: skip


def _best(theta: Float, design: DesignMatrix, rows: TargetObservations, scales: Hyperparameters) -> Float:
    root = cholesky(rows.covariance(scales), lower=True)
    likelihood = _log_normal(rows.table.values - design.mean(theta), root)
    return np.asarray(theta[int(np.argmax(likelihood))])


def _evidence(design: DesignMatrix, rows: TargetObservations, scales: Hyperparameters) -> float:
    """Return the logarithm of the marginal likelihood of terms that are summed."""
    columns = design.blocks["level"] * _widths(design, scales)
    gap = rows.table.values - design.mean(_centers(design))
    return float(_log_normal(gap[None, :], cholesky(rows.covariance(scales) + columns @ columns.T, lower=True))[0])


def _log_normal(gaps: Float, root: Float) -> Float:
    """Return the logarithm of normal densities, shape (k,), of rows of shape (k, n); without the constant.

    Args:
        gaps: from the mean.
        root: of the covariance, lower, shape (n, n).
    """
    squares = np.sum(solve_triangular(root, gaps.T, lower=True) ** 2, axis=0)
    return np.asarray(-0.5 * squares - np.sum(np.log(np.diag(root))))
