"""Beliefs: what is thought of a target on any ground before anything was measured; every prior stands here.

Positive targets are products of powers of the knobs, bent a little, in logarithms. Accuracy is a plateau with a cliff
where too much is pruned or the step is too coarse, in log-odds. A residual Gaussian process takes what these leave.
"""

from collections.abc import Mapping

import numpy as np

from explorer.models.response.candidates import PHYSICS
from explorer.models.response.forms import FunctionalForm, Term
from explorer.models.response.gaussian_process import Hyperparameters, HyperPrior
from explorer.models.response.input_scaling import InputCoordinates
from explorer.problem.columns import Float

# Exponents of remaining weights and of the step, as (value, standard deviation); all assumed. Bits are log2(2 / D), so
# a step that is e times as wide costs about a quarter of the bits in the middle of what is used.
_COMPRESSION: Mapping[tuple[str, str], tuple[float, float]] = {
    ("size_bytes", "pruning_ratio"): (0.7, 0.3),
    ("size_bytes", "quant_step"): (-0.25, 0.15),
    ("latency_s", "pruning_ratio"): (0.4, 0.3),
    ("latency_s", "quant_step"): (-0.1, 0.15),
    ("energy_j", "pruning_ratio"): (0.4, 0.3),
    ("energy_j", "quant_step"): (-0.1, 0.15),
    ("power_w", "pruning_ratio"): (0.2, 0.3),
    ("power_w", "quant_step"): (0.0, 0.15),
    # In log-odds, where no shape is: less accuracy the fewer weights and the wider the step.
    ("accuracy", "pruning_ratio"): (1.5, 1.0),
    ("accuracy", "quant_step"): (-0.7, 0.5),
}
_UNKNOWN_EXPONENT = (0.0, 0.5)  # assumed: a knob that is counted in factors, of which nothing is known
_UNKNOWN_SLOPE = (0.0, 0.7)  # assumed: the same for one that is not, from its middle to its end
_CURVATURE = 0.15  # assumed: what a square or a product of two coordinates adds at their ends
_BY_CATEGORY = 0.7  # assumed: categories differ by a factor of two
_LEVEL = 1.5  # assumed: how far the mean of all designs may be from the mean of those that were measured
# Standard deviations, linked: (scatter, residual process). Assumed: one percent, and a tenth.
_SIZES = {
    ("size_bytes", "storage"): (0.01, 0.1),
    ("accuracy", "accuracy_cliff"): (0.2, 0.3),
    ("accuracy", "sum"): (0.2, 1.0),
}
_OTHER_SIZES = (0.01, 0.1)
# Lengths of the residual process, in half ranges. Assumed: half the range for what a target depends on, far more for
# what should do nothing to it.
_LENGTH, _IDLE_LENGTH = 1.0, 6.0
_IDLE = {"accuracy": ("voltage_v", "frequency_hz"), "size_bytes": ("voltage_v", "frequency_hz")}


def prior_forms(target: str, coordinates: InputCoordinates, values: Float) -> tuple[FunctionalForm, ...]:
    """Return a target's forms on a ground; of several none is known to be right.

    Args:
        target: the column.
        coordinates: of the ground.
        values: what was measured of it, linked, shape (n,): they tell its level.
    """
    bent = _bent(target, coordinates, values)
    if target == "accuracy" and {"pruning_ratio", "quant_step"} & set(coordinates.varied):
        return _strain(coordinates, values), bent
    if target == "size_bytes" and {"pruning_ratio", "quant_step"} <= set(coordinates.varied):
        return _stored(coordinates, values), bent
    return (bent,)


