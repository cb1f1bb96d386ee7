"""Interface and errors of the executors that evaluate designs."""

from abc import abstractmethod
from concurrent.futures import Executor
from typing import ClassVar

from explorer.errors import ExplorerError


class DesignExecutor(Executor):
    """Executor with a number of slots.

    Attributes:
        cancels_running: whether `cancel` of a future also drops a running call.
        min_queued: least number of queued designs: an adaptive cluster grows only on demand.
    """

    cancels_running: ClassVar[bool] = False
    min_queued: ClassVar[int] = 0

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """Number of designs that can be evaluated concurrently at this moment, at least 1."""


class WorkerLost(Exception):
    """Death of a worker while it evaluated a design: crash, kill, memory or time limit.

    Args:
        reason: the cause, for the user.
        is_final: the executor has already retried the design; the coordinator must not.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class SchedulerUnavailable(ExplorerError):
    """Scheduler that stayed unreachable until the retry timeout (exit 2)."""
