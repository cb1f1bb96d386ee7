"""Problems of the live benchmark: four measured networks, and two synthetic devices outside the model class.

The formulas of the devices differ from the prior forms of the surrogate: erf and Gompertz accuracy cliffs with
interactions of pruning and step, a roofline, steps of container width, saturating and kinked energy, bit flips at low
voltage.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import erfc, expit

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.models.evaluation import Problem, make_problem
from explorer.models.measured.network import network_evaluator
from explorer.problem.applicability import Range
from explorer.problem.columns import Columns, Float, n_rows
from explorer.problem.constraints import parse_constraint
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace, Dimension
from explorer.problem.objectives import OBJECTIVES
from explorer.problem.study import Study, read_study

NETWORKS = ("digits-cnn", "digits-gru", "digits-mlp", "digits-transformer")
_LAW = AlphaPowerLaw(4.0e9, 0.3, 1.3)
_AXES = (
    Dimension("pruning_ratio", 0.0, 0.95),
    Dimension("quant_step", 0.001, 0.5, is_log=True),
    Dimension("voltage_v", 0.5, 1.3),
    Dimension(CLOCK_SHARE, 0.0, 1.0),
)
_SPACE = DesignSpace("CNN", _AXES, _LAW, (0.5e9, 4.0e9), float("inf"))
# Baseline before any search: the unpruned network in fine steps at the nominal voltage and its highest clock.
_NOMINAL = {
    "family": np.array(["CNN"], dtype=object),
    "pruning_ratio": np.array([0.0]),
    "quant_step": np.array([0.01]),
    "voltage_v": np.array([1.0]),
    "frequency_hz": np.atleast_1d(_LAW.frequency_max(1.0)),
}


@dataclass(frozen=True, slots=True)
class BenchProblem:
    """Problem with the reference point of its hypervolume."""

    name: str
    problem: Problem
    reference: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """Synthetic device: an evaluator with one formula."""

    name: str
    formula: Callable[[Columns], Columns]
    families: tuple[str, ...] = ("CNN",)
    targets: tuple[str, ...] = ("accuracy", "latency_s", "energy_j", "power_w")
    notes: tuple[str, ...] = ()
    is_vectorized: bool = True  # allows the exact front; samplers evaluate one design at a time

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """Ranges of the whole design space."""
        ranges = {axis.name: Range(axis.low, axis.high, axis.is_log) for axis in _AXES[:3]}
        return {"CNN": {**ranges, "frequency_hz": Range(0.5e9, 4.0e9, is_log=False)}}

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return all targets."""
        del family
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return no categorical knobs."""
        del family
        return {}

    def law(self, family: str) -> AlphaPowerLaw:
        """Return the alpha-power law of the device."""
        del family
        return _LAW

    def evaluate(self, designs: Columns) -> Columns:
        """Add the target columns to designs."""
        targets = self.formula(designs)
        targets["power_w"] = targets["energy_j"] / targets["latency_s"]
        return {**designs, **targets, "domain_distance": np.zeros(n_rows(designs))}


def _roofline(designs: Columns) -> Columns:
    """Model a roofline of compute and memory, saturating switching, exponential leakage, an erf cliff in R and D."""
    remaining, bits, volts, clock = _physics(designs)
    share, step = designs["pruning_ratio"] / 0.85, designs["quant_step"] / 0.12
    compute = 0.12 * (0.1 + 0.9 * remaining**0.7) * (0.35 + 0.65 * bits / 8) / clock
    memory = 0.01 + 0.03 * remaining * bits / 8
    latency = np.cbrt(compute**3 + memory**3) + 0.005
    switched = volts**2 * (0.15 + 1.2 * remaining * -np.expm1(-bits / 5))
    energy = switched + 3.0 * volts * np.exp((volts - 1.0) / 0.25) * latency + 0.05
    burden = share**3 + step + 0.8 * share**1.5 * np.sqrt(step)
    return {"accuracy": 0.1 + 0.85 * erfc((burden - 1.0) / 0.4) / 2, "latency_s": latency, "energy_j": energy}


def _kinked(designs: Columns) -> Columns:
    """Model 4/8/16-bit containers, zero skipping above R = 0.5, retention below 0.75 V, bit flips, Gompertz cliffs."""
    remaining, bits, volts, clock = _physics(designs)
    ratio, log_step = designs["pruning_ratio"], np.log(designs["quant_step"])
    container = 1 + expit((bits - 4.5) / 0.3) + 2 * expit((bits - 8.5) / 0.3)
    skipped = 1 - 1.6 * np.maximum(ratio - 0.5, 0.0)
    latency = 0.012 + 0.05 * container * skipped / clock + 0.01 * clock**-0.3
    low = np.maximum(0.75 - volts, 0.0)
    energy = 0.1 + (0.3 + 0.25 * container * (0.2 + 0.8 * remaining)) * (0.7 * volts**2 + 0.3 * volts**4) + 3.0 * low
    energy = energy + 2.0 * volts**2 * latency
    correct = np.exp(-np.exp((ratio - 0.78 + 0.6 * designs["quant_step"]) / 0.06))
    correct = correct * np.exp(-np.exp((log_step - np.log(0.1) + 0.8 * ratio**2) / 0.45))
    correct = correct * (1 - 0.25 * expit((0.62 - volts) / 0.015))
    wave = 0.004 * np.sin(40 * ratio) * np.sin(9 * log_step)
    return {"accuracy": 0.1 + 0.83 * correct * (1 - 0.05 * ratio) + wave, "latency_s": latency, "energy_j": energy}


def _physics(designs: Columns) -> tuple[Float, Float, Float, Float]:
    """Return remaining weights, bits, volts and gigahertz."""
    remaining, bits = 1 - designs["pruning_ratio"], np.log2(2 / designs["quant_step"])
    return remaining, bits, designs["voltage_v"], designs["frequency_hz"] / 1e9


_TWO, _THREE = ("edp_js", "accuracy"), ("energy_j", "latency_s", "accuracy")
# Device, objectives, constraints.
_SYNTHETIC: Mapping[str, tuple[Callable[[Columns], Columns], tuple[str, ...], tuple[str, ...]]] = {
    "roofline-2": (_roofline, _TWO, ()),
    "roofline-2-capped": (_roofline, _TWO, ("power_w <= 8 W",)),
    "kinked-2": (_kinked, _TWO, ()),
    "kinked-2-floored": (_kinked, _TWO, ("accuracy >= 0.8", "latency_s <= 70 ms")),
    "roofline-3": (_roofline, _THREE, ()),
    "roofline-3-capped": (_roofline, _THREE, ("power_w <= 8 W",)),
    "kinked-3": (_kinked, _THREE, ()),
    "kinked-3-floored": (_kinked, _THREE, ("accuracy >= 0.7", "latency_s <= 100 ms")),
}
PROBLEMS = (*NETWORKS, *_SYNTHETIC)


@cache
def load_problem(name: str) -> BenchProblem:
    """Return a problem by name, cached, so that measurements of a network are reused."""
    return _network(name) if name in NETWORKS else _synthetic(name)


def _network(name: str) -> BenchProblem:
    """Return size against accuracy of a shipped network; reference: a quarter of its file size, accuracy 0.5."""
    study = read_study("digits-cnn-live")
    if study.live is None:
        raise TypeError("the shipped study measures nothing")
    # No time limit: on a machine loaded by the other samplers, valid designs could exceed it.
    study = replace(study, live=study.live.model_copy(update={"onnx": name, "time_limit": None}), name=name)
    live = network_evaluator(study)
    return BenchProblem(name, make_problem(study, live), (live.setup.network.n_bytes / 4, 0.5))


def _synthetic(name: str) -> BenchProblem:
    """Return the problem of a synthetic device.

    The reference point is the nominal design for two objectives. For three, the front is a surface: 98 % of its
    hypervolume up to the nominal design takes hundreds of designs. With twice its energy and four times its latency,
    a few dozen suffice.
    """
    formula, objectives, constraints = _SYNTHETIC[name]
    study: Study = replace(
        read_study("edp-accuracy"),
        name=name,
        objectives=tuple(OBJECTIVES[objective] for objective in objectives),
        constraints=tuple(parse_constraint(text) for text in constraints),
        reference_point=None,
    )
    problem = Problem(study, Device(name, formula), {"CNN": _SPACE})
    nominal = problem.evaluate(_NOMINAL)
    factor = {"accuracy": 0.5 / nominal["accuracy"][0], "energy_j": 2.0, "latency_s": 4.0, "edp_js": 1.0}
    return BenchProblem(name, problem, tuple(float(factor[o] * nominal[o][0]) for o in objectives))
