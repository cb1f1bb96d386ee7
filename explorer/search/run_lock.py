"""The lock of a run: one at a time searches a result folder, and whoever comes second hears who is there."""

import datetime
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from explorer.errors import WrongUsage
from explorer.files import cannot_write

if sys.platform != "win32":
    import fcntl

LOCK_NAME = ".run.lock"
_LOOK_AGAIN_S = 0.2


@contextmanager
def run_lock(
    out: Path, journal: Path | None, *, is_patient: bool = False, say: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold the locks of a run: its result folder's, and that of a journal elsewhere, which two folders could share.

    The kernel releases them with the process, however that ends. Workers take none: they share what they work on.

    Args:
        out: the result folder.
        journal: the journal, where trials are kept in one.
        is_patient: wait for another run to end.
        say: tells the user something.

    Raises:
        WrongUsage: another run holds it, or the folder cannot be written.
    """
    paths = [out / LOCK_NAME]
    if journal is not None and journal.parent.absolute() != out.absolute():
        paths.append(journal.with_name(f".{journal.name}{LOCK_NAME}"))
    with ExitStack() as held:
        for path in paths:
            held.enter_context(_held(path, is_patient=is_patient, say=say))
        yield


@contextmanager
def _held(path: Path, *, is_patient: bool, say: Callable[[str], None]) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise cannot_write(path, error) from None
    with file:
        is_told = False
        while not _is_taken(file):
            holder = _holder(file)
            if not is_patient:
                raise WrongUsage(
                    f"{path.parent}: another run is at work here: {holder}",
                    fix="wait for it with --wait, help it with `explorer worker`, or choose another folder with --out",
                )
            if not is_told:
                say(f"waiting for another run of {path.parent}: {holder}")
                is_told = True
            time.sleep(_LOOK_AGAIN_S)
        _sign(file)
        try:
            yield
        finally:
            with suppress(OSError):
                file.truncate(0)


def _is_taken(file: IO[str]) -> bool:
    """Take a file's lock; a file system without locks has to do without, as before there were any."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _sign(file: IO[str]) -> None:
    """Write who holds a lock; only a convenience: on a full disk the lock holds without it."""
    since = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    with suppress(OSError):
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": since}))
        file.flush()


def _holder(file: IO[str]) -> str:
    try:
        file.seek(0)
        known = json.loads(file.read())
        return f"process {known['pid']} on {known['host']}, since {known['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has only just begun"
