"""Retry policy for temporarily unreachable storage backends: a restarting database, a broken connection."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from optuna.exceptions import StorageInternalError

from explorer.errors import ExplorerError

RETRY_TIMEOUT_S = 180.0
_MIN_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 5.0
T = TypeVar("T")
Notify = Callable[[str], None]
"""Callback that receives messages for the user."""


class StorageUnavailable(ExplorerError):
    """Storage that stayed unreachable until the retry timeout (exit 2)."""


class RetryPolicy:
    """Retry of an idempotent call with exponential backoff, while the storage does not answer.

    Args:
        storage_label: name of the storage in messages.
        notify: called with messages for the user.
        timeout_s: seconds after which a transient error is raised.
        ensure_lock: called before each attempt: a restarted server has freed the lock of this run.
        sleep: `time.sleep` or a substitute.
        clock: a monotonic clock.
    """

    def __init__(
        self,
        storage_label: str,
        *,
        notify: Notify,
        timeout_s: float = RETRY_TIMEOUT_S,
        ensure_lock: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._label, self._notify, self._timeout_s = storage_label, notify, timeout_s
        self._ensure_lock, self._sleep, self._clock = ensure_lock, sleep, clock

    def __call__(self, call: Callable[[], T]) -> T:
        """Return the result of `call`.

        Raises:
            StorageUnavailable: the storage did not answer within the timeout.
        """
        began, backoff = self._clock(), _MIN_BACKOFF_S
        is_notified = False
        while True:
            try:
                self._ensure_lock()
                result = call()
            except Exception as error:
                if not is_transient(error):
                    raise
                if self._clock() - began > self._timeout_s:
                    raise _unavailable(f"{self._label} has not answered for {self._timeout_s:g} s", error) from error
                if not is_notified and backoff > _MIN_BACKOFF_S:  # not for a single broken connection
                    self._notify(
                        f"{self._label} does not answer ({reason_of(error)}); retrying for up to {self._timeout_s:g} s"
                    )
                    is_notified = True
                self._sleep(backoff)
                backoff = min(2 * backoff, _MAX_BACKOFF_S)
            else:
                if is_notified:
                    self._notify(f"{self._label} answers again")
                return result

    def give_up(self) -> None:
        """Disable retries from now on."""
        self._timeout_s = 0.0


def is_transient(error: BaseException) -> bool:
    """Return True for an error that may disappear on a retry."""
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
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def translate_storage_errors(storage_label: str) -> Iterator[None]:
    """Translate the transient errors of a storage, without a retry.

    Raises:
        StorageUnavailable: the storage does not answer.
    """
    try:
        yield
    except Exception as error:
        if not is_transient(error):
            raise
        raise _unavailable(f"{storage_label} does not answer", error) from None


def _unavailable(problem: str, error: BaseException) -> StorageUnavailable:
    fix = "make sure that it runs and is reachable, then run the same command again: stored trials are preserved"
    return StorageUnavailable(f"{problem}: {reason_of(error)}", fix=fix)
