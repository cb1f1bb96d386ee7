"""Fit of one functional form to samples, and predictions of held-out rows."""

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
_MIN_FREEDOM = 3.0
# Prior mean of the noise (linked): 0.15 in the log-odds of accuracy, 5 % of all other targets.
_NOISE, _DEFAULT_NOISE = {"accuracy": 0.15}, 0.05


@dataclass(frozen=True, slots=True)
class FormFit:
    """Functional form fitted to one target.

    Args:
        form: the functional form.
        target: the column.
        theta: the coefficients, shape (p,).
        scales: hyperparameters: widths, noise and residual process.
    """

    form: FunctionalForm
    target: str
    theta: Float
    scales: Hyperparameters


@dataclass(frozen=True, slots=True)
class DesignMatrix:
    """Columns of a form's terms at designs, as one matrix for each predictor."""

    form: FunctionalForm
    coordinates: InputCoordinates
    inputs: ScaledInputs
    blocks: dict[str, Float]
    slices: dict[str, slice]

    def sums(self, theta: Float) -> dict[str, Float]:
        """Return each predictor, shape (..., n), for coefficients of shape (..., p).

        Under the laws `accuracy_cliff` and `storage`, whose cost is dominated by exponentials, predictors that are
        equal for all designs have shape (..., 1).
        """
        vary = {term.predictor for term in self.form.terms if term.categories or term.powers}
        can_broadcast = self.form.law in {"accuracy_cliff", "storage"}
        return {
            name: theta[..., self.slices[name]] @ (block[:1] if can_broadcast and name not in vary else block).T
            for name, block in self.blocks.items()
        }

    def mean(self, theta: Float) -> Float:
        """Return the linked target, shape (..., n), for coefficients of shape (..., p)."""
        return evaluate_form(self.form, self.sums(theta), self.coordinates, self.inputs)

    def jacobian(self, theta: Float) -> Float:
        """Return the derivative of the linked target with respect to the coefficients, shape (n, p)."""
        if self.form.law == "sum":
            return self.blocks["level"]
        sums = self.sums(theta)
        parts = []
        for name, block in self.blocks.items():
            ahead = evaluate_form(self.form, {**sums, name: sums[name] + _STEP}, self.coordinates, self.inputs)
            behind = evaluate_form(self.form, {**sums, name: sums[name] - _STEP}, self.coordinates, self.inputs)
            parts.append(((ahead - behind) / (2 * _STEP))[:, None] * block)
        return np.concatenate(parts, axis=1)


def design_matrix(form: FunctionalForm, coordinates: InputCoordinates, inputs: ScaledInputs) -> DesignMatrix:
    """Return the columns of a form's terms at designs."""
    blocks, slices, start = {}, {}, 0
    for name in form.predictors:
        block = np.concatenate(
            [term.columns(coordinates, inputs) for term in form.terms if term.predictor == name], axis=1
        )
        blocks[name], slices[name] = block, slice(start, start + block.shape[1])
        start += block.shape[1]
    return DesignMatrix(form, coordinates, inputs, blocks, slices)


def term_indices(form: FunctionalForm, coordinates: InputCoordinates) -> NDArray[np.int64]:
    """Return the index of each coefficient's term, shape (p,), in the order of `DesignMatrix`."""
    order = [i for name in form.predictors for i, term in enumerate(form.terms) if term.predictor == name]
    sizes = [int(np.prod([len(coordinates.levels[c]) for c in form.terms[i].categories])) for i in order]
    return np.repeat(np.array(order), sizes)


def form_hyperprior(form: FunctionalForm, target: str, coordinates: InputCoordinates, spread: float) -> HyperPrior:
    """Return the prior of a form's hyperparameters.

    For `sum` the residual process models a trend: a fifth of the values' standard deviation, over the whole range. For
    the other laws it is small and short-ranged: a trend would distort the law in extrapolation.
    """
    widths = np.log([max(term.width, 1e-9) for term in form.terms])
    size, length = (0.2 * spread, 1.0) if form.law == "sum" else (_NOISE.get(target, _DEFAULT_NOISE), 0.4)
    amplitude = float(np.log(size)) if form.has_process else -np.inf
    noise = float(np.log(_NOISE.get(target, _DEFAULT_NOISE)))
    tie = coordinates.tie
    # Levels of a category have a longer prior length than numbers (assumed).
    lengths = np.log(length * np.where(tie < len(coordinates.varied), 1.0, 1.5))
    is_learned = np.array([term.is_learned for term in form.terms])
    return HyperPrior(Hyperparameters(widths, noise, amplitude, lengths), is_learned, tie)


