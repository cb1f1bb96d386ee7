"""A worker process: started with plain values, heard and stopped through a pipe that closes however it ends."""

import multiprocessing
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from pickle import PicklingError
from typing import TYPE_CHECKING

from explorer.errors import ExplorerError, Interrupted, MeasurementFailed, WrongUsage
from explorer.files import cannot_write
from explorer.models.assessment import assessment_of
from explorer.models.function import Measure
from explorer.models.store import load_evaluator
from explorer.problem.study import load_study
from explorer.search.begin import prepare
from explorer.search.run import search

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker process needs to build its own run: processes share nothing."""

    study: str
    trials: int
    seed: int
    sampler: str
    out: Path
    storage_url: str | None
    measure: Measure | str | None
    index: int


@dataclass(slots=True)
class WorkerProcess:
    """A worker process as its parent sees it.

    Locks and queues that processes share are no good here: whoever is killed within one leaves it locked.

    Args:
        index: of the worker.
        process: the process.
        pipe: to it.
        failure: what it could not go on for.
    """

    index: int
    process: "BaseProcess"
    pipe: Connection
    failure: ExplorerError | None = None

    def hear(self) -> Iterator[str]:
        """Yield what it has said since."""
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                kind, message = self.pipe.recv()
                if kind == "say":
                    yield message
                else:
                    self.failure = _error(*message)

    def ask_to_stop(self) -> None:
        """Have it end after what it is at."""
        with suppress(OSError):
            self.pipe.send("stop")

    @property
    def cause(self) -> str:
        """What it died of."""
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}"
        try:
            return signal.Signals(-code).name
        except ValueError:
            return f"signal {-code}"


def start(task: Task) -> WorkerProcess:
    """Start a worker process.

    Raises:
        WrongUsage: the function that measures cannot be handed to another process.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(task, theirs), name=f"explorer-worker-{task.index}")
    try:
        with _deaf():
            process.start()
    except (AttributeError, PicklingError, TypeError) as error:
        raise WrongUsage(
            f"the function that measures cannot be handed to worker processes: {error}",
            fix="name it as FILE.py:NAME, or use one worker",
        ) from None
    finally:
        theirs.close()
    return WorkerProcess(task.index, process, ours)


def _work(task: Task, pipe: Connection) -> None:
    """Be a worker; a word in the pipe, or its other end closed, says to stop."""

    def send(kind: str, message: object) -> None:
        with suppress(OSError):
            pipe.send((kind, message))

    try:
        study = load_study(task.study).with_search(trials=task.trials, seed=task.seed, sampler=task.sampler)
        assessment = assessment_of(study, load_evaluator(study, measure=task.measure))
        run = prepare(assessment, out=task.out, storage_url=task.storage_url)
        search(run, worker=task.index, should_stop=pipe.poll, say=lambda text: send("say", text))
    except Interrupted:
        return
    except ExplorerError as error:
        send("failed", (error.problem, error.fix, error.exit_code))
    except OSError as error:
        told = cannot_write(Path(run.place), error)
        send("failed", (told.problem, told.fix, told.exit_code))


@contextmanager
def _deaf() -> Iterator[None]:
    """Have a process that is started now not hear Ctrl-C: its parent does, and asks it to stop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _error(problem: str, fix: str, code: int) -> ExplorerError:
    kind = MeasurementFailed if code == MeasurementFailed.exit_code else ExplorerError
    error = kind(f"a worker stopped: {problem}", fix=fix)
    error.exit_code = code
    return error
