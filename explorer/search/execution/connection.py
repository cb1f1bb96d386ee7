"""Connection to a Dask scheduler, replaced when it breaks."""

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
    """Client of a scheduler for one event loop; arguments as of `ClusterExecutor`, `uploads` as of `named_by_content`.

    After a scheduler was away for `retry_s` seconds, all methods but `close` raise SchedulerUnavailable.
    """

    def __init__(self, url: str, *, uploads: dict[str, Path], notify: Callable[[str], None], retry_s: float) -> None:
        self._url, self._uploads, self._notify, self._retry_s = url, uploads, notify, retry_s
        self._client: Any = None
        self._failure: SchedulerUnavailable | None = None
        self._lock = asyncio.Lock()  # held while the client is replaced

    async def open(self) -> None:
        """Connect for the first time.

        Raises:
            WrongUsage: nothing answers, or the address is none.
        """
        try:
            self._client = await self._connect(_CONNECT_S)
        except Exception as error:  # OSError, ImportError, ValueError, TypeError and RuntimeError, by Dask's transports
            raise _refused(self._url, error) from error
        if not is_private(self._url):
            self._notify(
                f"warning: {self._url} is not encrypted, and whoever reaches it can run code on its workers. Use TLS: "
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
        """Return the workers of the scheduler, as of `WorkerState.identity`."""
        while True:
            client = await self.client()
            try:
                # Client.scheduler_info lists no workers where the client is asynchronous.
                info = await asyncio.wait_for(client.scheduler.identity(n_workers=-1), _ANSWER_S)
                return list(info["workers"].values())
            except Exception:  # noqa: BLE001 - Dask raises what its streams and its closed clients raise
                await self.replace(client)

    async def replace(self, lost: Any) -> None:
        """Wait for the scheduler and connect again, unless the client still works or was replaced."""
        async with self._lock:
            if self._client is not lost or self._failure is not None or await _answers(lost):
                return
            loop = asyncio.get_running_loop()
            deadline = loop.time() + self._retry_s
            self._notify(f"the scheduler {self._url} does not answer: waiting up to {self._retry_s:g} s for it")
            await _close(lost)
            while (left := deadline - loop.time()) > 0:
                with suppress(Exception):
                    self._client = await self._connect(min(left, _CONNECT_S))
                    self._notify(f"connected to {self._url} again: designs in flight are submitted again")
                    return
                await asyncio.sleep(min(left, _RETRY_S))
            self._failure = SchedulerUnavailable(
                f"{self._url}: the scheduler went away and did not come back within {self._retry_s:g} s",
                fix="start it again, then run the same command: all finished trials are stored",
            )

    async def close(self) -> None:
        """Disconnect; the scheduler releases what this client has submitted."""
        await _close(self._client)

    async def _connect(self, timeout_s: float) -> Any:
        import distributed
        from distributed.diagnostics.plugin import UploadFile
        from distributed.versions import VersionMismatchWarning

        warnings.simplefilter("ignore", VersionMismatchWarning)  # text and plain values travel
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


def named_by_content(uploads: Sequence[Path]) -> dict[str, Path]:
    """Return files by names with a digest of their content, for runs that share workers.

    Raises:
        WrongUsage: one is no file, or two have the same name.
    """
    named: dict[str, Path] = {}
    for path in uploads:
        if not path.is_file():
            raise WrongUsage(f"--upload {path}: no such file", fix="give the path of a file")
        if any(path.name == other.name for other in named.values()):
            raise WrongUsage(f"--upload {path}: another file is named {path.name}", fix="rename one of them")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        named[f"explorer-{digest[:16]}-{path.name}"] = path
    return named


def is_private(url: str) -> bool:
    """Return True for an address that is encrypted or on this machine.

    >>> [is_private(url) for url in ("tcp://127.0.0.1:8786", "tls://head:8786", "tcp://10.0.0.5:8786")]
    [True, True, False]
    """
    from distributed.comm.addressing import parse_address, parse_host_port

    scheme, place = parse_address(url)
    if scheme in {"tls", "wss", "inproc"}:
        return True
    host = parse_host_port(place, 0)[0]
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return bool(host == "localhost")


def silence_dask() -> dict[str, int]:
    """Keep Dask's logs from the terminal, unless its configuration sets up logging; return the loggers' levels."""
    import dask.config
    import distributed  # noqa: F401 - sets up its loggers

    if dask.config.get("logging", None) is not None:
        return {}
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return levels


async def _answers(client: Any) -> bool:
    """Return True where a client still has its scheduler; one that restarted its workers has no tasks."""
    with suppress(Exception):
        if client.status == "running":
            await asyncio.wait_for(client.scheduler.identity(n_workers=0), _CONNECT_S)
            await asyncio.sleep(0.1)
            return bool(client.status == "running")  # a broken stream may have been noticed meanwhile
    return False


async def _close(client: Any) -> None:
    with suppress(Exception):
        await asyncio.wait_for(client.close(timeout=CLOSE_S), CLOSE_S)


def _refused(url: str, error: Exception) -> WrongUsage:
    """Return the error for a scheduler that could not be reached at the start."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    fix = "see that `dask scheduler` runs there; write the address as it shows it, such as tcp://head:8786"
    if url.startswith("tls://"):
        fix = f"see that `dask scheduler` runs there with TLS, and set {_TLS_VARIABLES}"
    return WrongUsage(f"--cluster {url}: cannot connect: {reason}", fix=fix)
