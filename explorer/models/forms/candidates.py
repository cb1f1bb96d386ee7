"""Candidate functional forms of a target, selected by the knobs that the samples vary and by the number of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from explorer.models.forms.forms import (
    LEAST_ACCURACY,
    OPERATING_KNOBS,
    FunctionalForm,
    Part,
    Term,
    natural_unit,
    pooled,
)
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.models.forms.physics import QUANTITY_OF, physical_forms, signed_slope_prior
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative, kind_of, share_range

_MIN_TO_CURVE = 5  # the priors keep curves and processes smooth, so few rows suffice
_MIN_TO_POOL = 12  # rows from which shares and edges may differ by category
_MAX_TO_SAMPLE = 60  # with more rows the posterior is close to normal
# Prior standard deviation of the exponent of any other knob that the samples do not vary (assumed).
_CONSTANT_KNOB_WIDTH = 0.5


def candidate_forms(
    target: str, coordinates: InputCoordinates, values: Float, inputs: ScaledInputs, *, without: Sequence[str] = ()
) -> tuple[FunctionalForm, ...]:
    """Return the candidate forms: the mean of the categories, curves and processes, then the physical forms.

    Args:
        target: the column.
        coordinates: of the samples.
        values: the measured values, linked, shape (n,).
        inputs: the scaled samples.
        without: names of forms to leave out.
    """
    n, knobs = len(values), coordinates.varied
    unit = natural_unit(target, values)
    spread = max(float(np.std(values)), 0.02 * unit)
    common = {"center": float(np.mean(values)), "spread": spread, "intercept": 3 * spread + unit}
    free = tuple(knob for knob in knobs if knob not in OPERATING_KNOBS)

    def summed(name: str, degree: int) -> FunctionalForm:
        terms = pooled(coordinates, "level", knobs=free if degree < 2 else knobs, degree=degree, **common, n=n)
        slopes = _physical_slopes(target, coordinates, unit, with_varied=degree >= 1)
        physical = {term.powers for term in slopes}
        return FunctionalForm(name, "sum", (*(t for t in terms if t.categories or t.powers not in physical), *slopes))

    straight_name = "straight in log-odds" if share_range(target) else "power law" if is_relative(target) else "line"
    forms, flexible = [summed("mean of the categories", 0)], []
    if knobs:
        straight = summed(straight_name, 1)
        # A sampled form with signs takes its place where all knobs are physical.
        if n > _MAX_TO_SAMPLE or not set(knobs) <= set(QUANTITY_OF) or n < _MIN_TO_CURVE:
            forms.append(straight)
        # The size of stored weights is a formula: a curve or a process would only add wiggles to it.
        if target != "size_bytes" or n > _MAX_TO_SAMPLE or not set(knobs) <= set(QUANTITY_OF):
            flexible += [straight, summed(f"curved {straight_name.removeprefix('straight ')}", 2)]
    physical = physical_forms(target, coordinates, values) if n <= _MAX_TO_SAMPLE else ()
    if n >= _MIN_TO_POOL:
        # Shares and edges that may differ by category; without categories the sampled forms have them.
        parts = _scaling_parts(target, coordinates)
        if len(parts) > 1:
            flexible.append(_scaling_form(target, coordinates, parts, common, n))
        if kind_of(target) == "accuracy" and {"quant_step", "pruning_ratio"} & set(knobs):
            cliff = _cliff_form(coordinates, values, inputs)
            flexible += [cliff] if cliff else []
    if n >= _MIN_TO_CURVE:
        # A process whose amplitude may vanish: the form without it is not tried once more.
        forms += [replace(form, name=f"{form.name} + Gaussian process", has_process=True) for form in flexible]
        if not knobs and coordinates.categories:
            forms.append(replace(forms[0], name="categories + Gaussian process", has_process=True))
    forms += physical
    return tuple(form for i, form in enumerate(forms) if i == 0 or form.name not in without)


def smooth_form(target: str, coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return a smooth form of any table: slopes, curvature and a residual process.

    Args:
        target: the column.
        coordinates: of the samples.
        values: the measured values, linked, shape (n,).
    """
    unit = natural_unit(target, values)
    spread = max(float(np.std(values)), 0.02 * unit)
    terms = pooled(
        coordinates, "level", center=float(np.mean(values)), spread=spread, knobs=coordinates.varied, degree=2,
        intercept=3 * spread + unit, n=len(values),
    )  # fmt: skip
    slopes = _physical_slopes(target, coordinates, unit, with_varied=False)
    return FunctionalForm("smooth", "sum", (*terms, *slopes), has_process=True)


def _physical_slopes(target: str, coordinates: InputCoordinates, unit: float, *, with_varied: bool) -> list[Term]:
    """Return the slopes whose prior has a sign from physics, and those of constant knobs, whose effect is assumed."""
    terms = []
    for name, scale in coordinates.scales.items():
        is_physical = name in QUANTITY_OF
        if scale.is_varied and not (with_varied and is_physical):
            continue
        unknown = (0.0, _CONSTANT_KNOB_WIDTH * scale.half)
        value, width = signed_slope_prior(target, name, coordinates) if is_physical else unknown
        terms.append(Term("level", (), (name,), unit * value, unit * width, is_learned=False))
    return terms


