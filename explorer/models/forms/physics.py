"""Physical forms of the targets, with the prior of each coefficient: value, width and source.

A target is a mixture of parts, each a product of powers of remaining weights r, bits q, clock c and voltage v, relative
to the least compressed design of the family. Few samples cannot choose between these forms: predictions average over
them. The forms of energy differ in which part of it voltage, compression and time scale.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.models.forms.forms import FunctionalForm, Part, Term
from explorer.models.forms.input_scaling import InputCoordinates
from explorer.models.forms.shapes import ENERGY_OF_CLOCK, LOSSES, MIXTURES
from explorer.problem.columns import Float
from explorer.problem.targets import kind_of

# Exponents (as value, standard deviation) of voltage and clock from CMOS physics, and of compression. Energy rises with
# V^2 if all of it were switching energy; fixed and leakage shares lower the exponent. Power: more of it, and the clock.
# Latency: -1 in the clock if nothing waited for memory. Accuracy and size depend on neither. All widths are assumed.
EXPONENTS: Mapping[tuple[str, str], tuple[float, float]] = {
    ("energy_j", "voltage_v"): (1.45, 0.55),
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
# Where the samples do not vary the voltage, its effect is assumed: chips under load show exponents of 1.6 to 1.8.
CONSTANT_EXPONENTS: Mapping[tuple[str, str], tuple[float, float]] = {
    **EXPONENTS, ("energy_j", "voltage_v"): (1.7, 0.25)
}  # fmt: skip
# Of the remaining weights, and of the step. Bits are log2(2 / D): an e-fold step removes about a quarter of the bits in
# the middle of the usual range. Accuracy: slopes in log-odds.
COMPRESSION: Mapping[tuple[str, str], tuple[float, float]] = {
    ("size_bytes", "pruning_ratio"): (0.85, 0.25),
    ("size_bytes", "quant_step"): (-0.25, 0.15),
    ("latency_s", "pruning_ratio"): (0.4, 0.3),
    ("latency_s", "quant_step"): (-0.1, 0.15),
    ("energy_j", "pruning_ratio"): (0.4, 0.3),
    ("energy_j", "quant_step"): (-0.1, 0.15),
    ("power_w", "pruning_ratio"): (0.2, 0.3),
    ("power_w", "quant_step"): (0.0, 0.15),
    ("accuracy", "pruning_ratio"): (1.5, 1.0),
    ("accuracy", "quant_step"): (-0.7, 0.5),
}
_Z_SIGN = 1.645
UNKNOWN_EXPONENT = (0.0, 0.5)  # assumed: a knob on a logarithmic scale without a physical prior
UNKNOWN_SLOPE = (0.0, 0.7)  # assumed: a knob on a linear scale without one, from its middle to its end
QUANTITY_OF = {
    "pruning_ratio": "weights", "quant_step": "bits", "weight_bits": "bits", "frequency_hz": "clock",
    "voltage_v": "voltage",
}  # fmt: skip


def slope_prior(target: str, name: str, coordinates: InputCoordinates) -> tuple[float, float]:
    """Return the prior (value, standard deviation) of the slope of a target along a scaled knob.

    On a logarithmic scale it is that of the exponent times half the range of the knob's logarithm. Bits have the prior
    of their step, D = 2^(1 - bits).
    """
    axis, target = coordinates.scales[name], kind_of(target)
    if name == "weight_bits" and ("size_bytes", "quant_step") in COMPRESSION:
        value, width = COMPRESSION.get((target, "quant_step"), UNKNOWN_EXPONENT)
        unit = np.log(2) * (np.exp(axis.center) if axis.scale == "log" else 1.0)
        return -value * unit * axis.half, width * unit * axis.half
    exponents = EXPONENTS if axis.is_varied else CONSTANT_EXPONENTS
    prior = exponents.get((target, name)) or COMPRESSION.get((target, name))
    if axis.scale == "linear":
        return prior or UNKNOWN_SLOPE
    value, width = prior or UNKNOWN_EXPONENT
    return value * axis.half, width * axis.half


def signed_slope_prior(target: str, name: str, coordinates: InputCoordinates) -> tuple[float, float]:
    """Return the prior of a slope as `slope_prior`, so narrow that the wrong sign has at most 5 %."""
    value, width = slope_prior(target, name, coordinates)
    return value, min(width, abs(value) / _Z_SIGN) if value else width


def physical_forms(target: str, coordinates: InputCoordinates, values: Float) -> tuple[FunctionalForm, ...]:
    """Return the physical forms of a target that the varied knobs distinguish; empty without such knobs.

    Args:
        target: the column.
        coordinates: of the samples.
        values: the measured values, linked, shape (n,).
    """
    varied = {QUANTITY_OF[name] for name in coordinates.varied if name in QUANTITY_OF}
    forms: dict[str, FunctionalForm] = {}
    mixtures = MIXTURES.get(kind_of(target), ())
    if target == "energy_j" and "voltage" not in varied and "clock" in varied:
        mixtures = (*ENERGY_OF_CLOCK, *mixtures)
    for name, formula, parts, shapes in mixtures:
        distinct = _restrict(parts, varied)
        if not any(part.powers for part in distinct) or str(distinct) in forms:
            continue
        used = {factor.strip("+-/") for part in distinct for factor in _factors(part)}
        level = _level_terms(target, coordinates, values, physical=varied)
        terms = (*level, *(term for term in shapes if term.predictor in used))
        forms[str(distinct)] = FunctionalForm(name, "mix", terms, distinct, is_sampled=True, formula=formula)
    others = _accuracy_forms(coordinates, values) if kind_of(target) == "accuracy" else ()
    return (*forms.values(), *others)


def _factors(part: Part) -> list[str]:
    return [*part.weight, *(factor for _, factors in part.powers.values() for factor in factors)]


def _restrict(parts: Sequence[Part], varied: set[str]) -> tuple[Part, ...]:
    """Return the parts with the powers of varied quantities only; of parts that become equal the first."""
    distinct: dict[str, Part] = {}
    for part in parts:
        powers = {quantity: power for quantity, power in part.powers.items() if quantity in varied}
        distinct.setdefault(str(powers), Part(part.weight, powers))
    if len(distinct) == 1:
        return (Part((), next(iter(distinct.values())).powers),)
    return tuple(distinct.values())


def _level_terms(target: str, coordinates: InputCoordinates, values: Float, *, physical: set[str]) -> tuple[Term, ...]:
    """Return the terms of the level: nearly free by category, with the slopes of the knobs without a physical form."""
    spread = max(float(np.std(values)), 0.02)
    terms = [Term("level", center=float(np.mean(values)), width=3 * spread + 1, is_learned=False)]
    widths = {name: 3 * spread + 1 if name == "family" else spread for name in coordinates.categories}
    terms += [Term("level", (name,), width=width, is_learned=False) for name, width in widths.items()]
    for name in coordinates.varied:
        if QUANTITY_OF.get(name) not in physical:
            value, width = slope_prior(target, name, coordinates)
            terms.append(Term("level", (), (name,), value, width, is_learned=False))
    return tuple(terms)


def _accuracy_forms(coordinates: InputCoordinates, values: Float) -> tuple[FunctionalForm, ...]:
    lossy = {"quant_step" if name == "weight_bits" else name for name in coordinates.varied} & set(LOSSES)
    if not lossy:
        return ()
    compressing = {QUANTITY_OF[name] for name in lossy}
    terms = (
        *_level_terms("accuracy", coordinates, values, physical=compressing),
        *(LOSSES[name] for name in LOSSES if name in lossy),
    )
    loss = FunctionalForm(
        "losses", "loss", terms, is_sampled=True, formula="logit(accuracy) = A - b_R R/(1-R) - b_D D/0.02"
    )
    return loss, accuracy_cliff(coordinates, values)


def accuracy_cliff(coordinates: InputCoordinates, values: Float) -> FunctionalForm:
    """Return a plateau of accuracy with edges in the pruning ratio and in the step, and a floor at chance.

    The priors are wider than the range of the four digits networks. These lose half of their accuracy above chance with
    6 to 30 % of the weights left, or at steps of 0.1 to 0.3, within a factor of 1.2 to 3. Edges of networks of other
    sizes may be outside that range.
    """
    categories, varied = coordinates.categories, coordinates.varied
    has_step = bool({"quant_step", "weight_bits"} & set(varied))
    terms = [
        Term("plateau", center=float(np.max(values)), width=0.5, is_learned=False),
        Term("chance", center=-2.2, width=1.0, is_learned=False, scale="logit", meaning="accuracy by chance",
             source="assumed: two to thirty classes"),
    ]  # fmt: skip
    terms += [Term("plateau", (name,), width=0.3, is_learned=False) for name in categories]
    terms += [Term("plateau", (), (name,), width=_plateau_slope(name), is_learned=False) for name in varied]
    if has_step:
        terms += [
            Term("step edge", center=float(np.log(0.15)), width=1.0, is_learned=False, scale="log",
                 meaning="step at which half of the accuracy above chance is lost",
                 source="assumed: wider than 0.1 to 0.3, measured on four networks of digits"),
            Term("step width", center=-1.2, width=0.6, is_learned=False, scale="log",
                 meaning="width of that edge, as a factor of the step",
                 source="measured on four networks of digits: a factor of 1.2 to 3"),
        ]  # fmt: skip
        terms += [Term("step edge", (name,), width=0.4, is_learned=False) for name in categories]
    if "pruning_ratio" in varied:
        terms += [
            Term("pruning edge", center=float(np.log(0.2)), width=0.7, is_learned=False, scale="log",
                 meaning="remaining weights at which half of the accuracy above chance is lost",
                 source="assumed: wider than 0.06 to 0.3, measured on four networks of digits"),
        ]  # fmt: skip
        terms += [Term("pruning edge", (name,), width=0.4, is_learned=False) for name in categories]
        terms += [Term("pruning width", center=-1.2, width=0.6, is_learned=False)]
    if has_step and "pruning_ratio" in varied:
        # Assumed: between independent edges and additive shares of one common margin.
        terms.append(Term("corner", center=0.5, width=0.7, is_learned=False))
    return FunctionalForm(
        "plateau and cliff", "accuracy_cliff", tuple(terms), is_sampled=True,
        formula="accuracy = chance + (plateau - chance) / (1 + strain of pruning and rounding)",
    )  # fmt: skip


def _plateau_slope(name: str) -> float:
    if name in {"voltage_v", "frequency_hz"}:
        return 0.05
    return 0.2 if name in {"pruning_ratio", "quant_step", "weight_bits"} else 0.5
