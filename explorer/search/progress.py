"""Progress of a search, and its interruption between batches."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from explorer.errors import Interrupted
from explorer.pareto.geometry.dominance import feasible_front, hypervolume
from explorer.search.session import SearchSession


class Progress(Protocol):
    """Callback of a run."""

    def __call__(self, done: int, wanted: int, best_hypervolume: float) -> None:
        """Report the number of COMPLETE trials, the requested number and the hypervolume, after each batch."""


class FrontTracker:
    """Incremental front of a search; without a callback nothing is computed."""

    def __init__(self, session: SearchSession, progress: Progress | None) -> None:
        self._session, self._progress, self._n_processed = session, progress, 0
        self._values = np.empty((0, len(session.problem.study.objectives)))

    def update(self, wanted: int) -> None:
        """Update the front with the new trials, and call the callback."""
        if self._progress is None:
            return
        trials, problem = self._session.trials, self._session.problem
        objectives = problem.study.objectives
        new = slice(self._n_processed, trials.n)
        self._n_processed = trials.n
        values = problem.values({o.name: trials.table[o.name][new] for o in objectives})
        candidates = np.concatenate([self._values, values[trials.table["is_feasible"][new]]])
        is_feasible = np.ones(len(candidates), dtype=np.bool_)
        self._values = candidates[feasible_front(candidates, is_feasible, objectives)]
        self._progress(trials.n, wanted, hypervolume(self._values, self._session.reference, objectives))


def interruption_error(session: SearchSession, done: int, wanted: int) -> Interrupted:
    """Return the error for a search that was interrupted between batches."""
    return Interrupted(
        f"stopped after {done} of {wanted} trials; all of them are in {session.storage_label}",
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

    def handle(*_: object) -> None:
        if is_stopped.is_set():
            raise KeyboardInterrupt
        is_stopped.set()

    previous = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    handled = {one: handler for one, handler in previous.items() if handler not in {signal.SIG_IGN, None}}
    for one in handled:
        signal.signal(one, handle)
    try:
        yield is_stopped.is_set
    finally:
        for one, handler in handled.items():
            signal.signal(one, handler)
