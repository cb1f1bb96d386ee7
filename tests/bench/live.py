"""Evaluations to a share of the reachable hypervolume: the learner against Optuna's samplers. Never in CI.

    OMP_NUM_THREADS=1 python tests/bench/live.py --keep FOLDER [--problems ...] [--samplers ...] [--seeds 0 1 2 3 4]

Each run (a problem, a sampler, a seed) is kept in FOLDER as one file and not repeated; the table is made of all that is
kept there. `gp` needs torch. Suggestions are timed in CPU seconds of the whole process.
"""

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import moocore
import numpy as np
import optuna
from live_problems import NETWORKS, PROBLEMS, Problem, problem
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler

from explorer.models.live import Live
from explorer.pareto.front import minimized
from explorer.pareto.reference import exact_front
from explorer.pareto.refine import Budget
from explorer.problem.columns import stack, take
from explorer.search.begin import MEASURED_ATTR
from explorer.search.encoding import Encoding, columns_of
from explorer.search.learning import LearningSampler

SHARES = (0.9, 0.95, 0.98)
RIVALS = ("tpe", "gp", "nsga2")
# How many evaluations each may have, for two and for three objectives; the GP of three costs many seconds each.
BUDGET = {"learn": (120, 120), "tpe": (240, 300), "gp": (100, 160), "nsga2": (200, 400)}
_GRID = 72  # of R and of D, where every design is a measurement


def make(name: str, asked: Problem, seed: int) -> BaseSampler:
    """Return a sampler as a user would make it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "tpe":
            return TPESampler(multivariate=True, seed=seed)
        if name == "gp":
            return GPSampler(seed=seed, deterministic_objective=True)
        if name == "nsga2":
            return NSGAIISampler(seed=seed, population_size=20)
    return LearningSampler(asked.assessment, reference=asked.reference, seed=seed)


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run measured: objectives (n, m), feasibility (n,), and CPU seconds of each suggestion (n,)."""

    values: np.ndarray[Any, Any]
    is_feasible: np.ndarray[Any, Any]
    seconds: np.ndarray[Any, Any]


def run(asked: Problem, sampler: BaseSampler, n: int) -> Trace:
    """Search with one sampler; every sampler is asked, told and constrained in the same way."""
    assessment, encoding = asked.assessment, Encoding(asked.assessment.regions)
    objectives, distributions = assessment.study.objectives, encoding.distributions()
    study = optuna.create_study(directions=[o.direction for o in objectives], sampler=sampler)
    values, is_feasible, seconds = [], [], []
    for _ in range(n):
        began = time.process_time()
        trial = study.ask(dict(distributions))
        seconds.append(time.process_time() - began)
        designs = encoding.decode(columns_of([trial.params]), n=1)
        columns = assessment.assess(designs)
        for name, misses in assessment.excess(columns).items():
            trial.set_constraint(name, float(misses[0]))
        for name in assessment.evaluator.targets:
            trial.set_user_attr(name, float(columns[name][0]))
        if isinstance(assessment.evaluator, Live):
            (row,) = assessment.evaluator.recorded(designs)
            trial.set_user_attr(MEASURED_ATTR, row)
        values.append(assessment.values(columns)[0].tolist())
        is_feasible.append(bool(columns["is_feasible"][0]))
        study.tell(trial, values[-1])
    return Trace(np.array(values), np.array(is_feasible), np.array(seconds))


def kept(folder: Path, name: str, sampler: str, seed: int, n: int) -> Trace:
    """Return a run from its file, or make it."""
    path = folder / f"{name}.{sampler}.{seed}.json"
    if not path.exists():
        asked = problem(name)
        trace = run(asked, make(sampler, asked, seed), n)
        path.write_text(json.dumps({k: getattr(trace, k).tolist() for k in Trace.__slots__}), encoding="utf-8")
    told = json.loads(path.read_text(encoding="utf-8"))
    return Trace(*(np.array(told[k]) for k in Trace.__slots__))


def volumes(asked: Problem, trace: Trace) -> np.ndarray[Any, Any]:
    """Return the hypervolume after each evaluation, shape (n,)."""
    objectives = asked.assessment.study.objectives
    reference = np.array([o.sign for o in objectives]) * asked.reference
    points = minimized(trace.values, objectives)
    counts = [np.flatnonzero(trace.is_feasible[: i + 1]) for i in range(len(points))]
    return np.array([moocore.hypervolume(points[rows], ref=reference) if len(rows) else 0.0 for rows in counts])


