"""Fit of a form at the mode of its posterior: predictions, draws and predictions of held-out rows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.special import gammaln

from explorer.models.fitting.gaussian_process import (
    Hyperparameters,
    HyperPrior,
    TrainingData,
    fit_hyperparameters,
    kernel,
    leave_out_prediction,
    residual_covariance,
    solve_coefficients,
)
from explorer.models.fitting.process_draws import ProcessDraws
from explorer.models.forms.design_matrix import DesignMatrix, design_matrix, term_indices
from explorer.models.forms.forms import FunctionalForm, natural_unit
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative, share_range

_MAX_SCALE_ROWS = 200
_FIRST_ROUNDS, _LATER_ROUNDS, _HELD_OUT_ROUNDS = 60, 15, 25
_RELINEARIZED, _RELINEARIZED_AGAIN = 4, 2
_MIN_FREEDOM = 3.0
# Prior mean of the noise (linked): 0.15 in the log-odds of shares, 5 % of positive targets.
_SHARE_NOISE, _DEFAULT_NOISE = 0.15, 0.05


@dataclass(frozen=True, eq=False)
class ModeFit:
    """Form fitted at the mode of its posterior, with a normal approximation around it (exact for `sum`).

    Args:
        form: the functional form.
        target: the column.
        design: the form's columns at the samples.
        table: the samples.
        theta: the coefficients, shape (p,).
        scales: hyperparameters: widths, noise and residual process.
    """

    form: FunctionalForm
    target: str
    design: DesignMatrix
    table: TrainingData
    theta: Float
    scales: Hyperparameters

    @property
    def noise(self) -> float:
        """Standard deviation of a measurement around the form, linked, in excess of that of repeats."""
        return float(np.exp(self.scales.noise))

    @property
    def has_process(self) -> bool:
        """True with a residual process."""
        return bool(np.isfinite(self.scales.amplitude))

    def linked(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the linked prediction of designs, shape (n,)."""
        mean = design_matrix(self.form, self.design.coordinates, inputs).mean(self.theta)
        if not self.has_process:
            return np.asarray(mean)
        return np.asarray(mean + kernel(points, self.table.points, self.scales) @ self._process_weights)

    @cached_property
    def _process_weights(self) -> Float:
        """Weight of each sample in the predictive mean of the residual process, shape (n,)."""
        covariance = residual_covariance(self.table, self.scales)
        residual = self.table.values - self.design.mean(self.theta)
        return np.asarray(cho_solve(cho_factor(covariance, lower=True), residual))

    @cached_property
    def freedom(self) -> float:
        """Residual degrees of freedom: rows minus the effective number of fitted coefficients, at least 3."""
        weighted = self.design.jacobian(self.theta) * self.widths
        covariance = residual_covariance(self.table, self.scales)
        noise_variance = np.diag(covariance) - np.diag(kernel(self.table.points, self.table.points, self.scales))
        inverse = np.linalg.inv(covariance + weighted @ weighted.T)
        return max(float(noise_variance @ np.diag(inverse)), _MIN_FREEDOM)

    @property
    def widths(self) -> Float:
        """Prior width of each coefficient."""
        return np.asarray(np.exp(self.scales.widths)[term_indices(self.form, self.design.coordinates)])

    def draw(self, n: int, rng: np.random.Generator) -> "ModeDraws":
        """Return n posterior draws by Matheron's rule.

        A prior draw of coefficients, process and noise, updated by its residuals at the samples (Wilson et al. 2020,
        "Efficiently sampling functions from Gaussian process posteriors"). Exact for `sum`, to first order around the
        mode for the other laws; see `ProcessDraws` for the process.
        """
        table, design, term = self.table, self.design, term_indices(self.form, self.design.coordinates)
        centers, widths = np.array([self.form.terms[i].center for i in term]), self.widths
        covariance = residual_covariance(table, self.scales)
        noise_covariance = covariance - kernel(table.points, table.points, self.scales)
        columns = design.jacobian(self.theta)
        weighted = columns * widths
        whole = cho_factor(covariance + weighted @ weighted.T, lower=True)
        process = ProcessDraws(table.points, self.scales, n, rng)
        noise = rng.standard_normal((n, len(table.values))) * np.sqrt(np.diag(noise_covariance))
        prior_theta = centers + widths * rng.standard_normal((n, len(centers)))
        tangent = table.values - design.mean(self.theta) + columns @ self.theta
        prior_residual = tangent - prior_theta @ columns.T - process.at_samples - noise
        theta = prior_theta + cho_solve(whole, prior_residual.T).T @ columns * widths**2
        mean = theta @ columns.T if self.form.law == "sum" else design.mean(theta)
        update = cho_solve(cho_factor(covariance, lower=True), (table.values - mean - process.at_samples - noise).T).T
        stretch = np.sqrt(self.freedom / rng.chisquare(self.freedom, n))
        return ModeDraws(self, theta, process, update, stretch)

    def leave_out(self, fold: NDArray[np.int64], *, relearn: bool = False) -> tuple[Float, Float, Float]:
        """Return prediction, variance and log density of each row from the other folds, linked, shape (n,) each.

        Args:
            fold: index of each row's fold, shape (n,).
            relearn: refit the hyperparameters in each fold; otherwise those of the whole table are used.
        """
        mean, variance = _predict_held_out(self, fold, relearn=relearn)
        return mean, variance, _log_student_t((self.table.values - mean) / np.sqrt(variance), variance, self.freedom)