def _bent(target: str, coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    terms = [Term("level", center=float(np.mean(values)), width=_LEVEL, is_learned=False)]
    terms += [Term("level", (name,), width=_BY_CATEGORY, is_learned=False) for name in coordinates.categories]
    for name in coordinates.varied:
        center, width = _slope(target, name, coordinates)
        terms.append(Term("level", (), (name,), center, width, is_learned=False))
    axes = coordinates.varied
    for i, one in enumerate(axes):
        terms += [Term("level", (), (one, other), width=_CURVATURE, is_learned=False) for other in axes[i:]]
    return FunctionalForm("bent power law + Gaussian process", "sum", tuple(terms), has_process=True)


def hyperprior(form: FunctionalForm, target: str, coordinates: InputCoordinates) -> HyperPrior:
    """Return what is believed of a form's scales on a ground."""
    scatter, amplitude = _SIZES.get((target, form.law), _OTHER_SIZES)
    tie = coordinates.tie
    knobs = [*coordinates.varied, *coordinates.categories]
    lengths = np.array([_IDLE_LENGTH if name in _IDLE.get(target, ()) else _LENGTH for name in knobs])
    widths = np.log([term.width for term in form.terms])
    scales = Hyperparameters(widths, float(np.log(scatter)), float(np.log(amplitude)), np.log(lengths)[tie])
    return HyperPrior(scales, np.zeros(len(form.terms), dtype=np.bool_), tie)


def _slope(target: str, name: str, coordinates: InputCoordinates) -> tuple[float, float]:
    """Return the prior of a coefficient: an exponent, times half the knob's range in its logarithm."""
    axis = coordinates.scales[name]
    known = PHYSICS.get((target, name)) or _COMPRESSION.get((target, name))
    if axis.scale == "linear":
        return known or _UNKNOWN_SLOPE
    value, width = known or _UNKNOWN_EXPONENT
    return value * axis.half, width * axis.half


def _strain(coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return the plateau and its edges, as wide as the four digits networks have them and wider.

    These lose half of what they know with 6 to 30 % of the weights left, or at steps of 0.1 to 0.3, within a factor of
    1.2 to 3; networks of other sizes may do so elsewhere.
    """
    categories, varied = coordinates.categories, coordinates.varied
    terms = [Term("plateau", center=float(np.max(values)), width=0.5), Term("chance", center=-2.2, width=1.0)]
    terms += [Term("plateau", (name,), width=0.3) for name in categories]
    terms += [Term("plateau", (), (name,), width=_plateau_slope(name)) for name in varied]
    if "quant_step" in varied:
        terms += [Term("step edge", center=float(np.log(0.15)), width=1.0), Term("step width", center=-1.2, width=0.6)]
        terms += [Term("step edge", (name,), width=0.4) for name in categories]
    if "pruning_ratio" in varied:
        terms += [Term("pruning edge", center=float(np.log(0.2)), width=0.7)]
        terms += [Term("pruning edge", (name,), width=0.4) for name in categories]
        terms += [Term("pruning width", center=-1.2, width=0.6)]
    if {"quant_step", "pruning_ratio"} <= set(varied):
        # Assumed: anything from edges that know nothing of each other to shares of one margin that add up.
        terms.append(Term("corner", center=0.5, width=0.7))
    return FunctionalForm("strain + Gaussian process", "accuracy_cliff", tuple(terms), has_process=True)


def _stored(coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return the stored weights; assumed: codes that are packed, beside a twentieth that is always there."""
    terms = [Term("level", center=float(np.max(values)), width=_LEVEL)]
    terms += [Term("level", (name,), width=_BY_CATEGORY) for name in coordinates.categories]
    others = [name for name in coordinates.varied if name not in {"pruning_ratio", "quant_step"}]
    terms += [Term("level", (), (name,), *_slope("size_bytes", name, coordinates)) for name in others]
    terms += [Term("always", center=-3.0, width=1.0), Term("spread", center=float(np.log(0.15)), width=1.0)]
    terms += [Term("weights power", center=float(np.log(0.7)), width=0.3)]
    terms += [Term("bits power", center=float(np.log(0.7)), width=0.5)]
    return FunctionalForm("stored weights + Gaussian process", "storage", tuple(terms), has_process=True)


def _plateau_slope(name: str) -> float:
    if name in _IDLE["accuracy"]:
        return 0.05
    return 0.2 if name in {"pruning_ratio", "quant_step"} else 0.5
