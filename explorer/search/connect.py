"""Connections to databases by URL, and the errors when one cannot be opened."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from explorer.errors import ExplorerError, MissingPart, WrongUsage

# A server that vanished is noticed within a minute, not after the hours of TCP's defaults.
_POSTGRES_ARGS: dict[str, Any] = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 20,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 40_000,
}


def open_url(url: str, shown: str) -> BaseStorage:
    """Open a database; `shown` is its URL without the password.

    Raises:
        WrongUsage: it cannot be reached, or Optuna cannot open such a URL.
        MissingPart, MissingDriver: its driver is not installed.
    """
    with opening(url, shown):
        return get_storage(RDBStorage(driver_url(url), engine_kwargs=engine_args(url)))


@contextmanager
def opening(url: str, shown: str) -> Iterator[None]:
    """Translate the errors of opening a database to those that `open_url` raises."""
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
        # Optuna wraps the driver's own ImportError, which has its name.
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


def driver_url(url: str) -> str:
    """Add a driver to a PostgreSQL URL without one: psycopg 3 of our extra, unless only psycopg2 is installed."""
    is_old = find_spec("psycopg") is None and find_spec("psycopg2") is not None
    return re.sub(r"^postgresql://", f"postgresql+psycopg{'2' if is_old else ''}://", url)


def engine_args(url: str) -> dict[str, Any]:
    """Return the keyword arguments of SQLAlchemy's `create_engine` for a URL."""
    if not driver_url(url).startswith("postgresql+psycopg:"):
        return {}
    return {
        "pool_pre_ping": True,
        "connect_args": {name: value for name, value in _POSTGRES_ARGS.items() if f"{name}=" not in url},
    }


class MissingDriver(ExplorerError):
    """Missing database driver that no extra of ours installs (exit 5)."""

    exit_code = 5

    def __init__(self, module: str, shown: str) -> None:
        super().__init__(f"{module} is not installed; storage '{shown}' needs it", fix=f"pip install {module}")
