"""Coordinator of a measured study: asks the sampler, submits designs, and is the only writer of the storage."""

import datetime
import functools
import math
import platform
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any

import numpy as np
from optuna.trial import TrialState

from explorer.errors import ExplorerError, MeasurementFailed, WrongUsage
from explorer.models.evaluator import Measurer, as_measurer
from explorer.models.measured.task import call_task, dump_task
from explorer.problem.columns import Columns
from explorer.search.encoding import columns_of
from explorer.search.execution.candidates import Candidate, CandidateSource
from explorer.search.execution.executor import DesignExecutor, SchedulerUnavailable, WorkerLost
from explorer.search.execution.local import InlineExecutor
from explorer.search.execution.spool import prune_spool, read_spool, spool, unstored_error
from explorer.search.progress import FrontTracker, Progress, interruption_error
from explorer.search.session import FAILED_ATTR, MEASURED_ATTR, SearchSession
from explorer.search.storage.bulk import TrialBatch, finish_enqueued, insert_trials
from explorer.search.storage.retry import PATIENCE_S, RetryPolicy
from explorer.search.trial_table import SEARCH, TrialTable, user_attributes

MAX_RETRIES = 3
"""Retries of a design whose worker was lost: it may be the cause."""
MAX_FAILURES_IN_A_ROW = 20
"""Limit after which a search ends: an unplugged board must not be tried for ever."""
_POLL_S = 0.5
_SMOOTHING = 0.2

Notify = Callable[[str], None]


@dataclass(slots=True, eq=False)
class _Job:
    """Design that was submitted, and how often its worker was lost."""

    candidate: Candidate
    knobs: Mapping[str, Any]
    n_lost: int = 0
    future: Future[Any] | None = None
    began: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))


@dataclass(frozen=True, slots=True)
class _Stored:
    """COMPLETE trial that was stored."""

    number: int
    columns: Columns
    values: Sequence[float]
    constraints: Mapping[str, float]
    user_attrs: Mapping[str, Any]


_Outcome = _Stored | BaseException
"""Of the errors, WorkerLost leads to a retry and _Failed to a FAIL trial; any other ends the search."""


class _Failed(Exception):
    """Design that cannot be measured, for the reason of an ExplorerError."""

    def __init__(self, error: ExplorerError) -> None:
        super().__init__(error.problem)
        self.error = error


class _Unusable(WrongUsage):
    """The function that measures cannot be loaded where it is to run (exit 2)."""


def search_measured(
    run: SearchSession,
    executor: DesignExecutor,
    *,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    notify: Notify = lambda _: None,
    patience_s: float = PATIENCE_S,
) -> int:
    """Measure designs until the wanted number of trials is COMPLETE; return how many were added.

    Args:
        run: the study at its storage.
        executor: evaluates the designs; it is shut down at the end.
        progress: called after each batch.
        should_stop: called between designs; after True, running designs are finished.
        notify: called with messages for the user: lost workers, a storage that is away.
        patience_s: for how long a storage may be away.

    Raises:
        Interrupted: `should_stop` returned True before the end; everything measured is stored.
        MeasurementFailed: MAX_FAILURES_IN_A_ROW designs failed.
        StorageLost, SchedulerUnavailable: storage or scheduler went away and did not come back.
    """
    patience = RetryPolicy(run.place, say=notify, ensure_lock=run.ensure_lock, seconds=patience_s)
    coordinator = _Coordinator(run, executor, patience, progress=progress, notify=notify)
    try:
        return coordinator.search(should_stop)
    finally:
        if not coordinator.is_done:
            patience.give_up()  # what arrives from now on is stored at once, or kept in a file
        executor.shutdown(wait=coordinator.is_done, cancel_futures=True)


