"""Posterior draws of the online surrogate: functions of the knobs, with the nugget of each design."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtri

from explorer.models.fitting.gaussian_process import kernel
from explorer.models.fitting.process_draws import ProcessDraws
from explorer.models.forms.design_matrix import design_matrix
from explorer.models.forms.forms import unlink
from explorer.models.forms.input_scaling import ScaledInputs
from explorer.models.online.form_fit import FittedForm, TargetObservations
from explorer.models.online.nugget import Nugget, nugget_variance, roughness
from explorer.problem.columns import Float


@dataclass(frozen=True, slots=True, eq=False)
class FormDraws:
    """S posterior draws of one form.

    Args:
        fitted: the form.
        theta: coefficients, shape (S, p).
        process: prior draws of the residual process.
        update: weights of the rows in the update of the process, shape (S, n).
        nugget: of the rows.
        row_nuggets: nugget of the rows in each draw, shape (S, n).
    """

    fitted: FittedForm
    theta: Float
    process: ProcessDraws
    update: Float
    nugget: Nugget
    row_nuggets: Float

    def smooth(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the functions without nugget, linked, shape (S, m)."""
        fitted = self.fitted
        values = design_matrix(fitted.form, fitted.design.coordinates, inputs).mean(self.theta)
        return np.asarray(values + self.process.at(points, self.update))


@dataclass(frozen=True, slots=True, eq=False)
class TargetDraws:
    """Posterior draws of one target from all of its forms.

    Args:
        target: the column.
        parts: draws of each form.
        order: permutation of the draws, so that draws of two targets are paired at random, shape (S,).
        open_nugget: one standard normal a draw, the same for all designs, shape (S,).
        n_counted: number of samples on which accuracy is counted; 0 if unknown.
    """

    target: str
    parts: tuple[FormDraws, ...]
    order: NDArray[np.int64]
    open_nugget: Float
    n_counted: float

    def at(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the target's values, shape (S, m)."""
        ends = np.cumsum([0, *(len(part.theta) for part in self.parts)])
        linked = [
            self._add_nugget(part, part.smooth(inputs, points), points, self.open_nugget[ends[i] : ends[i + 1]])
            for i, part in enumerate(self.parts)
        ]
        return unlink(self.target, np.concatenate(linked)[self.order])

    def _add_nugget(self, part: FormDraws, values: Float, points: Float, open_nugget: Float) -> Float:
        conditional, deviation = part.nugget.condition_on(part.row_nuggets, points)
        mean = values + conditional
        scatter = np.exp(part.fitted.scales.noise) * roughness(self.target, mean)
        size = np.sqrt(scatter**2 + nugget_variance(self.target, mean, self.n_counted))
        return np.asarray(mean + size * open_nugget[:, None] * deviation)


def draw_target(
    rows: TargetObservations,
    forms: Sequence[FittedForm],
    shares: Float,
    *,
    n: int,
    n_counted: float,
    rng: np.random.Generator,
) -> TargetDraws:
    """Return n draws of a target, distributed over its forms by their shares."""
    counts = np.diff(np.round(np.cumsum(shares) * n).astype(np.int64), prepend=0)
    parts = tuple(_draw(one, rows, int(k), rng) for one, k in zip(forms, counts, strict=True) if k)
    # Stratified normals, one from each n-th of the distribution: the tails of few draws do not vary by chance.
    open_nugget = rng.permutation(ndtri((np.arange(n) + 0.5) / n))
    return TargetDraws(rows.target, parts, rng.permutation(n), open_nugget, n_counted)


def _draw(fitted: FittedForm, rows: TargetObservations, n: int, rng: np.random.Generator) -> FormDraws:
    """Return n draws by Matheron's rule (Wilson et al. 2020): prior draws plus an update by their residuals."""
    scales, design, table = fitted.scales, fitted.design, rows.table
    nugget = rows.nugget(scales)
    within = kernel(table.points, table.points, scales)
    covariance = within + nugget.covariance
    process, deviation = ProcessDraws(table.points, scales, n, rng), nugget.sample(n, rng)
    if fitted.form.law == "sum":
        theta = _draw_coefficients(fitted, rows, covariance, process.at_samples + deviation, rng)
    else:
        theta = fitted.theta[rng.permutation(len(fitted.theta))[np.arange(n) % len(fitted.theta)]]
    residual = table.values - design.mean(theta) - process.at_samples
    update = cho_solve(cho_factor(covariance, lower=True), (residual - deviation).T).T
    return FormDraws(fitted, theta, process, update, nugget, residual - update @ within)


def _draw_coefficients(
    fitted: FittedForm, rows: TargetObservations, covariance: Float, deviation: Float, rng: np.random.Generator
) -> Float:
    """Return draws of the coefficients of a sum of terms, shape (n, p).

    Args:
        fitted: the form.
        rows: the measurements, n of them.
        covariance: of the rows around the terms, shape (n, n).
        deviation: prior draws of process and nugget at the rows, shape (number of draws, n).
        rng: random generator.
    """
    columns, widths = fitted.design.blocks["level"], fitted.widths
    prior = fitted.centers + widths * rng.standard_normal((len(deviation), columns.shape[1]))
    weighted = columns * widths
    factor = cho_factor(covariance + weighted @ weighted.T, lower=True)
    residual = rows.table.values - prior @ columns.T - deviation
    return np.asarray(prior + cho_solve(factor, residual.T).T @ columns * widths**2)
