"""Connection to a Dask scheduler, reopened when it breaks."""

import asyncio
import hashlib
import ipaddress
import logging
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from explorer.errors import WrongUsage
from explorer.search.execution.executor import SchedulerUnavailable

CLOSE_S = 5.0
_CONNECT_S = 10.0
_ANSWER_S = 30.0  # Dask's own timeout for a dead connection
_RETRY_S = 0.5
_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")
_TLS = "DASK_DISTRIBUTED__COMM__TLS__"
_TLS_VARIABLES = f"{_TLS}CA_FILE, {_TLS}CLIENT__CERT and {_TLS}CLIENT__KEY"


class Connection:
    """Client of a scheduler for one event loop; arguments as in `ClusterExecutor`, `uploads` from `content_names`.

    After `retry_timeout_s` seconds without a scheduler, all methods but `close` raise SchedulerUnavailable.
    """

    def __init__(
        self, url: str, *, uploads: dict[str, Path], notify: Callable[[str], None], retry_timeout_s: float
    ) -> None:
        self._url, self._uploads, self._notify, self._retry_timeout_s = url, uploads, notify, retry_timeout_s
        self._client: Any = None
        self._failure: SchedulerUnavailable | None = None
        self._lock = asyncio.Lock()  # guards the replacement of the client

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            WrongUsage: no scheduler answers, or the address is invalid.
        """
        try:
            self._client = await self._connect(_CONNECT_S)
        except (
            Exception
        ) as error:  # Dask's transports raise OSError, ImportError, ValueError, TypeError and RuntimeError
            raise _connection_error(self._url, error) from error
        if not is_private(self._url):
            self._notify(
                f"warning: {self._url} is not encrypted: anyone who can reach it can run code on its workers. Use TLS: "
                "start the scheduler and the workers with --tls-ca-file, --tls-cert and --tls-key, "
                f"set {_TLS_VARIABLES} here, and write --cluster tls://..."
            )

    async def client(self) -> Any:
        """Return the current `distributed.Client`."""
        async with self._lock:
            if self._failure is not None:
                raise self._failure
            return self._client

    async def workers(self) -> list[dict[str, Any]]:
        """Return the workers of the scheduler, as described by `WorkerState.identity`."""
        while True:
            client = await self.client()
            try:
                # Client.scheduler_info of an asynchronous client lists no workers.
                info = await asyncio.wait_for(client.scheduler.identity(n_workers=-1), _ANSWER_S)
                return list(info["workers"].values())
            except Exception:  # noqa: BLE001 - Dask's streams and closed clients raise many types
                await self.replace(client)

    async def replace(self, broken: Any) -> None:
        """Wait for the scheduler and reconnect, unless the client works or was already replaced."""
        async with self._lock:
            if self._client is not broken or self._failure is not None or await _answers(broken):
                return
            loop = asyncio.get_running_loop()
            deadline = loop.time() + self._retry_timeout_s
            self._notify(f"the scheduler {self._url} does not answer: waiting up to {self._retry_timeout_s:g} s for it")
            await _close(broken)
            while (remaining := deadline - loop.time()) > 0:
                with suppress(Exception):
                    self._client = await self._connect(min(remaining, _CONNECT_S))
                    self._notify(f"connected to {self._url} again: designs in flight are submitted again")
                    return
                await asyncio.sleep(min(remaining, _RETRY_S))
            self._failure = SchedulerUnavailable(
                f"{self._url}: the scheduler did not answer for {self._retry_timeout_s:g} s",
                fix="restart it, then run the same command again: all finished trials are stored",
            )

    async def close(self) -> None:
        """Disconnect; the scheduler then releases the tasks of this client."""
        await _close(self._client)

    async def _connect(self, timeout_s: float) -> Any:
        import distributed
        from distributed.diagnostics.plugin import UploadFile
        from distributed.versions import VersionMismatchWarning

        warnings.simplefilter("ignore", VersionMismatchWarning)  # only text and built-in values are exchanged
        make: Any = distributed.Client
        client = make(self._url, asynchronous=True, set_as_default=False, timeout=timeout_s, name="explorer")
        try:
            await client
            for stored, path in self._uploads.items():
                plugin = UploadFile(str(path), load=False)
                plugin.filename = stored
                plugin.idempotent = True  # the name has the digest of the content
                await client.register_plugin(plugin, name=stored)
        except BaseException:
            await _close(client)
            raise
        return client


def content_names(uploads: Sequence[Path]) -> dict[str, Path]:
    """Return files by content-addressed names, so that runs can share workers.

    Raises:
        WrongUsage: a path is no file, or two files have the same name.
    """
    named: dict[str, Path] = {}
    for path in uploads:
        if not path.is_file():
            raise WrongUsage(f"--upload {path}: no such file", fix="give the path of a file")
        if path.name in {file.name for file in named.values()}:
            raise WrongUsage(f"--upload {path}: another file is named {path.name}", fix="rename one of them")
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        named[f"explorer-{digest[:16]}-{path.name}"] = path
    return named


def is_private(url: str) -> bool:
    """Return True for an encrypted or loopback address.

    >>> [is_private(url) for url in ("tcp://127.0.0.1:8786", "tls://head:8786", "tcp://10.0.0.5:8786")]
    [True, True, False]
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    scheme, address = parse_address(url)
    if scheme in {"tls", "wss", "inproc"}:
        return True
    host = parse_host_port(address, 0)[0]
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return bool(host == "localhost")


def silence_dask() -> dict[str, int]:
    """Silence Dask's loggers, unless its configuration sets up logging; return their previous levels."""
    import dask.config
    import distributed  # noqa: F401 - sets up its loggers

    if dask.config.get("logging", None) is not None:
        return {}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return levels


async def _answers(client: Any) -> bool:
    """Return True if a client is connected to its scheduler."""
    with suppress(Exception):
        if client.status == "running":
            await asyncio.wait_for(client.scheduler.identity(n_workers=0), _CONNECT_S)
            await asyncio.sleep(0.1)
            return bool(client.status == "running")  # Dask may have detected a broken stream meanwhile
    return False


async def _close(client: Any) -> None:
    with suppress(Exception):
        await asyncio.wait_for(client.close(timeout=CLOSE_S), CLOSE_S)


def _connection_error(url: str, error: Exception) -> WrongUsage:
    """Return the error for a scheduler that cannot be reached at the start."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    fix = "make sure that `dask scheduler` runs; copy the address that it prints, such as tcp://head:8786"
    if url.startswith("tls://"):
        fix = f"make sure that `dask scheduler` runs with TLS, and set {_TLS_VARIABLES}"
    return WrongUsage(f"--cluster {url}: cannot connect: {reason}", fix=fix)
