"""Fitted numbers of a target from a file, and the response that they restore."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import WrongUsage
from explorer.models.fitting.calibration import (
    EdgeUncertainty,
    InterpolationUncertainty,
    IntervalInflation,
)
from explorer.models.fitting.gaussian_process import Hyperparameters
from explorer.models.fitting.mode_fit import ModeFit
from explorer.models.fitting.sampled_fit import sample_form
from explorer.models.fitting.threads import one_thread
from explorer.models.forms.candidates import candidate_forms
from explorer.models.forms.design_matrix import design_matrix
from explorer.models.forms.forms import FunctionalForm
from explorer.models.response.average_calibration import outlier_roughness
from explorer.models.response.response import CandidateForm, FormFit, HeldOutRows, Response
from explorer.models.response.target_data import TargetData, prepare_target
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float


@dataclass(frozen=True, slots=True)
class StoredFit:
    """Fitted numbers of one form, from a file.

    Args:
        form: its name.
        weight: in the average.
        theta: coefficients of a fit at its mode, shape (p,); None for a sampled one.
        scales: hyperparameters of a fit at its mode; None for a sampled one.
        point: of a sampled fit, shape (q + 1,); None for a fit at its mode.
    """

    form: str
    weight: float
    theta: Float | None
    scales: Hyperparameters | None
    point: Float | None


@dataclass(frozen=True, slots=True)
class StoredResponse:
    """Fitted numbers of one target, from a file; see `Response`."""

    fits: tuple[StoredFit, ...]
    roughness: Float
    slopes: Float
    offset: float
    widening: IntervalInflation
    interpolation: InterpolationUncertainty
    edge: EdgeUncertainty
    candidates: tuple[CandidateForm, ...]
    checked: CandidateForm
    middle: Float
    sd: Float


def restore_response(
    target: str,
    designs: Columns,
    values: Float,
    stored: StoredResponse,
    *,
    knobs: Sequence[KnobSpec],
    groups: NDArray[Any] | None = None,
    n_counted: Float | None = None,
    deviations: Float | None = None,
) -> Response:
    """Return a response from its samples and fitted numbers, as `fit_response` returned it.

    Sampled forms are sampled again with the same seed; their predictions come from the stored point.

    Raises:
        WrongUsage: the numbers do not fit the forms of these samples.
    """
    counted = (
        np.nan_to_num(np.asarray(n_counted)) if n_counted is not None and n_counted.size else np.zeros(len(values))
    )
    with one_thread():
        data = prepare_target(target, designs, values, knobs, groups, counted, deviations)
        if len(stored.middle) != len(data.rows) or len(stored.roughness) not in (0, data.inputs.n):
            raise WrongUsage(f"{target}: the stored predictions are not of these rows", fix="fit the samples again")
        if stored.roughness.size:
            data = replace(data, table=replace(data.table, roughness=stored.roughness))
        if stored.slopes.size:
            if stored.slopes.shape != data.table.points.shape[1:]:
                raise WrongUsage(f"{target}: the slopes of the noise are of other knobs", fix="fit the samples again")
            data = replace(data, table=replace(data.table, slopes=stored.slopes, offset=stored.offset))
        forms = {f.name: f for f in candidate_forms(target, data.coordinates, data.table.values, data.inputs)}
        fits = tuple(_restore_fit(target, one, forms.get(one.form), data) for one in stored.fits)
    weights = np.array([one.weight for one in stored.fits])
    roughness = outlier_roughness(data.table)
    return Response(
        target, tuple(knobs), data.coordinates, data.samples, data.counts, data.table, data.repeat_sd, data.n_counted,
        fits, weights, stored.widening, stored.interpolation, stored.edge, stored.candidates, stored.checked,
        HeldOutRows(data.rows, data.row_design, stored.middle, stored.sd), roughness >= 2, data.known_variance,
    )  # fmt: skip


def _restore_fit(target: str, stored: StoredFit, form: FunctionalForm | None, data: TargetData) -> FormFit:
    fault = WrongUsage(f"{target}: '{stored.form}' is not a form of these samples", fix="fit the samples again")
    if form is None or form.is_sampled != (stored.point is not None):
        raise fault
    if stored.point is not None:
        fit = sample_form(form, target, data.coordinates, data.inputs, data.table)
        if fit.point.shape != stored.point.shape:
            raise fault
        return replace(fit, point=stored.point)
    design = design_matrix(form, data.coordinates, data.inputs)
    n_coefficients = sum(block.shape[1] for block in design.blocks.values())
    if stored.theta is None or stored.scales is None or len(stored.theta) != n_coefficients:
        raise fault
    if len(stored.scales.widths) != len(form.terms) or len(stored.scales.lengths) != len(data.coordinates.tie):
        raise fault
    return ModeFit(form, target, design, data.table, stored.theta, stored.scales)
