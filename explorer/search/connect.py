"""Opening databases by URL, and saying what is wrong where that fails."""

import random
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from explorer.errors import ExplorerError, MissingPart, WrongUsage

_ATTEMPTS = 20
# A server that has vanished without a word is noticed within a minute, not after hours.
_POSTGRES_ARGS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,
}


def open_url(url: str, shown: str) -> BaseStorage:
    """Open a database.

    Args:
        url: where it is.
        shown: the same without its password.

    Raises:
        WrongUsage: it cannot be reached, or the URL is not one that Optuna can open.
        MissingPart, MissingDriver: what talks to it is not installed.
    """
    with opening(url, shown):
        return _begun(lambda: get_storage(RDBStorage(driver_url(url), engine_kwargs=engine_args(url))))


@contextmanager
def opening(url: str, shown: str) -> Iterator[None]:
    """Turn the errors of opening a database into those of the user.

    Raises:
        WrongUsage, MissingPart, MissingDriver: as of `open_url`.
    """
    if url.startswith("grpc://"):
        raise WrongUsage(
            f"storage '{url}' is a gRPC proxy: explorer writes from one process, which needs none",
            fix="give the URL of the database behind it, for example postgresql://user@host/name",
        )
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        yield
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WrongUsage(
            f"storage '{shown}' is not a URL that Optuna can open",
            fix="write sqlite:///study.db, postgresql://user@host/name, or a file's path",
        ) from None
    except ImportError as error:
        # Optuna wraps the driver's own ImportError, which alone knows its name.
        module = (getattr(error.__cause__, "name", None) or error.name or "the driver").split(".")[0]
        if url.startswith("postgresql"):
            raise MissingPart("psycopg", needed_for=f"storage '{shown}'", extra="postgresql") from None
        raise MissingDriver(module, shown) from None
    except (SQLAlchemyError, StorageInternalError, OSError) as error:
        cause = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise WrongUsage(
            f"storage '{shown}' cannot be opened: {cause}",
            fix="check that the database runs, the name and the password",
        ) from None


def _begun(opened: Callable[[], BaseStorage]) -> BaseStorage:
    """Open a database whose tables others may be making at this moment."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    for attempt in range(_ATTEMPTS):
        try:
            return opened()
        except (IntegrityError, ProgrammingError, StorageInternalError) as error:
            met = error.__cause__ if isinstance(error, StorageInternalError) else error
            if not isinstance(met, IntegrityError | ProgrammingError) or attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 - not all at the same time again
    raise AssertionError


def driver_url(url: str) -> str:
    """Name the driver where none is named: the one that our extra installs, unless only the older one is there."""
    is_old = find_spec("psycopg") is None and find_spec("psycopg2") is not None
    return re.sub(r"^postgresql://", f"postgresql+psycopg{'2' if is_old else ''}://", url)


def engine_args(url: str) -> dict[str, Any]:
    """Return what SQLAlchemy's `create_engine` is given beside the URL."""
    if not driver_url(url).startswith("postgresql+psycopg:"):
        return {}
    return {
        "pool_pre_ping": True,
        "connect_args": {name: value for name, value in _POSTGRES_ARGS.items() if f"{name}=" not in url},
    }


class MissingDriver(ExplorerError):
    """A database driver that no extra of ours installs (exit 5)."""

    exit_code = 5

    def __init__(self, module: str, shown: str) -> None:
        super().__init__(f"{module} is not installed; storage '{shown}' needs it", fix=f"pip install {module}")
