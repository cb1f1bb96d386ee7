"""Optuna's gRPC proxy in front of a database: one process holds its connections for very many workers."""

import signal
import socket
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optuna.exceptions import ExperimentalWarning

from explorer.errors import WrongUsage
from explorer.search.connect import open_url
from explorer.search.storage import journal_path, shown_url

_GRACE_S = 5.0
GRPC = "grpc://"


@dataclass(slots=True)
class Proxy:
    """A proxy that is ready to answer: a resource with a life.

    Args:
        url: what workers call it by.
        place: the storage behind it; no password in it.
        is_local: whether only this machine reaches it.
    """

    url: str
    place: str
    is_local: bool
    _server: Any

    def serve(self) -> None:
        """Answer until Ctrl-C or SIGTERM; requests at hand are answered first."""
        ended = threading.Event()
        before = {}
        if threading.current_thread() is threading.main_thread():
            before = {one: signal.signal(one, lambda *_: ended.set()) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            while not ended.wait(1.0):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
            self.close()

    def close(self) -> None:
        """Answer what is asked, and end."""
        self._server.stop(_GRACE_S).wait()


def open_proxy(storage: str, *, host: str, port: int) -> Proxy:
    """Open a proxy in front of a database.

    Args:
        storage: the database's URL.
        host: the address to listen on.
        port: the port; 0 takes a free one.

    Raises:
        WrongUsage: the storage cannot stand behind a proxy, or the address cannot be taken.
        MissingPart: gRPC or the database's driver is not installed.
    """
    if journal_path(storage, Path()) is not None:
        raise WrongUsage(
            "a journal file cannot stand behind a proxy: Optuna's does not support it (optuna/optuna#6084)",
            fix="put a database there, postgresql://user@host/name; one machine needs none: explorer run --workers N",
        )
    if storage.startswith(GRPC):
        raise WrongUsage(f"storage '{storage}' is a proxy itself", fix="name the database behind it")
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    place, port = shown_url(storage, Path()), _free_port(host, port)
    opened = open_url(storage, place)
    from optuna.storages._grpc.server import make_server

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            server = make_server(opened, host, port)
        server.start()
    except RuntimeError as error:
        with suppress(AttributeError):
            opened.remove_session()
        raise WrongUsage(f"{host}:{port}: cannot listen: {error}", fix="choose another --port or --host") from None
    return Proxy(f"{GRPC}{host}:{port}", place, host in {"127.0.0.1", "localhost", "[::1]"}, server)


def _free_port(host: str, port: int) -> int:
    """See that a port is free, and choose one for 0: gRPC itself would share it with whoever listens there already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.create_server((host.strip("[]"), port), family=family) as free:
            return int(free.getsockname()[1])
    except OSError as error:
        told = f"{host}:{port}: cannot listen: {error.strerror or error}"
        raise WrongUsage(told, fix="choose another --port or --host") from None
