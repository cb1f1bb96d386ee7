"""Local execution: in the coordinator's own process, or in isolated worker processes of this machine."""

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import chdir, suppress
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, TypeVar, cast

from explorer.search.execution.executor import DesignExecutor, WorkerLost
from explorer.search.execution.worker import READY, read_frame, write_frame

MAX_WORKERS = 256
P = ParamSpec("P")
T = TypeVar("T")
_STOP = b""
_STOP_S = 5.0
# The worker gets the coordinator's sys.path, and imports a module only when a call needs it.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from explorer.search.execution.worker import serve; serve()"
)


class InlineExecutor(DesignExecutor):
    """Executor that evaluates at once, in the calling thread.

    Calls keep their own working directory: the result folder and the storage may be relative to another one.
    """

    def __init__(self) -> None:
        self._directory = Path.cwd()

    @property
    def n_slots(self) -> int:
        """Always 1."""
        return 1

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a function; KeyboardInterrupt and SystemExit are raised here, other exceptions by the future."""
        future: Future[T] = Future()
        with chdir(self._directory):
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - an executor's contract
                future.set_exception(error)
            with suppress(OSError):  # it was deleted
                self._directory = Path.cwd()
        return future


class LocalExecutor(DesignExecutor):
    """Executor of isolated child processes, started at first use.

    The death of a process (crash, `kill -9`, out of memory, time limit) fails its current call with `WorkerLost`; the
    next call gets a new process. Processes share no lock and no queue: each has its own two pipes.

    Args:
        n_workers: the number of processes.
        time_limit: seconds for one call; None for no limit.
    """

    def __init__(self, n_workers: int, *, time_limit: float | None = None) -> None:
        self._n_workers, self._time_limit = n_workers, time_limit
        self._threads = ThreadPoolExecutor(n_workers, thread_name_prefix="explorer-worker")
        self._thread = threading.local()
        self._lock = threading.Lock()
        self._processes: set[_Process] = set()
        self._is_closed = False

    @property
    def n_slots(self) -> int:
        """The number of processes."""
        return self._n_workers

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Call a picklable function in a worker process."""
        import cloudpickle

        return self._threads.submit(self._call, cloudpickle.dumps((fn, args, kwargs)))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: after their current calls with `wait`, else at once."""
        with self._lock:
            self._is_closed = not wait
            processes = [] if wait else list(self._processes)
        for process in processes:
            process.kill()
        self._threads.shutdown(wait=True, cancel_futures=cancel_futures or not wait)
        deadline = time.monotonic() + _STOP_S
        for process in self._processes:
            process.ask_to_stop()
        for process in self._processes:
            process.stop(deadline)
        self._processes.clear()

    def _call(self, call: bytes) -> Any:
        process: _Process | None = getattr(self._thread, "process", None)
        if process is not None and not process.is_alive:  # killed while idle
            self._discard(process)
            process = None
        if process is None:
            process = self._thread.process = self._start()
        try:
            is_result, value = process.call(call, time_limit=self._time_limit)
        except WorkerLost:
            self._discard(process)
            raise
        if not is_result:
            raise RuntimeError(value)
        return value

    def _discard(self, process: "_Process") -> None:
        with self._lock:
            self._processes.discard(process)
        self._thread.process = None
        process.close()

    def _start(self) -> "_Process":
        with self._lock:
            if self._is_closed:
                raise WorkerLost("it was stopped")
            process = _Process()
            self._processes.add(process)
            return process


class _Process:
    """Worker process in its own session: Ctrl-C does not reach it, and it is killed with its children."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", _BOOT, json.dumps(sys.path)]
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        self._inbox = cast("BinaryIO", self._process.stdout)
        self._outbox = cast("BinaryIO", self._process.stdin)
        self._is_ready = self._is_expired = False

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def call(self, call: bytes, *, time_limit: float | None) -> tuple[bool, Any]:
        """Return (True, result) of a call, or (False, text of its exception).

        Raises:
            WorkerLost: the process ended before it answered.
        """
        if not self._is_ready and read_frame(self._inbox) != READY:
            raise WorkerLost(f"its worker process could not be started ({self._cause()})")
        self._is_ready = True
        timer = threading.Timer(time_limit, self._expire) if time_limit else None
        try:
            if timer:
                timer.start()
            write_frame(self._outbox, call)
            answer = read_frame(self._inbox)
        except OSError:
            answer = None
        finally:
            if timer:
                timer.cancel()
        if answer is None:
            cause = self._cause()
            timeout = f"it took longer than {time_limit:g} s" if self._is_expired else ""
            raise WorkerLost(timeout or f"its worker process ended ({cause})")
        return cast("tuple[bool, Any]", pickle.loads(answer))  # noqa: S301 - from our own process

    def kill(self) -> None:
        """Kill the process and its children."""
        if self._process.returncode is not None:
            return  # its PID may have been reused
        if sys.platform == "win32":
            self._process.kill()
        self._kill_group()

    def _kill_group(self) -> None:
        """Kill the processes of its session that are still running."""
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def ask_to_stop(self) -> None:
        """Let an idle process exit, which closes the resources of a measurement."""
        with suppress(OSError):
            write_frame(self._outbox, _STOP)

    def stop(self, deadline: float) -> None:
        """Wait for the process to end by itself, and kill it after the deadline."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        self._kill_group()
        self.close()

    def _expire(self) -> None:
        self._is_expired = True
        self.kill()

    def _cause(self) -> str:
        """Return the cause of death."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        self._kill_group()
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"{name}, perhaps for lack of memory" if name == "SIGKILL" else name

    def close(self) -> None:
        """Close the pipes."""
        for stream in (self._inbox, self._outbox):
            with suppress(OSError):
                stream.close()