def everywhere(asked: Problem, folder: Path) -> np.ndarray[Any, Any]:
    """Return the objectives of a grid of designs that are each measured, once and for all, shape (_GRID ** 2, 2)."""
    path = folder / f"{asked.name}.grid.npy"
    if not path.exists():
        (region,) = asked.assessment.regions.values()
        cells = np.stack(np.meshgrid(*[(np.arange(_GRID) + 0.5) / _GRID] * 2), axis=-1).reshape(-1, 2)
        np.save(path, asked.assessment.values(asked.assessment.assess(region.from_unit(cells))))
    return np.asarray(np.load(path))


@cache
def reachable(name: str, folder: Path) -> float:
    """Return the hypervolume of all there is: the exact front, or all that a grid and every run here measured."""
    asked = problem(name)
    if name not in NETWORKS:
        found = exact_front(asked.assessment, asked.reference, budget=Budget(1e-4, 600_000))
        return found.hypervolume if found else 0.0
    grid = everywhere(asked, folder)
    runs = [np.array(json.loads(path.read_text(encoding="utf-8"))["values"]) for path in folder.glob(f"{name}.*.json")]
    everything = np.concatenate([grid, *runs])
    return float(volumes(asked, Trace(everything, np.ones(len(everything), dtype=np.bool_), np.zeros(0)))[-1])


def evaluations_to(share: float, reached: np.ndarray[Any, Any]) -> float:
    """Return the number of evaluations to a share; infinite where it was never reached."""
    where = np.flatnonzero(reached >= share)
    return float(where[0] + 1) if where.size else np.inf


def check(name: str) -> None:
    """See that decoding what Optuna would hand out and assessing one by one gives what assessing a table gives."""
    assessment = problem(name).assessment
    (region,) = assessment.regions.values()
    designs = region.from_unit(np.random.default_rng(0).random((8, len(region.axes))))
    encoding = Encoding(assessment.regions)
    one_by_one = [
        assessment.assess(encoding.decode(encoding.encode(take(designs, np.array([i]))), n=1)) for i in range(8)
    ]
    together = assessment.assess(designs)
    np.testing.assert_allclose(assessment.values(stack(one_by_one)), assessment.values(together), rtol=1e-9)


def report(folder: Path, names: Sequence[str], samplers: Sequence[str], seeds: Sequence[int]) -> None:
    """Print, for each problem and sampler, medians (and spread) of evaluations to each share, and CPU seconds."""
    print(f"{'problem':20} {'sampler':8}" + "".join(f"{f'to {s:.0%}':>16}" for s in SHARES) + "    CPU s   final")
    for name in names:
        asked, total = problem(name), reachable(name, folder)
        for sampler in samplers:
            paths = [folder / f"{name}.{sampler}.{seed}.json" for seed in seeds]
            traces = [kept(folder, name, sampler, seed, 0) for seed, p in zip(seeds, paths, strict=True) if p.exists()]
            if not traces:
                continue
            reached = [volumes(asked, trace) / total for trace in traces]
            line = f"{name:20} {sampler:8}"
            for share in SHARES:
                counts = np.array([evaluations_to(share, r) for r in reached])
                line += f"{np.median(counts):6.0f} [{counts.min():.0f}-{counts.max():.0f}]".rjust(16)
            seconds = np.median([np.median(trace.seconds) for trace in traces])
            print(f"{line} {seconds:8.3f}  {np.median([r[-1] for r in reached]):.3f} at {len(reached[0])}")


def main() -> None:
    """Make the runs that are missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--samplers", nargs="+", default=["learn", *RIVALS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    asked.keep.mkdir(parents=True, exist_ok=True)
    for name in asked.problems:
        check(name)
        for sampler in asked.samplers:
            is_three = len(problem(name).reference) > 2
            for seed in asked.seeds:
                kept(asked.keep, name, sampler, seed, BUDGET[sampler][is_three])
    report(asked.keep, asked.problems, asked.samplers, asked.seeds)


if __name__ == "__main__":
    main()
