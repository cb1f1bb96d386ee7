"""Candidates: the few forms tried for a target, by which knobs the samples vary and how many rows there are."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from explorer.models.response.calibration import OPERATING_KNOBS
from explorer.models.response.forms import LEAST_ACCURACY, FunctionalForm, Term, pooled
from explorer.models.response.input_scaling import InputCoordinates, ScaledInputs
from explorer.problem.columns import Float

MIN_TO_CURVE = 8
MIN_FOR_PROCESS = 15
# Exponents of voltage and clock: what physics says before any row does, as (value, standard deviation).
# Energy: 2 were it all switching; fixed and leaking shares lower it. Power: the same, times the clock. Latency: -1 were
# all of it clocked. Accuracy and size know nothing of either. All widths are assumed.
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
# What a knob that was never varied may do: nothing is known but that effects are of this size for a factor of e.
_UNSEEN_WIDTH = 0.5


def candidate_forms(
    target: str, coordinates: InputCoordinates, values: Float, placed: ScaledInputs
) -> tuple[FunctionalForm, ...]:
    """Return the forms to try, the simplest first.

    Args:
        target: the column.
        coordinates: of the samples.
        values: the measured values, linked, shape (n,).
        placed: the samples.
    """
    n, axes = len(values), coordinates.varied
    spread = max(float(np.std(values)), 0.02)
    common = {"center": float(np.mean(values)), "spread": spread, "intercept": 3 * spread + 1}
    own = tuple(axis for axis in axes if axis not in OPERATING_KNOBS)

    def summed(name: str, degree: int) -> FunctionalForm:
        terms = pooled(coordinates, "level", axes=own if degree < 2 else axes, degree=degree, **common, n=n)
        slopes = _physical(target, coordinates, with_varied=degree >= 1)
        known = {term.powers for term in slopes}
        return FunctionalForm(name, "sum", (*(t for t in terms if t.categories or t.powers not in known), *slopes))

    forms = [summed("mean of the categories", 0)]
    if axes:
        forms.append(summed("power law" if target != "accuracy" else "straight in log-odds", 1))
        if n >= MIN_TO_CURVE:
            forms.append(summed("curved power law" if target != "accuracy" else "curved in log-odds", 2))
    if n >= MIN_TO_CURVE:
        parts = _parts(target, coordinates)
        if len(parts) > 1:
            forms.append(_mixed(target, coordinates, parts, common, n))
        if target == "accuracy" and {"quant_step", "pruning_ratio"} & set(axes):
            cliff = _cliff(coordinates, values, placed)
            forms += [cliff] if cliff else []
    if n >= MIN_FOR_PROCESS and (axes or coordinates.categories):
        forms += [replace(form, name=f"{form.name} + Gaussian process", has_process=True) for form in forms[1:]]
    return tuple(forms)


def _physical(target: str, coordinates: InputCoordinates, *, with_varied: bool) -> list[Term]:
    terms = []
    for name, axis in coordinates.scales.items():
        if axis.is_varied and not (with_varied and name in OPERATING_KNOBS):
            continue
        value, width = PHYSICS.get((target, name), (0.0, _UNSEEN_WIDTH))
        terms.append(Term("level", (), (name,), value * axis.half, width * axis.half, is_learned=False))
    return terms


def _parts(target: str, coordinates: InputCoordinates) -> list[tuple[str, dict[str, float]]]:
    """Return the parts that a positive target is physically a sum of, each with its exponents of the varied knobs."""
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
    kept: list[tuple[str, dict[str, float]]] = []
    for name, powers in laws.get(target, []):
        varied = {knob: power for knob, power in powers.items() if knob in coordinates.varied}
        if name == "fixed" or (varied and varied not in [powers for _, powers in kept]):
            kept.append((name, varied))
    return kept


def _mixed(
    target: str,
    coordinates: InputCoordinates,
    parts: Sequence[tuple[str, dict[str, float]]],
    common: Mapping[str, float],
    n: int,
) -> FunctionalForm:
    """Return a fixed part plus parts that scale with the knobs; which share each has may differ by category."""
    used = {knob for _, powers in parts for knob in powers}
    others = [axis for axis in coordinates.varied if axis not in used]
    terms = list(pooled(coordinates, "level", axes=others, degree=2, **common, n=n))
    terms += _physical(target, coordinates, with_varied=False)
    for name, _ in parts[1:]:
        # Half to nine tenths of everything scales; leakage is a fifth of what switches (assumed).
        center = 1.0 if name == "work" else -0.5
        terms += pooled(coordinates, name, center=center, spread=0.7, axes=others, degree=2, intercept=1.5, n=n)
    return FunctionalForm("fixed + scaling parts", "shares", tuple(terms), tuple(powers for _, powers in parts))


def _cliff(coordinates: InputCoordinates, values: Float, placed: ScaledInputs) -> FunctionalForm | None:
    low, high = float(np.min(values)), float(np.quantile(values, 0.9))
    others = tuple(axis for axis in coordinates.varied if axis != "quant_step")
    plateau = pooled(coordinates, "plateau", center=high, spread=0.4, axes=others, degree=1, intercept=1.0, n=placed.n)
    floor = max(low - 0.2, float(np.log(2 * LEAST_ACCURACY)))
    terms = [*plateau, Term("chance", center=floor, width=0.5, is_learned=False)]
    middle = (low + high) / 2
    if "quant_step" in coordinates.varied:
        edge = _edge(placed.z["quant_step"], values > middle)
        axis = coordinates.scales["quant_step"]
        center = axis.center + axis.half * edge
        terms += pooled(
            coordinates, "step edge", center=center, spread=0.3, axes=others, degree=1, intercept=1.0, n=placed.n
        )
        # Measured on small networks: from the plateau to chance within a factor of three to ten of D.
        terms += pooled(
            coordinates, "step width", center=np.log(0.25), spread=0.2, axes=(), degree=0, intercept=0.5, n=placed.n
        )
    if "pruning_ratio" in coordinates.varied:
        ratio = placed.raw["pruning_ratio"]
        fine = (
            placed.z["quant_step"] < 0 if "quant_step" in coordinates.varied else np.full(len(values), fill_value=True)
        )
        # Where no pruning brought the accuracy down, rows near the plateau would place an edge by their scatter alone.
        if fine.any() and not np.all(values[fine] > middle):
            center = _edge(ratio[fine], values[fine] > middle)
            free = tuple(a for a in others if a != "pruning_ratio")
            terms += pooled(
                coordinates, "pruning edge", center=center, spread=0.05, axes=free, degree=1, intercept=0.1, n=placed.n
            )
            terms += [Term("pruning width", center=float(np.log(0.05)), width=0.5, is_learned=False)]
    if not any(term.predictor.endswith("edge") for term in terms):
        return None
    return FunctionalForm("cliff", "cliff", tuple(terms))


def _edge(positions: Float, is_high: "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]") -> float:
    """Return the position that best parts high values (below) from low ones (above)."""
    if is_high.all():
        return float(positions.max()) + 0.5
    cuts = np.unique(positions)
    wrong = [np.sum(is_high[positions > cut]) + np.sum(~is_high[positions <= cut]) for cut in cuts]
    best = int(np.argmin(wrong))
    return float((cuts[best] + cuts[min(best + 1, len(cuts) - 1)]) / 2)
