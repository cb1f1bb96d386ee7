"""Spool file for measurements that could not be written to the storage; the next run replays it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from optuna.trial import FrozenTrial

from explorer.errors import ExplorerError, WrongUsage
from explorer.io.files import read_text
from explorer.search.session import MEASURED_ATTR
from explorer.search.storage.retry import StorageUnavailable

UNSTORED_NAME = "unstored.jsonl"
_MAX_BYTES = 100_000_000


def spool(folder: Path, row: Mapping[str, Any]) -> Path | None:
    """Append a measurement to the spool file of the result folder, or to a temporary one; return its path, or None.

    Args:
        folder: the result folder.
        row: the measurement in its stored form.
    """
    line = json.dumps(dict(row)) + "\n"
    for parent in (folder, None):
        with suppress(OSError):
            if parent:
                parent.mkdir(parents=True, exist_ok=True)
            path = parent / UNSTORED_NAME if parent else Path(mkdtemp(prefix="explorer-")) / UNSTORED_NAME
            with path.open("ab") as file:
                is_truncated = file.tell() and not path.read_bytes().endswith(b"\n")  # by a full disk
                file.write(f"\n{line}".encode() if is_truncated else line.encode())
            return path
    return None


def read_spool(folder: Path) -> list[dict[str, Any]]:
    """Return the measurements in the spool file of a result folder; partial lines are skipped."""
    path, rows = folder / UNSTORED_NAME, []
    with suppress(ExplorerError):
        for line in read_text(path, max_bytes=_MAX_BYTES).splitlines() if path.is_file() else ():
            with suppress(json.JSONDecodeError):
                rows.append(json.loads(line))
    return [row for row in rows if isinstance(row, dict)]


def prune_spool(folder: Path, trials: Sequence[FrozenTrial]) -> None:
    """Remove the spool file once all of its measurements are stored."""
    if rows := read_spool(folder):
        stored = [trial.user_attrs.get(MEASURED_ATTR) for trial in trials]
        if all(row in stored for row in rows):
            (folder / UNSTORED_NAME).unlink(missing_ok=True)


def unstored_error(
    error: BaseException, spool_file: Path | None, *, out: Path, storage_label: str
) -> ExplorerError | None:
    """Return the error for a measurement that could not be stored; None for an error from another cause.

    Args:
        error: the storage's error.
        spool_file: file of the measurement; None if it could not be written.
        out: the result folder.
        storage_label: name of the storage in messages.
    """
    note = "the last measurement is lost: it could not be saved to a file either"
    if spool_file is not None:
        note = f"the last measurement is saved in {spool_file}"
        note += ", which the next run reads" if spool_file.parent == out else f": move it to {out / UNSTORED_NAME}"
    if isinstance(error, StorageUnavailable):
        return StorageUnavailable(f"{error.problem}; {note}", fix=error.fix)
    if isinstance(error, OSError):
        problem = f"{storage_label}: cannot write: {error.strerror or error}; {note}"
        return WrongUsage(problem, fix="free disk space, then run the same command again")
    return None
