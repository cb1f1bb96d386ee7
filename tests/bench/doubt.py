"""Oracles of model uncertainty: coverage, labels against a truth, forms left out, and cost. Not in CI.

    OMP_NUM_THREADS=1 python tests/bench/doubt.py tables paper scale --data FOLDER -o baseline.json
    OMP_NUM_THREADS=1 python tests/bench/doubt.py worlds --repeat 20 [--world NAME] -o worlds.json

Sections write their figures into one JSON file, entry by entry; an entry that is there already is kept. FOLDER holds
the public tables of `doubt_tables.TABLES`; the H100 tables ship.
"""

import argparse
import json
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from doubt_forms import FRONTS, score_draws, score_forms
from doubt_tables import SCALES, TABLES, score_fit, score_front, score_paper, score_scale, score_splits

from tests.worlds import WORLDS, search_world

Entry = tuple[str, Callable[[], Any]]


def entries(section: str, args: argparse.Namespace) -> Iterator[Entry]:
    """Yield the entries of a section: name and the function that computes it."""
    if section == "paper":
        yield "paper", score_paper
    elif section == "tables":
        for name in TABLES:
            yield f"fit/{name}", lambda name=name: score_fit(name, args.data)
            yield f"splits/{name}", lambda name=name: score_splits(name, args.data, seeds=args.seeds)
        yield "front/rk3399", lambda: score_front("rk3399", args.data, seeds=args.seeds)
    elif section == "scale":
        for name in SCALES:
            yield f"scale/{name}", lambda name=name: score_scale(name)
    elif section == "worlds":
        for name in args.world or WORLDS:
            yield f"worlds/{name}", lambda name=name: score_world(name, n=args.repeat, trials=args.trials)
    else:
        for name in FRONTS:
            yield f"forms/{name}", lambda name=name: score_forms(name)
        yield "draws/paper", lambda: score_draws("paper")


def score_world(name: str, *, n: int, trials: int) -> dict[str, Any]:
    """Return the labels of n studies of a world against its truth: counts, shares, and those of every seed."""
    verdicts, failures = [], []
    for seed in range(n):
        try:
            with tempfile.TemporaryDirectory() as folder:
                verdicts.append(search_world(WORLDS[name](seed), Path(folder), trials=trials, seed=seed))
        except Exception as error:  # noqa: BLE001 - a failed study is counted
            failures.append(f"seed {seed}: {type(error).__name__}: {error}")
    total = sum(verdicts[1:], verdicts[0])
    return {
        "n_studies": n,
        "failures": failures,
        "sure_right": total.right_sure / max(total.n_sure, 1),
        "dominated_right": total.right_dominated / max(total.n_dominated, 1),
        "dominated_right_without_tolerance": total.exactly_dominated / max(total.n_dominated, 1),
        "coverage": total.covered / max(total.n_bounded, 1),
        "labelled": (total.n_sure + total.n_dominated) / sum(v.n_designs for v in verdicts),
        "mean_half_width": total.half_widths / max(total.n_bounded, 1),
        "counts": asdict(total),
        "wrong_sure_by_seed": [v.n_sure - v.right_sure for v in verdicts],
        "wrong_dominated_by_seed": [v.n_dominated - v.right_dominated for v in verdicts],
    }


def main() -> None:
    """Compute the entries that the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="+", choices=["tables", "paper", "scale", "worlds", "forms"])
    parser.add_argument("-o", "--output", type=Path, default=Path("doubt.json"))
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeat", type=int, default=20, help="studies of each world")
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--world", nargs="*", choices=list(WORLDS))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    done = json.loads(args.output.read_text()) if args.output.exists() else {}
    for section in args.sections:
        for name, compute in entries(section, args):
            if name in done:
                continue
            began = time.process_time()
            try:
                done[name] = compute()
            except Exception as error:  # noqa: BLE001 - one entry's failure is an entry
                traceback.print_exc()
                done[name] = {"failed": f"{type(error).__name__}: {error}"}
            args.output.write_text(json.dumps(done, indent=1))
            print(f"{name}  {time.process_time() - began:.0f} CPU s  {json.dumps(done[name])[:300]}", flush=True)


if __name__ == "__main__":
    main()
