"""Evaluations to a share of the reachable hypervolume: the learner against Optuna's samplers. Never in CI.

    OMP_NUM_THREADS=1 python tests/bench/live.py --keep FOLDER [--problems ...] [--samplers ...] [--seeds 0 1 2 3 4]
    OMP_NUM_THREADS=1 python tests/bench/live.py --keep FOLDER --samplers learn --in-flight 8 [--at 40 80 120]

Each run (a problem, a sampler, a seed) is kept in FOLDER as one file and not repeated; the table is made of all that is
kept there. `gp` needs torch. Suggestions are timed in CPU seconds of the whole process. `--in-flight 8` compares eight
workers with one at equal evaluations: evaluations of random durations, and synchronous batches.
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
from live_problems import NETWORKS, PROBLEMS, BenchProblem, load_problem
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler

from explorer.models.measured.network import NetworkEvaluator
from explorer.pareto.exact_front import exact_front
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.geometry.refinement import Budget
from explorer.problem.columns import stack, take
from explorer.search.encoding import Encoding, columns_of
from explorer.search.samplers.learning_sampler import LearningSampler
from explorer.search.session import MEASURED_ATTR

SHARES = (0.9, 0.95, 0.98)
RIVALS = ("tpe", "gp", "nsga2")
# How many evaluations each may have, for two and for three objectives; the GP of three costs many seconds each.
BUDGET = {"learn": (120, 120), "tpe": (240, 300), "gp": (100, 160), "nsga2": (200, 400)}
_GRID = 72  # of R and of D, where every design is a measurement


def make(name: str, asked: BenchProblem, seed: int) -> BaseSampler:
    """Return a sampler as a user would make it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "tpe":
            return TPESampler(multivariate=True, seed=seed)
        if name == "gp":
            return GPSampler(seed=seed, deterministic_objective=True)
        if name == "nsga2":
            return NSGAIISampler(seed=seed, population_size=20)
    return LearningSampler(asked.problem, reference=asked.reference, seed=seed)


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run measured: objectives (n, m), feasibility (n,), and CPU seconds of each suggestion (n,)."""

    values: np.ndarray[Any, Any]
    is_feasible: np.ndarray[Any, Any]
    seconds: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Flight:
    """How many designs are evaluated at the same time.

    Args:
        n: designs in flight.
        is_even: whether all evaluations take equally long, which makes synchronous batches; else half to one and a half
            times the mean, in steps of an eighth: those that end in the same step are replaced together.
        seed: of the durations.
    """

    n: int = 1
    is_even: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of these runs in files and tables."""
        return "" if self.n == 1 else f"-{'sync' if self.is_even else 'async'}{self.n}"


def run(asked: BenchProblem, sampler: BaseSampler, n: int, flight: Flight) -> Trace:
    """Search with one sampler; every sampler is asked, told and constrained in the same way."""
    problem = asked.problem
    objectives, distributions = problem.study.objectives, Encoding(problem.regions).distributions()
    study = optuna.create_study(directions=[o.direction for o in objectives], sampler=sampler)
    rng = np.random.default_rng(flight.seed)
    running: list[tuple[int, optuna.Trial]] = []
    values, is_feasible, seconds, step = [], [], [], 0
    while len(values) < n:
        free = min(flight.n, n - len(values)) - len(running)
        if flight.n > 1 and isinstance(sampler, LearningSampler):
            sampler.expect(free)
        for _ in range(free):
            began = time.process_time()
            trial = study.ask(dict(distributions))
            seconds.append(time.process_time() - began)
            running.append((step + (8 if flight.is_even else int(rng.integers(4, 13))), trial))
        step = min(end for end, _ in running)
        for trial in [trial for end, trial in running if end == step]:
            told, is_met = tell(asked, study, trial)
            values.append(told)
            is_feasible.append(is_met)
        running = [(end, trial) for end, trial in running if end > step]
    return Trace(np.array(values), np.array(is_feasible), np.array(seconds))


def tell(asked: BenchProblem, study: optuna.Study, trial: optuna.Trial) -> tuple[list[float], bool]:
    """Measure a trial's design and record it; return its objectives and whether it is feasible."""
    problem = asked.problem
    designs = Encoding(problem.regions).decode(columns_of([trial.params]), n=1)
    columns = problem.evaluate(designs)
    for name, misses in problem.constraint_violations(columns).items():
        trial.set_constraint(name, float(misses[0]))
    for name in problem.evaluator.targets:
        trial.set_user_attr(name, float(columns[name][0]))
    if isinstance(problem.evaluator, NetworkEvaluator):
        (row,) = problem.evaluator.measure_rows(designs)
        trial.set_user_attr(MEASURED_ATTR, row)
    values = problem.values(columns)[0].tolist()
    study.tell(trial, values)
    return values, bool(columns["is_feasible"][0])


