"""Synthetic worlds with a known truth: tables of noisy measurements, and the judge of labels against the truth.

A world is a seed's table of samples, a function that returns the true targets of designs, and a search space over the
sampled range. `judge` compares the labels and intervals of a finished study with the truth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import pandas as pd

import explorer

Array = np.ndarray[Any, Any]
Truth = Callable[[Mapping[str, Array]], dict[str, Array]]
GHZ = 1e9
MAXIMIZED = {"accuracy"}
TOLERANCE = 0.01  # share of the extent of the true front below which a difference does not matter


@dataclass(frozen=True)
class World:
    """One table of a world.

    Args:
        name: of the world.
        samples: noisy rows: knobs and targets, SI.
        truth: returns the true targets of designs.
        space: the keys of a space file.
        objectives: two or three targets.
        ranges: lowest and highest value of each continuous knob of the space, SI.
        categories: further columns of a dense grid: tied values, a column each, one row a category.
    """

    name: str
    samples: pd.DataFrame
    truth: Truth
    space: dict[str, Any]
    objectives: tuple[str, ...]
    ranges: dict[str, tuple[float, float]]
    categories: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def own_knobs(self) -> list[str]:
        """The knobs that are not known by name."""
        return [k for k in self.ranges if k == "batch"]

    def grid(self, *, n: int = 6_000) -> dict[str, Array]:
        """Return a dense grid of designs of the space, a column a knob."""
        if not self.ranges:
            return {k: self.categories[k].to_numpy() for k in self.categories}
        n_categories = max(len(self.categories), 1)
        per_knob = max(int((n / n_categories) ** (1 / len(self.ranges))), 2)
        axes = [np.linspace(low, high, per_knob) for low, high in self.ranges.values()]
        mesh = [a.ravel() for a in np.meshgrid(*axes, indexing="ij")]
        columns = {k: np.tile(a, n_categories) for k, a in zip(self.ranges, mesh, strict=True)}
        return columns | {k: np.repeat(self.categories[k].to_numpy(), len(mesh[0])) for k in self.categories}


def _noisy(values: Array, rng: np.random.Generator, scale: float) -> Array:
    return np.asarray(values * np.exp(scale * rng.standard_normal(len(values))))


def _clock_space(low: float, high: float) -> dict[str, Any]:
    return {
        "family": "network",
        "axes": {"frequency": {"range": [low / GHZ, high / GHZ], "unit": "GHz"}},
        "operating_points": {"law": "none"},
        "domain": {"widen": 0.0},
    }


def _clock_world(name: str, seed: int, n: int, truth: Truth) -> World:
    """Return a sweep of n random clocks from 0.5 to 1.3 GHz with 1 % noise; the space is the sampled range."""
    rng = np.random.default_rng(seed)
    clock = np.sort(rng.uniform(0.5, 1.3, n)) * GHZ
    true = truth({"frequency_hz": clock})
    samples = pd.DataFrame({"frequency_hz": clock, **{t: _noisy(v, rng, 0.01) for t, v in true.items()}})
    return World(name, samples, truth, _clock_space(clock[0], clock[-1]), ("energy_j", "latency_s"),
                 {"frequency_hz": (clock[0], clock[-1])})  # fmt: skip


def _kinked(static: float, switched: float, kink: float, rise: float) -> Truth:
    """Return latency 0.01 + 0.05 / f s and power static + switched f + rise (f - kink)_+^2 W, with f in GHz."""

    def truth(designs: Mapping[str, Array]) -> dict[str, Array]:
        f = designs["frequency_hz"] / GHZ
        latency = 0.01 + 0.05 / f
        power = static + switched * f + rise * np.maximum(f - kink, 0) ** 2
        return {"energy_j": latency * power, "latency_s": latency}

    return truth


def inner_optimum(seed: int) -> World:
    """Return nine clocks of a device whose voltage rises above 0.8 GHz: the energy has an inner minimum.

    The truth is that of `tests/cases/models/nonmonotone9_truth.csv`.
    """
    return _clock_world("inner_optimum", seed, 9, _kinked(3.0, 4.0, 0.8, 32.0))


def any_optimum(seed: int) -> World:
    """Return fourteen clocks of a device whose voltage rises from another clock in each table."""
    rng = np.random.default_rng([seed, 1])
    truth = _kinked(rng.uniform(2, 5), rng.uniform(2, 5), rng.uniform(0.65, 1.1), rng.uniform(15, 60))
    return _clock_world("any_optimum", seed, 14, truth)


def sweep(seed: int) -> World:
    """Return a sweep of 7 to 13 evenly spaced clocks with 0.3 % noise; the space is these clocks."""
    rng = np.random.default_rng(seed)
    truth = _kinked(rng.uniform(2, 5), rng.uniform(2, 5), rng.uniform(0.65, 1.0), rng.uniform(15, 60))
    n = int(rng.integers(7, 14))
    ghz = np.linspace(1.3 / n, 1.3, n).round(3)
    clock = pd.DataFrame({"frequency_hz": ghz * GHZ})
    true = truth({"frequency_hz": clock["frequency_hz"].to_numpy()})
    samples = clock.assign(**{t: _noisy(v, rng, 0.003) for t, v in true.items()})
    space = _clock_space(0.1 * GHZ, GHZ)
    space["axes"]["frequency"] = {"values": ghz.tolist(), "unit": "GHz"}
    return World("sweep", samples, truth, space, ("energy_j", "latency_s"), {}, clock)


def five_rows(seed: int) -> World:
    """Return five clocks of a device whose voltage rises linearly with its clock; its least energy is near 0.85 GHz."""

    def truth(designs: Mapping[str, Array]) -> dict[str, Array]:
        f = designs["frequency_hz"] / GHZ
        volts, latency = 0.55 + 0.35 * f, 0.02 + 0.04 / f
        return {"energy_j": latency * (8 * volts + 5 * volts**2 * f), "latency_s": latency}

    return _clock_world("five_rows", seed, 5, truth)


def two_clusters(seed: int) -> World:
    """Return two clusters of six rows: small batches little pruned, large batches much pruned; nothing between.

    Between them the energy of an inference has a bump over the batch, which no row shows. The truth follows
    `tests/cases/models/two_clusters_truth.csv` within 19 %.
    """

    def truth(designs: Mapping[str, Array]) -> dict[str, Array]:
        r, b = designs["pruning_ratio"], designs["batch"]
        bump = np.exp(-0.5 * (np.log(b / 14) / 0.4) ** 2)
        energy = 0.21 * (1 - 0.65 * r) * b**-1.16 + (1 - r) ** 0.5 * (0.0046 + 0.02 * bump + 1.9e-4 * b)
        return {"energy_j": energy, "latency_s": 3e-4 + 3e-5 * b * (1 - r)}

    rng = np.random.default_rng(seed)
    r = np.concatenate([rng.uniform(0.05, 0.15, 6), rng.uniform(0.75, 0.88, 6)])
    b = np.concatenate([rng.uniform(1.0, 1.6, 6), rng.uniform(70, 120, 6)])
    true = truth({"pruning_ratio": r, "batch": b})
    samples = pd.DataFrame({"pruning_ratio": r, "batch": b, **{t: _noisy(v, rng, 0.01) for t, v in true.items()}})
    ranges = {k: (float(samples[k].min()), float(samples[k].max())) for k in ("pruning_ratio", "batch")}
    space = {
        "family": "network",
        "axes": {k: {"range": list(ends)} for k, ends in ranges.items()},
        "operating_points": {"law": "none"},
        "domain": {"widen": 0.0},
    }
    return World("two_clusters", samples, truth, space, ("energy_j", "latency_s"), ranges)


POINTS = pd.DataFrame(
    {"voltage_v": [0.8, 0.85, 0.9, 0.95, 1.0], "frequency_hz": np.array([1.2, 1.5, 1.8, 2.1, 2.4]) * GHZ}
)


def _compressed_world(name: str, seed: int, n: int, truth: Truth, objectives: tuple[str, ...]) -> World:
    """Return n random designs of the paper's five knobs: R, D, and one of five operating points; 1 % noise."""
    rng = np.random.default_rng(seed)
    point = POINTS.iloc[np.concatenate([[0, len(POINTS) - 1], rng.integers(len(POINTS), size=n - 2)])]
    knobs = {
        "pruning_ratio": rng.uniform(0.1, 0.7, n),
        "quant_step": np.exp(rng.uniform(np.log(0.01), np.log(0.08), n)),
        "voltage_v": point["voltage_v"].to_numpy(),
        "frequency_hz": point["frequency_hz"].to_numpy(),
    }
    targets = truth(knobs)
    for target, values in targets.items():
        if target == "accuracy":
            odds = values / (1 - values) * np.exp(0.03 * rng.standard_normal(n))
            targets[target] = odds / (1 + odds)
        else:
            targets[target] = _noisy(values, rng, 0.01)
    samples = pd.DataFrame({"family": "CNN", **knobs, **targets})
    ranges = {k: (float(samples[k].min()), float(samples[k].max())) for k in ("pruning_ratio", "quant_step")}
    space = {
        "family": "CNN",
        "axes": {
            "pruning_ratio": {"range": list(ranges["pruning_ratio"])},
            "quant_step": {"range": list(ranges["quant_step"]), "scale": "log"},
        },
        "operating_points": {
            "points": [{"voltage": v, "frequency": f / GHZ} for v, f in POINTS.itertuples(index=False)]
        },
        "domain": {"widen": 0.5},
    }
    return World(name, samples, truth, space, objectives, ranges, POINTS)


