"""Executors of designs: `concurrent.futures.Executor` with a number of slots, and what can go wrong beside the task."""

from abc import abstractmethod
from concurrent.futures import Executor

from explorer.errors import ExplorerError


class DesignExecutor(Executor):
    """Executor that knows how many designs it evaluates at a time."""

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """Number of designs that can be evaluated at this moment, at least 1."""


class WorkerLost(Exception):
    """A worker died while it evaluated a design: crash, kill, memory, or the time limit.

    Attributes:
        is_final: whether the executor has tried the design again itself, so that nobody else should.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class SchedulerUnavailable(ExplorerError):
    """The scheduler of a cluster went away and did not come back (exit 2)."""
