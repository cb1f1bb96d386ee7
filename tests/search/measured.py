"""Measured study with a function in a file, run by the command line in this process or in a child process."""

import io
import math
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.pool import NullPool

from explorer.cli.app import main

SPACE = """\
family = "Board"
[axes]
quant_step = { range = [0.01, 0.3] }
frequency = { range = [600, 1800], unit = "MHz" }
mode = { choices = ["eco", "turbo"] }
[operating_points]
law = "none"
"""
FINITE = SPACE.replace("range = [0.01, 0.3]", "values = [0.1, 0.2]").replace("range = [600,", "values = [600, 1200,")
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
# Every call appends its process and design to the file `calls`, and waits while the file `HOLD` exists.
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
ENVIRONMENT = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(ROOT)}
Design = tuple[float, float, str]
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Measured:
    """Measured study in its own folder."""

    folder: Path

    @property
    def calls(self) -> list[tuple[int, Design]]:
        """Process and design of each measurement, in order."""
        path = self.folder / "calls"
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        return [(int(pid), (float(step), float(clock), mode)) for pid, step, clock, mode in rows]

    @property
    def repeated(self) -> dict[Design, int]:
        """Number of measurements of each design that was measured more than once."""
        return {design: n for design, n in Counter(design for _, design in self.calls).items() if n > 1}

    @property
    def trials(self) -> list[FrozenTrial]:
        """Stored trials, as plain Optuna reads them."""
        return plain_study(self.folder / "results/boards/study.journal", "boards").trials

    def command(self, *args: object) -> list[str]:
        """Return `explorer run ARGS` for this study."""
        command = [sys.executable, "-m", "explorer", "run", "./boards.toml", "--measure", "task.py:measure"]
        return [*command, *map(str, args)]

    def start(self, *args: object) -> "subprocess.Popen[str]":
        """Start `explorer run ARGS` in a child process."""
        return subprocess.Popen(
            self.command(*args), cwd=self.folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *args: object, meanwhile: Callable[[], object] = lambda: None) -> Done:
        """Run `explorer run ARGS` in this process, and a function in a concurrent thread."""
        out, err, before, thread = io.StringIO(), io.StringIO(), sys.argv, threading.Thread(target=meanwhile)
        with chdir(self.folder), redirect_stdout(out), redirect_stderr(err):
            thread.start()
            try:
                sys.argv = self.command(*args)[2:]
                main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            finally:
                sys.argv = before
                thread.join()
        assert "Traceback" not in err.getvalue()
        return Done(args, code, out.getvalue(), err.getvalue())

    def interrupt(self, n: int) -> None:
        """Send SIGINT after the start of n measurements."""
        until(lambda: len(self.calls) >= n)
        os.kill(os.getpid(), signal.SIGINT)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause all measurements within the context."""
        (self.folder / "HOLD").touch()
        try:
            yield
        finally:
            (self.folder / "HOLD").unlink()


def make_measured(
    folder: Path, *, trials: int = 40, seconds: float = 0.0, is_finite: bool = False, sampler: str = "random",
    extra: str = "pass",
) -> Measured:  # fmt: skip
    """Write a study, its space (of twelve designs, or a continuous one) and the measurement function."""
    (folder / "space.toml").write_text(FINITE if is_finite else SPACE, encoding="utf-8")
    (folder / "boards.toml").write_text(STUDY.format(trials=trials, sampler=sampler), encoding="utf-8")
    (folder / "task.py").write_text(TASK.format(seconds=seconds, extra=extra), encoding="utf-8")
    return Measured(folder)


def until(is_true: Callable[[], object], seconds: float = 180.0) -> None:
    """Wait until a condition is true."""
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def free_port() -> int:
    """Return an unused loopback port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def disk_of(n_bytes: int) -> Iterator[None]:
    """Limit the size of files, like a full disk, for this process and its children."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def plain_storage(storage: str | Path) -> BaseStorage:
    """Open a journal file or a database as a user of plain Optuna does."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if "://" in str(storage):
        return RDBStorage(str(storage), engine_kwargs={"poolclass": NullPool})
    return JournalStorage(JournalFileBackend(str(storage), lock_obj=JournalFileOpenLock(str(storage))))


def plain_study(storage: str | Path, name: str, **options: Any) -> optuna.Study:
    """Load a study as a user of plain Optuna does."""
    return optuna.load_study(study_name=name, storage=plain_storage(storage), **options)


def states(trials: list[FrozenTrial]) -> dict[TrialState, int]:
    return dict(Counter(trial.state for trial in trials))


def assert_measured(trials: list[FrozenTrial], n: int) -> None:
    """Assert that n trials are stored, all COMPLETE, each with the values of its design."""
    assert states(trials) == {TrialState.COMPLETE: n}
    for trial in trials:
        knobs: dict[str, Any] = {**trial.user_attrs, **trial.params}
        energy = knobs["frequency_hz"] / 1e9 * (2 if knobs["mode"] == "turbo" else 1)
        assert trial.values == [energy, math.exp(-3 * knobs["quant_step"])]
        assert trial.user_attrs["explorer:measured"]["knobs"]["mode"] == knobs["mode"]
