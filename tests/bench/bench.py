"""Timings of models and search in CPU time and as ratios within one run: `python tests/bench/bench.py`. Not in CI."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from explorer.models.quality.leave_one_out import leave_one_out

import explorer
from explorer.models.samples.samples import paper_samples
from explorer.pareto.exact_front import exact_front
from tests.paper_fit import fit_to


def cpu(work: Callable[[], object], *, times: int = 3) -> float:
    """Return the minimum CPU seconds over a few runs."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        work()
        spent.append(time.process_time() - began)
    return min(spent)


def main() -> None:
    """Print one line per measurement."""
    samples = paper_samples()
    print(f"fit of ten samples        {cpu(lambda: fit_to(samples)) * 1e3:8.1f} ms")
    print(f"leave-one-out with draws  {cpu(lambda: leave_one_out(samples)) * 1e3:8.1f} ms")
    problem = explorer.load_study("edp-accuracy")
    (space,) = problem.regions.values()
    unit = np.random.default_rng(0).random((100_000, 4))
    one = cpu(lambda: problem.evaluate(space.from_unit(unit))) / len(unit)
    print(f"evaluation of one design  {one * 1e6:8.3f} us")
    for name in ("edp-accuracy", "energy-latency-accuracy"):
        problem = explorer.load_study(name)
        reference = problem.study.reference_point or ()
        print(
            f"exact front, {len(reference)} objectives {cpu(lambda p=problem, r=reference: exact_front(p, r)):8.3f} s"
        )
    for sampler in ("random", "nsga2", "tpe"):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            done = explorer.run("edp-accuracy", trials=300, sampler=sampler, out=Path(folder))
            trial = (time.process_time() - began) / 300
            print(
                f"a trial of {sampler:8}       {trial * 1e3:8.2f} ms = {trial / one:8.0f} x one evaluation, "
                f"reached {done.results.reached:.1%} of the exact front"
            )


if __name__ == "__main__":
    main()
