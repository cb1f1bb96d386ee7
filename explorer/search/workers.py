"""Several workers on one study: processes that share its storage, each with its own quota and its own numbers."""

import multiprocessing
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, Interrupted, MeasurementFailed, WrongUsage
from explorer.models.assessment import assessment_of
from explorer.models.store import load_evaluator
from explorer.problem.study import load_study
from explorer.search.begin import Run, prepare
from explorer.search.first import enqueue_first, wanted_trials
from explorer.search.run import Progress, search
from explorer.search.storage import refuse_parallel

MAX_WORKERS = 256
_LOOK_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker process needs to build its own run: plain values, since processes share nothing."""

    study: str
    trials: int
    seed: int
    sampler: str
    out: Path
    storage_url: str | None
    quota: int
    worker: int


def search_in_parallel(run: Run, *, workers: int, done: int, progress: Progress | None = None) -> None:
    """Search with several processes until the wanted number of trials is COMPLETE.

    Which trial a worker sees before it proposes depends on timing: only one worker gives the same front again.

    Args:
        run: the study at its storage, begun.
        workers: number of processes.
        done: trials already COMPLETE.
        progress: who wants to know how far it is; the hypervolume is not known while workers run (NaN).

    Raises:
        WrongUsage: the storage cannot take several writers, or the number is out of range.
        Interrupted: Ctrl-C; everything told so far is stored.
        MeasurementFailed: a worker found that no design can be measured.
    """
    if not 1 <= workers <= MAX_WORKERS:
        raise WrongUsage(f"workers = {workers} is outside [1, {MAX_WORKERS}]", fix="take one for each processor")
    refuse_parallel(run.storage_url)
    enqueue_first(run)
    study = run.assessment.study
    left = max(0, wanted_trials(run) - done)
    context = multiprocessing.get_context("spawn")
    stop, count, failures = context.Event(), context.Value("q", 0), context.SimpleQueue()
    quotas = [left // workers + (i < left % workers) for i in range(workers)]
    tasks = [
        _Task(str(study.path), study.trials, study.seed, study.sampler, run.out, run.storage_url, quota, i)
        for i, quota in enumerate(quotas)
        if quota
    ]
    processes = [context.Process(target=_work, args=(task, stop, count, failures)) for task in tasks]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            time.sleep(_LOOK_EVERY_S)
            if progress:
                progress(done + count.value, study.trials, float("nan"))
    except KeyboardInterrupt:
        stop.set()
        for process in processes:
            process.join()
        raise Interrupted(
            f"stopped; all finished trials are in {run.place}", fix="run the same command again to go on"
        ) from None
    run.forget()
    if not failures.empty():
        problem, fix, code = failures.get()
        kind = MeasurementFailed if code == MeasurementFailed.exit_code else ExplorerError
        error = kind(f"a worker stopped: {problem}", fix=fix)
        error.exit_code = code
        raise error
    if any(process.exitcode for process in processes):
        raise WrongUsage("a worker process died", fix="see its message above; run the same command again to go on")


def _work(task: _Task, stop: Any, count: Any, failures: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C and asks us to stop

    seen: list[int] = []  # what this worker has reported so far; its first report is where it began

    def tell(done: int, wanted: int, best_hypervolume: float) -> None:
        del wanted, best_hypervolume
        with count.get_lock():
            count.value += done - (seen[-1] if seen else done)
        seen.append(done)

    try:
        study = load_study(task.study).with_search(trials=task.trials, seed=task.seed, sampler=task.sampler)
        run = prepare(assessment_of(study, load_evaluator(study)), out=task.out, storage_url=task.storage_url)
        search(run, quota=task.quota, worker=task.worker, progress=tell, should_stop=stop.is_set)
    except Interrupted:
        return
    except ExplorerError as error:
        failures.put((error.problem, error.fix, error.exit_code))