def _relative(designs: Mapping[str, Array]) -> tuple[Array, Array, Array, Array]:
    """Return remaining weights, bits, voltage and clock relative to R = 0.1, D = 0.01, 1 V, 2.4 GHz."""
    bits = np.log2(2 / designs["quant_step"]) / np.log2(2 / 0.01)
    return (1 - designs["pruning_ratio"]) / 0.9, bits, designs["voltage_v"], designs["frequency_hz"] / (2.4 * GHZ)


def interaction(seed: int) -> World:
    """Return twelve rows in which a coarse step costs more accuracy the more weights are pruned."""

    def truth(designs: Mapping[str, Array]) -> dict[str, Array]:
        r, q, v, c = _relative(designs)
        odds, step = designs["pruning_ratio"] / (1 - designs["pruning_ratio"]), designs["quant_step"] / 0.02
        score = 3.0 - 0.15 * odds - 0.05 * step - 0.35 * odds * step
        latency = 0.1 * (r * q) ** 0.6 / c
        return {
            "accuracy": 1 / (1 + np.exp(-score)),
            "latency_s": latency,
            "energy_j": 20 * (0.4 + 0.45 * r * q * v**2 + 0.15 * v * latency / 0.1),
        }

    return _compressed_world("interaction", seed, 12, truth, ("energy_j", "accuracy"))


