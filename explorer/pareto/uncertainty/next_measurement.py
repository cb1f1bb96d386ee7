"""Next measurement: the design whose measurement is expected to reduce the variance of the front most.

Optimal experimental design by expected variance reduction (D. A. Cohn, Z. Ghahramani and M. I. Jordan, "Active Learning
with Statistical Models", Journal of Artificial Intelligence Research 4 (1996) 129-145).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from explorer.models.evaluation import low_discrepancy_points
from explorer.models.forms.forms import link
from explorer.models.posterior_draws import Draws, PosteriorModel, predict_draws
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.geometry.dominance import is_nondominated
from explorer.problem.columns import (
    KNOBS,
    Column,
    Columns,
    Float,
    column_of,
    knobs_of,
    n_rows,
    stack,
    take,
    within_finite,
)
from explorer.problem.declarations.axes import Axes, FrequencyAxis, PruningAxis, StepAxis, VoltageAxis
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.design_space import DesignSpace
from explorer.problem.objectives import OBJECTIVES, Constants, Objective, add_objectives, missing_needs
from explorer.problem.space_builder import build_design_space

_N_CANDIDATES = 256
_N_FRONT = 60


@dataclass(frozen=True, slots=True)
class SuggestedMeasurement:
    """Design to measure next, and the expected reduction of the front's variance by its measurement, as a share."""

    design: dict[str, object]
    reduction: float

    def text(self, own: Mapping[str, Column] | None = None) -> str:
        """Return the suggestion in one line; `own` describes the user's own knobs."""
        columns = {name: (own or {}).get(name) or column_of(name) for name in self.design}
        knobs = ", ".join(
            f"{columns[name].label} {value if isinstance(value, str) else columns[name].text(float(str(value)))}"
            for name, value in self.design.items()
            if name != "family"
        )
        return (
            f"next measurement: {self.design['family']} at {knobs}; expected to remove {self.reduction:.0%} of the "
            "variance of the front's objectives"
        )


def best_measurement(
    candidates: Columns, front: Columns, *, objectives: Sequence[Objective], constants: Constants,
    model: PosteriorModel, draws: Draws,
) -> SuggestedMeasurement | None:  # fmt: skip
    """Return the candidate whose measurement is expected to reduce the variance of the front most.

    A measurement observes all targets of a design, each with the scatter of the fit. For a normal posterior (first
    order) the removed variance does not depend on the outcome: it is
    Cov(objective, targets) (Cov(targets) + scatter)^-1 Cov(targets, objective), computed from the draws, in logarithms
    (accuracy in log-odds), as a share of the objectives' variance, averaged over objectives and designs of the front.

    Args:
        candidates: designs that can be measured, knobs of shape (c,).
        front: designs whose objectives matter, knobs of shape (k,).
        objectives: the objectives.
        constants: alpha and E_max of the weighted cost.
        model: the model.
        draws: its draws.
    """
    if not n_rows(candidates) or not n_rows(front):
        return None
    on_front = _centered(_objective_draws(front, objectives, constants, model, draws))
    on_front = on_front / np.maximum(np.std(on_front, axis=0), 1e-12)
    targets = list(draws)
    measured = predict_draws(model, draws, candidates, with_noise=False)
    linked = _centered(np.stack([link(t, measured[t]) for t in targets], axis=-1))  # (S, c, T)
    n_draws = len(linked)
    noise = np.diag([float(np.median(draws[t].noise)) ** 2 for t in targets])
    own = np.einsum("sct,scu->ctu", linked, linked) / n_draws + noise
    shared = np.einsum("sct,sk->ctk", linked, on_front) / n_draws
    removed = np.einsum("ctk,ctk->c", shared, np.linalg.solve(own, shared)) / on_front.shape[1]
    best = int(np.argmax(removed))
    design = {k: candidates[k][best] for k in knobs_of(candidates)}
    return SuggestedMeasurement(
        {k: v if isinstance(v, str) else float(v) for k, v in design.items()}, float(min(removed[best], 1.0))
    )


def suggest_for_model(model: PosteriorModel, draws: Draws) -> SuggestedMeasurement | None:
    """Return the next measurement for a model without a study, with objectives energy, latency and accuracy.

    Candidates are a scan of each family's domain; the front is that of the scan.
    """
    objectives = [
        OBJECTIVES[name]
        for name in ("energy_j", "latency_s", "accuracy")
        if not missing_needs(OBJECTIVES[name], model.targets)
    ] or [OBJECTIVES[name] for name in model.targets if name in OBJECTIVES]
    if not objectives or set(model.samples.knobs) != set(KNOBS):
        return None  # the range of own knobs is declared by a space, which a model alone does not have
    scans, fronts = [], []
    for region in _whole_domain(model):
        designs = region.from_unit(low_discrepancy_points(len(region.axes), _N_CANDIDATES))
        columns = model.evaluate(designs)
        values = np.stack([columns[o.name] for o in objectives], axis=-1)
        if np.isfinite(values).all():
            scans.append(designs)
            fronts.append(subsample(take(designs, is_nondominated(values, objectives))))
    if not scans:
        return None
    return best_measurement(
        stack(scans), stack(fronts), objectives=objectives, constants=Constants(), model=model, draws=draws
    )


def subsample(front: Columns) -> Columns:
    """Return at most 60 designs of a front, at even spacing."""
    n = n_rows(front)
    rows = np.unique(np.linspace(0, n - 1, min(n, _N_FRONT)).astype(np.int64)) if n else np.empty(0, dtype=np.int64)
    return take({name: front[name] for name in knobs_of(front)}, rows)


def _whole_domain(model: Surrogate) -> list[DesignSpace]:
    axes = Axes(
        pruning_ratio=PruningAxis(range=(0.0, 0.999)),
        quant_step=StepAxis(range=(1e-6, 1.0)),
        voltage=VoltageAxis(range=(1e-3, 100.0)),
        frequency=FrequencyAxis(range=(1.0, 1e13), unit="Hz"),
    )
    space = SpaceFile(axes=axes)
    return [
        build_design_space(space, path=model.name, family=family, spans=model.domain[family], law=model.law(family))
        for family in model.families
    ]


def _objective_draws(
    front: Columns, objectives: Sequence[Objective], constants: Constants, model: PosteriorModel, draws: Draws
) -> Float:
    columns = add_objectives(predict_draws(model, draws, front, with_noise=False), constants)
    linked = [link(o.name, np.maximum(within_finite(columns[o.name]), 1e-300)) for o in objectives]
    return np.concatenate(linked, axis=1)


def _centered(values: Float) -> Float:
    return np.asarray(values - values.mean(axis=0))
