"""A study that measures every design by a function in a file, for tests that run real processes and kill them."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

SPACE = """\
family = "Board"
[axes]
quant_step = { range = [0.01, 0.3] }
frequency = { range = [600, 1800], unit = "MHz" }
mode = { choices = ["eco", "turbo"] }
[operating_points]
law = "none"
"""
# Two by three by two designs.
FINITE = """\
family = "Board"
[axes]
quant_step = { values = [0.1, 0.2] }
frequency = { values = [600, 1200, 1800], unit = "MHz" }
mode = { choices = ["eco", "turbo"] }
[operating_points]
law = "none"
"""
STUDY = """\
space = "./space.toml"
model = {{ measures = ["accuracy", "energy_j"] }}
objectives = ["energy_j", "accuracy"]
[reference_point]
energy_j = 10.0
accuracy = 0.0
[search]
trials = {trials}
sampler = "{sampler}"
"""
# Every call leaves a line: which process measures which design. `HOLD` keeps all of them until it is gone.
TASK = """\
import math, os, pathlib, signal, time
HERE = pathlib.Path(__file__).parent
def measure(design):
    line = f"{{os.getpid()}} {{design['quant_step']!r}} {{design['frequency_hz']!r}} {{design['mode']}}\\n"
    with open(HERE / "calls", "ab", buffering=0) as file:
        file.write(line.encode())
    while (HERE / "HOLD").exists():
        time.sleep(0.01)
    {extra}
    time.sleep({seconds})
    factor = 2 if design["mode"] == "turbo" else 1
    return {{"accuracy": math.exp(-3 * design["quant_step"]), "energy_j": design["frequency_hz"] / 1e9 * factor}}
"""
ROOT = Path(__file__).parents[2]
Design = tuple[float, float, str]


@dataclass(frozen=True, slots=True)
class Measured:
    """A study that measures, in a folder of its own."""

    folder: Path
    study: str = "./boards.toml"
    measure: str = "task.py:measure"

    @property
    def calls(self) -> list[tuple[int, Design]]:
        """Which process was asked for which design, in order."""
        path = self.folder / "calls"
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        return [(int(pid), (float(step), float(clock), mode)) for pid, step, clock, mode in rows]

    @property
    def repeated(self) -> dict[Design, int]:
        """The designs that were measured more than once."""
        return {design: n for design, n in Counter(design for _, design in self.calls).items() if n > 1}

    def command(self, *args: object) -> list[str]:
        """Return `explorer ARGS` as this study is called."""
        first, *rest = args
        return [sys.executable, "-m", "explorer", str(first), self.study, "--measure", self.measure, *map(str, rest)]

    def start(self, *args: object) -> "subprocess.Popen[str]":
        """Start `explorer ARGS` and go on."""
        return subprocess.Popen(
            self.command(*args), cwd=self.folder, env=environment(), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *args: object) -> "subprocess.CompletedProcess[str]":
        """Run `explorer ARGS` to its end."""
        return subprocess.run(
            self.command(*args), cwd=self.folder, env=environment(), text=True, capture_output=True, timeout=240,
            check=False,
        )  # fmt: skip

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep every measurement from ending within the block."""
        hold = self.folder / "HOLD"
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()


def make_measured(
    folder: Path, *, trials: int = 40, seconds: float = 0.0, space: str = SPACE, sampler: str = "random",
    extra: str = "pass",
) -> Measured:  # fmt: skip
    """Write a study, its space and the function that measures."""
    (folder / "space.toml").write_text(space, encoding="utf-8")
    (folder / "boards.toml").write_text(STUDY.format(trials=trials, sampler=sampler), encoding="utf-8")
    (folder / "task.py").write_text(TASK.format(seconds=seconds, extra=extra), encoding="utf-8")
    return Measured(folder)


def environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}


def until(is_true: Callable[[], bool], *, seconds: float = 180.0) -> None:
    """Wait until something is so, but not for ever."""
    end = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def kill(process: "subprocess.Popen[str]") -> None:
    """Kill a process as no process can prevent, and see it gone."""
    process.kill()
    process.communicate()


def ended(process: "subprocess.Popen[str]", *, seconds: float = 240.0) -> tuple[int, str, str]:
    """Wait for a process; return its exit code and what it said."""
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err, err
    return process.returncode, out, err


def stored(place: str | Path, name: str = "boards") -> list[FrozenTrial]:
    """Return a study's trials as plain Optuna reads them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if isinstance(place, Path):
        backend = JournalFileBackend(str(place), lock_obj=JournalFileOpenLock(str(place)))
        return optuna.load_study(study_name=name, storage=JournalStorage(backend)).trials
    storage = RDBStorage(place, engine_kwargs={"poolclass": NullPool})
    return optuna.load_study(study_name=name, storage=storage).trials


def complete(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def states(trials: list[FrozenTrial]) -> dict[TrialState, int]:
    return dict(Counter(trial.state for trial in trials))


def design_of(trial: FrozenTrial) -> Design:
    told: dict[str, Any] = {**trial.user_attrs, **trial.params}
    return told["quant_step"], told["frequency_hz"], told["mode"]


def assert_right(trials: list[FrozenTrial]) -> None:
    """See that every COMPLETE trial holds what its design measures."""
    import math

    for trial in complete(trials):
        step, clock, mode = design_of(trial)
        assert trial.values == [clock / 1e9 * (2 if mode == "turbo" else 1), math.exp(-3 * step)]
        assert trial.user_attrs["explorer:measured"]["knobs"]["mode"] == mode
