"""Evaluations to a share of the reachable hypervolume: LearningSampler against Optuna's samplers. Not in CI.

    OMP_NUM_THREADS=1 python tests/bench/live.py --keep FOLDER [--problems ...] [--samplers ...] [--seeds 0 1 2 3 4]
    OMP_NUM_THREADS=1 python tests/bench/live.py --keep FOLDER --samplers learn --in-flight 8 [--at 40 80 120]

Each run (problem, sampler, seed) is cached in FOLDER as one file; the table summarizes all cached runs. `gp` needs
torch. Suggestions are timed in CPU seconds of the whole process. `--in-flight 8` compares eight workers with one at an
equal number of evaluations, with random durations and with synchronous batches.
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
# Numbers of evaluations for two and three objectives; a suggestion of the GP sampler with three takes many seconds.
BUDGET = {"learn": (120, 120), "tpe": (240, 300), "gp": (100, 160), "nsga2": (200, 400)}
_GRID = 72  # values of R and of D for the measured networks


def make_sampler(name: str, bench: BenchProblem, seed: int) -> BaseSampler:
    """Return a sampler with its usual settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "tpe":
            return TPESampler(multivariate=True, seed=seed)
        if name == "gp":
            return GPSampler(seed=seed, deterministic_objective=True)
        if name == "nsga2":
            return NSGAIISampler(seed=seed, population_size=20)
    return LearningSampler(bench.problem, reference=bench.reference, seed=seed)


@dataclass(frozen=True, slots=True)
class Trace:
    """Record of one run: objectives (n, m), feasibility (n,), and CPU seconds of each suggestion (n,)."""

    values: np.ndarray[Any, Any]
    is_feasible: np.ndarray[Any, Any]
    seconds: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Flight:
    """Concurrency of the evaluations.

    Args:
        n: designs in flight.
        is_even: equal durations, which make synchronous batches; otherwise 0.5 to 1.5 times the mean in steps of 1/8.
            Evaluations that end in the same step are replaced together.
        seed: seed of the durations.
    """

    n: int = 1
    is_even: bool = False
    seed: int = 0

    @property
    def name(self) -> str:
        """Suffix of these runs in file names and tables."""
        return "" if self.n == 1 else f"-{'sync' if self.is_even else 'async'}{self.n}"


def run(bench: BenchProblem, sampler: BaseSampler, n: int, flight: Flight) -> Trace:
    """Search with one sampler through the ask-and-tell interface; equal for all samplers."""
    problem = bench.problem
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
            objective_values, is_met = tell(bench, study, trial)
            values.append(objective_values)
            is_feasible.append(is_met)
        running = [(end, trial) for end, trial in running if end > step]
    return Trace(np.array(values), np.array(is_feasible), np.array(seconds))


def tell(bench: BenchProblem, study: optuna.Study, trial: optuna.Trial) -> tuple[list[float], bool]:
    """Evaluate the design of a trial and record it; return its objectives and its feasibility."""
    problem = bench.problem
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


def cached_run(folder: Path, name: str, sampler: str, seed: int, n: int, flight: Flight = Flight()) -> Trace:
    """Return a run of at least n evaluations from its file; run it if the file is missing or shorter."""
    path = folder / f"{name}.{sampler}{flight.name}.{seed}.json"
    if not path.exists() or len(json.loads(path.read_text(encoding="utf-8"))["values"]) < n:
        bench = load_problem(name)
        trace = run(bench, make_sampler(sampler, bench, seed), n, flight)
        path.write_text(json.dumps({k: getattr(trace, k).tolist() for k in Trace.__slots__}), encoding="utf-8")
    record = json.loads(path.read_text(encoding="utf-8"))
    return Trace(*(np.array(record[k]) for k in Trace.__slots__))


def volumes(bench: BenchProblem, trace: Trace) -> np.ndarray[Any, Any]:
    """Return the hypervolume after each evaluation, shape (n,)."""
    objectives = bench.problem.study.objectives
    reference = np.array([o.sign for o in objectives]) * bench.reference
    points = to_minimization(trace.values, objectives)
    counts = [np.flatnonzero(trace.is_feasible[: i + 1]) for i in range(len(points))]
    return np.array([moocore.hypervolume(points[rows], ref=reference) if len(rows) else 0.0 for rows in counts])


def grid_values(bench: BenchProblem, folder: Path) -> np.ndarray[Any, Any]:
    """Return the objectives of a grid of measured designs, cached in a file, shape (_GRID ** 2, 2)."""
    path = folder / f"{bench.name}.grid.npy"
    if not path.exists():
        (space,) = bench.problem.regions.values()
        cells = np.stack(np.meshgrid(*[(np.arange(_GRID) + 0.5) / _GRID] * 2), axis=-1).reshape(-1, 2)
        np.save(path, bench.problem.values(bench.problem.evaluate(space.from_unit(cells))))
    return np.asarray(np.load(path))


