"""Oracles of model uncertainty: coverage, labels against a truth, forms left out, and cost. Not in CI.

    OMP_NUM_THREADS=1 python tests/bench/doubt.py tables paper scale --data FOLDER -o baseline.json
    OMP_NUM_THREADS=1 python tests/bench/doubt.py worlds --repeat 20 [--world NAME] -o worlds.json

Sections write their figures into one JSON file, entry by entry; an entry that is there already is kept. FOLDER holds
the public tables of `doubt_tables.TABLES`; the H100 tables ship.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from doubt_tables import SCALES, TABLES, score_fit, score_paper, score_scale, score_splits

Entry = tuple[str, Callable[[], Any]]


def entries(section: str, args: argparse.Namespace) -> Iterator[Entry]:
    """Yield the entries of a section: name and the function that computes it."""
    if section == "paper":
        yield "paper", score_paper
    elif section == "tables":
        for name in TABLES:
            yield f"fit/{name}", lambda name=name: score_fit(name, args.data)
            yield f"splits/{name}", lambda name=name: score_splits(name, args.data, seeds=args.seeds)
    elif section == "scale":
        for name in SCALES:
            yield f"scale/{name}", lambda name=name: score_scale(name)


def main() -> None:
    """Compute the entries that the file lacks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sections", nargs="+", choices=["tables", "paper", "scale"])
    parser.add_argument("-o", "--output", type=Path, default=Path("doubt.json"))
    parser.add_argument("--data", type=Path, default=Path())
    parser.add_argument("--seeds", type=int, default=10)
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
                done[name] = {"failed": f"{type(error).__name__}: {error}"}
            args.output.write_text(json.dumps(done, indent=1))
            print(f"{name}  {time.process_time() - began:.0f} CPU s  {json.dumps(done[name])[:300]}", flush=True)


if __name__ == "__main__":
    main()