@dataclass(frozen=True, eq=False)
class ModeDraws:
    """Posterior draws of a fit at its mode, S functions of the knobs.

    Args:
        fit: the fit.
        theta: coefficients, shape (S, p).
        process: prior draws of the residual process.
        update: weights of the samples in Matheron's rule, shape (S, n).
        stretch: factor on all deviations per draw: their size is uncertain with few rows (Student t), shape (S,).
    """

    fit: ModeFit
    theta: Float
    process: ProcessDraws
    update: Float
    stretch: Float

    @property
    def noise(self) -> Float:
        """Scatter of a measurement in each draw, linked, shape (S,)."""
        return np.asarray(self.fit.noise * self.stretch)

    def smooth(self, inputs: ScaledInputs, points: Float) -> Float:
        """Return the linked target without the scatter of measurements, shape (S, n)."""
        fit = self.fit
        values = design_matrix(fit.form, fit.design.coordinates, inputs).mean(self.theta)
        if fit.has_process:
            values = values + self.process.at(points, self.update)
        middle = fit.linked(inputs, points)
        return np.asarray(middle + self.stretch[:, None] * (values - middle))


def _log_student_t(z: Float, variance: Float, freedom: float) -> Float:
    """Return log densities of Student's t, shape (n,); scipy.stats takes half a second to import."""
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi)
    return np.asarray(constant - 0.5 * np.log(variance) - 0.5 * (freedom + 1) * np.log1p(z**2 / freedom))


def form_hyperprior(form: FunctionalForm, target: str, coordinates: InputCoordinates, spread: float) -> HyperPrior:
    """Return the prior of a form's hyperparameters.

    For `sum` the residual process models a trend: a fifth of the values' standard deviation, over the whole range. For
    the other laws it is small and short-ranged: a trend would distort the law in extrapolation.
    """
    widths = np.log([max(term.width, 1e-9) for term in form.terms])
    scatter = _SHARE_NOISE if share_range(target) else _DEFAULT_NOISE if is_relative(target) else 0.05 * spread
    size, length = (0.2 * spread, 1.0) if form.law == "sum" else (scatter, 0.4)
    amplitude = float(np.log(size)) if form.has_process else -np.inf
    noise = float(np.log(scatter))
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
    start: ModeFit | None = None,
    first_rounds: int = _FIRST_ROUNDS,
) -> ModeFit:
    """Fit a form by alternating hyperparameters (marginal likelihood, linearized) and coefficients (least squares).

    Hyperparameters are few numbers and are fitted to at most `_MAX_SCALE_ROWS` rows: each iteration is cubic in them.
    """
    design, term = design_matrix(form, coordinates, inputs), term_indices(form, coordinates)
    centers = np.array([form.terms[i].center for i in term])
    prior = form_hyperprior(
        form, target, coordinates, max(float(np.std(table.values)), 0.02 * natural_unit(target, table.values))
    )
    theta = start.theta if start else centers
    scales = start.scales if start else prior.centers
    if not start and form.law != "sum":
        theta = _fit_coefficients(design, table, scales, theta)
    rounds = 1 if form.law == "sum" else _RELINEARIZED if start is None else _RELINEARIZED_AGAIN
    rows = np.zeros(inputs.n, dtype=np.bool_)
    rows[np.linspace(0, inputs.n - 1, min(inputs.n, _MAX_SCALE_ROWS)).astype(np.int64)] = True
    for i in range(rounds):
        columns = design.jacobian(theta)
        offset = table.values - design.mean(theta) + columns @ (theta - centers)
        steps = _LATER_ROUNDS if i or start else first_rounds
        scales = fit_hyperparameters(
            table.rows(rows), columns[rows], term, offset[rows], prior=prior, start=scales, rounds=steps
        )
        theta = _fit_coefficients(design, table, scales, theta)
    return ModeFit(form, target, design, table, theta, scales)