@cache
def reachable(name: str, folder: Path) -> float:
    """Return the hypervolume of the exact front; for networks, of all designs measured on the grid and in the runs."""
    bench = load_problem(name)
    if name not in NETWORKS:
        exact = exact_front(bench.problem, bench.reference, budget=Budget(1e-4, 600_000))
        return exact.hypervolume if exact else 0.0
    grid = grid_values(bench, folder)
    runs = [np.array(json.loads(path.read_text(encoding="utf-8"))["values"]) for path in folder.glob(f"{name}.*.json")]
    everything = np.concatenate([grid, *runs])
    return float(volumes(bench, Trace(everything, np.ones(len(everything), dtype=np.bool_), np.zeros(0)))[-1])


def evaluations_to(share: float, reached: np.ndarray[Any, Any]) -> float:
    """Return the number of evaluations to a share; infinite if it was never reached."""
    indices = np.flatnonzero(reached >= share)
    return float(indices[0] + 1) if indices.size else np.inf


def check(name: str) -> None:
    """Check that designs decoded from Optuna parameters evaluate one by one as in a table."""
    problem = load_problem(name).problem
    (space,) = problem.regions.values()
    designs = space.from_unit(np.random.default_rng(0).random((8, len(space.axes))))
    encoding = Encoding(problem.regions)
    one_by_one = [
        problem.evaluate(encoding.decode(encoding.encode(take(designs, np.array([i]))), n=1)) for i in range(8)
    ]
    together = problem.evaluate(designs)
    np.testing.assert_allclose(problem.values(stack(one_by_one)), problem.values(together), rtol=1e-9)


def report(folder: Path, names: Sequence[str], samplers: Sequence[str], seeds: Sequence[int]) -> None:
    """Print median and range of the evaluations to each share, and CPU seconds, for each problem and sampler."""
    print(f"{'problem':20} {'sampler':8}" + "".join(f"{f'to {s:.0%}':>16}" for s in SHARES) + "    CPU s   final")
    for name in names:
        bench, total = load_problem(name), reachable(name, folder)
        for sampler in samplers:
            paths = [folder / f"{name}.{sampler}.{seed}.json" for seed in seeds]
            traces = [
                cached_run(folder, name, sampler, seed, 0) for seed, p in zip(seeds, paths, strict=True) if p.exists()
            ]
            if not traces:
                continue
            reached = [volumes(bench, trace) / total for trace in traces]
            line = f"{name:20} {sampler:8}"
            for share in SHARES:
                counts = np.array([evaluations_to(share, r) for r in reached])
                line += f"{np.median(counts):6.0f} [{counts.min():.0f}-{counts.max():.0f}]".rjust(16)
            seconds = np.median([np.median(trace.seconds) for trace in traces])
            print(f"{line} {seconds:8.3f}  {np.median([r[-1] for r in reached]):.3f} at {len(reached[0])}")


def compare(folder: Path, name: str, sampler: str, seeds: Sequence[int], n: int, at: Sequence[int]) -> None:
    """Print the loss of hypervolume with designs in flight, relative to sequential runs with as many evaluations."""
    bench = load_problem(name)
    sequential = [cached_run(folder, name, sampler, seed, max(at)) for seed in seeds]
    for is_even in (False, True):
        flights = [cached_run(folder, name, sampler, seed, max(at), Flight(n, is_even, seed)) for seed in seeds]
        line = f"{name:20} {sampler + Flight(n, is_even).name:14}"
        for count in at:
            pairs = [
                (volumes(bench, a)[count - 1], volumes(bench, f)[count - 1])
                for a, f in zip(sequential, flights, strict=True)
            ]
            ones, parallel = np.array(pairs).T
            # Seeds are not paired: median and worst of all runs against the median of the sequential runs.
            loss = 1 - np.array(parallel) / np.median(ones)
            line += f"   {np.median(loss):6.2%} [{loss.max():6.2%}; sequential {1 - min(ones) / np.median(ones):6.2%}]"
        cpu = [np.mean([trace.seconds.mean() for trace in traces]) for traces in (sequential, flights)]
        print(f"{line}   CPU s {cpu[0]:.3f} -> {cpu[1]:.3f}", flush=True)


def main() -> None:
    """Make the missing runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, required=True)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--samplers", nargs="+", default=["learn", *RIVALS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--at", nargs="+", type=int, default=[40, 80, 120])
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    args.keep.mkdir(parents=True, exist_ok=True)
    if args.in_flight > 1:
        print(f"{'problem':20} {'sampler':14}" + "".join(f"{f'median [worst] loss at {n}':>37}" for n in args.at))
    for name in args.problems:
        check(name)
        if args.in_flight > 1:
            for sampler in args.samplers:
                compare(args.keep, name, sampler, args.seeds, args.in_flight, args.at)
            continue
        for sampler in args.samplers:
            is_three = len(load_problem(name).reference) > 2
            for seed in args.seeds:
                cached_run(args.keep, name, sampler, seed, BUDGET[sampler][is_three])
    if args.in_flight == 1:
        report(args.keep, args.problems, args.samplers, args.seeds)


if __name__ == "__main__":
    main()