def fit_form(
    form: FunctionalForm,
    target: str,
    coordinates: InputCoordinates,
    inputs: ScaledInputs,
    table: TrainingData,
    *,
    start: FormFit | None = None,
) -> FormFit:
    """Fit a form by alternating hyperparameters (marginal likelihood, linearized) and coefficients (least squares)."""
    design, term = design_matrix(form, coordinates, inputs), term_indices(form, coordinates)
    centers = np.array([form.terms[i].center for i in term])
    prior = form_hyperprior(form, target, coordinates, max(float(np.std(table.values)), 0.02))
    theta = start.theta if start else centers
    scales = start.scales if start else prior.centers
    if not start and form.law != "sum":
        theta = _fit_coefficients(design, table, centers, term, scales, theta)
    rounds = 1 if form.law == "sum" else _RELINEARIZED if start is None else _RELINEARIZED_AGAIN
    for i in range(rounds):
        columns = design.jacobian(theta)
        offset = table.values - design.mean(theta) + columns @ (theta - centers)
        steps = _LATER_ROUNDS if i or start else _FIRST_ROUNDS
        scales = fit_hyperparameters(table, columns, term, offset, prior=prior, start=scales, rounds=steps)
        theta = _fit_coefficients(design, table, centers, term, scales, theta)
    return FormFit(form, target, theta, scales)


def _fit_coefficients(
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
    inputs: ScaledInputs,
    table: TrainingData,
    fold: NDArray[np.int64],
    *,
    relearn: bool,
) -> tuple[Float, Float]:
    """Return the linked prediction of each fold from the other folds and its variance, shape (n,) each.

    Args:
        fit: the form fitted to all rows.
        coordinates: of all rows.
        inputs: the scaled rows.
        table: the rows' values.
        fold: index of each row's fold, shape (n,).
        relearn: refit the hyperparameters in each fold; otherwise those of the whole table are used.
    """
    term = term_indices(fit.form, coordinates)
    centers = np.array([fit.form.terms[i].center for i in term])
    is_single = len(np.unique(fold)) == len(fold)
    if not relearn and (fit.form.law == "sum" or is_single):
        # One row of many changes the coefficients little, so a linearization around the whole fit suffices.
        design = design_matrix(fit.form, coordinates, inputs)
        columns = design.jacobian(fit.theta)
        offset = table.values - design.mean(fit.theta) + columns @ (fit.theta - centers)
        return leave_out_prediction(
            table, columns, offset, np.exp(fit.scales.widths)[term], scales=fit.scales, fold=fold
        )
    mean, variance = np.empty(len(fold)), np.empty(len(fold))
    for k in np.unique(fold):
        out = fold == k
        train_inputs, train = inputs.rows(~out), table.rows(~out)
        if relearn:
            partial = fit_form(fit.form, fit.target, coordinates, train_inputs, train, start=fit)
        else:
            design = design_matrix(fit.form, coordinates, train_inputs)
            theta = _fit_coefficients(design, train, centers, term, fit.scales, fit.theta)
            partial = FormFit(fit.form, fit.target, theta, fit.scales)
        mean[out], variance[out] = predict_conditional(
            partial, coordinates, train_inputs, train, inputs.rows(out), table.points[out]
        )
        variance[out] += table.repeat_variance[out]
    return mean, variance


def predict_conditional(
    fit: FormFit,
    coordinates: InputCoordinates,
    train_inputs: ScaledInputs,
    train: TrainingData,
    inputs: ScaledInputs,
    points: Float,
) -> tuple[Float, Float]:
    """Return the linked prediction of designs and the variance of a new measurement around it, shape (m,) each.

    To first order in the coefficients (exact for `sum`).
    """
    train_design = design_matrix(fit.form, coordinates, train_inputs)
    design = design_matrix(fit.form, coordinates, inputs)
    widths = np.exp(fit.scales.widths)[term_indices(fit.form, coordinates)]
    train_columns, columns = train_design.jacobian(fit.theta) * widths, design.jacobian(fit.theta) * widths
    covariance = residual_covariance(train, fit.scales)
    cross = kernel(points, train.points, fit.scales)
    mean = design.mean(fit.theta) + cross @ np.linalg.solve(covariance, train.values - train_design.mean(fit.theta))
    shared = cross + columns @ train_columns.T
    explained = np.sum(shared * np.linalg.solve(covariance + train_columns @ train_columns.T, shared.T).T, axis=1)
    amplitude = np.exp(2 * fit.scales.amplitude) if np.isfinite(fit.scales.amplitude) else 0.0
    prior = amplitude + np.sum(columns**2, axis=1)
    return mean, np.maximum(prior - explained, 0.0) + np.exp(2 * fit.scales.noise)


def degrees_of_freedom(fit: FormFit, coordinates: InputCoordinates, inputs: ScaledInputs, table: TrainingData) -> float:
    """Return the residual degrees of freedom: rows minus the effective number of fitted coefficients, at least 3."""
    columns = design_matrix(fit.form, coordinates, inputs).jacobian(fit.theta)
    weighted = columns * np.exp(fit.scales.widths)[term_indices(fit.form, coordinates)]
    covariance = residual_covariance(table, fit.scales)
    noise_variance = np.diag(covariance) - np.diag(kernel(table.points, table.points, fit.scales))
    inverse = np.linalg.inv(covariance + weighted @ weighted.T)
    return max(float(noise_variance @ np.diag(inverse)), _MIN_FREEDOM)