def _fit_coefficients(design: DesignMatrix, table: TrainingData, scales: Hyperparameters, start: Float) -> Float:
    term = term_indices(design.form, design.coordinates)
    centers, widths = np.array([design.form.terms[i].center for i in term]), np.exp(scales.widths)[term]
    if design.form.law == "sum":
        columns = design.blocks["level"]
        weighted = columns * widths
        covariance = residual_covariance(table, scales) + weighted @ weighted.T
        residual = table.values - columns @ centers
        return np.asarray(centers + widths * (weighted.T @ cho_solve(cho_factor(covariance, lower=True), residual)))
    return solve_coefficients(
        table, mean=design.mean, jacobian=design.jacobian, centers=centers, widths=widths, scales=scales, start=start
    )


def _predict_held_out(fit: ModeFit, fold: NDArray[np.int64], *, relearn: bool) -> tuple[Float, Float]:
    """Return the linked prediction of each fold from the other folds and its variance, shape (n,) each."""
    design, table, coordinates = fit.design, fit.table, fit.design.coordinates
    term = term_indices(fit.form, coordinates)
    centers = np.array([fit.form.terms[i].center for i in term])
    is_single = len(np.unique(fold)) == len(fold)
    if not relearn and (fit.form.law == "sum" or is_single):
        # One row of many changes the coefficients little, so a linearization around the whole fit suffices.
        columns = design.jacobian(fit.theta)
        offset = table.values - design.mean(fit.theta) + columns @ (fit.theta - centers)
        return leave_out_prediction(
            table, columns, offset, np.exp(fit.scales.widths)[term], scales=fit.scales, fold=fold
        )
    mean, variance = np.empty(len(fold)), np.empty(len(fold))
    for k in np.unique(fold):
        out = fold == k
        train_inputs, train = design.inputs.rows(~out), table.rows(~out)
        if relearn:
            partial = fit_form(fit.form, fit.target, coordinates, train_inputs, train, first_rounds=_HELD_OUT_ROUNDS)
        else:
            partial_design = design_matrix(fit.form, coordinates, train_inputs)
            theta = _fit_coefficients(partial_design, train, fit.scales, fit.theta)
            partial = ModeFit(fit.form, fit.target, partial_design, train, theta, fit.scales)
        mean[out], variance[out] = predict_conditional(partial, design.inputs.rows(out), table.points[out])
        variance[out] += table.repeat_variance[out]
    return mean, variance


def predict_conditional(fit: ModeFit, inputs: ScaledInputs, points: Float) -> tuple[Float, Float]:
    """Return the linked prediction of designs and the variance of a new measurement around it, shape (m,) each.

    To first order in the coefficients (exact for `sum`).
    """
    train, widths = fit.table, fit.widths
    design = design_matrix(fit.form, fit.design.coordinates, inputs)
    train_columns, columns = fit.design.jacobian(fit.theta) * widths, design.jacobian(fit.theta) * widths
    covariance = residual_covariance(train, fit.scales)
    cross = kernel(points, train.points, fit.scales)
    mean = design.mean(fit.theta) + cross @ np.linalg.solve(covariance, train.values - fit.design.mean(fit.theta))
    shared = cross + columns @ train_columns.T
    explained = np.sum(shared * np.linalg.solve(covariance + train_columns @ train_columns.T, shared.T).T, axis=1)
    amplitude = np.exp(2 * fit.scales.amplitude) if fit.has_process else 0.0
    prior = amplitude + np.sum(columns**2, axis=1)
    return mean, np.maximum(prior - explained, 0.0) + np.exp(2 * fit.scales.noise)
