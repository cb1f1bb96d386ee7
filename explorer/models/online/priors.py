"""Prior functional forms and hyperpriors for each target of the online surrogate.

Positive targets are products of powers of the knobs with a small curvature, in logarithms. Accuracy, in log-odds, is a
plateau with a cliff at high pruning ratios and coarse steps. A residual Gaussian process models the remainder.
"""

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np

from explorer.models.fitting.gaussian_process import Hyperparameters, HyperPrior
from explorer.models.forms.forms import FunctionalForm, Term, natural_unit
from explorer.models.forms.input_scaling import InputCoordinates
from explorer.models.forms.physics import accuracy_cliff, slope_prior
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative, kind_of, share_range

_CURVATURE = 0.15  # assumed: contribution of a square or a product of two coordinates at their ends
_BY_CATEGORY = 0.7  # assumed: categories differ by a factor of two
_LEVEL = 1.5  # assumed: deviation of the mean of all designs from the mean of the measured ones
# Standard deviations, linked: (scatter, residual process). Assumed: one percent, and a tenth; of shares more.
_SIZES = {"accuracy_cliff": (0.2, 0.3)}
_SHARE_SIZES, _DEFAULT_SIZES = (0.2, 1.0), (0.01, 0.1)
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
    if kind_of(target) == "accuracy" and {"pruning_ratio", "quant_step"} & set(coordinates.varied):
        cliff = accuracy_cliff(coordinates, values)
        return replace(cliff, name=f"{cliff.name} + Gaussian process", has_process=True, is_sampled=False), power_law
    if target == "size_bytes" and {"pruning_ratio", "quant_step"} <= set(coordinates.varied):
        return _storage_size_form(coordinates, values), power_law
    return (power_law,)


def _curved_power_law(target: str, coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    # Log-odds and logarithms have a natural unit; values of any sign are compared with their own spread.
    unit = natural_unit(target, values)
    terms = [Term("level", center=float(np.mean(values)), width=unit * _LEVEL, is_learned=False)]
    terms += [Term("level", (name,), width=unit * _BY_CATEGORY, is_learned=False) for name in coordinates.categories]
    for name in coordinates.varied:
        center, width = slope_prior(target, name, coordinates)
        terms.append(Term("level", (), (name,), unit * center, unit * width, is_learned=False))
    for pair in combinations_with_replacement(coordinates.varied, 2):
        terms.append(Term("level", (), pair, width=unit * _CURVATURE, is_learned=False))
    return FunctionalForm("bent power law + Gaussian process", "sum", tuple(terms), has_process=True)


def hyperprior(form: FunctionalForm, target: str, coordinates: InputCoordinates) -> HyperPrior:
    """Return the hyperprior of the scales of a form."""
    scatter, amplitude = _SIZES.get(form.law, _SHARE_SIZES if share_range(target) else _DEFAULT_SIZES)
    if not share_range(target) and not is_relative(target):
        scatter, amplitude = (size * form.terms[0].width / _LEVEL for size in (scatter, amplitude))
    tie = coordinates.tie
    knobs = [*coordinates.varied, *coordinates.categories]
    lengths = np.array([_IDLE_LENGTH if name in _IDLE.get(kind_of(target), ()) else _LENGTH for name in knobs])
    widths = np.log([term.width for term in form.terms])
    scales = Hyperparameters(widths, float(np.log(scatter)), float(np.log(amplitude)), np.log(lengths)[tie])
    return HyperPrior(scales, np.zeros(len(form.terms), dtype=np.bool_), tie)


def _storage_size_form(coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return the size of the stored weights; assumed: packed codes, and a constant share of a twentieth."""
    terms = [Term("level", center=float(np.max(values)), width=_LEVEL)]
    terms += [Term("level", (name,), width=_BY_CATEGORY) for name in coordinates.categories]
    remaining = [name for name in coordinates.varied if name not in {"pruning_ratio", "quant_step"}]
    terms += [Term("level", (), (name,), *slope_prior("size_bytes", name, coordinates)) for name in remaining]
    terms += [Term("always", center=-3.0, width=1.0), Term("spread", center=float(np.log(0.15)), width=1.0)]
    terms += [Term("weights power", center=float(np.log(0.7)), width=0.3)]
    terms += [Term("bits power", center=float(np.log(0.7)), width=0.5)]
    return FunctionalForm("stored weights + Gaussian process", "storage", tuple(terms), has_process=True)
