"""Comparison with other optimizers on shipped studies: `python tests/bench/rivals.py`. Not in CI.

Evaluations and CPU seconds to reach a share of the exact hypervolume: median and range over seeds, in one process.
Before any timing the script checks that all optimizers evaluate a design to the same values. Times exclude imports and
include the overhead of each optimizer. Optimizers that are not installed are listed and skipped.
"""

import argparse
import gc
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import moocore
import numpy as np
import optuna
from threadpoolctl import threadpool_limits

import explorer
from explorer.models.evaluation import Problem
from explorer.pareto.exact_front import evaluate_minimized
from explorer.pareto.geometry.refinement import Budget, refine
from explorer.problem.columns import Float
from explorer.search.encoding import Encoding, columns_of
from explorer.search.run import search
from explorer.search.session import open_session

SHARES = (0.95, 0.98, 0.99, 0.999)


@dataclass(frozen=True)
class CubeProblem:
    """Shipped study of one family as a vectorized function to be minimized on the unit cube."""

    name: str
    problem: Problem
    reference: Float
    truth: float

    @property
    def signs(self) -> Float:
        return np.array([objective.sign for objective in self.problem.study.objectives])

    @property
    def n_axes(self) -> int:
        return len(self.space.axes)

    @property
    def space(self):  # noqa: ANN201
        (space,) = self.problem.regions.values()
        return space

    def __call__(self, unit: Float) -> Float:
        return evaluate_minimized(self.problem, self.space.from_unit(unit))[0]

    def reached(self, values: Float) -> float:
        return float(moocore.hypervolume(values, ref=self.reference)) / self.truth if len(values) else 0.0


@dataclass(frozen=True)
class Trace:
    """Record of a search by step: total evaluations, total CPU seconds, and the objective values of the step."""

    n: list[int]
    seconds: list[float]
    values: list[Float]

    def until(self, cube: CubeProblem, share: float) -> tuple[float, float]:
        """Return evaluations and seconds to a share of the hypervolume; NaN if it was never reached."""
        low, high = 0, len(self.n) - 1
        if not self.n or self.share_at(cube, high) < share:
            return np.nan, np.nan
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.share_at(cube, middle) >= share else (middle + 1, high)
        return self.n[low], self.seconds[low]

    def share_at(self, cube: CubeProblem, step: int) -> float:
        values = np.concatenate(self.values[: step + 1])
        return cube.reached(values[np.asarray(moocore.is_nondominated(values))])


def load_cube_problem(name: str) -> CubeProblem:
    problem = explorer.load_study(name)
    reference = np.asarray(problem.study.reference_point) * [o.sign for o in problem.study.objectives]
    bare = CubeProblem(name, problem, reference, 1.0)
    n = 1_000_000 if len(reference) == 2 else 2_000_000
    filling = 0 if len(reference) == 2 else 3_000_000
    exact = refine(lambda u, _: (bare(u), np.zeros(len(u))), bare.n_axes, reference, seed=99,
                   budget=Budget(0.0, n, n_offspring=40_000, n_filling=filling))  # fmt: skip
    return replace(bare, truth=bare.reached(exact.values))


class CpuTimer:
    """CPU seconds since its creation."""

    def __init__(self) -> None:
        gc.collect()
        self._began = time.process_time()

    def __call__(self) -> float:
        return time.process_time() - self._began


def scan_and_refine(cube: CubeProblem, seed: int) -> Trace:
    trace, timer = Trace([], [], []), CpuTimer()
    n = 40_000 if len(cube.reference) == 2 else 50_000
    filling = 0 if len(cube.reference) == 2 else 800_000

    def evaluate(unit: Float, _: Float) -> tuple[Float, Float]:
        values = cube(unit)
        trace.n.append((trace.n[-1] if trace.n else 0) + len(unit))
        trace.values.append(values)
        trace.seconds.append(timer())
        return values, np.zeros(len(unit))

    refine(evaluate, cube.n_axes, cube.reference, seed=seed,
           budget=Budget(0.0, n, n_scanned=2**10, n_offspring=2_000, n_filling=filling))  # fmt: skip
    return trace


