"""Student t noise as a scale mixture: rows far from what the others predict count less in all fits."""

from dataclasses import replace

import numpy as np

from explorer.models.fitting.calibration import cliff_knobs
from explorer.models.fitting.gaussian_process import leave_out_prediction
from explorer.models.fitting.mode_fit import form_hyperprior
from explorer.models.forms.candidates import smooth_form
from explorer.models.forms.design_matrix import design_matrix, term_indices
from explorer.models.response.target_data import TargetData, is_predictable
from explorer.problem.columns import Float

_T_FREEDOM = 4.0
_OUTLIER_Z = 5.0
_MIN_ROWS, _MAX_ROWS = 8, 400
_ROWS_PER_EFFECT = 4  # with fewer, what the others predict is too uncertain to call a row far
_ROUNDS = 12
_LARGEST_NOISE = 0.1  # of the standard deviation of the values
_MIN_SCALE = 0.003  # linked: a table without noise has no outliers below two hundredths


def with_robust_noise(target: str, data: TargetData) -> TargetData:
    """Return the data with larger noise for outliers; unchanged if no row is far from what the others predict.

    Expectation maximization for t distributed noise around a smooth curve with a process (Lange, Little and Taylor
    1989): the expected precision of a row with standardized residual z is (v + 1) / (v + z^2) for v degrees of freedom.
    The residuals are leave-one-out and their scale is the median's, so that two outliers side by side do not hide each
    other. A row that is far gets so much noise that its residual is one standard deviation. Beside a cliff of accuracy
    rows scatter: they are the measurement, not outliers.
    """
    n = data.inputs.n
    rows = is_predictable(data, data.fold)
    n_effects = len(data.coordinates.varied) + sum(
        len(data.coordinates.levels[c]) - 1 for c in data.coordinates.categories
    )
    is_enough = _MIN_ROWS <= n <= _MAX_ROWS and rows.sum() >= max(_MIN_ROWS, _ROWS_PER_EFFECT * n_effects)
    if not is_enough or cliff_knobs(target, data.coordinates):
        return data
    roughness, z = np.ones(n), np.zeros(n)
    # Outliers must not make the curve stiff: its noise is bounded.
    largest = max(_LARGEST_NOISE * float(np.std(data.table.values)), _MIN_SCALE)
    scale = largest
    for _ in range(_ROUNDS):
        residual = _residuals(target, data, min(scale, largest), roughness)
        scale = max(1.4826 * float(np.median(np.abs(residual[rows]))), _MIN_SCALE)
        z = np.abs(residual) / scale
        roughness = np.sqrt(np.maximum((_T_FREEDOM + z**2) / (_T_FREEDOM + 1), 1.0))
    is_far = rows & (z > _OUTLIER_Z)
    if not is_far.any():
        return data
    return replace(data, table=replace(data.table, roughness=np.where(is_far, z, 1.0)))


def _residuals(target: str, data: TargetData, scale: float, roughness: Float) -> Float:
    """Return leave-one-out residuals of a smooth form with the prior's widths and lengths, linked, shape (n,)."""
    form = smooth_form(target, data.coordinates, data.table.values)
    design, term = design_matrix(form, data.coordinates, data.inputs), term_indices(form, data.coordinates)
    centers = np.array([form.terms[i].center for i in term])
    prior = form_hyperprior(form, target, data.coordinates, max(float(np.std(data.table.values)), 0.02)).centers
    table = replace(data.table, roughness=roughness)
    columns = design.jacobian(centers)
    mean, _ = leave_out_prediction(
        table, columns, data.table.values - columns @ centers, np.exp(prior.widths)[term],
        scales=replace(prior, noise=float(np.log(scale))), fold=np.arange(data.inputs.n),
    )  # fmt: skip
    return np.asarray(data.table.values - mean)
