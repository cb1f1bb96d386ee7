"""How far a search is, and stopping it: between batches, with everything told stored."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Interrupted
from explorer.pareto.front import feasible_front, hypervolume
from explorer.problem.columns import Float
from explorer.search.begin import Run


class Progress(Protocol):
    """Whoever wants to know how far a run is."""

    def __call__(self, done: int, wanted: int, best_hypervolume: float) -> None:
        """Called after each batch, with COMPLETE trials so far and the front's hypervolume."""


class FrontSoFar:
    """The front of a run, kept small: only its own points are compared with new ones.

    Args:
        run: whose front.
        progress: who wants to know; where nobody does, nothing is computed.
    """

    def __init__(self, run: Run, progress: Progress | None) -> None:
        self._run, self._progress, self._n_seen = run, progress, 0
        self._values: Float = np.empty((0, len(run.assessment.study.objectives)))

    def look(self, wanted: int) -> None:
        """Take in what was added since, and tell how far the run is."""
        if self._progress is None:
            return
        tried = self._run.tried
        new = slice(self._n_seen, tried.n)
        self._n_seen = tried.n
        rows = {o.name: tried.table[o.name][new] for o in self._run.assessment.study.objectives}
        self._add(self._run.assessment.values(rows), tried.table["is_feasible"][new])
        self._progress(tried.n, wanted, self.hypervolume)

    def _add(self, values: Float, is_feasible: NDArray[np.bool_]) -> None:
        together = np.concatenate([self._values, values[is_feasible]])
        everyone = np.ones(len(together), dtype=np.bool_)
        self._values = together[feasible_front(together, everyone, self._run.assessment.study.objectives)]

    @property
    def hypervolume(self) -> float:
        """The volume that it dominates up to the run's reference point."""
        return hypervolume(self._values, self._run.reference, self._run.assessment.study.objectives)


def stopped(run: Run, done: int, wanted: int) -> Interrupted:
    """Return the error that tells of a stop between batches."""
    return Interrupted(
        f"stopped after {done} of {wanted} trials; all of them are in {run.place}",
        fix="run the same command again to go on",
    )


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C or SIGTERM into a question that the loop asks between batches; the second stops at once.

    A signal that the process was started to ignore stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()

    def remember(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    heard = {one: handler for one, handler in before.items() if handler not in {signal.SIG_IGN, None}}
    for one in heard:
        signal.signal(one, remember)
    try:
        yield asked.is_set
    finally:
        for one, handler in heard.items():
            signal.signal(one, handler)
