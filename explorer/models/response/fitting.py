"""Fitting one form to samples, and predicting the rows that a fit has not seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from explorer.models.response.forms import FunctionalForm, evaluate_form
from explorer.models.response.gaussian_process import (
    Hyperparameters,
    HyperPrior,
    TrainingData,
    fit_hyperparameters,
    kernel,
    leave_out_prediction,
    residual_covariance,
    solve_coefficients,
)
from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float

_FIRST_ROUNDS, _LATER_ROUNDS = 60, 15
_RELINEARIZED, _RELINEARIZED_AGAIN = 4, 2
_STEP = 1e-5
_LEAST_FREEDOM = 3.0
# The scatter that is first believed: 5 % of a measured quantity; of accuracy .15 units of log-odds.
_SCATTER = {"accuracy": 0.15}


@dataclass(frozen=True, slots=True)
class FormFit:
    """A form fitted to one target.

    Args:
        form: which form.
        target: which column.
        theta: the coefficients, shape (p,).
        scales: learned widths, scatter and process.
    """

    form: FunctionalForm
    target: str
    theta: Float
    scales: Hyperparameters


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """A form's columns at some designs: one matrix for each predictor."""

    form: FunctionalForm
    coordinates: InputCoordinates
    placed: ScaledInputs
    blocks: dict[str, Float]
    slices: dict[str, slice]

    def sums(self, theta: Float) -> dict[str, Float]:
        """Return each predictor, shape (..., n), of coefficients of shape (..., p).

        In a law, one that is the same for all designs has the shape (..., 1): exponentials are what a law costs.
        """
        vary = {term.predictor for term in self.form.terms if term.categories or term.powers}
        is_law = self.form.law in {"accuracy_cliff", "storage"}
        return {
            name: theta[..., self.slices[name]] @ (block[:1] if is_law and name not in vary else block).T
            for name, block in self.blocks.items()
        }

    def mean(self, theta: Float) -> Float:
        """Return the linked target, shape (..., n), of coefficients of shape (..., p)."""
        return evaluate_form(self.form, self.sums(theta), self.coordinates, self.placed)

    def jacobian(self, theta: Float) -> Float:
        """Return the linked target's derivative in the coefficients of shape (p,), shape (n, p)."""
        if self.form.law == "sum":
            return self.blocks["level"]
        sums = self.sums(theta)
        parts = []
        for name, block in self.blocks.items():
            ahead = evaluate_form(self.form, {**sums, name: sums[name] + _STEP}, self.coordinates, self.placed)
            behind = evaluate_form(self.form, {**sums, name: sums[name] - _STEP}, self.coordinates, self.placed)
            parts.append(((ahead - behind) / (2 * _STEP))[:, None] * block)
        return np.concatenate(parts, axis=1)


def design_matrix(form: FunctionalForm, coordinates: InputCoordinates, placed: ScaledInputs) -> DesignMatrix:
    """Return a form's columns at some designs."""
    blocks, slices, start = {}, {}, 0
    for name in form.predictors:
        block = np.concatenate(
            [term.columns(coordinates, placed) for term in form.terms if term.predictor == name], axis=1
        )
        blocks[name], slices[name] = block, slice(start, start + block.shape[1])
        start += block.shape[1]
    return DesignMatrix(form, coordinates, placed, blocks, slices)


def term_indices(form: FunctionalForm, coordinates: InputCoordinates) -> NDArray[np.int64]:
    """Return which term each coefficient belongs to, shape (p,); predictors in order, as `DesignMatrix` has them."""
    order = [i for name in form.predictors for i, term in enumerate(form.terms) if term.predictor == name]
    sizes = [int(np.prod([len(coordinates.levels[c]) for c in form.terms[i].categories])) for i in order]
    return np.repeat(np.array(order), sizes)


def form_hyperprior(form: FunctionalForm, target: str, coordinates: InputCoordinates, spread: float) -> HyperPrior:
    """Return what is believed of a form's scales.

    Beside terms that are summed the process is a trend of its own: a fifth of the values' spread, over the whole range.
    Beside a law it is what the law leaves, local and small: a trend would bend the law where it must extrapolate.
    """
    widths = np.log([max(term.width, 1e-9) for term in form.terms])
    size, reach = (0.2 * spread, 1.0) if form.law == "sum" else (_SCATTER.get(target, 0.05), 0.4)
    amplitude = float(np.log(size)) if form.has_process else -np.inf
    scatter = float(np.log(_SCATTER.get(target, 0.05)))
    tie = coordinates.tie
    # A category's levels are further apart than the ends of a number.
    lengths = np.log(reach * np.where(tie < len(coordinates.varied), 1.0, 1.5))
    is_learned = np.array([term.is_learned for term in form.terms])
    return HyperPrior(Hyperparameters(widths, scatter, amplitude, lengths), is_learned, tie)


