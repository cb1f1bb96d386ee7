"""Speed-up by local workers: designs per second, share of busy time, CPU time of the coordinator.

Usage: python tests/bench/workers.py [--workers 8] [--seconds 0.02 0.15 1.0] [--sampler random auto] [--trials N]

The measurement sleeps, like one on a board, so that any number of workers fits a machine. Start-up is excluded: time
runs from the first design of the last worker to the end of the last design. On a shared machine, compare CPU times
first, then ratios of consecutive runs; wall times are unreliable.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import explorer

SPACE = """\
family = "Board"
[axes]
quant_step = { range = [0.01, 0.3] }
frequency = { range = [600, 1800], unit = "MHz" }
mode = { choices = ["eco", "turbo"] }
[operating_points]
law = "none"
"""
STUDY = """\
space = "./space.toml"
model = { measures = ["accuracy", "energy_j"] }
objectives = ["energy_j", "accuracy"]
[reference_point]
energy_j = 10.0
accuracy = 0.0
"""
TASK = """\
import json, math, os, time
def measure(design):
    begun = time.time()
    time.sleep({seconds})
    factor = 2 if design["mode"] == "turbo" else 1
    row = {{"accuracy": math.exp(-3 * design["quant_step"]), "energy_j": design["frequency_hz"] / 1e9 * factor}}
    with open({log!r}, "ab", buffering=0) as file:
        file.write((json.dumps([os.getpid(), begun, time.time()]) + "\\n").encode())
    return row
"""


def speed(folder: Path, *, workers: int, seconds: float, sampler: str, trials: int) -> tuple[float, float, float]:
    """Return designs per second, the busy share of the workers, and CPU seconds per design."""
    log = folder / "log"
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    (folder / "mine.toml").write_text(STUDY, encoding="utf-8")
    (folder / "task.py").write_text(TASK.format(seconds=seconds, log=str(log)), encoding="utf-8")
    cpu = time.process_time()
    explorer.run(
        str(folder / "mine.toml"), measure=f"{folder}/task.py:measure", workers=workers, sampler=sampler, trials=trials,
        out=folder / "out",
    )  # fmt: skip
    cpu = time.process_time() - cpu
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    first = {pid: min(begun for row_pid, begun, _ in rows if row_pid == pid) for pid, _, _ in rows}
    start, end = max(first.values()), max(ended for _, _, ended in rows)
    inside = [(max(begun, start), ended) for _, begun, ended in rows if ended > start]
    busy = sum(ended - begun for begun, ended in inside) / (workers * (end - start))
    return len(inside) / (end - start), busy, cpu / trials


def main() -> None:
    """Print a line for each sampler and duration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.02, 0.15, 1.0])
    parser.add_argument("--sampler", nargs="+", default=["random", "auto"])
    parser.add_argument("--trials", type=int, default=0, help="default: a few seconds of work")
    args = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    for sampler in args.sampler:
        for seconds in args.seconds:
            rates = []
            for workers in (1, args.workers):
                n = args.trials or (max(12, int(min(4.0 / seconds, 60))) if workers == 1 else max(80, int(4 / seconds)))
                with tempfile.TemporaryDirectory() as folder:
                    rate, busy, cpu = speed(Path(folder), workers=workers, seconds=seconds, sampler=sampler, trials=n)
                rates.append(rate)
                print(
                    f"{sampler:8} {seconds:5.2f} s, {workers} workers: {rate:7.2f} designs/s, busy {busy:.0%}, "
                    f"{1e3 * cpu:.0f} ms coordinator CPU per design"
                )
            print(f"{sampler:8} {seconds:5.2f} s: {rates[1] / rates[0]:.2f} times one worker", flush=True)


if __name__ == "__main__":
    main()
