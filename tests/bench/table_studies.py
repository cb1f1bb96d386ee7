"""CPU time, memory and storage of a study of every row of a table: `python tests/bench/table_studies.py [N ...]`.

Each size is run by the command `explorer run` in a process of its own. The rows have three knobs and three targets.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

STUDY = """\
model = {{ table = "rows.csv", knobs = ["resolution", "precision", "width"] }}
objectives = ["energy_j", "accuracy"]
[search]
trials = {n}
"""


def write_study(folder: Path, n: int, *, families: str) -> None:
    """Write a table of n rows that trade energy for accuracy, and its study."""
    rng = random.Random(0)
    lines = ["name,family,resolution,precision,width,accuracy,energy_j,latency_s"]
    for i in range(n):
        side, precision, width = rng.uniform(64, 512), rng.choice(["fp32", "int8"]), rng.uniform(0.25, 2)
        energy = side**2 * width * (1.0 if precision == "fp32" else 0.4) * rng.uniform(0.8, 1.2) * 1e-6
        accuracy = min(0.99, 0.5 + 0.0006 * side * rng.uniform(0.9, 1.1) + 0.05 * width)
        lines.append(f"net {i},{families[i % len(families)]},{side:.6g},{precision},{width:.6g},{accuracy:.6g},"
                     f"{energy:.6g},{energy / 5 * rng.uniform(0.9, 1.1):.6g}")  # fmt: skip
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "mine.toml").write_text(STUDY.format(n=n))


def run_study(n: int, *, families: str) -> str:
    """Run a study of n rows; return its costs as a line of a table."""
    with tempfile.TemporaryDirectory() as folder:
        write_study(Path(folder), n, families=families)
        process = subprocess.Popen(
            [sys.executable, "-m", "explorer", "run", "./mine.toml"], cwd=folder, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        out = Path(folder, "results", "mine")
        journal, page = ((out / name).stat().st_size for name in ("study.journal", "report.html"))
        spent = usage.ru_utime + usage.ru_stime
        peak = usage.ru_maxrss / 1024
    return (
        f"{n:7,} {len(families):9} {spent:8.1f} {peak:8.0f} {journal / 1e6:11.1f} {journal / n:12.0f} {page / 1e6:8.2f}"
    )


def main(sizes: list[int]) -> None:
    """Print one line per number of rows and of families."""
    print(
        f"{'rows':>7} {'families':>9} {'CPU s':>8} {'peak MB':>8} {'journal MB':>11} {'bytes a row':>12} {'page MB':>8}"
    )
    for n in sizes:
        for families in ("A", "AB"):
            print(run_study(n, families=families), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[1_000, 5_000, 20_000], help="numbers of rows")
    main(sorted(set(parser.parse_args().sizes)))
