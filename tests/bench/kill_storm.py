"""Fault injection: `explorer run --workers` killed at random times, checked against an independent log.

Usage: python tests/bench/kill_storm.py [--kills 300] [--seed 0] [--workers 3] [--storage journal|sqlite]

Each campaign is one study. SIGKILL ends its coordinator or a worker at random times, and the same command runs again
until the study is complete. Optuna then reads the storage. The script prints violations of these guarantees: a stored
trial never disappears; a measurement is stored unless it was in flight when the coordinator was killed; a design is
measured twice only if it was in flight; every stored value was measured; no process outlives its coordinator.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

ROOT = Path(__file__).parents[2]
TRIALS = 40
SPACE = """\
family = "Board"
[axes]
quant_step = { range = [0.01, 0.3] }
frequency = { range = [600, 1800], unit = "MHz" }
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
[search]
sampler = "random"
"""
# Each measurement appends a line at its start and its end; unbuffered, so both survive SIGKILL.
TASK = """\
import json, math, os, random, time
def note(event, design):
    with open(LOG, "ab", buffering=0) as file:
        file.write((json.dumps([event, os.getpid(), design["quant_step"], design["frequency_hz"]]) + "\\n").encode())
def measure(design):
    note("begin", design)
    time.sleep(random.uniform(0.005, 0.06))
    row = {"accuracy": math.exp(-3 * design["quant_step"]), "energy_j": design["frequency_hz"] / 1e9}
    note("end", design)
    return row