def memory_bound(seed: int) -> World:
    """Return twelve rows of a network that waits for memory half of its time: latency a + b / f."""

    def truth(designs: Mapping[str, Array]) -> dict[str, Array]:
        r, q, v, c = _relative(designs)
        latency = 0.1 * (0.5 + 0.5 / c) * (0.4 + 0.6 * r * q)
        odds, step = designs["pruning_ratio"] / (1 - designs["pruning_ratio"]), designs["quant_step"] / 0.02
        return {
            "accuracy": 1 / (1 + np.exp(-3.0 + 0.35 * odds + 0.17 * step)),
            "latency_s": latency,
            "energy_j": 60 * latency * v + 10 * (0.3 + 0.7 * r * q) * v**2,
        }

    return _compressed_world("memory_bound", seed, 12, truth, ("energy_j", "latency_s", "accuracy"))


def outliers(seed: int) -> World:
    """Return fourteen clocks, 8 % of them measured while the machine was busy, at least one of them."""
    world = _clock_world("outliers", seed, 14, _kinked(3.0, 4.0, 0.8, 32.0))
    rng = np.random.default_rng([seed, 1])
    is_busy = rng.random(14) < 0.08
    is_busy[rng.integers(14)] |= not is_busy.any()
    factor = np.where(is_busy, rng.uniform(1.5, 3.0, 14), 1.0)
    samples = world.samples.assign(**{t: world.samples[t] * factor for t in world.objectives})
    return replace(world, samples=samples)


WORLDS: dict[str, Callable[[int], World]] = {
    "inner_optimum": inner_optimum,
    "any_optimum": any_optimum,
    "sweep": sweep,
    "two_clusters": two_clusters,
    "interaction": interaction,
    "memory_bound": memory_bound,
    "five_rows": five_rows,
    "outliers": outliers,
}


