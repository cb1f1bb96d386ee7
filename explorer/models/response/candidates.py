"""Candidate functional forms of a target, selected by the knobs that the samples vary and by the number of rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from explorer.models.response.calibration import OPERATING_KNOBS
from explorer.models.response.forms import LEAST_ACCURACY, FunctionalForm, Term, pooled
from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float

MIN_TO_CURVE = 8
MIN_FOR_PROCESS = 15
# Prior of the exponents of voltage and clock from CMOS physics, as (mean, standard deviation).
# Energy: 2 if all of it were switching energy; fixed and leakage shares lower it. Power: the same, times the clock.
# Latency: -1 if all of it scaled with the clock. Accuracy and size depend on neither. All standard deviations are
# assumed.
PHYSICS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("energy_j", "voltage_v"): (1.7, 0.25),
    ("energy_j", "frequency_hz"): (-0.05, 0.08),
    ("power_w", "voltage_v"): (1.7, 0.25),
    ("power_w", "frequency_hz"): (0.8, 0.15),
    ("latency_s", "voltage_v"): (0.0, 0.02),
    ("latency_s", "frequency_hz"): (-0.9, 0.12),
    ("throughput_ops", "voltage_v"): (0.0, 0.02),
    ("throughput_ops", "frequency_hz"): (0.9, 0.12),
    ("accuracy", "voltage_v"): (0.0, 0.01),
    ("accuracy", "frequency_hz"): (0.0, 0.01),
    ("size_bytes", "voltage_v"): (0.0, 0.01),
    ("size_bytes", "frequency_hz"): (0.0, 0.01),
}
# Prior standard deviation of the exponent of any other knob that the samples do not vary (assumed).
_CONSTANT_KNOB_WIDTH = 0.5


def candidate_forms(
    target: str, coordinates: InputCoordinates, values: Float, inputs: ScaledInputs
) -> tuple[FunctionalForm, ...]:
    """Return the candidate forms, the simplest first.

    Args:
        target: the column.
        coordinates: of the samples.
        values: the measured values, linked, shape (n,).
        inputs: the scaled samples.
    """
    n, knobs = len(values), coordinates.varied
    spread = max(float(np.std(values)), 0.02)
    common = {"center": float(np.mean(values)), "spread": spread, "intercept": 3 * spread + 1}
    without_operating = tuple(knob for knob in knobs if knob not in OPERATING_KNOBS)

    def summed(name: str, degree: int) -> FunctionalForm:
        terms = pooled(
            coordinates, "level", knobs=without_operating if degree < 2 else knobs, degree=degree, **common, n=n
        )
        slopes = _physical_slopes(target, coordinates, with_varied=degree >= 1)
        physical = {term.powers for term in slopes}
        return FunctionalForm(name, "sum", (*(t for t in terms if t.categories or t.powers not in physical), *slopes))

    forms = [summed("mean of the categories", 0)]
    if knobs:
        forms.append(summed("power law" if target != "accuracy" else "straight in log-odds", 1))
        if n >= MIN_TO_CURVE:
            forms.append(summed("curved power law" if target != "accuracy" else "curved in log-odds", 2))
    if n >= MIN_TO_CURVE:
        parts = _scaling_parts(target, coordinates)
        if len(parts) > 1:
            forms.append(_scaling_form(target, coordinates, parts, common, n))
        if target == "accuracy" and {"quant_step", "pruning_ratio"} & set(knobs):
            cliff = _cliff_form(coordinates, values, inputs)
            forms += [cliff] if cliff else []
    if n >= MIN_FOR_PROCESS and (knobs or coordinates.categories):
        forms += [replace(form, name=f"{form.name} + Gaussian process", has_process=True) for form in forms[1:]]
    return tuple(forms)


def _physical_slopes(target: str, coordinates: InputCoordinates, *, with_varied: bool) -> list[Term]:
    terms = []
    for name, scale in coordinates.scales.items():
        if scale.is_varied and not (with_varied and name in OPERATING_KNOBS):
            continue
        value, width = PHYSICS.get((target, name), (0.0, _CONSTANT_KNOB_WIDTH))
        terms.append(Term("level", (), (name,), value * scale.half, width * scale.half, is_learned=False))
    return terms


def _scaling_parts(target: str, coordinates: InputCoordinates) -> list[tuple[str, dict[str, float]]]:
    """Return the physical summands of a positive target, each with its exponents of the varied knobs."""
    laws: Mapping[str, list[tuple[str, dict[str, float]]]] = {
        "latency_s": [("fixed", {}), ("work", {"pruning_ratio": 1, "frequency_hz": -1})],
        "energy_j": [
            ("fixed", {}),
            ("work", {"pruning_ratio": 1, "voltage_v": 2}),
            ("leakage", {"voltage_v": 1, "frequency_hz": -1}),
        ],
        "power_w": [
            ("fixed", {}),
            ("work", {"voltage_v": 2, "frequency_hz": 1}),
            ("leakage", {"voltage_v": 1}),
        ],
        "size_bytes": [("fixed", {}), ("work", {"pruning_ratio": 1})],
    }
    parts: list[tuple[str, dict[str, float]]] = []
    for name, powers in laws.get(target, []):
        varied = {knob: power for knob, power in powers.items() if knob in coordinates.varied}
        if name == "fixed" or (varied and varied not in [powers for _, powers in parts]):
            parts.append((name, varied))
    return parts


def _scaling_form(
    target: str,
    coordinates: InputCoordinates,
    parts: Sequence[tuple[str, dict[str, float]]],
    common: Mapping[str, float],
    n: int,
) -> FunctionalForm:
    """Return the form of a fixed part plus parts that scale with the knobs, with shares that may differ by category."""
    scaling = {knob for _, powers in parts for knob in powers}
    knobs = [knob for knob in coordinates.varied if knob not in scaling]
    terms = list(pooled(coordinates, "level", knobs=knobs, degree=2, **common, n=n))
    terms += _physical_slopes(target, coordinates, with_varied=False)
    for name, _ in parts[1:]:
        # Prior (assumed): half to nine tenths of the total scales; leakage is a fifth of the switching part.
        center = 1.0 if name == "work" else -0.5
        terms += pooled(coordinates, name, center=center, spread=0.7, knobs=knobs, degree=2, intercept=1.5, n=n)
    return FunctionalForm("fixed + scaling parts", "shares", tuple(terms), tuple(powers for _, powers in parts))


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