class _Coordinator:
    def __init__(
        self,
        run: SearchSession,
        executor: DesignExecutor,
        patience: RetryPolicy,
        *,
        progress: Progress | None,
        notify: Notify,
    ) -> None:
        measuring = as_measurer(run.problem.evaluator)
        if measuring is None:
            raise TypeError("predicted designs need no executor")
        self._run, self._executor, self._patience, self._notify = run, executor, patience, notify
        self._measuring: Measurer = measuring
        self._first = run.trials.n
        self._candidates = CandidateSource(run, is_parallel=executor.n_slots > 1 or executor.cancels_running)
        self._front = FrontTracker(run, progress)
        self._jobs: set[_Job] = set()
        self._arrived: SimpleQueue[tuple[_Job, _Outcome]] = SimpleQueue()
        self._turn = threading.RLock()  # one thread at a time writes
        self._retries: deque[_Job] = deque()
        self._payload = b"" if isinstance(executor, InlineExecutor) else _payload(measuring)
        self._n_failed_in_a_row = 0
        self._propose_s = self._measure_s = 0.0
        self.is_done = False

    def search(self, should_stop: Callable[[], bool]) -> int:
        self._replay_unstored()
        self._front.look(self._candidates.n_wanted)
        is_stopping = False
        while True:
            was_stopping, is_stopping = is_stopping, should_stop()
            if is_stopping:
                self._withdraw()
            else:
                self._fill()
            if not self._jobs:
                break
            if is_stopping and not was_stopping:
                self._notify(f"stopping after the designs in flight ({len(self._jobs)}); Ctrl-C again ends at once")
            self._collect()
            self._front.look(self._candidates.n_wanted)
        self.is_done = True
        done, wanted = self._candidates.n_complete, self._candidates.n_wanted
        if is_stopping and done < wanted:
            raise interruption_error(self._run, done, wanted)
        prune_spool(self._run.out, self._run.study.get_trials(deepcopy=False))
        return self._run.tried.n - self._first

    def _fill(self) -> None:
        """Submit a design to each free slot, and some more where proposals are slow compared with measurements."""
        n = self._executor.n_slots + self._n_queued() - len(self._jobs)
        while n > 0 and self._retries:
            self._submit(self._retries.popleft())
            n -= 1
        if n <= 0:
            return
        began = time.perf_counter()
        designs = self._candidates.next(n)
        if designs:
            seconds = time.perf_counter() - began
            self._propose_s = max(seconds, _smoothed(self._propose_s, seconds))  # the first fit takes longer at once
        for candidate in designs:
            self._submit(_Job(candidate, {name: values.tolist()[0] for name, values in candidate.design.items()}))

    def _n_queued(self) -> int:
        """Return the number of queued designs: as many as finish while the sampler proposes."""
        n, least = self._executor.n_slots, self._executor.min_queued
        if n == 1 or not self._measure_s:
            return least
        return max(least, min(n, math.ceil(n * self._propose_s / self._measure_s)))

    def _submit(self, job: _Job) -> None:
        job.began = datetime.datetime.now(datetime.UTC)
        if self._measuring.is_measured(job.knobs):  # measured by an earlier run that could not store it
            future: Future[Any] = Future()
            future.set_result(None)
        elif self._payload:
            future = self._executor.submit(call_task, self._payload, dict(job.knobs))
        else:
            future = self._executor.submit(self._measuring.measure, job.knobs)
        self._jobs.add(job)
        job.future = future
        future.add_done_callback(lambda arrived: self._receive(job, arrived))

    def _withdraw(self) -> None:
        """Withdraw the designs that no worker has begun: a stopped search finishes only the running ones."""
        self._retries.clear()
        if self._executor.cancels_running:
            return
        for job in list(self._jobs):
            if job.future and job.future.cancel():
                self._jobs.discard(job)

    def _receive(self, job: _Job, future: Future[Any]) -> None:
        """Store a result in the executor's thread: the main thread may be busy with the sampler."""
        if not future.cancelled():
            self._arrived.put((job, self._outcome(lambda: self._finished(job, future))))

    def _outcome(self, store: Callable[[], _Stored]) -> _Outcome:
        with self._turn:
            try:
                return store()
            except BaseException as error:  # noqa: BLE001 - the main thread raises it again
                return error

    def _finished(self, job: _Job, future: Future[Any]) -> _Stored:
        """Store the measurement of a job.

        Raises:
            _Failed: the design cannot be measured.
            WorkerLost, SchedulerUnavailable: it was not measured.
            StorageLost, WrongUsage: it cannot be stored; the measurement is kept in a file.
        """
        try:
            row = self._row(job, future)
        except (SchedulerUnavailable, _Unusable):
            raise
        except ExplorerError as error:
            raise _Failed(error) from error
        try:
            return self._stored(job, row)
        except _Failed:
            raise
        except BaseException as error:
            self._patience.give_up()  # later results need not wait for the same storage
            path = spool(self._run.out, row)
            if lost := unstored_error(error, path, out=self._run.out, place=self._run.place):
                raise lost from error
            raise

    def _row(self, job: _Job, future: Future[Any]) -> Mapping[str, Any]:
        """Return the measurement of a design, checked by the evaluator.

        Raises:
            WorkerLost, SchedulerUnavailable: there is none.
            WrongUsage: the function cannot be loaded.
            ExplorerError: the design cannot be measured.
        """
        name, fix = self._measuring.name, "mend what measures, or leave such designs out"
        try:
            raw = future.result()
        except (WorkerLost, ExplorerError):
            raise
        except Exception as error:
            if not self._payload:
                raise
            raise MeasurementFailed(f"{name}: {error}", fix=fix) from error
        if self._measuring.is_measured(job.knobs):
            return self._measuring.measure_rows(job.candidate.design)[0]
        if self._payload:
            kind, raw, host = raw
            if kind == "unusable" and self._measure_s:  # a worker that has lost something since, such as its device
                raise WorkerLost(f"{name} could not be loaded on {host}: {raw}")
            if kind == "unusable":
                raise _Unusable(f"{name}: cannot be loaded on {host}: {raw}", fix="mend it, or install what it imports")
            if kind != "ok":
                raise MeasurementFailed(f"{name}: {raw}", fix=fix)
            if host != platform.node() and isinstance(raw, dict):
                raw = {"host": host, **raw}
        seconds = (datetime.datetime.now(datetime.UTC) - job.began).total_seconds()
        self._measure_s = _smoothed(self._measure_s, seconds)
        return self._measuring.add_measurement(job.knobs, raw)

    def _stored(self, job: _Job, row: Mapping[str, Any]) -> _Stored:
        problem, params = self._run.problem, job.candidate.params
        columns = problem.evaluate(job.candidate.design)
        values = problem.values(columns)[0].tolist()
        if np.isnan(values).any():
            fix = "see what such a design is assessed by"
            raise _Failed(MeasurementFailed("an objective is not a number", fix=fix))
        attrs = {name: of[0] for name, of in user_attributes(columns, columns_of([params])).items()}
        attrs[MEASURED_ATTR] = dict(row)
        constraints = {name: float(of[0]) for name, of in problem.constraint_violations(columns).items()}
        number = self._record(job, TrialState.COMPLETE, attrs, values=values, constraints=constraints)
        return _Stored(number, columns, values, constraints, attrs)

    def _collect(self) -> None:
        """Wait for an outcome, for a limited time, and process all that have arrived."""
        with suppress(Empty):
            outcome = self._arrived.get(timeout=_POLL_S)
            while True:
                self._process(*outcome)
                outcome = self._arrived.get_nowait()

    def _process(self, job: _Job, outcome: _Outcome) -> None:
        if job not in self._jobs:  # withdrawn
            return
        self._jobs.discard(job)
        if isinstance(outcome, _Stored):
            self._n_failed_in_a_row = 0
            number, origin = np.array([outcome.number], dtype=np.int64), np.array([SEARCH], dtype=object)
            self._run.add(TrialTable(number, outcome.columns, origin))
            self._candidates.tell(
                job.candidate, outcome.values, constraints=outcome.constraints, user_attrs=outcome.user_attrs
            )
            if self._candidates.is_sampler_changed:  # seldom: other threads may be writing
                with self._turn:
                    self._patience(self._candidates.store_attributes)
        elif isinstance(outcome, _Failed):
            self._fail(job, outcome.error)
        elif isinstance(outcome, WorkerLost):
            self._retry(job, outcome)
        else:
            raise outcome

    def _retry(self, job: _Job, error: WorkerLost) -> None:
        job.n_lost += 1
        shown = ", ".join(f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
                          for name, value in job.knobs.items() if name != "family")  # fmt: skip
        if job.n_lost > MAX_RETRIES or error.is_final:
            times = "" if error.is_final else f" ({job.n_lost} times)"
            self._notify(f"warning: {shown}: {error}{times}; this design is given up")
            self._fail(
                job, MeasurementFailed(f"given up: {error}{times}", fix="see what such a design does to a worker")
            )
            return
        self._notify(f"warning: {shown}: {error}; it is tried again ({job.n_lost} of {MAX_RETRIES})")
        self._count_failure(MeasurementFailed(str(error), fix="see what its workers die of"))
        self._retries.append(job)

    def _fail(self, job: _Job, error: ExplorerError) -> None:
        """Record a FAIL trial."""
        with self._turn:
            self._record(job, TrialState.FAIL, {FAILED_ATTR: error.problem})
        self._candidates.fail(job.candidate)
        self._count_failure(error)

    def _count_failure(self, error: ExplorerError) -> None:
        self._n_failed_in_a_row += 1
        if self._n_failed_in_a_row >= MAX_FAILURES_IN_A_ROW:
            what = f"{MAX_FAILURES_IN_A_ROW} designs in a row could not be measured, the last one because: "
            raise MeasurementFailed(
                f"{what}{error.problem}; all finished trials are in {self._run.place}", fix=error.fix
            ) from None

    def _record(
        self,
        job: _Job,
        state: TrialState,
        user_attrs: Mapping[str, Any],
        *,
        values: Sequence[float] | None = None,
        constraints: Mapping[str, float] = MappingProxyType({}),
    ) -> int:
        """Record a finished trial; return its number."""
        study, candidate, distributions = self._run.study, job.candidate, self._candidates.distributions
        system_attrs = self._candidates.attributes_of(candidate)
        if (enqueued := candidate.enqueued) is not None:
            self._patience(
                lambda: finish_enqueued(
                    study, enqueued, params=candidate.params, distributions=distributions, state=state, values=values,
                    constraints=constraints, user_attrs=user_attrs, system_attrs=system_attrs,
                )
            )  # fmt: skip
            return enqueued.number
        block = TrialBatch(
            params=columns_of([candidate.params]),
            distributions=distributions,
            values=np.array([values or [np.nan] * len(study.directions)]),
            constraints={name: np.array([excess]) for name, excess in constraints.items()},
            user_attrs=columns_of([user_attrs]),
            system_attrs=columns_of([system_attrs]),
            began=job.began,
            ended=datetime.datetime.now(datetime.UTC),
            states=[state],
        )
        recorded = self._patience(lambda: insert_trials(study, block))
        self._run.say(recorded.note)
        return recorded.numbers[0]

    def _replay_unstored(self) -> None:
        """Store the measurements that an earlier run could not store."""
        for row in read_spool(self._run.out):
            self._measuring.adopt_measurement(row)
            knobs = self._measuring.design_of(row)
            candidate = self._candidates.from_knobs(knobs) if knobs else None
            if knobs and candidate and self._measuring.is_measured(knobs):
                job = _Job(candidate, knobs)
                self._jobs.add(job)
                self._process(job, self._outcome(functools.partial(self._stored, job, row)))


def _payload(measuring: Measurer) -> bytes:
    try:
        return dump_task(measuring.task())
    except TypeError as error:
        raise WrongUsage(str(error), fix="name it as FILE.py:NAME, or leave --workers and --cluster out") from None


def _smoothed(before: float, now: float) -> float:
    return now if not before else (1 - _SMOOTHING) * before + _SMOOTHING * now