@dataclass(frozen=True)
class Verdict:
    """Labels of a study against the truth: counts of labelled and rightly labelled designs, and interval coverage.

    Args:
        n_designs: designs of the study.
        n_sure, right_sure: designs called sure; those that no design of the space beats by more than the tolerance.
        n_dominated, right_dominated: designs called dominated; those that another evaluated or measured design
            dominates, or equals within the tolerance in what it does not improve.
        exactly_dominated: of these, designs that another one dominates without any tolerance.
        n_bounded, covered: true values at designs of the front with an interval; those within it.
        n_extrapolated: designs called extrapolated.
        half_widths: sum of the half widths of these intervals, relative to the true values.
    """

    n_designs: int
    n_sure: int
    right_sure: int
    n_dominated: int
    right_dominated: int
    exactly_dominated: int
    n_bounded: int
    covered: int
    n_extrapolated: int
    half_widths: float

    def __add__(self, other: "Verdict") -> "Verdict":
        return Verdict(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


def minimized(columns: Mapping[str, Array], objectives: Sequence[str]) -> Array:
    """Return objectives as columns to minimize, shape (n, m)."""
    return np.stack([(-1 if o in MAXIMIZED else 1) * np.asarray(columns[o], dtype=float) for o in objectives], axis=1)


def is_beaten(designs: Array, rivals: Array, margin: Array) -> Array:
    """Return a mask of the designs that some rival beats by more than `margin` in every objective, shape (n,).

    With a negative margin: some rival is worse by at most its size in each objective. A design is no rival of itself:
    rivals equal to it in all objectives do not count.
    """
    result = np.zeros(len(designs), dtype=bool)
    for i, design in enumerate(designs):
        better = np.all(rivals < design - margin, axis=1) if (margin > 0).all() else _dominates(rivals, design, -margin)
        result[i] = better.any()
    return result


def _dominates(rivals: Array, design: Array, slack: Array) -> Array:
    is_within = np.all(rivals <= design + slack, axis=1)
    return np.asarray(is_within & np.any(rivals != design, axis=1) & np.any(rivals < design, axis=1))


def judge(frame: pd.DataFrame, is_front: Array, world: World) -> Verdict:
    """Return the labels of all designs of a study against the truth.

    Args:
        frame: all designs, with `certainty`, and `_lo`, `_hi` of the targets; shape (n,).
        is_front: mask of the designs on the predicted front, shape (n,).
        world: the world whose samples the study was fitted to.
    """
    objectives = world.objectives
    grid = minimized(world.truth(world.grid()), objectives)
    front = grid[np.asarray(moocore.is_nondominated(grid), dtype=bool)]
    margin = TOLERANCE * np.ptp(front, axis=0)
    columns = {k: frame[k].to_numpy() for k in frame}
    true_columns = world.truth(columns)
    values = minimized(true_columns, objectives)
    measured = minimized(world.truth({k: world.samples[k].to_numpy() for k in world.samples}), objectives)
    tried, label = np.concatenate([values, measured]), columns["certainty"]
    sure, dominated = values[label == "sure"], values[label == "dominated"]
    true = {t: true_columns[t][is_front] for t in objectives}
    ends = {t: (columns[f"{t}_lo"][is_front], columns[f"{t}_hi"][is_front]) for t in objectives}
    is_inside = [(low <= true[t]) & (true[t] <= high) for t, (low, high) in ends.items()]
    return Verdict(
        len(frame),
        len(sure), int((~is_beaten(sure, front, margin)).sum()),
        len(dominated), int(is_beaten(dominated, tried, -margin).sum()),
        int(is_beaten(dominated, tried, 0 * margin).sum()),
        int(is_front.sum()) * len(objectives), int(np.sum(is_inside)), int((label == "extrapolated").sum()),
        float(sum(np.nansum((high - low) / 2 / true[t]) for t, (low, high) in ends.items())),
    )  # fmt: skip


def search_world(world: World, out: Path, *, trials: int = 60, seed: int = 0) -> Verdict:
    """Run a study of a world's samples in a folder, and return its labels against the truth.

    Odd seeds search at random: then most designs are not near the predicted front, on which an optimizer converges.
    """
    problem = explorer.study(
        samples=world.samples, space=world.space, objectives=world.objectives, name="world", knobs=world.own_knobs
    )
    sampler = "random" if seed % 2 else None
    results = explorer.run(problem, trials=trials, seed=seed, sampler=sampler, out=out).results
    return judge(results.frame(), results.is_front, world)