def ours(cube: CubeProblem, seed: int, *, sampler: str = "auto", sizes: Sequence[int] = ()) -> Trace:
    """Run one study for each number of trials, with recording to a journal."""
    trace = Trace([], [], [])
    for trials in sizes or (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 700, 1_000, 2_000):
        study = cube.problem.study.with_search(trials=trials, seed=seed, sampler=sampler)
        problem = replace(cube.problem, study=study)
        with tempfile.TemporaryDirectory() as folder:
            run, timer = open_session(problem, out=Path(folder) / "out"), CpuTimer()
            search(run)
            trace.seconds.append(timer())
            trace.n.append(trials)
            values = problem.values(run.trials.table) * cube.signs
            trace.values.append(values)
    return trace


def numpy_scan(cube: CubeProblem, seed: int) -> Trace:
    trace, timer, rng = Trace([], [], []), CpuTimer(), np.random.default_rng(seed)
    front = np.empty((0, len(cube.reference)))
    for i in range(1, 201):
        values = cube(rng.random((10_000, cube.n_axes)))
        front = np.concatenate([front, values])
        front = front[np.asarray(moocore.is_nondominated(front))]
        trace.n.append(10_000 * i)
        trace.seconds.append(timer())
        trace.values.append(front)
    return trace


def with_optuna(make: Callable[[int], optuna.samplers.BaseSampler], trials: dict[int, int]) -> Callable[..., Trace]:
    def search_with(cube: CubeProblem, seed: int) -> Trace:
        encoding = Encoding(cube.problem.regions)
        distributions = encoding.distributions()
        study = optuna.create_study(directions=["minimize"] * len(cube.reference), sampler=make(seed))
        trace, timer = Trace([], [], []), CpuTimer()
        for i in range(trials[len(cube.reference)]):
            trial = study.ask(distributions)
            values = optuna_values(cube, encoding, trial.params)
            study.tell(trial, values[0].tolist())
            trace.n.append(i + 1)
            trace.values.append(values)
            trace.seconds.append(timer())
        return trace

    return search_with


def with_rustuna(make: Callable[[int], object], trials: dict[int, int]) -> Callable[..., Trace]:
    """Search with Rustuna, a Rust implementation of Optuna, over the same parameters."""
    import rustuna

    def search_with(cube: CubeProblem, seed: int) -> Trace:
        encoding = Encoding(cube.problem.regions)
        distributions = encoding.distributions()
        study = rustuna.create_study(directions=["minimize"] * len(cube.reference), sampler=make(seed))
        trace, timer = Trace([], [], []), CpuTimer()
        for i in range(trials[len(cube.reference)]):
            trial = study.ask()
            params = {name: trial.suggest_float(name, d.low, d.high, log=d.log) for name, d in distributions.items()}
            values = optuna_values(cube, encoding, params)
            study.tell(trial.number, values[0].tolist())
            trace.n.append(i + 1)
            trace.values.append(values)
            trace.seconds.append(timer())
        return trace

    return search_with


def optuna_values(cube: CubeProblem, encoding: Encoding, params: dict[str, float]) -> Float:
    return evaluate_minimized(cube.problem, encoding.decode(columns_of([params]), n=1))[0]


def pymoo_nsga2(cube: CubeProblem, seed: int) -> Trace:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    trace, timer = Trace([], [], []), CpuTimer()

    class PymooProblem(Problem):
        def __init__(self) -> None:
            super().__init__(n_var=cube.n_axes, n_obj=len(cube.reference), xl=0.0, xu=1.0)

        def _evaluate(self, x: Float, out: dict[str, Float], *_: object, **__: object) -> None:
            out["F"] = cube(np.asarray(x))
            trace.n.append((trace.n[-1] if trace.n else 0) + len(x))
            trace.values.append(out["F"])
            trace.seconds.append(timer())

    generations = 400 if len(cube.reference) == 2 else 300
    minimize(PymooProblem(), NSGA2(pop_size=100), ("n_gen", generations), seed=seed, verbose=False)
    return trace


