"""The questions of the live benchmark: four networks that are measured, and two made-up devices that no model knows.

The devices' laws are on purpose not those that the learner is made of: erf and Gompertz cliffs in which pruning and
step interact, a roofline, containers that jump, energy with saturation and kinks, bit flips at low voltage.
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
_REGION = DesignSpace("CNN", _AXES, _LAW, (0.5e9, 4.0e9), float("inf"))
# What a user has before any search: the whole network in fine steps at the nominal voltage and its highest clock.
_NOMINAL = {
    "family": np.array(["CNN"], dtype=object),
    "pruning_ratio": np.array([0.0]),
    "quant_step": np.array([0.01]),
    "voltage_v": np.array([1.0]),
    "frequency_hz": np.atleast_1d(_LAW.frequency_max(1.0)),
}


@dataclass(frozen=True, slots=True)
class BenchProblem:
    """A question, and the point that its hypervolume is measured to."""

    name: str
    problem: Problem
    reference: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Device:
    """A made-up device: an evaluator in one formula."""

    name: str
    formula: Callable[[Columns], Columns]
    families: tuple[str, ...] = ("CNN",)
    targets: tuple[str, ...] = ("accuracy", "latency_s", "energy_j", "power_w")
    notes: tuple[str, ...] = ()
    is_vectorized: bool = True  # for whoever looks for the truth; samplers never ask it

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """Everything that the region can make."""
        spans = {axis.name: Range(axis.low, axis.high, axis.is_log) for axis in _AXES[:3]}
        return {"CNN": {**spans, "frequency_hz": Range(0.5e9, 4.0e9, is_log=False)}}

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return all of them."""
        del family
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return none."""
        del family
        return {}

    def law(self, family: str) -> AlphaPowerLaw:
        """Return the law."""
        del family
        return _LAW

    def evaluate(self, designs: Columns) -> Columns:
        """Return what would be measured."""
        made = self.formula(designs)
        made["power_w"] = made["energy_j"] / made["latency_s"]
        return {**designs, **made, "domain_distance": np.zeros(n_rows(designs))}


def _roofline(designs: Columns) -> Columns:
    """Compute beside memory, saturating switching, exponential leakage, an erf cliff in which R and D add up."""
    kept, bits, volts, clock = _physics(designs)
    share, step = designs["pruning_ratio"] / 0.85, designs["quant_step"] / 0.12
    compute = 0.12 * (0.1 + 0.9 * kept**0.7) * (0.35 + 0.65 * bits / 8) / clock
    memory = 0.01 + 0.03 * kept * bits / 8
    latency = np.cbrt(compute**3 + memory**3) + 0.005
    switched = volts**2 * (0.15 + 1.2 * kept * -np.expm1(-bits / 5))
    energy = switched + 3.0 * volts * np.exp((volts - 1.0) / 0.25) * latency + 0.05
    burden = share**3 + step + 0.8 * share**1.5 * np.sqrt(step)
    return {"accuracy": 0.1 + 0.85 * erfc((burden - 1.0) / 0.4) / 2, "latency_s": latency, "energy_j": energy}


def _kinked(designs: Columns) -> Columns:
    """Containers of 4, 8 and 16 bits, zeros skipped above half, retention below 0.75 V, bit flips, Gompertz cliffs."""
    kept, bits, volts, clock = _physics(designs)
    ratio, log_step = designs["pruning_ratio"], np.log(designs["quant_step"])
    container = 1 + expit((bits - 4.5) / 0.3) + 2 * expit((bits - 8.5) / 0.3)
    skipped = 1 - 1.6 * np.maximum(ratio - 0.5, 0.0)
    latency = 0.012 + 0.05 * container * skipped / clock + 0.01 * clock**-0.3
    low = np.maximum(0.75 - volts, 0.0)
    energy = 0.1 + (0.3 + 0.25 * container * (0.2 + 0.8 * kept)) * (0.7 * volts**2 + 0.3 * volts**4) + 3.0 * low
    energy = energy + 2.0 * volts**2 * latency
    right = np.exp(-np.exp((ratio - 0.78 + 0.6 * designs["quant_step"]) / 0.06))
    right = right * np.exp(-np.exp((log_step - np.log(0.1) + 0.8 * ratio**2) / 0.45))
    right = right * (1 - 0.25 * expit((0.62 - volts) / 0.015))
    wave = 0.004 * np.sin(40 * ratio) * np.sin(9 * log_step)
    return {"accuracy": 0.1 + 0.83 * right * (1 - 0.05 * ratio) + wave, "latency_s": latency, "energy_j": energy}


def _physics(designs: Columns) -> tuple[Float, Float, Float, Float]:
    """Return remaining weights, bits, volts and gigahertz."""
    kept, bits = 1 - designs["pruning_ratio"], np.log2(2 / designs["quant_step"])
    return kept, bits, designs["voltage_v"], designs["frequency_hz"] / 1e9


_TWO, _THREE = ("edp_js", "accuracy"), ("energy_j", "latency_s", "accuracy")
# Device, objectives, constraints.
_MADE_UP: Mapping[str, tuple[Callable[[Columns], Columns], tuple[str, ...], tuple[str, ...]]] = {
    "roofline-2": (_roofline, _TWO, ()),
    "roofline-2-capped": (_roofline, _TWO, ("power_w <= 8 W",)),
    "kinked-2": (_kinked, _TWO, ()),
    "kinked-2-floored": (_kinked, _TWO, ("accuracy >= 0.8", "latency_s <= 70 ms")),
    "roofline-3": (_roofline, _THREE, ()),
    "roofline-3-capped": (_roofline, _THREE, ("power_w <= 8 W",)),
    "kinked-3": (_kinked, _THREE, ()),
    "kinked-3-floored": (_kinked, _THREE, ("accuracy >= 0.7", "latency_s <= 100 ms")),
}
PROBLEMS = (*NETWORKS, *_MADE_UP)


@cache
def load_problem(name: str) -> BenchProblem:
    """Return a question by name; what a network was measured at is kept for all who ask again."""
    return _network(name) if name in NETWORKS else _made_up(name)


def _network(name: str) -> BenchProblem:
    """Size against accuracy of a shipped network; no larger than a quarter of its file, half of the digits right."""
    study = read_study("digits-cnn-live")
    if study.live is None:
        raise TypeError("the shipped study measures nothing")
    # No time limit: a machine that is busy with the rivals would fail designs that it can measure.
    study = replace(study, live=study.live.model_copy(update={"onnx": name, "time_limit": None}), name=name)
    live = network_evaluator(study)
    return BenchProblem(name, make_problem(study, live), (live.setup.network.n_bytes / 4, 0.5))


def _made_up(name: str) -> BenchProblem:
    """Return a device's question.

    Two objectives: the nominal design is the worst that counts. Three: their front is a surface, of which it takes
    hundreds of designs to fill 98 % up to there; twice its energy and four times its time leave a few dozen.
    """
    formula, objectives, constraints = _MADE_UP[name]
    study: Study = replace(
        read_study("edp-accuracy"),
        name=name,
        objectives=tuple(OBJECTIVES[objective] for objective in objectives),
        constraints=tuple(parse_constraint(text) for text in constraints),
        reference_point=None,
    )
    problem = Problem(study, Device(name, formula), {"CNN": _REGION})
    nominal = problem.evaluate(_NOMINAL)
    factor = {"accuracy": 0.5 / nominal["accuracy"][0], "energy_j": 2.0, "latency_s": 4.0, "edp_js": 1.0}
    return BenchProblem(name, problem, tuple(float(factor[o] * nominal[o][0]) for o in objectives))
