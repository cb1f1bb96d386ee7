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
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any

import numpy as np
from optuna.trial import TrialState

from explorer.errors import ExplorerError, MeasurementFailed, WrongUsage
from explorer.models.evaluator import Measurer, as_measurer
from explorer.models.measured.task import call_task, dump_task
from explorer.pareto.acquisition.racing_rule import RacingRule
from explorer.search.encoding import columns_of
from explorer.search.execution.adoption import AdoptedMeasurement
from explorer.search.execution.candidates import CandidateSource
from explorer.search.execution.executor import DesignExecutor, SchedulerUnavailable, WorkerLost
from explorer.search.execution.job import DesignFailed, Job, Outcome, StoredTrial
from explorer.search.execution.local import InlineExecutor
from explorer.search.execution.spool import prune_spool, read_spool, spool, unstored_error
from explorer.search.progress import FrontTracker, Progress, interruption_error
from explorer.search.session import FAILED_ATTR, MEASURED_ATTR, SearchSession
from explorer.search.storage.bulk import TrialBatch, finish_enqueued, insert_trials
from explorer.search.storage.retry import RETRY_TIMEOUT_S, Notify, RetryPolicy
from explorer.search.trial_table import ADOPTED, ORIGIN_ATTR, SEARCH, SOURCE_ATTR, TrialTable, user_attributes

MAX_RETRIES = 3
"""Retries of a design after worker failures: the design may be their cause."""
MAX_FAILURES_IN_A_ROW = 20
"""Limit after which a search ends, for example for an unplugged board."""
_POLL_S = 0.5
_SMOOTHING = 0.2


class _FunctionNotLoadable(WrongUsage):
    """Measurement function that cannot be loaded on a worker (exit 2)."""


def search_measured(
    session: SearchSession,
    executor: DesignExecutor,
    *,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    notify: Notify = lambda _: None,
    retry_timeout_s: float = RETRY_TIMEOUT_S,
    adopted: Sequence[AdoptedMeasurement] = (),
) -> int:
    """Measure designs until the requested number of trials is COMPLETE; return the number of added trials.

    Args:
        session: the study in its storage.
        executor: evaluates the designs; it is shut down at the end.
        progress: called after each batch.
        should_stop: called between designs; after True, running designs are finished.
        notify: called with messages for the user: worker failures, an unreachable storage.
        retry_timeout_s: seconds for which calls of an unreachable storage are retried.
        adopted: measurements of earlier studies, to be stored as trials first.

    Raises:
        Interrupted: `should_stop` returned True before the end; all measurements are stored.
        MeasurementFailed: MAX_FAILURES_IN_A_ROW designs failed.
        StorageUnavailable, SchedulerUnavailable: storage or scheduler stayed unreachable until the retry timeout.
    """
    label, ensure_lock = session.storage_label, session.ensure_lock
    retry = RetryPolicy(label, notify=notify, ensure_lock=ensure_lock, timeout_s=retry_timeout_s)
    coordinator = _Coordinator(session, executor, retry, progress=progress, notify=notify)
    try:
        return coordinator.search(should_stop, adopted=adopted)
    finally:
        if not coordinator.is_done:
            retry.give_up()  # later results are stored at the first attempt, or spooled
        executor.shutdown(wait=coordinator.is_done, cancel_futures=True)


