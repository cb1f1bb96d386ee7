"""Exclusive file lock of the kernel, which frees it when its process ends; the error names its holder."""

import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from explorer.errors import WrongUsage
from explorer.io.files import cannot_write

if sys.platform != "win32":
    import fcntl

_POLL_S = 0.2

Acquire = Callable[[Callable[[], str], str], None]
"""Acquires a lock by an attempt that returns '' or the holder; the text is what is locked, in messages."""


@contextmanager
def file_lock(path: Path, acquire: Acquire, *, label: str, is_temporary: bool = False) -> Iterator[None]:
    """Hold the lock of a lock file, which is made for it.

    Args:
        path: the lock file.
        acquire: acquires the lock, or raises.
        label: what is locked, in messages.
        is_temporary: remove the lock file at the end.

    Raises:
        WrongUsage: the lock file cannot be made, or `acquire` raises it.
    """
    if sys.platform == "win32":
        yield
        return
    with _open_locked(path, acquire, label=label) as file:
        since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
        with suppress(OSError):  # on a full disk the lock is valid without its holder's name
            file.truncate(0)
            # Unbuffered: text left in a buffer would be written on closing, and fail in place of the run's own error.
            os.write(file.fileno(), json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}).encode())
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)
                if is_temporary:
                    path.unlink()


def _open_locked(path: Path, acquire: Acquire, *, label: str) -> IO[str]:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            acquire(lambda: _try_flock(file), label)  # noqa: B023 - called before the next round
            # Its former holder may have removed the file between the opening and the lock.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BaseException:
            file.close()
            raise
        file.close()


def acquire_lock(
    attempt: Callable[[], str], label: str, *, noun: str, fix: str, should_wait: bool, notify: Callable[[str], None]
) -> None:
    """Acquire a lock, after the end of its holder if `should_wait`.

    Args:
        attempt: returns '' once it has the lock, else the holder.
        label: what is locked.
        noun: what holders do, in messages: "run".
        fix: of the error.
        should_wait: wait for the holder to end.
        notify: called once with a message, if it waits.

    Raises:
        WrongUsage: another process has it, and `should_wait` is False.
    """
    is_notified = False
    while holder := attempt():
        if not should_wait:
            raise WrongUsage(f"{label}: another {noun} is active: {holder}", fix=fix)
        if not is_notified:
            notify(f"waiting for another {noun} of {label}: {holder}")
            is_notified = True
        time.sleep(_POLL_S)


def _try_flock(file: IO[str]) -> str:
    """Lock a file and return '', or return the holder; without support for locks nothing is protected."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            file.seek(0)
            holder = json.loads(file.read())
            return f"process {holder['pid']} on {holder['host']}, since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "a process that has just started"
    except OSError:
        pass
    return ""