def _scaling_parts(target: str, coordinates: InputCoordinates) -> tuple[Part, ...]:
    """Return the physical summands of a positive target, each with its exponents of the varied quantities."""
    laws: Mapping[str, Sequence[tuple[str, Mapping[str, float]]]] = {
        "latency_s": [("work", {"weights": 1, "clock": -1})],
        "energy_j": [("work", {"weights": 1, "voltage": 2}), ("leakage", {"voltage": 1, "clock": -1})],
        "power_w": [("work", {"voltage": 2, "clock": 1}), ("leakage", {"voltage": 1})],
        "size_bytes": [("work", {"weights": 1})],
    }
    varied = {QUANTITY_OF[name] for name in coordinates.varied if name in QUANTITY_OF}
    parts = [Part()]
    for name, powers in laws.get(target, []):
        exponents = {quantity: (power, ()) for quantity, power in powers.items() if quantity in varied}
        if exponents and exponents not in [part.powers for part in parts]:
            parts.append(Part((name,), exponents))
    return tuple(parts)


def _scaling_form(
    target: str, coordinates: InputCoordinates, parts: Sequence[Part], common: Mapping[str, float], n: int
) -> FunctionalForm:
    """Return the form of a fixed part plus parts that scale with the knobs, with shares that may differ by category."""
    scaling = {quantity for part in parts for quantity in part.powers}
    knobs = [knob for knob in coordinates.varied if QUANTITY_OF.get(knob) not in scaling]
    terms = list(pooled(coordinates, "level", knobs=knobs, degree=2, **common, n=n))
    terms += _physical_slopes(target, coordinates, 1.0, with_varied=False)
    for part in parts[1:]:
        # Prior (assumed): half to nine tenths of the total scales; leakage is a fifth of the switching part.
        center = 1.0 if part.weight == ("work",) else -0.5
        terms += pooled(
            coordinates, part.weight[0], center=center, spread=0.7, knobs=knobs, degree=2, intercept=1.5, n=n
        )
    return FunctionalForm("fixed + scaling parts", "mix", tuple(terms), tuple(parts))


def _cliff_form(coordinates: InputCoordinates, values: Float, inputs: ScaledInputs) -> FunctionalForm | None:
    low, high = float(np.min(values)), float(np.quantile(values, 0.9))
    knobs = tuple(knob for knob in coordinates.varied if knob != "quant_step")
    plateau = pooled(coordinates, "plateau", center=high, spread=0.4, knobs=knobs, degree=1, intercept=1.0, n=inputs.n)
    floor = max(low - 0.2, float(np.log(2 * LEAST_ACCURACY)))
    terms = [*plateau, Term("chance", center=floor, width=0.5, is_learned=False)]
    middle = (low + high) / 2
    if "quant_step" in coordinates.varied:
        edge = _fit_edge(inputs.z["quant_step"], values > middle)
        scale = coordinates.scales["quant_step"]
        center = scale.center + scale.half * edge
        terms += pooled(
            coordinates, "step edge", center=center, spread=0.3, knobs=knobs, degree=1, intercept=1.0, n=inputs.n
        )
        # Measured on small networks: accuracy falls from the plateau to chance within a factor of 3 to 10 of D.
        terms += pooled(
            coordinates, "step width", center=np.log(0.25), spread=0.2, knobs=(), degree=0, intercept=0.5, n=inputs.n
        )
    if "pruning_ratio" in coordinates.varied:
        ratio = inputs.raw["pruning_ratio"]
        fine = (
            inputs.z["quant_step"] < 0 if "quant_step" in coordinates.varied else np.full(len(values), fill_value=True)
        )
        # If pruning never lowered the accuracy, the noise of rows on the plateau would determine the edge.
        if fine.any() and not np.all(values[fine] > middle):
            center = _fit_edge(ratio[fine], values[fine] > middle)
            free = tuple(knob for knob in knobs if knob != "pruning_ratio")
            terms += pooled(
                coordinates, "pruning edge", center=center, spread=0.05, knobs=free, degree=1, intercept=0.1, n=inputs.n
            )
            terms += [Term("pruning width", center=float(np.log(0.05)), width=0.5, is_learned=False)]
    if not any(term.predictor.endswith("edge") for term in terms):
        return None
    return FunctionalForm("cliff", "cliff", tuple(terms))


def _fit_edge(positions: Float, is_high: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> float:
    """Return the position that best separates high values (below it) from low ones (above it)."""
    if is_high.all():
        return float(positions.max()) + 0.5
    cuts = np.unique(positions)
    n_wrong = [np.sum(is_high[positions > cut]) + np.sum(~is_high[positions <= cut]) for cut in cuts]
    best = int(np.argmin(n_wrong))
    return float((cuts[best] + cuts[min(best + 1, len(cuts) - 1)]) / 2)
