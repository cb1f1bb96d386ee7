"""Search of a study until the wanted number of trials is COMPLETE; a later search resumes."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from explorer.errors import WrongUsage
from explorer.models.evaluator import as_measurer
from explorer.models.measured.function import run_source
from explorer.models.measured.task import SourceFunction
from explorer.search.encoding import Encoding
from explorer.search.enqueued import fault_of, is_enqueued
from explorer.search.execution.coordinator import search_measured
from explorer.search.execution.executor import DesignExecutor
from explorer.search.execution.local import MAX_WORKERS, InlineExecutor, LocalExecutor
from explorer.search.progress import Progress, handle_interrupts
from explorer.search.session import FAILED_ATTR, SearchSession
from explorer.search.single_process import search_single_process
from explorer.search.storage.bulk import finish_enqueued

Notify = Callable[[str], None]
_OLD_WORKER_ATTR = "explorer:worker"


@dataclass(frozen=True, slots=True)
class Execution:
    """Executor settings of a measured study.

    Args:
        workers: number of isolated processes of this machine; None for the coordinator's own process.
        cluster: address of a Dask scheduler, instead.
        resources: amount of a cluster worker's resources for each design, by name.
        uploads: files for every worker of a cluster.
        time_limit: seconds for one design; it implies a worker, as only a process can be killed.
    """

    workers: int | None = None
    cluster: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    uploads: Sequence[Path] = ()
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            what = f"workers = {self.workers} is outside [1, {MAX_WORKERS}]"
            raise WrongUsage(what, fix="take one for each processor, or for each board")
        if self.cluster is not None and self.workers is not None:
            raise WrongUsage("--workers and --cluster exclude each other", fix="a cluster brings its own workers")
        if self.cluster is None and (self.resources or self.uploads):
            raise WrongUsage("--resource and --upload are for a cluster", fix="add --cluster URL, or leave them out")
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise WrongUsage(f"a time limit of {self.time_limit:g} s", fix="give a positive time, such as '30 s'")

    @property
    def is_inline(self) -> bool:
        """Whether designs are evaluated in the coordinator's own process."""
        return self.workers is None and self.cluster is None and self.time_limit is None

    def as_json(self) -> dict[str, Any]:
        """Return the settings for the log of runs."""
        if self.cluster is not None:
            return {"cluster": self.cluster}
        return {} if self.is_inline else {"workers": self.workers or 1}

    def executor(self, *, files: Sequence[Path], notify: Notify) -> DesignExecutor:
        """Return the executor; `files` are sent to the workers of a cluster.

        Raises:
            WrongUsage, MissingPart: there is no such cluster, or Dask is not installed.
        """
        if self.cluster is not None:
            from explorer.search.execution.cluster import ClusterExecutor

            return ClusterExecutor(
                self.cluster, resources=self.resources, uploads=(*self.uploads, *files), time_limit=self.time_limit,
                notify=notify,
            )  # fmt: skip
        if self.is_inline:
            return InlineExecutor()
        return LocalExecutor(1 if self.workers is None else self.workers, time_limit=self.time_limit)


def search(
    run: SearchSession,
    *,
    execution: Execution | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    notify: Notify = lambda _: None,
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    The first Ctrl-C ends it after the running designs, the second at once; everything measured is stored.

    Args:
        run: the study at its storage.
        execution: executor settings; default: this process.
        progress: called after each batch.
        should_stop: called between designs.
        notify: called with messages for the user.

    Raises:
        Interrupted: it was stopped before the end.
        MeasurementFailed: too many designs in a row failed.
        StorageLost, SchedulerUnavailable: storage or scheduler went away and did not come back.
        WrongUsage, InvalidFile, MissingPart: the storage, sampler or cluster cannot be used.
    """
    execution = execution or Execution()
    with handle_interrupts() as is_interrupted:

        def is_stopped() -> bool:
            return is_interrupted() or should_stop()

        measuring = as_measurer(run.problem.evaluator)
        fail_invalid_trials(run)
        if measuring is None:
            if not execution.is_inline:
                notify(
                    "note: designs are predicted, by the thousand, in this process: workers are for measured studies"
                )
            return search_single_process(run, progress=progress, should_stop=is_stopped, notify=notify)
        measuring.task()  # refuses a study whose function was not named
        if execution.cluster is not None and "machine" in measuring.fingerprint:
            what = "latency and energy of a network hold for one machine, and a cluster has others"
            raise WrongUsage(what, fix="run the study on that machine, or measure by a function of yours (--measure)")
        function = getattr(measuring, "function", None)
        executor = execution.executor(files=measuring.files, notify=notify)
        if isinstance(executor, InlineExecutor) and isinstance(function, SourceFunction):
            executor.submit(run_source, function).result()
        return search_measured(run, executor, progress=progress, should_stop=is_stopped, notify=notify)


def fail_invalid_trials(run: SearchSession) -> None:
    """Record FAIL for trials that would stay unfinished for ever: enqueued with impossible parameters, or abandoned.

    Earlier versions stored RUNNING trials, with a mark of their worker; a killed one left them so.
    """
    distributions = Encoding(run.problem.regions).distributions()
    for trial in run.study.get_trials(deepcopy=False):
        fault = fault_of(trial, distributions) if is_enqueued(trial) else ""
        is_abandoned = trial.state == TrialState.RUNNING and _OLD_WORKER_ATTR in trial.system_attrs
        if fault or is_abandoned:
            finish_enqueued(
                run.study, trial, params={}, distributions={}, state=TrialState.FAIL, values=None, constraints={},
                user_attrs={FAILED_ATTR: fault} if fault else {}, system_attrs={},
            )  # fmt: skip


def utc_now() -> datetime.datetime:
    """Return the time with its zone."""
    return datetime.datetime.now(datetime.UTC)
