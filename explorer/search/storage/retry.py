"""Retry policy for a storage that does not answer: a database that restarts, a connection that is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from optuna.exceptions import StorageInternalError

from explorer.errors import ExplorerError

PATIENCE_S = 180.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
T = TypeVar("T")


class StorageUnavailable(ExplorerError):
    """Storage that went away and did not come back (exit 2)."""


class RetryPolicy:
    """Repeats an idempotent call while the storage does not answer.

    Args:
        place: name of the storage in messages.
        say: called with messages for the user.
        seconds: for how long.
        ensure_lock: called before each attempt: a server that restarted has freed the lock of this run.
        sleep: `time.sleep` or a substitute.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        place: str,
        *,
        say: Callable[[str], None],
        seconds: float = PATIENCE_S,
        ensure_lock: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._say, self._seconds = place, say, seconds
        self._ensure_lock, self._sleep, self._clock = ensure_lock, sleep, clock

    def __call__(self, do: Callable[[], T]) -> T:
        """Return the result of `do`.

        Raises:
            StorageUnavailable: the storage did not answer in time.
        """
        began, wait = self._clock(), _FIRST_WAIT_S
        is_notified = False
        while True:
            try:
                self._ensure_lock()
                result = do()
            except Exception as error:
                if not is_transient(error):
                    raise
                if self._clock() - began > self._seconds:
                    raise _lost(f"{self._place} has not answered for {self._seconds:g} s", error) from error
                if not is_notified and wait > _FIRST_WAIT_S:  # not for a single cut connection
                    self._say(
                        f"{self._place} does not answer ({reason_of(error)}); trying again for {self._seconds:g} s"
                    )
                    is_notified = True
                self._sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_S)
            else:
                if is_notified:
                    self._say(f"{self._place} answers again")
                return result

    def give_up(self) -> None:
        """Repeat nothing from now on."""
        self._seconds = 0.0


def is_transient(error: BaseException) -> bool:
    """Return True for an error of a storage that may answer later."""
    if isinstance(error, StorageInternalError):
        return error.__cause__ is not None and is_transient(error.__cause__)
    if isinstance(error, ConnectionError):
        return True
    if type(error).__module__.startswith("sqlalchemy"):
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
        return is_cut or isinstance(error, InterfaceError | OperationalError | PoolTimeout)
    return False


def reason_of(error: BaseException) -> str:
    """Return the first line of a storage's error message."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        return reason_of(error.__cause__)
    said = getattr(error, "orig", None) or error
    return (str(said).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def translate_storage_errors(place: str) -> Iterator[None]:
    """Translate the errors of a storage that does not answer, without a retry.

    Raises:
        StorageUnavailable: it does not answer.
    """
    try:
        yield
    except Exception as error:
        if not is_transient(error):
            raise
        raise _lost(f"{place} does not answer", error) from None


def _lost(problem: str, error: BaseException) -> StorageUnavailable:
    fix = "see that it runs and can be reached, then run the same command again: every stored trial is kept"
    return StorageUnavailable(f"{problem}: {reason_of(error)}", fix=fix)
