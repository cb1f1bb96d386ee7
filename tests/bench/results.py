"""CPU time to annotate, write, read and display large studies: `python tests/bench/results.py [N]`. Not in CI.

CPU seconds, minimum over a few runs, for a thin front (random designs) and a fat one (all designs on the front).
Commands and reading run in a separate process, with their imports.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import explorer
from explorer.models.evaluation import Problem
from explorer.pareto.geometry.dominance import is_nondominated
from explorer.pareto.results.folder import FRONT_JSON, read_folder, write_folder
from explorer.pareto.results.npz_cache import SIDECAR
from explorer.pareto.results.results import Results
from explorer.pareto.uncertainty.annotate import annotate_uncertainty
from explorer.problem.columns import Columns, n_rows, take
from explorer.report.pages.write import write_page

STUDIES = ("edp-accuracy", "energy-latency-accuracy")
READ = "import explorer; results = explorer.load_results({!r}); results.front_columns; results.provenance"


def cpu(work: Callable[[], object], *, times: int = 3) -> float:
    """Return the minimum CPU seconds over a few runs."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def process_cpu(*command: str, times: int = 3) -> float:
    """Return the minimum CPU seconds over a few runs of a process, with its imports."""
    spent = []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(spent)


def thin(problem: Problem, n: int) -> Columns:
    """Return random designs, few of which are on the front."""
    (space,) = problem.regions.values()
    return space.from_unit(np.random.default_rng(0).random((n, len(space.axes))))


def fat(problem: Problem, n: int) -> Columns:
    """Return designs of which nearly all are on the front, by generations of offspring between front designs."""
    (space,) = problem.regions.values()
    rng = np.random.default_rng(0)
    unit = rng.random((20_000, len(space.axes)))
    scale, front = 0.1, unit
    while True:
        columns = problem.evaluate(space.from_unit(unit))
        rows = np.flatnonzero(columns["is_feasible"])
        front = unit[rows[is_nondominated(problem.values(take(columns, rows)), problem.study.objectives)]]
        if len(front) >= n:
            return space.from_unit(front[rng.choice(len(front), n, replace=False)])
        order = np.argsort(front[:, 0], kind="stable")
        near = order[np.clip(np.arange(len(front)) + rng.integers(-3, 4, len(front)), 0, len(front) - 1)]
        copies = max(60_000 // len(front), 2)
        mixed = np.repeat(front[order], copies, axis=0)
        mixed += np.repeat(front[near] - front[order], copies, axis=0) * rng.uniform(-1.2, 1.2, (len(mixed), 1))
        mixed += rng.normal(size=mixed.shape) * scale * (rng.random(mixed.shape) < 0.3)
        scale = max(scale * 0.8, 1e-7)
        unit = np.concatenate([front, np.clip(mixed, 0, 1)])


def results_of(problem: Problem, designs: Columns) -> Results:
    """Return designs as results of a search, without front probabilities."""
    table = problem.evaluate(designs)
    n = n_rows(table)
    table |= {"design_id": np.arange(n, dtype=np.int64), "origin": np.full(n, "search", dtype=object)}
    study, reference = problem.study, problem.study.reference_point or ()
    return Results(study.name, study.title, table, study.objectives, (), reference, {}, (), ())


def measure(study: str, kind: Callable[[Problem, int], Columns], n: int, folder: Path) -> None:
    """Print one line per measurement."""
    problem = explorer.load_study(study)
    results = results_of(problem, kind(problem, n))
    print(f"\n{study}, {n:,} trials, a front of {int(results.is_front.sum()):,}")
    annotated = annotate_uncertainty(results, problem)
    fresh = {"annotate": lambda: annotate_uncertainty(results_of(problem, results.table), problem),
             "write the files": lambda: write_folder(annotated, folder),
             "write the page": lambda: write_page(annotated, folder / "report.html")}  # fmt: skip
    for step, work in fresh.items():
        print(f"  {step:42} {cpu(work, times=1):8.2f} s")
    fast = cpu(lambda: read_folder(folder).front_columns)
    slow = cpu(lambda: ((folder / SIDECAR).unlink(), read_folder(folder).front_columns), times=1)
    print(f"  {'read, front and provenance':42} {fast:8.2f} s, {slow / fast:.0f} times as fast as from the files alone")
    print(f"  {'  the same in a new process':42} {process_cpu(sys.executable, '-c', READ.format(str(folder))):8.2f} s")
    for command in (
        ["choose", str(folder), "--knee"],
        *(["front", str(folder), "--format", f] for f in ("csv", "json")),
    ):
        command_text = f"explorer {command[0]} {' '.join(command[2:])}"
        print(f"  {command_text:42} {process_cpu(sys.executable, '-m', 'explorer', *command):8.2f} s")
    sizes = ", ".join(f"{name} {(folder / name).stat().st_size / 1e6:.1f} MB" for name in (FRONT_JSON, SIDECAR))
    print(f"  {sizes}; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> None:
    """Measure both fronts for two and three objectives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", nargs="?", type=int, default=100_000, help="number of trials")
    n = parser.parse_args().n
    for study in STUDIES:
        for kind in (thin, fat):
            with tempfile.TemporaryDirectory() as folder:
                measure(study, kind, n, Path(folder))


if __name__ == "__main__":
    main()