class _Coordinator:
    def __init__(
        self, session: SearchSession, executor: DesignExecutor, retry: RetryPolicy, *, progress: Progress | None,
        notify: Notify,
    ) -> None:  # fmt: skip
        measuring = as_measurer(session.problem.evaluator)
        if measuring is None:
            raise TypeError("predicted designs need no executor")
        self._session, self._executor, self._retry_policy, self._notify = session, executor, retry, notify
        self._measuring: Measurer = measuring
        study = session.problem.study
        if not session.problem.worst_case:
            rule = RacingRule(study.objectives, study.constraints, study.constants, session.reference)
            measuring.start_racing(rule)
        self._n_initial = session.trials.n
        self._candidates = CandidateSource(session, is_parallel=executor.n_slots > 1 or executor.cancels_running)
        self._front = FrontTracker(session, progress)
        self._jobs: set[Job] = set()
        self._outcomes: SimpleQueue[tuple[Job, Outcome]] = SimpleQueue()
        self._write_lock = threading.RLock()
        self._retries: deque[Job] = deque()
        self._payload = b"" if isinstance(executor, InlineExecutor) else _payload(measuring)
        self._n_failed_in_a_row = 0
        self._propose_s = self._measure_s = 0.0
        self.is_done = False

    def search(self, should_stop: Callable[[], bool], *, adopted: Sequence[AdoptedMeasurement]) -> int:
        self._replay_unstored()
        self._adopt(adopted)
        self._front.update(self._candidates.n_requested)
        is_stopping = False
        while True:
            was_stopping, is_stopping = is_stopping, should_stop()
            if is_stopping:
                self._cancel_queued()
            else:
                self._fill()
            if not self._jobs:
                break
            if is_stopping and not was_stopping:
                self._notify(f"stopping after the designs in flight ({len(self._jobs)}); Ctrl-C again ends at once")
            self._collect()
            self._front.update(self._candidates.n_requested)
        self.is_done = True
        done, n_requested = self._candidates.n_complete, self._candidates.n_requested
        if is_stopping and done < n_requested:
            raise interruption_error(self._session, done, n_requested)
        prune_spool(self._session.out, self._session.study.get_trials(deepcopy=False))
        return self._session.trials.n - self._n_initial

    def _fill(self) -> None:
        """Submit a design to each free slot, and to a queue if proposals are slow compared with measurements."""
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
            self._propose_s = max(seconds, _smoothed(self._propose_s, seconds))  # the first fit counts unsmoothed
        for candidate in designs:
            self._submit(Job(candidate, {name: values.tolist()[0] for name, values in candidate.design.items()}))

    def _n_queued(self) -> int:
        """Return the queue length: as many designs as finish while the sampler proposes."""
        n, n_min = self._executor.n_slots, self._executor.min_queued
        if n == 1 or not self._measure_s:
            return n_min
        return max(n_min, min(n, math.ceil(n * self._propose_s / self._measure_s)))

    def _submit(self, job: Job) -> None:
        job.began = datetime.datetime.now(datetime.UTC)
        if self._measuring.is_measured(job.knobs):  # spooled by an earlier run
            future: Future[Any] = Future()
            future.set_result(None)
        elif self._payload:
            design = {**job.knobs, **self._measuring.travel_data()}
            future = self._executor.submit(call_task, self._payload, design)
        else:
            future = self._executor.submit(self._measuring.measure, job.knobs)
        self._jobs.add(job)
        job.future = future
        future.add_done_callback(lambda done: self._receive(job, done))

    def _cancel_queued(self) -> None:
        """Cancel the designs that no worker has started: a stopped search finishes only the running ones."""
        self._retries.clear()
        if self._executor.cancels_running:
            return
        for job in list(self._jobs):
            if job.future and job.future.cancel():
                self._jobs.discard(job)

    def _receive(self, job: Job, future: Future[Any]) -> None:
        """Store a result in the executor's thread: the main thread may be busy with the sampler."""
        if not future.cancelled():
            self._outcomes.put((job, self._capture(lambda: self._store_result(job, future))))

    def _capture(self, store: Callable[[], StoredTrial]) -> Outcome:
        with self._write_lock:
            try:
                return store()
            except BaseException as error:  # noqa: BLE001 - the main thread raises it again
                return error

    def _store_result(self, job: Job, future: Future[Any]) -> StoredTrial:
        """Store the measurement of a job.

        Raises:
            DesignFailed: the design cannot be measured.
            WorkerLost, SchedulerUnavailable: it was not measured.
            StorageUnavailable, WrongUsage: it cannot be stored; the measurement is spooled to a file.
        """
        try:
            row = self._measurement_of(job, future)
        except (SchedulerUnavailable, _FunctionNotLoadable):
            raise
        except ExplorerError as error:
            raise DesignFailed(error) from error
        try:
            return self._store(job, row)
        except DesignFailed:
            raise
        except BaseException as error:
            self._retry_policy.give_up()  # later results do not wait for the same storage
            path, label = spool(self._session.out, row), self._session.storage_label
            if spool_error := unstored_error(error, path, out=self._session.out, storage_label=label):
                raise spool_error from error
            raise

    def _measurement_of(self, job: Job, future: Future[Any]) -> Mapping[str, Any]:
        """Return the measurement of a design, checked by the evaluator.

        Raises:
            WorkerLost, SchedulerUnavailable: the design was not measured.
            WrongUsage: the function cannot be loaded.
            ExplorerError: the design cannot be measured.
        """
        name, fix = self._measuring.name, "fix the measurement, or exclude such designs"
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
            if kind == "unusable" and self._measure_s:  # loaded before: the worker may have lost its device
                raise WorkerLost(f"{name} could not be loaded on {host}: {raw}")
            if kind == "unusable":
                problem = f"{name}: cannot be loaded on {host}: {raw}"
                raise _FunctionNotLoadable(problem, fix="fix it, or install the modules that it imports")
            if kind != "ok":
                raise MeasurementFailed(f"{name}: {raw}", fix=fix)
            if host != platform.node() and isinstance(raw, dict):
                raw = {"host": host, **raw}
        seconds = (datetime.datetime.now(datetime.UTC) - job.began).total_seconds()
        self._measure_s = _smoothed(self._measure_s, seconds)
        return self._measuring.add_measurement(job.knobs, raw)

    def _store(self, job: Job, row: Mapping[str, Any]) -> StoredTrial:
        problem, params = self._session.problem, job.candidate.params
        columns = problem.evaluate(job.candidate.design)
        values = problem.values(columns)[0].tolist()
        if np.isnan(values).any():
            raise DesignFailed(MeasurementFailed("an objective is not a number", fix="check its evaluator"))
        attrs = {name: of[0] for name, of in user_attributes(columns, columns_of([params])).items()}
        attrs |= {MEASURED_ATTR: dict(row), **job.user_attrs}
        constraints = {name: float(of[0]) for name, of in problem.constraint_violations(columns).items()}
        number = self._record(job, TrialState.COMPLETE, attrs, values=values, constraints=constraints)
        return StoredTrial(number, columns, values, constraints, attrs)

    def _collect(self) -> None:
        """Wait for an outcome, for a limited time, and process all outcomes in the queue."""
        with suppress(Empty):
            outcome = self._outcomes.get(timeout=_POLL_S)
            while True:
                self._process(*outcome)
                outcome = self._outcomes.get_nowait()

    def _process(self, job: Job, outcome: Outcome) -> None:
        if job not in self._jobs:  # cancelled
            return
        self._jobs.discard(job)
        if isinstance(outcome, StoredTrial):
            self._n_failed_in_a_row = 0
            number, origin = np.array([outcome.number], dtype=np.int64), outcome.user_attrs.get(ORIGIN_ATTR, SEARCH)
            self._session.add(TrialTable(number, outcome.columns, np.array([origin], dtype=object)))
            self._candidates.tell(
                job.candidate, outcome.values, constraints=outcome.constraints, user_attrs=outcome.user_attrs
            )
            if self._candidates.is_sampler_changed:  # rare; other threads may be writing
                with self._write_lock:
                    self._retry_policy(self._candidates.store_attributes)
        elif isinstance(outcome, DesignFailed):
            self._fail(job, outcome.error)
        elif isinstance(outcome, WorkerLost):
            self._retry(job, outcome)
        else:
            raise outcome

    def _retry(self, job: Job, error: WorkerLost) -> None:
        job.n_worker_failures += 1
        label = ", ".join(f"{name} {value:.6g}" if isinstance(value, float) else f"{name} {value}"
                          for name, value in job.knobs.items() if name != "family")  # fmt: skip
        if job.n_worker_failures > MAX_RETRIES or error.is_final:
            times = "" if error.is_final else f" ({job.n_worker_failures} times)"
            self._notify(f"warning: {label}: {error}{times}; the design is given up")
            fix = "check why such a design ends its worker"
            self._fail(job, MeasurementFailed(f"given up: {error}{times}", fix=fix))
            return
        self._notify(f"warning: {label}: {error}; retry ({job.n_worker_failures} of {MAX_RETRIES})")
        self._count_failure(MeasurementFailed(str(error), fix="check why its workers end"))
        self._retries.append(job)

    def _fail(self, job: Job, error: ExplorerError) -> None:
        """Record a FAIL trial."""
        with self._write_lock:
            self._record(job, TrialState.FAIL, {FAILED_ATTR: error.problem})
        self._candidates.fail(job.candidate)
        self._count_failure(error)

    def _count_failure(self, error: ExplorerError) -> None:
        self._n_failed_in_a_row += 1
        if self._n_failed_in_a_row >= MAX_FAILURES_IN_A_ROW:
            summary = f"{MAX_FAILURES_IN_A_ROW} designs in a row could not be measured, the last one because"
            stored = f"all finished trials are in {self._session.storage_label}"
            raise MeasurementFailed(f"{summary}: {error.problem}; {stored}", fix=error.fix) from None

    def _record(
        self, job: Job, state: TrialState, user_attrs: Mapping[str, Any], *,
        values: Sequence[float] | None = None, constraints: Mapping[str, float] = MappingProxyType({}),
    ) -> int:  # fmt: skip
        """Record a finished trial; return its number."""
        study, candidate, distributions = self._session.study, job.candidate, self._candidates.distributions
        system_attrs = self._candidates.attributes_of(candidate)
        if (enqueued := candidate.enqueued) is not None:
            self._retry_policy(
                lambda: finish_enqueued(
                    study, enqueued, params=candidate.params, distributions=distributions, state=state, values=values,
                    constraints=constraints, user_attrs=user_attrs, system_attrs=system_attrs,
                )
            )  # fmt: skip
            return enqueued.number
        batch = TrialBatch(
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
        inserted = self._retry_policy(lambda: insert_trials(study, batch))
        self._session.add_note(inserted.note)
        return inserted.numbers[0]

    def _replay_unstored(self) -> None:
        """Store the measurements that an earlier run spooled."""
        for row in read_spool(self._session.out):
            self._measuring.adopt_measurement(row)
            knobs = self._measuring.design_of(row)
            candidate = self._candidates.from_knobs(knobs) if knobs else None
            if knobs and candidate and self._measuring.is_measured(knobs):
                self._store_at_once(Job(candidate, knobs), row)

    def _adopt(self, measurements: Sequence[AdoptedMeasurement]) -> None:
        """Store the measurements of earlier studies."""
        for one in measurements:
            if candidate := self._candidates.from_params(one.params):
                knobs = {name: values.tolist()[0] for name, values in candidate.design.items()}
                attrs = {ORIGIN_ATTR: ADOPTED, SOURCE_ATTR: one.source}
                self._store_at_once(Job(candidate, knobs, user_attrs=attrs), one.row)

    def _store_at_once(self, job: Job, row: Mapping[str, Any]) -> None:
        self._jobs.add(job)
        self._process(job, self._capture(functools.partial(self._store, job, row)))


def _payload(measuring: Measurer) -> bytes:
    try:
        return dump_task(measuring.task())
    except TypeError as error:
        raise WrongUsage(str(error), fix="name it as FILE.py:NAME, or leave --workers and --cluster out") from None


def _smoothed(average: float, new: float) -> float:
    return new if not average else (1 - _SMOOTHING) * average + _SMOOTHING * new
