"""Our engine against its rivals on one question, in one process: `python tests/bench/rivals.py`. Never in CI.

How many evaluations and how many CPU seconds each needs to reach a share of the exact hypervolume: medians over seeds,
with their range. Before anything is timed, every rival's way of evaluating a design has to give the same numbers. Times
leave out imports; each rival's own overhead is in them. Rivals that are not installed are left out and named.
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
class Question:
    """A shipped study of one family, as a vectorized function to be minimized on the unit cube."""

    name: str
    problem: Problem
    reference: Float
    truth: float

    @property
    def signs(self) -> Float:
        return np.array([objective.sign for objective in self.problem.study.objectives])

    @property
    def n_axes(self) -> int:
        return len(self.region.axes)

    @property
    def region(self):  # noqa: ANN201
        (region,) = self.problem.regions.values()
        return region

    def __call__(self, unit: Float) -> Float:
        return evaluate_minimized(self.problem, self.region.from_unit(unit))[0]

    def reached(self, values: Float) -> float:
        return float(moocore.hypervolume(values, ref=self.reference)) / self.truth if len(values) else 0.0


@dataclass(frozen=True)
class Trace:
    """What a search had after each step: evaluations and CPU seconds so far, and the values found in that step."""

    n: list[int]
    seconds: list[float]
    found: list[Float]

    def until(self, question: Question, share: float) -> tuple[float, float]:
        """Return evaluations and seconds until a share of the hypervolume was reached; NaN where it never was."""
        low, high = 0, len(self.n) - 1
        if not self.n or self.share_at(question, high) < share:
            return np.nan, np.nan
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.share_at(question, middle) >= share else (middle + 1, high)
        return self.n[low], self.seconds[low]

    def share_at(self, question: Question, step: int) -> float:
        values = np.concatenate(self.found[: step + 1])
        return question.reached(values[np.asarray(moocore.is_nondominated(values))])


def question_of(name: str) -> Question:
    problem = explorer.load_problem(name)
    reference = np.asarray(problem.study.reference_point) * [o.sign for o in problem.study.objectives]
    bare = Question(name, problem, reference, 1.0)
    n = 1_000_000 if len(reference) == 2 else 2_000_000
    filling = 0 if len(reference) == 2 else 3_000_000
    exact = refine(lambda u: (bare(u), np.zeros(len(u))), bare.n_axes, reference, seed=99,
                   budget=Budget(0.0, n, n_offspring=40_000, n_filling=filling))  # fmt: skip
    return replace(bare, truth=bare.reached(exact.values))


class Watch:
    """CPU seconds since it was made."""

    def __init__(self) -> None:
        gc.collect()
        self._began = time.process_time()

    def __call__(self) -> float:
        return time.process_time() - self._began


def scan_and_refine(question: Question, seed: int) -> Trace:
    trace, watch = Trace([], [], []), Watch()
    n = 40_000 if len(question.reference) == 2 else 50_000
    filling = 0 if len(question.reference) == 2 else 800_000

    def evaluate(unit: Float) -> tuple[Float, Float]:
        values = question(unit)
        trace.n.append((trace.n[-1] if trace.n else 0) + len(unit))
        trace.found.append(values)
        trace.seconds.append(watch())
        return values, np.zeros(len(unit))

    refine(evaluate, question.n_axes, question.reference, seed=seed,
           budget=Budget(0.0, n, n_scanned=2**10, n_offspring=2_000, n_filling=filling))  # fmt: skip
    return trace


def ours(question: Question, seed: int, *, sampler: str = "auto", sizes: Sequence[int] = ()) -> Trace:
    """Recorded trials in a journal: for each number of trials a study of its own, recording included."""
    trace = Trace([], [], [])
    for trials in sizes or (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 700, 1_000, 2_000):
        study = question.problem.study.with_search(trials=trials, seed=seed, sampler=sampler)
        asked = replace(question.problem, study=study)
        with tempfile.TemporaryDirectory() as folder:
            run, watch = open_session(asked, out=Path(folder) / "out"), Watch()
            search(run)
            trace.seconds.append(watch())
            trace.n.append(trials)
            values = asked.values(run.tried.table) * question.signs
            trace.found.append(values)
    return trace


def numpy_scan(question: Question, seed: int) -> Trace:
    trace, watch, rng = Trace([], [], []), Watch(), np.random.default_rng(seed)
    kept = np.empty((0, len(question.reference)))
    for i in range(1, 201):
        values = question(rng.random((10_000, question.n_axes)))
        kept = np.concatenate([kept, values])
        kept = kept[np.asarray(moocore.is_nondominated(kept))]
        trace.n.append(10_000 * i)
        trace.seconds.append(watch())
        trace.found.append(kept)
    return trace


def with_optuna(make: Callable[[int], optuna.samplers.BaseSampler], trials: dict[int, int]) -> Callable[..., Trace]:
    def search_with(question: Question, seed: int) -> Trace:
        encoding = Encoding(question.problem.regions)
        distributions = encoding.distributions()
        study = optuna.create_study(directions=["minimize"] * len(question.reference), sampler=make(seed))
        trace, watch = Trace([], [], []), Watch()
        for i in range(trials[len(question.reference)]):
            trial = study.ask(distributions)
            values = optuna_values(question, encoding, trial.params)
            study.tell(trial, values[0].tolist())
            trace.n.append(i + 1)
            trace.found.append(values)
            trace.seconds.append(watch())
        return trace

    return search_with


def with_rustuna(make: Callable[[int], object], trials: dict[int, int]) -> Callable[..., Trace]:
    """Search by Optuna written in Rust, over the same parameters."""
    import rustuna

    def search_with(question: Question, seed: int) -> Trace:
        encoding = Encoding(question.problem.regions)
        distributions = encoding.distributions()
        study = rustuna.create_study(directions=["minimize"] * len(question.reference), sampler=make(seed))
        trace, watch = Trace([], [], []), Watch()
        for i in range(trials[len(question.reference)]):
            trial = study.ask()
            params = {name: trial.suggest_float(name, d.low, d.high, log=d.log) for name, d in distributions.items()}
            values = optuna_values(question, encoding, params)
            study.tell(trial.number, values[0].tolist())
            trace.n.append(i + 1)
            trace.found.append(values)
            trace.seconds.append(watch())
        return trace

    return search_with


def optuna_values(question: Question, encoding: Encoding, params: dict[str, float]) -> Float:
    return evaluate_minimized(question.problem, encoding.decode(columns_of([params]), n=1))[0]


def pymoo_nsga2(question: Question, seed: int) -> Trace:
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    trace, watch = Trace([], [], []), Watch()

    class Asked(Problem):
        def __init__(self) -> None:
            super().__init__(n_var=question.n_axes, n_obj=len(question.reference), xl=0.0, xu=1.0)

        def _evaluate(self, x: Float, out: dict[str, Float], *_: object, **__: object) -> None:
            out["F"] = question(np.asarray(x))
            trace.n.append((trace.n[-1] if trace.n else 0) + len(x))
            trace.found.append(out["F"])
            trace.seconds.append(watch())

    generations = 400 if len(question.reference) == 2 else 300
    minimize(Asked(), NSGA2(pop_size=100), ("n_gen", generations), seed=seed, verbose=False)
    return trace


def rivals(question: Question) -> Iterator[tuple[str, Callable[[Question, int], Trace] | None]]:
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


def check_equal(question: Question) -> None:
    """See that a design means the same numbers to everyone: parameters of a trial, points of the cube, columns."""
    encoding, rng = Encoding(question.problem.regions), np.random.default_rng(7)
    unit = rng.random((50, question.n_axes))
    designs = question.region.from_unit(unit)
    params = encoding.encode(designs)
    by_trial = [optuna_values(question, encoding, {k: v[i] for k, v in params.items()})[0] for i in range(50)]
    np.testing.assert_allclose(by_trial, question(unit), rtol=1e-9)


def line(name: str, question: Question, traces: Sequence[Trace]) -> str:
    cells = [f"{name:28}"]
    for share in SHARES:
        n, seconds = np.array([trace.until(question, share) for trace in traces]).T
        missed = int(np.isnan(n).sum())
        if missed > len(n) / 2:
            best = max(trace.share_at(question, len(trace.n) - 1) for trace in traces)
            cells.append(f"never in {traces[0].n[-1]:,} (best {best:.3f})".rjust(32))
            continue
        median, low, high = np.nanmedian(n), np.nanmin(n), np.nanmax(n)
        spread = "" if low == high else f" ({low:,.0f}-{high:,.0f})"
        cells.append(f"{median:,.0f}{spread}, {np.nanmedian(seconds):.3g} s".rjust(32))
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("questions", nargs="*", default=["edp-accuracy", "energy-latency-accuracy"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", default="", help="only rivals whose name has this in it")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in args.questions:
        question = question_of(name)
        check_equal(question)
        print(f"\n{name}: exact hypervolume {question.truth:.6g}; evaluations (range over seeds), CPU seconds, until")
        print(" | ".join([" " * 28, *[f"{share:.1%}".rjust(32) for share in SHARES]]))
        for rival, search_with in rivals(question):
            if args.only not in rival:
                continue
            if search_with is None:
                print(f"{rival:28} | not installed")
                continue
            with threadpool_limits(1), suppress(KeyboardInterrupt):
                if "Optuna" not in rival:  # first calls are not what is compared; these take minutes, not their imports
                    search_with(question, 1_000)
                print(line(rival, question, [search_with(question, seed) for seed in range(args.seeds)]))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
