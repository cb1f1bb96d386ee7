"""Laplace approximation of the posterior of the coefficients of one parametric form."""

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
    """Fitted form of one target.

    Args:
        form: the parametric form.
        levels: level of each family on the scale of the link (flat prior).
        mode: coefficients at the posterior mode, each on the scale of its prior, shape (p,).
        covariance: of levels, then coefficients, around the mode (Laplace), shape (k + p, k + p).
        noise: standard deviation of the scatter, on the scale of the link.
        n: number of samples.
    """

    form: ParametricForm
    levels: dict[str, float]
    mode: Float
    covariance: Float
    noise: float
    n: int

    @property
    def coefficients(self) -> dict[str, float]:
        """Coefficients at the mode, in natural units."""
        return {p.name: float(p.natural(u)) for p, u in zip(self.form.priors, self.mode, strict=True)}

    @property
    def spreads(self) -> Float:
        """Posterior standard deviation of each coefficient on the scale of its prior, shape (p,)."""
        return np.asarray(np.sqrt(np.diag(self.covariance)[len(self.levels) :]))

    @property
    def data_shares(self) -> Float:
        """Reduction of each coefficient's uncertainty by the data, shape (p,): 1 - posterior sd / prior sd."""
        prior = np.array([p.width for p in self.form.priors])
        return np.asarray(np.clip(1 - self.spreads / prior, 0.0, 1.0), dtype=np.float64)

    def predict(self, relative: Columns, families: NDArray[Any]) -> Float:
        """Return the target of designs relative to their references, shape (n,); NaN for families without samples."""
        names, index = by_family(families)
        levels = np.array([self.levels.get(name, np.nan) for name in names])
        return self.form.unlinked(levels[index] + self.form.effect(relative, self.coefficients))


def fit_parametric_form(form: ParametricForm, relative: Columns, family: Sequence[str], values: Float) -> Fit:
    """Find the posterior mode of the coefficients of a form, by damped least squares (Levenberg-Marquardt).

    The priors are flat for the family levels, normal for the coefficients, and scaled inverse chi-square for the noise.
    Noise and coefficients are updated in turn until convergence.

    Args:
        form: the form.
        relative: samples relative to their references, shape (n,) each.
        family: the samples' families, length n.
        values: the measured target, shape (n,), all finite.
    """
    names = tuple(dict.fromkeys(family))
    n_levels = len(names)
    member = np.array([[name == f for name in names] for f in family], dtype=np.float64).reshape(len(family), n_levels)
    y = form.linked(values)
    centers = np.array([p.center for p in form.priors])
    widths = np.array([p.width for p in form.priors])

    def effect(u: Float) -> Float:
        return form.effect(relative, {p.name: float(p.natural(v)) for p, v in zip(form.priors, u, strict=True)})

    start = y - effect(centers)
    state = np.concatenate([member.T @ start / member.sum(axis=0), centers])
    noise = form.noise.value
    for _ in range(_MAX_NOISE_ROUNDS):

        def residuals(z: Float, noise: float = noise) -> Float:
            misfit = (y - member @ z[:n_levels] - effect(z[n_levels:])) / noise
            return np.concatenate([misfit, (z[n_levels:] - centers) / widths])

        solution = least_squares(residuals, state, method="lm", xtol=1e-12, ftol=1e-12)
        state = solution.x
        misfit = y - member @ state[:n_levels] - effect(state[n_levels:])
        prior = form.noise
        # Mode of the scaled inverse chi-square posterior; each flat family level takes one degree of freedom.
        degrees = len(y) - n_levels + prior.weight + 2
        updated = float(np.sqrt((misfit @ misfit + prior.weight * prior.value**2) / degrees))
        is_converged = abs(updated - noise) < _NOISE_TOLERANCE
        noise = updated
        if is_converged:
            break
    jacobian = np.asarray(solution.jac, dtype=np.float64)
    covariance = np.asarray(np.linalg.inv(jacobian.T @ jacobian), dtype=np.float64)
    levels = {name: float(level) for name, level in zip(names, state[:n_levels], strict=True)}
    return Fit(form, levels, state[n_levels:], covariance, noise, len(y))


def fit_measured_rows(form: ParametricForm, relative: Columns, family: Sequence[str], values: Float) -> Fit | None:
    """Fit a form to the rows in which its target is measured; return None if there are none."""
    is_finite = np.isfinite(values)
    if not is_finite.any():
        return None
    families = [f for f, is_used in zip(family, is_finite, strict=True) if is_used]
    return fit_parametric_form(form, take(relative, is_finite), families, values[is_finite])
