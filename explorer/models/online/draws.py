"""Draws of what was learned: functions of the knobs that could be the truth, with the luck that designs may have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import ndtri

from explorer.models.online.form_fit import FittedForm, TargetObservations
from explorer.models.online.nugget import Nugget, nugget_variance, roughness
from explorer.models.response.fitting import design_matrix
from explorer.models.response.forms import unlink
from explorer.models.response.gaussian_process import Hyperparameters, kernel
from explorer.models.response.input_scaling import ScaledInputs
from explorer.problem.columns import Float

_COSINES = 160  # that stand for a draw of the residual process


@dataclass(frozen=True, slots=True, eq=False)
class FormDraws:
    """Draws of one form, S of them.

    Args:
        learned: the form.
        theta: coefficients, shape (S, p).
        frequencies: of the cosines that make the residual process, shape (d, m).
        phases: shape (m,).
        amplitudes: shape (S, m).
        pull: what the rows add to the process, shape (S, n).
        luck: of the rows.
        found: how much luck the rows had in each draw, shape (S, n).
    """

    learned: FittedForm
    theta: Float
    frequencies: Float
    phases: Float
    amplitudes: Float
    pull: Float
    luck: Nugget
    found: Float

    def function(self, placed: ScaledInputs, points: Float) -> Float:
        """Return the functions without luck, linked, shape (S, m)."""
        learned = self.learned
        values = design_matrix(learned.form, learned.design.coordinates, placed).mean(self.theta)
        values = values + self.amplitudes @ _cosines(points, self.frequencies, self.phases).T
        return np.asarray(values + self.pull @ kernel(self.luck.points, points, learned.scales))


@dataclass(frozen=True, slots=True, eq=False)
class TargetDraws:
    """Draws of one target from all of its forms.

    Args:
        target: the column.
        parts: draws of each form.
        order: shuffles them, so that draws of two targets meet by chance, shape (S,).
        open_luck: one standard normal a draw, the same for all designs, shape (S,).
        trials: on how many samples accuracy is counted; 0 where that is not known.
    """

    target: str
    parts: tuple[FormDraws, ...]
    order: NDArray[np.int64]
    open_luck: Float
    trials: float

    def at(self, placed: ScaledInputs, points: Float) -> Float:
        """Return the target's values, shape (S, m)."""
        ends = np.cumsum([0, *(len(part.theta) for part in self.parts)])
        linked = [
            self._with_luck(part, part.function(placed, points), points, self.open_luck[ends[i] : ends[i + 1]])
            for i, part in enumerate(self.parts)
        ]
        return unlink(self.target, np.concatenate(linked)[self.order])

    def _with_luck(self, part: FormDraws, values: Float, points: Float, open_luck: Float) -> Float:
        near, left = part.luck.near(points, part.found)
        likely = values + near
        scatter = np.exp(part.learned.scales.noise) * roughness(self.target, likely)
        size = np.sqrt(scatter**2 + nugget_variance(self.target, likely, self.trials))
        return np.asarray(likely + size * open_luck[:, None] * left)


def draw_target(
    rows: TargetObservations,
    forms: Sequence[FittedForm],
    shares: Float,
    *,
    n: int,
    trials: float,
    rng: np.random.Generator,
) -> TargetDraws:
    """Return n draws of a target, from each form by its share."""
    counts = np.diff(np.round(np.cumsum(shares) * n).astype(np.int64), prepend=0)
    parts = tuple(_draw(one, rows, int(k), rng) for one, k in zip(forms, counts, strict=True) if k)
    # One normal from each n-th of the distribution: what may come out best is not left to chance.
    open_luck = rng.permutation(ndtri((np.arange(n) + 0.5) / n))
    return TargetDraws(rows.target, parts, rng.permutation(n), open_luck, trials)


def _draw(learned: FittedForm, rows: TargetObservations, n: int, rng: np.random.Generator) -> FormDraws:
    """Draw by Matheron's rule: a draw from before the data, moved by what the data then lacks (see `draw_response`)."""
    scales, design, table = learned.scales, learned.design, rows.table
    luck = rows.luck(scales)
    within = kernel(table.points, table.points, scales)
    around = within + luck.covariance
    frequencies, phases, amplitudes = _prior_process(table.points.shape[1], scales, n, rng)
    process, chance = amplitudes @ _cosines(table.points, frequencies, phases).T, luck.drawn(n, rng)
    if learned.form.law == "sum":
        theta = _coefficients(learned, rows, around, process + chance, rng)
    else:
        theta = learned.theta[rng.permutation(len(learned.theta))[np.arange(n) % len(learned.theta)]]
    left = table.values - design.mean(theta) - process
    pull = cho_solve(cho_factor(around, lower=True), (left - chance).T).T
    return FormDraws(learned, theta, frequencies, phases, amplitudes, pull, luck, left - pull @ within)


def _coefficients(
    learned: FittedForm, rows: TargetObservations, around: Float, beside: Float, rng: np.random.Generator
) -> Float:
    """Draw the coefficients of terms that are summed, shape (n, p)."""
    columns, widths = learned.design.blocks["level"], learned.widths
    before = learned.centers + widths * rng.standard_normal((len(beside), columns.shape[1]))
    weighted = columns * widths
    whole = cho_factor(around + weighted @ weighted.T, lower=True)
    lacking = rows.table.values - before @ columns.T - beside
    return np.asarray(before + cho_solve(whole, lacking.T).T @ columns * widths**2)


def _prior_process(d: int, scales: Hyperparameters, n: int, rng: np.random.Generator) -> tuple[Float, Float, Float]:
    """Return cosines whose random sums have the process's covariance: Matern 5/2 is t-distributed in frequency."""
    heavy = np.sqrt(5 / rng.chisquare(5, _COSINES))
    frequencies = rng.standard_normal((d, _COSINES)) * heavy / np.exp(scales.lengths)[:, None]
    phases = rng.uniform(0, 2 * np.pi, _COSINES)
    size = np.exp(scales.amplitude) * np.sqrt(2 / _COSINES)
    return frequencies, phases, size * rng.standard_normal((n, _COSINES))


def _cosines(points: Float, frequencies: Float, phases: Float) -> Float:
    return np.asarray(np.cos(points @ frequencies + phases))