def kept(folder: Path, name: str, sampler: str, seed: int, n: int, flight: Flight = Flight()) -> Trace:
    """Return a run of at least n evaluations from its file, or make it."""
    path = folder / f"{name}.{sampler}{flight.name}.{seed}.json"
    if not path.exists() or len(json.loads(path.read_text(encoding="utf-8"))["values"]) < n:
        asked = load_problem(name)
        trace = run(asked, make(sampler, asked, seed), n, flight)
        path.write_text(json.dumps({k: getattr(trace, k).tolist() for k in Trace.__slots__}), encoding="utf-8")
    told = json.loads(path.read_text(encoding="utf-8"))
    return Trace(*(np.array(told[k]) for k in Trace.__slots__))


def volumes(asked: BenchProblem, trace: Trace) -> np.ndarray[Any, Any]:
    """Return the hypervolume after each evaluation, shape (n,)."""
    objectives = asked.problem.study.objectives
    reference = np.array([o.sign for o in objectives]) * asked.reference
    points = to_minimization(trace.values, objectives)
    counts = [np.flatnonzero(trace.is_feasible[: i + 1]) for i in range(len(points))]
    return np.array([moocore.hypervolume(points[rows], ref=reference) if len(rows) else 0.0 for rows in counts])


def everywhere(asked: BenchProblem, folder: Path) -> np.ndarray[Any, Any]:
    """Return the objectives of a grid of designs that are each measured, once and for all, shape (_GRID ** 2, 2)."""
    path = folder / f"{asked.name}.grid.npy"
    if not path.exists():
        (region,) = asked.problem.regions.values()
        cells = np.stack(np.meshgrid(*[(np.arange(_GRID) + 0.5) / _GRID] * 2), axis=-1).reshape(-1, 2)
        np.save(path, asked.problem.values(asked.problem.evaluate(region.from_unit(cells))))
    return np.asarray(np.load(path))


@cache
def reachable(name: str, folder: Path) -> float:
    """Return the hypervolume of all there is: the exact front, or all that a grid and every run here measured."""
    asked = load_problem(name)
    if name not in NETWORKS:
        found = exact_front(asked.problem, asked.reference, budget=Budget(1e-4, 600_000))
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
    problem = load_problem(name).problem
    (region,) = problem.regions.values()
    designs = region.from_unit(np.random.default_rng(0).random((8, len(region.axes))))
    encoding = Encoding(problem.regions)
    one_by_one = [
        problem.evaluate(encoding.decode(encoding.encode(take(designs, np.array([i]))), n=1)) for i in range(8)
    ]
    together = problem.evaluate(designs)
    np.testing.assert_allclose(problem.values(stack(one_by_one)), problem.values(together), rtol=1e-9)


def report(folder: Path, names: Sequence[str], samplers: Sequence[str], seeds: Sequence[int]) -> None:
    """Print, for each problem and sampler, medians (and spread) of evaluations to each share, and CPU seconds."""
    print(f"{'problem':20} {'sampler':8}" + "".join(f"{f'to {s:.0%}':>16}" for s in SHARES) + "    CPU s   final")
    for name in names:
        asked, total = load_problem(name), reachable(name, folder)
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


def compare(folder: Path, name: str, sampler: str, seeds: Sequence[int], n: int, at: Sequence[int]) -> None:
    """Print what designs in flight lose of the hypervolume that one at a time reaches with as many evaluations."""
    asked = load_problem(name)
    alone = [kept(folder, name, sampler, seed, max(at)) for seed in seeds]
    for is_even in (False, True):
        flights = [kept(folder, name, sampler, seed, max(at), Flight(n, is_even, seed)) for seed in seeds]
        line = f"{name:20} {sampler + Flight(n, is_even).name:14}"
        for count in at:
            pairs = [
                (volumes(asked, a)[count - 1], volumes(asked, f)[count - 1])
                for a, f in zip(alone, flights, strict=True)
            ]
            ones, others = np.array(pairs).T
            # Seeds are not pairs: the median of all runs, and the worst run, against the median of one at a time.
            loss = 1 - np.array(others) / np.median(ones)
            line += f"   {np.median(loss):6.2%} [{loss.max():6.2%}; alone {1 - min(ones) / np.median(ones):6.2%}]"
        cpu = [np.mean([trace.seconds.mean() for trace in traces]) for traces in (alone, flights)]
        print(f"{line}   CPU s {cpu[0]:.3f} -> {cpu[1]:.3f}", flush=True)


def main() -> None:
    """Make the runs that are missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--samplers", nargs="+", default=["learn", *RIVALS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--at", nargs="+", type=int, default=[40, 80, 120])
    asked = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    asked.keep.mkdir(parents=True, exist_ok=True)
    if asked.in_flight > 1:
        print(f"{'problem':20} {'sampler':14}" + "".join(f"{f'median [worst] loss at {n}':>37}" for n in asked.at))
    for name in asked.problems:
        check(name)
        if asked.in_flight > 1:
            for sampler in asked.samplers:
                compare(asked.keep, name, sampler, asked.seeds, asked.in_flight, asked.at)
            continue
        for sampler in asked.samplers:
            is_three = len(load_problem(name).reference) > 2
            for seed in asked.seeds:
                kept(asked.keep, name, sampler, seed, BUDGET[sampler][is_three])
    if asked.in_flight == 1:
        report(asked.keep, asked.problems, asked.samplers, asked.seeds)


if __name__ == "__main__":
    main()
