"""Executor that evaluates designs on the workers of a Dask cluster."""

import asyncio
import logging
import threading
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import wait as wait_for_futures
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from explorer.errors import MissingPart
from explorer.search.execution.connection import CLOSE_S, Connection, content_names, silence_dask
from explorer.search.execution.executor import DesignExecutor, SchedulerUnavailable, WorkerLost
from explorer.search.execution.portable import portable_call

P = ParamSpec("P")
T = TypeVar("T")

_POLL_S = 0.5
_POLL_S_PER_WORKER = 0.005
_NO_WORKER_NOTICE_S = 10.0  # without a worker, before the user is notified


class ClusterExecutor(DesignExecutor):
    """Executor on a running Dask scheduler.

    Every call is a coroutine in one thread that submits, waits, and submits again on a new connection.
    `distributed.Client.get_executor` does not resubmit: its futures never end if the connection breaks while a result
    is fetched, and it reports a broken connection as a cancelled task.

    Args:
        url: address of the scheduler, such as tcp://head:8786.
        resources: amount for one design of the resources that workers declare (`dask worker --resources board=1`).
        uploads: files copied to the working directory of a function; Python files can be imported.
        time_limit: seconds for one evaluation. A worker that exceeds it ends.
        notify: called with messages for the user, from another thread.
        retry_timeout_s: seconds to wait for an unreachable scheduler.

    Raises:
        WrongUsage: the address is invalid, no scheduler answers, or an upload is no file.
        MissingPart: `distributed` is not installed.
    """

    cancels_running = True
    min_queued = 1

    def __init__(
        self,
        url: str,
        *,
        resources: Mapping[str, float] = MappingProxyType({}),
        uploads: Sequence[Path] = (),
        time_limit: float | None = None,
        notify: Callable[[str], None],
        retry_timeout_s: float = 180.0,
    ) -> None:
        if find_spec("distributed") is None:
            raise MissingPart("distributed", needed_for=f"--cluster {url}", extra="cluster")
        files = content_names(uploads)
        self._url, self._resources, self._time_limit, self._notify = url, dict(resources), time_limit, notify
        self._uploads = {path.name: stored for stored, path in files.items()}
        self._n_slots = 1
        self._futures: set[Future[Any]] = set()
        self._mutex = threading.Lock()
        self._is_shut_down = False
        self._levels = silence_dask()
        self._connection = Connection(url, uploads=files, notify=notify, retry_timeout_s=retry_timeout_s)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(lambda _loop, _context: None)  # late errors of broken connections
        self._thread = threading.Thread(target=self._loop.run_forever, name="explorer-cluster", daemon=True)
        self._thread.start()
        try:
            self._await(self._connection.open())
        except BaseException:
            self._stop()
            raise
        self._monitor = asyncio.run_coroutine_threadsafe(self._monitor_workers(), self._loop)

    @property
    def n_slots(self) -> int:
        """Number of designs that the workers can evaluate concurrently now, at least 1."""
        return self._n_slots

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Send a call to the cluster.

        Functions of `explorer.models.measured.task` run on workers without explorer. Others must be importable there.

        Returns:
            A future. Its exception is WorkerLost if workers died during the call, SchedulerUnavailable if the scheduler
            stayed unreachable, or that of the function.

        Raises:
            RuntimeError: the executor is shut down.
        """
        call = portable_call(fn, args, kwargs, time_limit=self._time_limit, uploads=self._uploads)
        with self._mutex:
            if self._is_shut_down:
                raise RuntimeError("cannot submit to an executor after shutdown")
            future: Future[Any] = asyncio.run_coroutine_threadsafe(self._evaluate(call), self._loop)
            self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Disconnect from the cluster; its scheduler and workers keep running.

        Args:
            wait: return after the end of the calls in flight.
            cancel_futures: cancel every unfinished call, release it on the scheduler, and return within about 10 s. A
                running call ends on its worker, and its result is dropped.
        """
        with self._mutex:
            is_first, self._is_shut_down = not self._is_shut_down, True
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if not is_first:
            return
        if wait or cancel_futures:
            self._close(futures)
        else:
            threading.Thread(target=self._close, args=(futures,), daemon=True).start()

    def _close(self, futures: list[Future[Any]]) -> None:
        wait_for_futures(futures)
        self._monitor.cancel()
        with suppress(Exception):
            self._await(self._connection.close(), timeout=2 * CLOSE_S)
        self._stop()

    def _stop(self) -> None:
        """Stop the event loop and its thread."""
        with suppress(Exception):
            self._await(_cancel_all(), timeout=CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        if not self._thread.is_alive():
            self._loop.close()
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)

    def _await(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    async def _evaluate(self, call: bytes) -> object:
        """Submit a call, again on each new connection, until it ends."""
        import operator
        import pickle

        from distributed import KilledWorker
        from toolz import compose

        run = compose(operator.call, pickle.loads)
        while True:
            client, remote = await self._connection.client(), None
            try:
                key = f"explorer-{uuid.uuid4()}"
                remote = client.submit(run, call, key=key, pure=False, resources=self._resources or None)
                return await remote
            except KilledWorker as error:
                raise self._worker_lost(error) from None
            except Exception as error:
                # An error of the task itself, or of the connection: a broken stream, a future cancelled by Dask.
                is_connection_error = remote is None or isinstance(error, OSError | CancelledError)
                if not is_connection_error or (remote is not None and remote.status == "error"):
                    raise
                await self._connection.replace(client)
            finally:
                if remote is not None:
                    remote.release()

    def _worker_lost(self, error: Any) -> WorkerLost:
        """Return the error for a call that the scheduler has given up (`distributed.scheduler.allowed-failures`)."""
        n, last_worker = error.allowed_failures + 1, f"last on {error.last_worker.address}"
        if self._time_limit is not None:
            reason = f"longer than {self._time_limit:g} s, or its worker was lost, {n} times, {last_worker}"
        else:
            reason = f"its worker was lost {n} times (crash, kill or memory), {last_worker}"
        return WorkerLost(reason, is_final=True)

    async def _monitor_workers(self) -> None:
        """Count the slots, and detect an unreachable scheduler while no design is in flight."""
        waiting_since, notified = self._loop.time(), set()
        with suppress(SchedulerUnavailable):
            while True:
                workers = await self._connection.workers()
                n_slots = count_slots(workers, self._resources)
                self._n_slots = max(1, n_slots)
                if n_slots:
                    waiting_since = self._loop.time()
                    notified.discard("waiting")
                elif "waiting" not in notified and self._loop.time() - waiting_since > _NO_WORKER_NOTICE_S:
                    notified.add("waiting")
                    self._notify(self._no_worker_message(len(workers)))
                n_usable_workers = sum(min(1, count_slots([one], self._resources)) for one in workers)
                if "threads" not in notified and n_slots > n_usable_workers:
                    notified.add("threads")
                    self._notify(
                        "note: some workers evaluate several designs at once, in threads of one process; "
                        "start them with --nthreads 1 if the function is not thread-safe"
                    )
                await asyncio.sleep(_POLL_S + _POLL_S_PER_WORKER * len(workers))

    def _no_worker_message(self, n: int) -> str:
        needs = " ".join(f"{name}={amount:g}" for name, amount in self._resources.items())
        options = f" --resources '{needs}'" if needs else ""
        state = f"none of its {n} workers can take a design" if n else "it has no worker"
        return f"{self._url}: {state}; designs wait for `dask worker {self._url} --nthreads 1{options}`"


def count_slots(workers: Sequence[Mapping[str, Any]], resources: Mapping[str, float]) -> int:
    """Return the number of tasks that fit the threads and resources of workers, given as `WorkerState.identity`.

    >>> two_boards = {"status": "running", "nthreads": 4, "resources": {"board": 2.0}}
    >>> count_slots([two_boards], {}), count_slots([two_boards], {"board": 1})
    (4, 2)
    """
    return sum(
        min([one["nthreads"], *(int(one["resources"].get(r, 0) / need + 1e-9) for r, need in resources.items())])
        for one in workers
        if one["status"] == "running"
    )


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=1)
