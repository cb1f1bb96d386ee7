"""What was measured but could not be stored: kept in a file, and taken up by the next run."""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from explorer.errors import ExplorerError, WrongUsage
from explorer.files import read_text
from explorer.search.begin import MEASURED_ATTR
from explorer.search.patience import StorageLost

UNSTORED_NAME = "unstored.jsonl"
_MAX_BYTES = 100_000_000


def keep_unstored(folder: Path, row: Mapping[str, Any]) -> Path | None:
    """Append a measurement to the file in a result folder, or elsewhere where that is full; None where nothing can be.

    Args:
        folder: the result folder.
        row: what was measured, as it would have been stored.
    """
    line = json.dumps(dict(row)) + "\n"
    for is_here in (True, False):
        try:
            path = _in(folder) if is_here else _anywhere()
            with path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError:
            continue
        return path
    return None


def _in(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / UNSTORED_NAME


def _anywhere() -> Path:
    handle, name = tempfile.mkstemp(prefix="explorer-", suffix=f"-{UNSTORED_NAME}")
    os.close(handle)
    return Path(name)


def unstored(folder: Path) -> list[dict[str, Any]]:
    """Return what a result folder keeps of this kind; a line that was cut off is passed over."""
    path = folder / UNSTORED_NAME
    if not path.is_file():
        return []
    rows = []
    try:
        lines = read_text(path, max_bytes=_MAX_BYTES).splitlines()
    except ExplorerError:
        return []
    for line in lines:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def drop_stored(folder: Path, trials: Sequence[FrozenTrial]) -> None:
    """Remove the file once all that it keeps is stored with the study's trials."""
    if rows := unstored(folder):
        stored = [trial.user_attrs.get(MEASURED_ATTR) for trial in trials]
        if all(row in stored for row in rows):
            (folder / UNSTORED_NAME).unlink(missing_ok=True)


def said_of_unstored(error: BaseException, kept: Path | None, *, out: Path, place: str) -> ExplorerError | None:
    """Return the error that tells where a measurement is kept; None for an error that is not the storage's.

    Args:
        error: why it could not be stored.
        kept: the file that keeps it; None where none could.
        out: the result folder.
        place: the storage, for people.
    """
    where = "the last measurement is lost: it could not be kept in a file either"
    if kept is not None:
        where = f"the last measurement is kept in {kept}"
        where += ", where the next run finds it" if kept.parent == out else f": move it to {out / UNSTORED_NAME}"
    if isinstance(error, StorageLost):
        return StorageLost(f"{error.problem}; {where}", fix=error.fix)
    if isinstance(error, OSError):
        said = f"{place}: cannot write: {error.strerror or error}; {where}"
        return WrongUsage(said, fix="free the place, then run the same command again")
    return None
