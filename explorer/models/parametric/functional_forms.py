"""Parametric forms of the targets of the paper, with the prior of each coefficient.

The forms follow from physics, the coefficients from priors and data. Each prior has a value, a width and a source. All
quantities are relative to a reference design of the same family (its least compressed sample): r remaining weights,
q bits, v voltage, c clock, each as a ratio; bits = log2(2 / D).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from explorer.problem.columns import Columns, Float

Coefficients = Mapping[str, float] | Mapping[str, Float]


@dataclass(frozen=True, slots=True)
class Prior:
    """Prior of a coefficient: a normal on a logarithmic or log-odds scale.

    Args:
        name: of the coefficient.
        value: its median.
        width: standard deviation of its logarithm (`log`: positive) or log-odds (`logit`: a share).
        scale: `log` or `logit`.
        meaning: description of the coefficient.
        source: of value and width.
        effect_of: the knobs whose effect the coefficient describes, in a few words.
    """

    name: str
    value: float
    width: float
    scale: Literal["log", "logit"]
    meaning: str
    source: str
    effect_of: str

    @property
    def center(self) -> float:
        """Median on the scale of the prior."""
        return float(np.log(self.value) if self.scale == "log" else np.log(self.value / (1 - self.value)))

    def natural(self, u: Float | float) -> Float:
        """Return the coefficient for a value on the scale of the prior."""
        return np.asarray(np.exp(u) if self.scale == "log" else 1 / (1 + np.exp(-np.asarray(u))))


@dataclass(frozen=True, slots=True)
class Noise:
    """Prior of the scatter around a form: scaled inverse chi-square, worth `weight` observations."""

    value: float
    weight: float
    source: str


@dataclass(frozen=True, slots=True)
class ParametricForm:
    """Parametric form of one target.

    `effect(relative, coefficients)` is the logarithm (or log-odds) of the target minus the level of the family, shape
    (n,).
    """

    target: str
    link: Literal["log", "logit"]
    formula: str
    priors: tuple[Prior, ...]
    noise: Noise
    effect: Callable[[Columns, Coefficients], Float]

    def linked(self, values: Float) -> Float:
        """Return a target on the scale of the fit."""
        return np.log(values / (1 - values)) if self.link == "logit" else np.log(values)

    def unlinked(self, values: Float) -> Float:
        """Return the target of fitted values: accuracy within [0, 1], the others above 0."""
        return np.asarray(expit(values) if self.link == "logit" else np.exp(values))


def relative_columns(designs: Columns, reference: Columns) -> Columns:
    """Return designs relative to their family's reference design, shape (n,) each.

    Args:
        designs: the knobs, shape (n,).
        reference: numeric knobs of the reference of each design, shape (n,) each.
    """

    def bits(step: Float) -> Float:
        return np.log2(2 / step)

    density = 1 - designs["pruning_ratio"]
    return {
        "pruning_odds": designs["pruning_ratio"] / density,
        "steps": designs["quant_step"] / 0.02,
        "r": density / (1 - reference["pruning_ratio"]),
        "q": bits(designs["quant_step"]) / bits(reference["quant_step"]),
        "v": designs["voltage_v"] / reference["voltage_v"],
        "c": designs["frequency_hz"] / reference["frequency_hz"],
    }


_PRINTED_INTEGERS = Noise(0.05, 4, "assumed: the tables print two to three digits, and forms are simplifications")

ACCURACY_FORM = ParametricForm(
    "accuracy",
    "logit",
    "logit(accuracy) = A_family - b_R R/(1-R) - b_D D/0.02",
    (
        Prior(
            "b_R",
            0.35,
            0.4,
            "log",
            "log-odds of a right answer lost for each unit of pruning odds R/(1-R)",
            "assumed: pruning half of the weights costs about a third of a unit of log-odds",
            "pruning",
        ),
        Prior(
            "b_D",
            0.17,
            0.4,
            "log",
            "log-odds of a right answer lost for each step of 0.02",
            "assumed: from 0.02 to 0.04 the step costs about half of what pruning half of the weights does",
            "the quantization step",
        ),
    ),
    Noise(0.05, 4, "accuracy is printed to 0.01: half a digit is 0.04 to 0.1 units of log-odds around 0.9"),
    lambda x, k: -k["b_R"] * x["pruning_odds"] - k["b_D"] * x["steps"],
)

# Pruning and step rise together in all samples: their product is measured, their separate effects are not. A form with
# a fixed ratio of the two would give intervals that are as narrow off the line of the samples as on it.
_TILT = Prior(
    "tilt",
    1.0,
    0.3,
    "log",
    "how much more than its bits the number of weights counts: r^tilt q^(1/tilt)",
    "assumed: skipping a weight and shortening it save about alike, within a third either way",
    "pruning relative to the step",
)


def _compressed(x: Columns, k: Coefficients) -> Float:
    """Return the logarithm of the compressed work, r^tilt q^(1/tilt)."""
    return np.asarray(k["tilt"] * np.log(x["r"]) + np.log(x["q"]) / k["tilt"])


LATENCY_FORM = ParametricForm(
    "latency_s",
    "log",
    "latency = T_family (r^tilt q^(1/tilt))^a / c",
    (
        Prior(
            "a",
            0.6,
            0.5,
            "log",
            "how far fewer and shorter weights shorten the run",
            "assumed: between a memory-bound run (1) and one that ignores compression (0)",
            "compression",
        ),
        _TILT,
    ),
    _PRINTED_INTEGERS,
    lambda x, k: k["a"] * _compressed(x, k) - np.log(x["c"]),
)


def _energy_effect(x: Columns, k: Coefficients) -> Float:
    switched = np.exp(_compressed(x, k)) * x["v"] ** 2
    leaked = x["v"] * x["latency_ratio"]
    return np.asarray(np.log(1 - k["p"] + k["p"] * ((1 - k["leak"]) * switched + k["leak"] * leaked)))


ENERGY_FORM = ParametricForm(
    "energy_j",
    "log",
    "energy = E_family [1 - p + p ((1 - leak) r^tilt q^(1/tilt) v^2 + leak v latency_ratio)]",
    (
        Prior(
            "p",
            0.5,
            1.0,
            "logit",
            "share of the energy that scales with compression and voltage; the rest is fixed",
            "assumed: anything from a tenth to nine tenths",
            "compression and voltage",
        ),
        Prior(
            "leak",
            0.25,
            0.3,
            "logit",
            "share of leakage in what scales",
            "assumed: a fifth to a third at the nominal voltage of a recent process",
            "leakage",
        ),
        _TILT,
    ),
    _PRINTED_INTEGERS,
    _energy_effect,
)

POWER_FORM = ParametricForm(
    "power_w",
    "log",
    "power = P_family [1 - s + s r^g v^2 c]",
    (
        Prior(
            "s",
            0.5,
            1.0,
            "logit",
            "share of the power that switches",
            "assumed: anything from a tenth to nine tenths",
            "voltage, clock and pruning",
        ),
        Prior(
            "g",
            0.5,
            0.5,
            "log",
            "how far fewer weights lower the switching activity",
            "assumed: unstructured zeros save only part of their share",
            "pruning",
        ),
    ),
    _PRINTED_INTEGERS,
    lambda x, k: np.log(1 - k["s"] + k["s"] * x["r"] ** k["g"] * x["v"] ** 2 * x["c"]),
)

SIZE_FORM = ParametricForm(
    "size_bytes",
    "log",
    "size = S_family r q^z",
    (
        Prior(
            "z",
            0.55,
            0.1,
            "log",
            "share of a stored weight's bits that the step decides",
            "assumed: about six bits of value and five bits of index for each weight that is left",
            "the quantization step",
        ),
    ),
    _PRINTED_INTEGERS,
    lambda x, k: np.log(x["r"]) + k["z"] * np.log(x["q"]),
)

THROUGHPUT_FORM = ParametricForm(
    "throughput_ops",
    "log",
    "throughput = H_family latency_ratio^-h",
    (
        Prior(
            "h",
            0.5,
            0.5,
            "log",
            "how far a shorter run raises the rate of operations",
            "assumed: part of the operations vanish with the weights, so the rate rises less than the speed",
            "speed",
        ),
    ),
    _PRINTED_INTEGERS,
    lambda x, k: -k["h"] * np.log(x["latency_ratio"]),
)

# Latency first: energy and throughput depend on its ratio.
PARAMETRIC_FORMS: Mapping[str, ParametricForm] = {
    form.target: form for form in (LATENCY_FORM, ACCURACY_FORM, ENERGY_FORM, POWER_FORM, SIZE_FORM, THROUGHPUT_FORM)
}
