"""The posterior of one shape's coefficients given samples: its mode, and its width around the mode."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from explorer.models.parametric.functional_forms import ParametricForm
from explorer.problem.columns import Columns, Float, by_family, take

_MAX_NOISE_ROUNDS = 50
_NOISE_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class Fit:
    """The fitted shape of one target.

    Args:
        shape: what was fitted.
        levels: each family's own level, in the link's scale (flat prior).
        mode: the coefficients at the posterior's mode, each in its own scale, shape (p,).
        covariance: of levels then coefficients around the mode (Laplace), shape (k + p, k + p).
        noise: standard deviation of the scatter, in the link's scale.
        n: number of samples.
    """

    shape: ParametricForm
    levels: dict[str, float]
    mode: Float
    covariance: Float
    noise: float
    n: int

    @property
    def coefficients(self) -> dict[str, float]:
        """The coefficients at the mode, in natural units."""
        return {p.name: float(p.natural(u)) for p, u in zip(self.shape.priors, self.mode, strict=True)}

    @property
    def spreads(self) -> Float:
        """Posterior standard deviation of each coefficient in its own scale, shape (p,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)[len(self.levels) :]))

    @property
    def data_shares(self) -> Float:
        """Share of each coefficient's uncertainty that the data removed, shape (p,): 1 - posterior sd / prior sd."""
        prior = np.array([p.width for p in self.shape.priors])
        return np.asarray(np.clip(1 - self.spreads / prior, 0.0, 1.0), dtype=np.float64)

    def predict(self, relative: Columns, families: NDArray[Any]) -> Float:
        """Return the target of designs relative to their references, shape (n,); NaN for families without data."""
        names, index = by_family(families)
        levels = np.array([self.levels.get(name, np.nan) for name in names])
        return self.shape.unlinked(levels[index] + self.shape.effect(relative, self.coefficients))


def fit_parametric_form(shape: ParametricForm, relative: Columns, family: Sequence[str], values: Float) -> Fit:
    """Find the mode of the posterior of a shape's coefficients, by damped least squares.

    The family levels have flat priors, the coefficients normal ones in their own scale, the noise a scaled inverse
    chi-square; noise and coefficients are updated in turn until neither moves.

    Args:
        shape: the shape.
        relative: samples relative to their references, shape (n,) each.
        family: the samples' families, length n.
        values: the measured target, shape (n,), all finite.
    """
    names = tuple(dict.fromkeys(family))
    n_levels = len(names)
    member = np.array([[name == f for name in names] for f in family], dtype=np.float64).reshape(len(family), n_levels)
    y = shape.linked(values)
    centers = np.array([p.center for p in shape.priors])
    widths = np.array([p.width for p in shape.priors])

    def effect(u: Float) -> Float:
        return shape.effect(relative, {p.name: float(p.natural(v)) for p, v in zip(shape.priors, u, strict=True)})

    start = y - effect(centers)
    state = np.concatenate([member.T @ start / member.sum(axis=0), centers])
    noise = shape.noise.value
    for _ in range(_MAX_NOISE_ROUNDS):

        def residuals(z: Float, noise: float = noise) -> Float:
            misfit = (y - member @ z[:n_levels] - effect(z[n_levels:])) / noise
            return np.concatenate([misfit, (z[n_levels:] - centers) / widths])

        solution = least_squares(residuals, state, method="lm", xtol=1e-12, ftol=1e-12)
        state = solution.x
        misfit = y - member @ state[:n_levels] - effect(state[n_levels:])
        prior = shape.noise
        # The mode of the scaled inverse chi-square posterior; each flat family level takes one degree of freedom.
        freedom = len(y) - n_levels + prior.weight + 2
        updated = float(np.sqrt((misfit @ misfit + prior.weight * prior.value**2) / freedom))
        has_settled = abs(updated - noise) < _NOISE_TOLERANCE
        noise = updated
        if has_settled:
            break
    jacobian = np.asarray(solution.jac, dtype=np.float64)
    covariance = np.asarray(np.linalg.inv(jacobian.T @ jacobian), dtype=np.float64)
    levels = {name: float(level) for name, level in zip(names, state[:n_levels], strict=True)}
    return Fit(shape, levels, state[n_levels:], covariance, noise, len(y))


def fit_measured_rows(shape: ParametricForm, relative: Columns, family: Sequence[str], values: Float) -> Fit | None:
    """Fit a shape to the rows in which its target was measured; None where there is no such row."""
    rows = np.isfinite(values)
    if not rows.any():
        return None
    kept = [f for f, keep in zip(family, rows, strict=True) if keep]
    return fit_parametric_form(shape, take(relative, rows), kept, values[rows])