def fit_form(
    form: FunctionalForm,
    target: str,
    coordinates: InputCoordinates,
    placed: ScaledInputs,
    table: TrainingData,
    *,
    start: FormFit | None = None,
) -> FormFit:
    """Fit a form: scales by the marginal likelihood around the coefficients, coefficients by the scales, in turn."""
    design, term = design_matrix(form, coordinates, placed), term_indices(form, coordinates)
    centers = np.array([form.terms[i].center for i in term])
    prior = form_hyperprior(form, target, coordinates, max(float(np.std(table.values)), 0.02))
    theta = start.theta if start else centers
    scales = start.scales if start else prior.centers
    if not start and form.law != "sum":
        theta = _solved(design, table, centers, term, scales, theta)
    rounds = 1 if form.law == "sum" else _RELINEARIZED if start is None else _RELINEARIZED_AGAIN
    for i in range(rounds):
        columns = design.jacobian(theta)
        offset = table.values - design.mean(theta) + columns @ (theta - centers)
        steps = _LATER_ROUNDS if i or start else _FIRST_ROUNDS
        scales = fit_hyperparameters(table, columns, term, offset, prior=prior, start=scales, rounds=steps)
        theta = _solved(design, table, centers, term, scales, theta)
    return FormFit(form, target, theta, scales)


def _solved(
    design: DesignMatrix,
    table: TrainingData,
    centers: Float,
    term: NDArray[np.int64],
    scales: Hyperparameters,
    start: Float,
) -> Float:
    return solve_coefficients(
        table, mean=design.mean, jacobian=design.jacobian, centers=centers,
        widths=np.exp(scales.widths)[term], scales=scales, start=start,
    )  # fmt: skip


def predict_held_out(
    fit: FormFit,
    coordinates: InputCoordinates,
    placed: ScaledInputs,
    table: TrainingData,
    fold: NDArray[np.int64],
    *,
    relearn: bool,
) -> tuple[Float, Float]:
    """Return each fold's linked values as a fit to the others predicts them, with their variance, shape (n,) each.

    Args:
        fit: the form fitted to all rows.
        coordinates: of all rows.
        placed: the rows.
        table: the rows.
        fold: which rows are left out together, shape (n,).
        relearn: learn the scales anew in each fold; of many rows those of the whole table serve to compare forms.
    """
    term = term_indices(fit.form, coordinates)
    centers = np.array([fit.form.terms[i].center for i in term])
    is_single = len(np.unique(fold)) == len(fold)
    if not relearn and (fit.form.law == "sum" or is_single):
        # One row of many hardly moves the coefficients: to first order around the whole fit is enough.
        design = design_matrix(fit.form, coordinates, placed)
        columns = design.jacobian(fit.theta)
        offset = table.values - design.mean(fit.theta) + columns @ (fit.theta - centers)
        return leave_out_prediction(
            table, columns, offset, np.exp(fit.scales.widths)[term], scales=fit.scales, fold=fold
        )
    middle, variance = np.empty(len(fold)), np.empty(len(fold))
    for k in np.unique(fold):
        out = fold == k
        known, asked = placed.rows(~out), placed.rows(out)
        rest = table.rows(~out)
        if relearn:
            partial = fit_form(fit.form, fit.target, coordinates, known, rest, start=fit)
        else:
            theta = _solved(design_matrix(fit.form, coordinates, known), rest, centers, term, fit.scales, fit.theta)
            partial = FormFit(fit.form, fit.target, theta, fit.scales)
        middle[out], variance[out] = predict_conditional(partial, coordinates, known, rest, asked, table.points[out])
        variance[out] += table.repeat_variance[out]
    return middle, variance


def predict_conditional(
    fit: FormFit,
    coordinates: InputCoordinates,
    placed: ScaledInputs,
    table: TrainingData,
    asked: ScaledInputs,
    points: Float,
) -> tuple[Float, Float]:
    """Return the linked prediction of designs and the variance of a new measurement around it, shape (m,) each.

    To first order in the coefficients (exact where terms are summed).
    """
    here, there = design_matrix(fit.form, coordinates, placed), design_matrix(fit.form, coordinates, asked)
    widths = np.exp(fit.scales.widths)[term_indices(fit.form, coordinates)]
    own, other = here.jacobian(fit.theta) * widths, there.jacobian(fit.theta) * widths
    around = residual_covariance(table, fit.scales)
    across = kernel(points, table.points, fit.scales)
    middle = there.mean(fit.theta) + across @ np.linalg.solve(around, table.values - here.mean(fit.theta))
    shared = across + other @ own.T
    explained = np.sum(shared * np.linalg.solve(around + own @ own.T, shared.T).T, axis=1)
    amplitude = np.exp(2 * fit.scales.amplitude) if np.isfinite(fit.scales.amplitude) else 0.0
    prior = amplitude + np.sum(other**2, axis=1)
    return middle, np.maximum(prior - explained, 0.0) + np.exp(2 * fit.scales.noise)


def degrees_of_freedom(fit: FormFit, coordinates: InputCoordinates, placed: ScaledInputs, table: TrainingData) -> float:
    """Return how many rows are left to tell the size of the deviations once the coefficients are paid for."""
    columns = design_matrix(fit.form, coordinates, placed).jacobian(fit.theta)
    weighted = columns * np.exp(fit.scales.widths)[term_indices(fit.form, coordinates)]
    around = residual_covariance(table, fit.scales)
    own = np.diag(around) - np.diag(kernel(table.points, table.points, fit.scales))
    inverse = np.linalg.inv(around + weighted @ weighted.T)
    return max(float(own @ np.diag(inverse)), _LEAST_FREEDOM)
