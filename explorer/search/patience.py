"""Patience with a storage that is away: a database that restarts, a connection that is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from optuna.exceptions import StorageInternalError

from explorer.errors import ExplorerError

PATIENCE_S = 180.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
T = TypeVar("T")


class StorageLost(ExplorerError):
    """A storage went away in the middle, and did not come back (exit 2)."""


class Patience:
    """Repeats what a storage could not do while it was away.

    What is repeated must do no harm where it was done already and only its answer was lost.

    Args:
        place: the storage, for people.
        say: tells the user something.
        seconds: how long to try before it is given up.
        ensure_lock: called before each attempt: a server that restarted has freed the lock of this run.
        sleep: waits.
        clock: tells seconds that only grow.
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
        """Return what `do` returns, as soon as the storage lets it.

        Raises:
            StorageLost: it did not within the time.
        """
        began, wait = self._clock(), _FIRST_WAIT_S
        is_told = False
        while True:
            try:
                self._ensure_lock()
                result = do()
            except Exception as error:
                if not is_away(error):
                    raise
                if self._clock() - began > self._seconds:
                    raise self._lost(error) from error
                if not is_told and wait > _FIRST_WAIT_S:  # the first time may be a connection that was merely cut
                    self._say(
                        f"{self._place} does not answer ({reason_of(error)}); trying again for {self._seconds:g} s"
                    )
                    is_told = True
                self._sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_S)
            else:
                if is_told:
                    self._say(f"{self._place} answers again")
                return result

    def give_up(self) -> None:
        """Repeat nothing from now on: the storage has been waited for."""
        self._seconds = 0.0

    def _lost(self, error: Exception) -> StorageLost:
        return StorageLost(
            f"{self._place} has not answered for {self._seconds:g} s: {reason_of(error)}",
            fix="see that it runs and can be reached, then run the same command again: every stored trial is kept",
        )


def is_away(error: BaseException) -> bool:
    """Tell whether an error says that the storage is away for now, and not that something is wrong."""
    if isinstance(error, StorageInternalError):
        return error.__cause__ is not None and is_away(error.__cause__)
    if isinstance(error, ConnectionError):
        return True
    module = type(error).__module__.partition(".")[0]
    if module == "psycopg":
        return any(kind.__name__ in {"InterfaceError", "OperationalError"} for kind in type(error).__mro__)
    if module == "sqlalchemy":
        from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
        from sqlalchemy.exc import TimeoutError as PoolTimeout

        is_cut = isinstance(error, DBAPIError) and error.connection_invalidated
        return is_cut or isinstance(error, InterfaceError | OperationalError | PoolTimeout)
    return False


def reason_of(error: BaseException) -> str:
    """Return the first line of what a storage said."""
    if isinstance(error, StorageInternalError) and error.__cause__ is not None:
        return reason_of(error.__cause__)
    said = getattr(error, "orig", None) or error
    return (str(said).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def told_as_lost(place: str) -> Iterator[None]:
    """Tell of a storage that goes away where nothing is repeated.

    Raises:
        StorageLost: it went away.
    """
    try:
        yield
    except Exception as error:
        if not is_away(error):
            raise
        raise StorageLost(
            f"{place} does not answer: {reason_of(error)}",
            fix="see that it runs and can be reached, then run the same command again: every stored trial is kept",
        ) from None
