"""Several workers on one study: processes that share its storage, started and watched by the one that the user sees."""

import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from multiprocessing.connection import wait

from explorer.errors import ExplorerError, Interrupted, MeasurementFailed, WrongUsage
from explorer.models.function import Function, Measure
from explorer.search.begin import Run
from explorer.search.patience import Patience, StorageLost
from explorer.search.progress import Progress, stoppable
from explorer.search.view import View
from explorer.search.worker_process import Task, WorkerProcess, start

MAX_WORKERS = 256
_MOST_REPLACED = 3
"""How often in a row a worker is started anew, where all have died and no trial is added."""
_LOOK_EVERY_S = 0.5
_SAY_AGAIN_S = 30.0

Say = Callable[[str], None]


def search_in_parallel(
    run: Run,
    *,
    workers: int,
    measure: Measure | str | None = None,
    progress: Progress | None = None,
    say: Say = lambda _: None,
) -> None:
    """Search with several processes until the wanted number of trials is COMPLETE.

    What a worker knows before it proposes depends on timing: only one worker gives the same front again. A worker that
    dies costs only time: the others try its design again and do its share; where all have died another one is started.

    Args:
        run: the study at its storage.
        workers: number of processes.
        measure: the function that measures a design, where the study measures by one.
        progress: who wants to know how far it is.
        say: tells the user what happened.

    Raises:
        WrongUsage: the storage cannot take several writers, or the number is out of range.
        Interrupted: Ctrl-C; everything told so far is stored.
        MeasurementFailed: no design can be measured, or all workers died again and again.
        StorageLost: the storage went away in the middle, and did not come back.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise WrongUsage(f"workers = {workers} is outside [1, {MAX_WORKERS}]", fix="take one for each processor")
    study, evaluator = run.assessment.study, run.assessment.evaluator
    if measure is None and isinstance(evaluator, Function):
        measure = evaluator.name if ".py:" in evaluator.name else evaluator.function
    view = View(run, patience=Patience(run.place, say=say), progress=progress)
    with closing(view.ledger):
        view.look()
        left = view.board.wanted - view.board.n_complete
        if left > 0:
            task = Task(
                str(study.path), study.trials, study.seed, study.sampler, run.out, run.storage_url, measure, index=0
            )
            _Crew(view, task, say).work(min(workers, left))
    run.forget()


class _Crew:
    """The worker processes of a run."""

    def __init__(self, view: View, task: Task, say: Say) -> None:
        self._view, self._task, self._say = view, task, say
        # The workers have patience with the storage, and tell of it; who only looks can look again later.
        view.patience = Patience(view.run.place, say=lambda _: None, seconds=0)
        self._said: dict[str, float] = {}
        self._workers: list[WorkerProcess] = []
        self._failures: list[ExplorerError] = []
        self._n_started = self._n_replaced = self._n_before = 0
        self._is_done = self._is_stopping = False

    def work(self, n: int) -> None:
        try:
            with stoppable() as is_interrupted:
                for _ in range(n):
                    self._start()
                while self._workers:
                    self._attend(is_interrupted)
        except KeyboardInterrupt:
            self._is_stopping = True
        finally:
            for worker in self._workers:
                worker.process.kill()  # what it was at is tried again by the next run
                worker.process.join()
        if self._is_stopping:
            told = f"stopped; all finished trials are in {self._view.run.place}"
            raise Interrupted(told, fix="run the same command again to go on")
        if self._failures and not self._is_done:
            raise self._failures[0]

    def _attend(self, is_interrupted: Callable[[], bool]) -> None:
        wait([end for worker in self._workers for end in (worker.process.sentinel, worker.pipe)], _LOOK_EVERY_S)
        if is_interrupted() and not self._is_stopping:
            self._is_stopping = True
            for worker in self._workers:
                worker.ask_to_stop()
        for worker in list(self._workers):
            self._hear(worker)
        with suppress(StorageLost):
            self._view.look()
        if not self._workers and not (self._is_stopping or self._is_done or self._failures):
            self._replace()

    def _start(self) -> None:
        self._workers.append(start(replace(self._task, index=self._n_started)))
        self._n_started += 1

    def _hear(self, worker: WorkerProcess) -> None:
        is_alive = worker.process.is_alive()  # before its last words are heard
        for text in worker.hear():
            self._tell(text)
        if is_alive:
            return
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if worker.failure:
            self._failures.append(worker.failure)
        elif worker.process.exitcode == 0:
            self._is_done = self._is_done or not self._is_stopping
        elif not self._is_stopping:
            left = "the others go on" if self._workers else "nobody is left"
            self._tell(f"worker {worker.index} (process {worker.process.pid}) died of {worker.cause}; {left}")

    def _replace(self) -> None:
        """Start another worker where all have died, but not for ever."""
        n = self._view.board.n_complete
        self._n_replaced = 0 if n > self._n_before else self._n_replaced + 1
        self._n_before = n
        if self._n_replaced > _MOST_REPLACED:
            told = f"every worker died, {self._n_started} in all; all finished trials are in {self._view.run.place}"
            fix = "see above what they died of; the same command goes on"
            self._failures.append(MeasurementFailed(told, fix=fix))
            return
        self._start()
        self._tell(f"worker {self._workers[-1].index} is started in their place")

    def _tell(self, text: str) -> None:
        """Say something, once where several workers say it at a time."""
        now = time.monotonic()
        if now - self._said.get(text, -_SAY_AGAIN_S) >= _SAY_AGAIN_S:
            self._said[text] = now
            self._say(text)
