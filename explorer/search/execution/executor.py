"""Interface of the executors that evaluate designs, and the errors that they raise."""

from abc import abstractmethod
from concurrent.futures import Executor
from typing import ClassVar

from explorer.errors import ExplorerError


class DesignExecutor(Executor):
    """Executor with a number of slots.

    Attributes:
        cancels_running: whether `cancel` of a future also drops a call that has begun.
        min_queued: least number of queued designs: an adaptive cluster grows only by demand.
    """

    cancels_running: ClassVar[bool] = False
    min_queued: ClassVar[int] = 0

    @property
    @abstractmethod
    def n_slots(self) -> int:
        """Number of designs that can be evaluated at this moment, at least 1."""


class WorkerLost(Exception):
    """A worker died while it evaluated a design: crash, kill, memory or time limit.

    Args:
        reason: the cause, for the user.
        is_final: the executor has retried the design already; the coordinator must not.
    """

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


class SchedulerUnavailable(ExplorerError):
    """The scheduler of a cluster went away and did not come back (exit 2)."""
