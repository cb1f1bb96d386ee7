"""Progress of a search, and its interruption between batches."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Interrupted
from explorer.pareto.geometry.dominance import feasible_front, hypervolume
from explorer.problem.columns import Float
from explorer.search.session import SearchSession


class Progress(Protocol):
    """Callback of a run."""

    def __call__(self, done: int, wanted: int, best_hypervolume: float) -> None:
        """Receive the number of COMPLETE trials, the wanted number and the hypervolume, after each batch."""


class FrontTracker:
    """Front of a run, updated with new trials; without a callback nothing is computed."""

    def __init__(self, run: SearchSession, progress: Progress | None) -> None:
        self._run, self._progress, self._n_seen = run, progress, 0
        self._values: Float = np.empty((0, len(run.problem.study.objectives)))

    def look(self, wanted: int) -> None:
        """Update the front with the new trials, and call the callback."""
        if self._progress is None:
            return
        tried = self._run.tried
        new = slice(self._n_seen, tried.n)
        self._n_seen = tried.n
        rows = {o.name: tried.table[o.name][new] for o in self._run.problem.study.objectives}
        self._add(self._run.problem.values(rows), tried.table["is_feasible"][new])
        self._progress(tried.n, wanted, self.hypervolume)

    def _add(self, values: Float, is_feasible: NDArray[np.bool_]) -> None:
        together = np.concatenate([self._values, values[is_feasible]])
        everyone = np.ones(len(together), dtype=np.bool_)
        self._values = together[feasible_front(together, everyone, self._run.problem.study.objectives)]

    @property
    def hypervolume(self) -> float:
        """Hypervolume up to the run's reference point."""
        return hypervolume(self._values, self._run.reference, self._run.problem.study.objectives)


def interruption_error(run: SearchSession, done: int, wanted: int) -> Interrupted:
    """Return the error of a search that was stopped between batches."""
    return Interrupted(
        f"stopped after {done} of {wanted} trials; all of them are in {run.place}",
        fix="run the same command again to go on",
    )


@contextmanager
def handle_interrupts() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True after Ctrl-C or SIGTERM; the second one raises KeyboardInterrupt.

    A signal that the process ignores stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    is_stopped = threading.Event()

    def remember(*_: object) -> None:
        if is_stopped.is_set():
            raise KeyboardInterrupt
        is_stopped.set()

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    handled = {one: handler for one, handler in before.items() if handler not in {signal.SIG_IGN, None}}
    for one in handled:
        signal.signal(one, remember)
    try:
        yield is_stopped.is_set
    finally:
        for one, handler in handled.items():
            signal.signal(one, handler)
