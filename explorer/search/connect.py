"""Opening storages by URL: databases, and Optuna's gRPC proxies in front of them."""

import random
import re
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage, get_storage

from explorer.errors import ExplorerError, MissingPart, WrongUsage

GRPC = "grpc://"
DEFAULT_PROXY_PORT = 13000
_PROXY_WAIT_S = 10.0
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
    """Open a database or a proxy.

    Args:
        url: where it is.
        shown: the same without its password.

    Raises:
        WrongUsage: it cannot be reached, or the URL is not one that Optuna can open.
        MissingPart, MissingDriver: what talks to it is not installed.
    """
    return _open_proxy(url) if url.startswith(GRPC) else _open_database(url, shown)


def proxy_address(url: str) -> tuple[str, int]:
    """Return host and port of a proxy's URL.

    Raises:
        WrongUsage: it is none.

    >>> proxy_address("grpc://head-node:13000")
    ('head-node', 13000)
    """
    found = re.fullmatch(r"grpc://(?P<host>\[[0-9a-fA-F:]+\]|[^:/@\[\]]+)(:(?P<port>\d{1,5}))?/?", url)
    if not found:
        raise WrongUsage(f"storage '{url}' is no proxy's address", fix="write grpc://HOST:PORT")
    return found["host"], int(found["port"] or DEFAULT_PROXY_PORT)


def need_grpc(what: str) -> None:
    """See that gRPC is installed.

    Raises:
        MissingPart: it is not.
    """
    for module, part in (("grpc", "grpcio"), ("google.protobuf", "protobuf")):
        try:
            is_there = find_spec(module) is not None
        except ModuleNotFoundError:
            is_there = False
        if not is_there:
            raise MissingPart(part, needed_for=what, extra="grpc")


def _open_proxy(url: str) -> BaseStorage:
    from optuna.storages import GrpcStorageProxy

    host, port = proxy_address(url)
    need_grpc(f"storage '{url}'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = GrpcStorageProxy(host=host, port=port)
    try:
        storage.wait_server_ready(timeout=_PROXY_WAIT_S)
    except ConnectionError:
        storage.close()
        fix = "see that `explorer proxy` runs there and that the address is right"
        raise WrongUsage(f"storage '{url}' does not answer", fix=fix) from None
    return storage


def _open_database(url: str, shown: str) -> BaseStorage:
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    try:
        return _begun(lambda: get_storage(RDBStorage(_with_driver(url), engine_kwargs=_engine_args(url))))
    except (ArgumentError, NoSuchModuleError, ValueError):
        raise WrongUsage(
            f"storage '{shown}' is not a URL that Optuna can open",
            fix="write sqlite:///study.db, postgresql://user@host/name, grpc://host:13000, or a file's path",
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


def _with_driver(url: str) -> str:
    """Name the driver where none is named: the one that our extra installs, unless only the older one is there."""
    is_old = find_spec("psycopg") is None and find_spec("psycopg2") is not None
    return re.sub(r"^postgresql://", f"postgresql+psycopg{'2' if is_old else ''}://", url)


def _engine_args(url: str) -> dict[str, Any]:
    if not _with_driver(url).startswith("postgresql+psycopg:"):
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