def rivals(cube: CubeProblem) -> Iterator[tuple[str, Callable[[CubeProblem, int], Trace] | None]]:
    has_torch = find_spec("torch") is not None
    yield "explorer, scan and refine", scan_and_refine
    yield "explorer, `auto`, recorded", ours
    yield (
        "explorer, `nsga2`, recorded",
        lambda q, s: ours(q, s, sampler="nsga2", sizes=(100, 300, 1_000, 3_000, 10_000)),
    )
    yield "numpy scan", numpy_scan
    yield "Optuna random", with_optuna(lambda seed: optuna.samplers.RandomSampler(seed=seed), {2: 5_000, 3: 5_000})
    yield "Optuna NSGA-II", with_optuna(lambda seed: optuna.samplers.NSGAIISampler(seed=seed), {2: 5_000, 3: 3_000})
    yield (
        "Optuna TPE",
        with_optuna(lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True), {2: 1_000, 3: 600}),
    )
    yield "Optuna GP", with_optuna(_gp, {2: 100, 3: 60}) if has_torch else None
    has_botorch = has_torch and find_spec("botorch") is not None and find_spec("optuna_integration") is not None
    yield "BoTorch", with_optuna(_botorch, {2: 50, 3: 30}) if has_botorch else None
    if find_spec("rustuna") is None:
        yield "Rustuna NSGA-II", None
        yield "Rustuna TPE", None
    else:
        from rustuna import samplers as rust

        yield "Rustuna NSGA-II", with_rustuna(lambda seed: rust.NSGAIISampler(seed=seed), {2: 5_000, 3: 5_000})
        by_tpe = with_rustuna(lambda seed: rust.TPESampler(seed=seed, multivariate=True), {2: 1_000, 3: 1_000})
        yield "Rustuna TPE", by_tpe
    yield "pymoo NSGA-II", pymoo_nsga2 if find_spec("pymoo") else None


def _gp(seed: int) -> optuna.samplers.BaseSampler:
    return optuna.samplers.GPSampler(seed=seed, deterministic_objective=True)


def _botorch(seed: int) -> optuna.samplers.BaseSampler:
    from optuna_integration import BoTorchSampler

    return BoTorchSampler(seed=seed)


def check_equal(cube: CubeProblem) -> None:
    """Check that trial parameters and points of the cube evaluate to the same values."""
    encoding, rng = Encoding(cube.problem.regions), np.random.default_rng(7)
    unit = rng.random((50, cube.n_axes))
    designs = cube.space.from_unit(unit)
    params = encoding.encode(designs)
    by_trial = [optuna_values(cube, encoding, {k: v[i] for k, v in params.items()})[0] for i in range(50)]
    np.testing.assert_allclose(by_trial, cube(unit), rtol=1e-9)


def line(name: str, cube: CubeProblem, traces: Sequence[Trace]) -> str:
    cells = [f"{name:28}"]
    for share in SHARES:
        n, seconds = np.array([trace.until(cube, share) for trace in traces]).T
        missed = int(np.isnan(n).sum())
        if missed > len(n) / 2:
            best = max(trace.share_at(cube, len(trace.n) - 1) for trace in traces)
            cells.append(f"never in {traces[0].n[-1]:,} (best {best:.3f})".rjust(32))
            continue
        median, low, high = np.nanmedian(n), np.nanmin(n), np.nanmax(n)
        spread = "" if low == high else f" ({low:,.0f}-{high:,.0f})"
        cells.append(f"{median:,.0f}{spread}, {np.nanmedian(seconds):.3g} s".rjust(32))
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("studies", nargs="*", default=["edp-accuracy", "energy-latency-accuracy"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="run only optimizers with this text in their name")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in args.studies:
        cube = load_cube_problem(name)
        check_equal(cube)
        print(f"\n{name}: exact hypervolume {cube.truth:.6g}; evaluations (range over seeds), CPU seconds, until")
        print(" | ".join([" " * 28, *[f"{share:.1%}".rjust(32) for share in SHARES]]))
        for rival, search_with in rivals(cube):
            if args.only not in rival:
                continue
            if search_with is None:
                print(f"{rival:28} | not installed")
                continue
            with threadpool_limits(1), suppress(KeyboardInterrupt):
                if "Optuna" not in rival:  # warm-up; the first call is negligible in Optuna's minutes
                    search_with(cube, 1_000)
                print(line(rival, cube, [search_with(cube, seed) for seed in range(args.seeds)]))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
