"""Prior functional forms and hyperpriors for each target of the online surrogate.

Positive targets are products of powers of the knobs with a small curvature, in logarithms. Accuracy, in log-odds, is a
plateau with a cliff at high pruning ratios and coarse steps. A residual Gaussian process models the remainder.
"""

from collections.abc import Mapping
from itertools import combinations_with_replacement

import numpy as np

from explorer.models.response.candidates import PHYSICS
from explorer.models.response.forms import FunctionalForm, Term
from explorer.models.response.gaussian_process import Hyperparameters, HyperPrior
from explorer.models.response.input_scaling import InputCoordinates
from explorer.problem.columns import Float

# Exponents of remaining weights and of the step, as (value, standard deviation); all assumed. Bits are log2(2 / D): an
# e-fold step removes about a quarter of the bits in the middle of the usual range.
_COMPRESSION: Mapping[tuple[str, str], tuple[float, float]] = {
    ("size_bytes", "pruning_ratio"): (0.7, 0.3),
    ("size_bytes", "quant_step"): (-0.25, 0.15),
    ("latency_s", "pruning_ratio"): (0.4, 0.3),
    ("latency_s", "quant_step"): (-0.1, 0.15),
    ("energy_j", "pruning_ratio"): (0.4, 0.3),
    ("energy_j", "quant_step"): (-0.1, 0.15),
    ("power_w", "pruning_ratio"): (0.2, 0.3),
    ("power_w", "quant_step"): (0.0, 0.15),
    # Slopes in log-odds, for forms without a cliff: fewer weights and wider steps lower the accuracy.
    ("accuracy", "pruning_ratio"): (1.5, 1.0),
    ("accuracy", "quant_step"): (-0.7, 0.5),
}
_UNKNOWN_EXPONENT = (0.0, 0.5)  # assumed: a knob on a logarithmic scale without a physical prior
_UNKNOWN_SLOPE = (0.0, 0.7)  # assumed: a knob on a linear scale without one, from its middle to its end
_CURVATURE = 0.15  # assumed: contribution of a square or a product of two coordinates at their ends
_BY_CATEGORY = 0.7  # assumed: categories differ by a factor of two
_LEVEL = 1.5  # assumed: deviation of the mean of all designs from the mean of the measured ones
# Standard deviations, linked: (scatter, residual process). Assumed: one percent, and a tenth.
_SIZES = {
    ("size_bytes", "storage"): (0.01, 0.1),
    ("accuracy", "accuracy_cliff"): (0.2, 0.3),
    ("accuracy", "sum"): (0.2, 1.0),
}
_DEFAULT_SIZES = (0.01, 0.1)
# Length scales of the residual process, in half ranges. Assumed: half the range for knobs that a target depends on, and
# six times that for knobs without an expected effect.
_LENGTH, _IDLE_LENGTH = 1.0, 6.0
_IDLE = {"accuracy": ("voltage_v", "frequency_hz"), "size_bytes": ("voltage_v", "frequency_hz")}


def prior_forms(target: str, coordinates: InputCoordinates, values: Float) -> tuple[FunctionalForm, ...]:
    """Return the candidate forms of a target; several are weighted by their evidence.

    Args:
        target: the column.
        coordinates: of the input space.
        values: measured values, linked, shape (n,), from which the prior level follows.
    """
    power_law = _curved_power_law(target, coordinates, values)
    if target == "accuracy" and {"pruning_ratio", "quant_step"} & set(coordinates.varied):
        return _accuracy_cliff_form(coordinates, values), power_law
    if target == "size_bytes" and {"pruning_ratio", "quant_step"} <= set(coordinates.varied):
        return _storage_size_form(coordinates, values), power_law
    return (power_law,)


def _curved_power_law(target: str, coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    terms = [Term("level", center=float(np.mean(values)), width=_LEVEL, is_learned=False)]
    terms += [Term("level", (name,), width=_BY_CATEGORY, is_learned=False) for name in coordinates.categories]
    for name in coordinates.varied:
        center, width = _slope(target, name, coordinates)
        terms.append(Term("level", (), (name,), center, width, is_learned=False))
    for pair in combinations_with_replacement(coordinates.varied, 2):
        terms.append(Term("level", (), pair, width=_CURVATURE, is_learned=False))
    return FunctionalForm("bent power law + Gaussian process", "sum", tuple(terms), has_process=True)


def hyperprior(form: FunctionalForm, target: str, coordinates: InputCoordinates) -> HyperPrior:
    """Return the hyperprior of the scales of a form."""
    scatter, amplitude = _SIZES.get((target, form.law), _DEFAULT_SIZES)
    tie = coordinates.tie
    knobs = [*coordinates.varied, *coordinates.categories]
    lengths = np.array([_IDLE_LENGTH if name in _IDLE.get(target, ()) else _LENGTH for name in knobs])
    widths = np.log([term.width for term in form.terms])
    scales = Hyperparameters(widths, float(np.log(scatter)), float(np.log(amplitude)), np.log(lengths)[tie])
    return HyperPrior(scales, np.zeros(len(form.terms), dtype=np.bool_), tie)


def _slope(target: str, name: str, coordinates: InputCoordinates) -> tuple[float, float]:
    """Return the prior (value, standard deviation) of a coefficient.

    On a logarithmic scale it is that of the exponent times half the range of the knob's logarithm.
    """
    axis = coordinates.scales[name]
    prior = PHYSICS.get((target, name)) or _COMPRESSION.get((target, name))
    if axis.scale == "linear":
        return prior or _UNKNOWN_SLOPE
    value, width = prior or _UNKNOWN_EXPONENT
    return value * axis.half, width * axis.half


def _accuracy_cliff_form(coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return a plateau with edges in the pruning ratio and in the step.

    The priors are wider than the range of the four digits networks. These lose half of their accuracy above chance with
    6 to 30 % of the weights left, or at steps of 0.1 to 0.3, within a factor of 1.2 to 3. Edges of networks of other
    sizes may be outside that range.
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
        # Assumed: between independent edges and additive shares of one common margin.
        terms.append(Term("corner", center=0.5, width=0.7))
    return FunctionalForm("strain + Gaussian process", "accuracy_cliff", tuple(terms), has_process=True)


def _storage_size_form(coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return the size of the stored weights; assumed: packed codes, and a constant share of a twentieth."""
    terms = [Term("level", center=float(np.max(values)), width=_LEVEL)]
    terms += [Term("level", (name,), width=_BY_CATEGORY) for name in coordinates.categories]
    remaining = [name for name in coordinates.varied if name not in {"pruning_ratio", "quant_step"}]
    terms += [Term("level", (), (name,), *_slope("size_bytes", name, coordinates)) for name in remaining]
    terms += [Term("always", center=-3.0, width=1.0), Term("spread", center=float(np.log(0.15)), width=1.0)]
    terms += [Term("weights power", center=float(np.log(0.7)), width=0.3)]
    terms += [Term("bits power", center=float(np.log(0.7)), width=0.5)]
    return FunctionalForm("stored weights + Gaussian process", "storage", tuple(terms), has_process=True)


def _plateau_slope(name: str) -> float:
    if name in _IDLE["accuracy"]:
        return 0.05
    return 0.2 if name in {"pruning_ratio", "quant_step"} else 0.5
