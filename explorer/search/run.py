"""Search of a study until the requested number of trials is COMPLETE; a later search resumes it."""

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
from explorer.search.execution.adoption import adopt_measurements
from explorer.search.execution.coordinator import search_measured
from explorer.search.execution.executor import DesignExecutor
from explorer.search.execution.local import MAX_WORKERS, InlineExecutor, LocalExecutor
from explorer.search.progress import Progress, handle_interrupts
from explorer.search.session import FAILED_ATTR, SearchSession
from explorer.search.single_process import search_single_process
from explorer.search.storage.bulk import finish_enqueued
from explorer.search.storage.retry import Notify

_OLD_WORKER_ATTR = "explorer:worker"


@dataclass(frozen=True, slots=True)
class Execution:
    """Executor settings of a measured study.

    Args:
        workers: number of isolated processes on this machine; None for the coordinator's process.
        cluster: address of a Dask scheduler; excludes `workers`.
        resources: amount of a cluster worker's resources for each design, by name.
        uploads: files for every worker of a cluster.
        time_limit: seconds for one design; it implies a worker process, which can be killed.
    """

    workers: int | None = None
    cluster: str | None = None
    resources: Mapping[str, float] = field(default_factory=dict)
    uploads: Sequence[Path] = ()
    time_limit: float | None = None

    def __post_init__(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= MAX_WORKERS:
            problem = f"workers = {self.workers} is outside [1, {MAX_WORKERS}]"
            raise WrongUsage(problem, fix="use one for each processor, or for each board")
        if self.cluster is not None and self.workers is not None:
            raise WrongUsage("--workers and --cluster exclude each other", fix="a cluster brings its own workers")
        if self.cluster is None and (self.resources or self.uploads):
            raise WrongUsage("--resource and --upload are for a cluster", fix="add --cluster URL, or remove them")
        if self.time_limit is not None and not 0 < self.time_limit < float("inf"):
            raise WrongUsage(f"a time limit of {self.time_limit:g} s", fix="give a positive time, such as '30 s'")

    @property
    def is_inline(self) -> bool:
        """Whether designs are evaluated in the coordinator's process."""
        return self.workers is None and self.cluster is None and self.time_limit is None

    def as_json(self) -> dict[str, Any]:
        """Return the settings for the log of runs."""
        if self.cluster is not None:
            return {"cluster": self.cluster}
        return {} if self.is_inline else {"workers": self.workers or 1}

    def executor(self, *, files: Sequence[Path], notify: Notify) -> DesignExecutor:
        """Return the executor; `files` are sent to the workers of a cluster.

        Raises:
            WrongUsage, MissingPart: the cluster cannot be reached, or Dask is not installed.
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
    session: SearchSession,
    *,
    execution: Execution | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    notify: Notify = lambda _: None,
    take_from: Path | None = None,
    assume: Mapping[str, Any] | None = None,
) -> int:
    """Search until the requested number of trials is COMPLETE; return the number of added trials.

    The first Ctrl-C ends it after the running designs, the second at once; all measurements are stored.

    Args:
        session: the study in its storage.
        execution: executor settings; default: the calling process.
        progress: called after each batch.
        should_stop: called between designs.
        notify: called with messages for the user.
        take_from: a result folder or a samples CSV whose measurements are taken over first.
        assume: values of knobs that these measurements lack.

    Raises:
        Interrupted: the search was stopped before the end.
        MeasurementFailed: too many designs in a row failed.
        StorageUnavailable, SchedulerUnavailable: storage or scheduler stayed unreachable until the retry timeout.
        WrongUsage, InvalidFile, MissingPart: the storage, sampler or cluster cannot be used.
    """
    execution = execution or Execution()
    with handle_interrupts() as is_interrupted:

        def is_stopped() -> bool:
            return is_interrupted() or should_stop()

        measuring = as_measurer(session.problem.evaluator)
        fail_invalid_trials(session)
        if measuring is None:
            if take_from is not None:
                notify("note: nothing is measured in this study, so nothing needs to be taken over")
            if not execution.is_inline:
                notify("note: designs are predicted in this process; workers are used by measured studies only")
            return search_single_process(session, progress=progress, should_stop=is_stopped, notify=notify)
        measuring.task()  # raises if no measurement function was named
        if execution.cluster is not None and "machine" in measuring.fingerprint:
            problem = "latency and energy of a network are valid for one machine only, not for a cluster"
            raise WrongUsage(problem, fix="run the study on that machine, or give a function with --measure")
        function = getattr(measuring, "function", None)
        adoption = adopt_measurements(session, take_from, assume=assume or {}) if take_from is not None else None
        if adoption is not None:
            notify(f"note: {adoption.text()}")
        executor = execution.executor(files=measuring.files, notify=notify)
        if isinstance(executor, InlineExecutor) and isinstance(function, SourceFunction):
            executor.submit(run_source, function).result()
        return search_measured(
            session, executor, progress=progress, should_stop=is_stopped, notify=notify,
            adopted=adoption.measurements if adoption else (),
        )  # fmt: skip


def fail_invalid_trials(session: SearchSession) -> None:
    """Record FAIL for trials that cannot finish: enqueued with invalid parameters, or abandoned.

    Earlier versions stored RUNNING trials with an attribute of their worker; a killed worker left them unfinished.
    """
    encoding = Encoding(session.problem.regions)
    for trial in session.study.get_trials(deepcopy=False):
        fault = fault_of(trial, encoding) if is_enqueued(trial) else ""
        is_abandoned = trial.state == TrialState.RUNNING and _OLD_WORKER_ATTR in trial.system_attrs
        if fault or is_abandoned:
            finish_enqueued(
                session.study, trial, params={}, distributions={}, state=TrialState.FAIL, values=None, constraints={},
                user_attrs={FAILED_ATTR: fault} if fault else {}, system_attrs={},
            )  # fmt: skip


def utc_now() -> datetime.datetime:
    """Return the current time in UTC."""
    return datetime.datetime.now(datetime.UTC)