"""
Design = tuple[float, float]


class Campaign:
    """One study whose processes are killed until it is complete."""

    def __init__(self, folder: Path, *, workers: int, storage: str, rng: random.Random) -> None:
        self.folder, self.workers, self.rng = folder, workers, rng
        self.log = folder / "log"
        (folder / "space.toml").write_text(SPACE, encoding="utf-8")
        (folder / "boards.toml").write_text(STUDY, encoding="utf-8")
        (folder / "task.py").write_text(f"LOG = {str(self.log)!r}\n{TASK}", encoding="utf-8")
        self.url = f"sqlite:///{folder}/study.db" if storage == "sqlite" else ""
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self.stored: dict[Design, list[float]] = {}
        self.allowed = 0

    def run(self, n_kills: int) -> None:
        """Start and kill the run until n_kills is reached, then let it complete."""
        while self.counts["coordinator"] + self.counts["worker"] < n_kills:
            process = self._start()
            self._wait_for_work(process)
            while process.poll() is None:
                time.sleep(self.rng.uniform(0.0, 0.4))
                if self.rng.random() < 0.5:
                    self._kill_worker()
                else:
                    self._kill_coordinator(process)
                    break
            self._check()
            if process.returncode == 0:
                return
        if self._start().wait(120) != 0:
            self.problems.append("the last run failed")
        self._check()

    def _start(self) -> "subprocess.Popen[bytes]":
        args = ["run", "./boards.toml", "--measure", "task.py:measure", "--trials", TRIALS, "--workers", self.workers]
        args += ["--storage", self.url] if self.url else []
        with (self.folder / "err").open("ab") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "explorer", *map(str, args)], cwd=self.folder, stdout=subprocess.DEVNULL,
                stderr=err, env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def _wait_for_work(self, process: "subprocess.Popen[bytes]") -> None:
        before = len(self._events())
        # In 20 % of the cases within 3 s, possibly before the first measurement has begun.
        end = time.monotonic() + (self.rng.uniform(0, 3) if self.rng.random() < 0.2 else 60)
        while len(self._events()) == before and process.poll() is None and time.monotonic() < end:
            time.sleep(0.01)

    def _kill_worker(self) -> None:
        pids = [pid for pid in {event[1] for event in self._events()} if _is_alive(pid)]
        if pids:
            os.kill(self.rng.choice(sorted(pids)), signal.SIGKILL)
            self.counts["worker"] += 1
            self.allowed += 1

    def _kill_coordinator(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        self.counts["coordinator"] += 1
        self.allowed += self.workers
        end = time.monotonic() + 10
        while time.monotonic() < end:
            alive = [pid for pid in {event[1] for event in self._events()} if _is_alive(pid)]
            if not alive:
                return
            time.sleep(0.02)
        self.problems.append(f"processes {alive} outlive their coordinator")

    def _check(self) -> None:
        """Compare the stored trials with the log and with the previously stored trials."""
        stored = self._read_storage()
        ended = Counter((step, clock) for event, _, step, clock in self._events() if event == "end")
        for design, values in self.stored.items():
            if stored.get(design) != values:
                self.problems.append(f"a stored trial disappeared or changed: {design}")
        for design in stored:
            if not ended[design]:
                self.problems.append(f"stored, but never measured: {design}")
        n_again = sum(n - 1 for n in ended.values())
        n_missing = sum(design not in stored for design in ended)
        if n_again + n_missing > self.allowed:
            self.problems.append(
                f"{n_again} measured again, {n_missing} not stored: more than {self.allowed} in flight"
            )
        self.stored = stored
        self.counts["again"], self.counts["not stored"] = n_again, n_missing

    def _read_storage(self) -> dict[Design, list[float]]:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        path = self.folder / "results/boards/study.journal"
        try:
            if self.url:
                study = optuna.load_study(study_name="boards", storage=self.url)
            elif not path.is_file() or not path.stat().st_size:
                return {}
            else:
                backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
                study = optuna.load_study(study_name="boards", storage=JournalStorage(backend))
        except KeyError:
            return {}
        trials = study.get_trials(deepcopy=False)
        if odd := [t.state.name for t in trials if t.state not in {TrialState.COMPLETE, TrialState.FAIL}]:
            self.problems.append(f"unfinished trials are stored: {odd}")
        stored: dict[Design, list[float]] = {}
        for trial in trials:
            if trial.state == TrialState.COMPLETE:
                design = (trial.params["quant_step"], trial.user_attrs["explorer:measured"]["knobs"]["frequency_hz"])
                if design in stored:
                    self.problems.append(f"stored twice: {design}")
                stored[design] = list(trial.values)
        self.counts["complete"] = len(stored)
        return stored

    def _events(self) -> list[Any]:
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("]")]


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def main() -> int:
    """Run campaigns until the number of kills is reached; return 1 after any violation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--storage", choices=("journal", "sqlite"), default="journal")
    args = parser.parse_args()
    rng, total, n_campaigns, n_problems = random.Random(args.seed), Counter[str](), 0, 0
    while total["coordinator"] + total["worker"] < args.kills:
        with tempfile.TemporaryDirectory() as folder:
            campaign = Campaign(Path(folder), workers=args.workers, storage=args.storage, rng=rng)
            remaining = args.kills - total["coordinator"] - total["worker"]
            campaign.run(min(remaining, rng.randint(3, 12)))
            if campaign.counts["complete"] != TRIALS:
                campaign.problems.append(f"ends with {campaign.counts['complete']} of {TRIALS} trials")
            stderr = (Path(folder) / "err").read_text(encoding="utf-8")
            if "Traceback" in stderr:
                campaign.problems.append(stderr[-2000:])
        n_campaigns, n_problems = n_campaigns + 1, n_problems + len(campaign.problems)
        total += Counter({name: campaign.counts[name] for name in ("coordinator", "worker", "again", "not stored")})
        for problem in campaign.problems:
            print(f"campaign {n_campaigns}: {problem}")
        print(json.dumps({"campaign": n_campaigns, **campaign.counts, "allowed": campaign.allowed}), flush=True)
    print(json.dumps({"campaigns": n_campaigns, **total, "problems": n_problems}))
    return 1 if n_problems else 0


if __name__ == "__main__":
    sys.exit(main())
