"""A result folder: writing results as files that people and scripts read, and reading them back."""

import csv
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.io.files import (
    MAX_TABLE_BYTES,
    FileDigest,
    decode_text,
    file_digest,
    read_bytes,
    read_text,
    write_bytes,
    write_parts,
    write_text,
)
from explorer.pareto.results.csv_text import as_read, csv_parts, read_csv
from explorer.pareto.results.front_json import (
    SCHEMA,
    front_head,
    front_parts,
    json_text,
    knobs_told,
    object_of,
    results_of,
)
from explorer.pareto.results.npz_cache import SIDECAR, npz_cache_bytes, read_npz_cache
from explorer.pareto.results.results import Results, front_order
from explorer.problem.columns import Columns, n_rows

FRONT_CSV, FRONT_JSON, TRIALS_CSV, PROVENANCE_JSON = "front.csv", "front.json", "trials.csv", "provenance.json"
# A design is about 2 kB of front.json and half a kB of trials.csv.
_MAX_BYTES = 2_000_000_000


def write_folder(results: Results, folder: Path) -> list[Path]:
    """Write front.csv, front.json, trials.csv, provenance.json and results.npz, each in one step; return their paths.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    front, head, provenance = results.front_columns, front_head(results), json_text(results.provenance)
    trials = {**results.table, "is_front": results.is_front}
    names = [*front_order(trials), "is_feasible", "is_front"]
    write_parts(folder / FRONT_CSV, csv_parts(front, front_order(front)))
    marks = {TRIALS_CSV: write_parts(folder / TRIALS_CSV, csv_parts(trials, names))}
    write_text(folder / PROVENANCE_JSON, provenance)
    marks[FRONT_JSON] = write_parts(folder / FRONT_JSON, front_parts(front, head))
    _keep_sidecar(folder, head, as_read({name: trials[name] for name in names[:-1]}), marks)
    return [folder / name for name in (FRONT_CSV, TRIALS_CSV, PROVENANCE_JSON, FRONT_JSON, SIDECAR)]


def read_folder(folder: Path) -> Results:
    """Read a result folder back: from results.npz where that is made from the other files, else from these.

    Raises:
        WrongUsage: it is not there, or holds no finished run.
        InvalidFile: one of its files is damaged.
    """
    if not (folder / FRONT_JSON).is_file() or not (folder / TRIALS_CSV).is_file():
        raise WrongUsage(f"{folder}: holds no results", fix="run the study first: `explorer run STUDY`")
    if kept := read_npz_cache(folder, (FRONT_JSON, TRIALS_CSV)):
        with suppress(InvalidFile):  # then it is damaged, or the files are, which they will tell themselves
            return _checked(folder, *kept)
    head, front_mark = _front(folder / FRONT_JSON)
    table, trials_mark = _trials(folder / TRIALS_CSV)
    results = _checked(folder, head, table)
    _keep_sidecar(folder, head, table, {FRONT_JSON: front_mark, TRIALS_CSV: trials_mark})
    return results


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return what a folder tells of where its results come from; nothing while its first run goes on.

    Raises:
        InvalidFile: the file is damaged.
    """
    path = folder / PROVENANCE_JSON
    if not path.is_file():
        return {}
    try:
        return object_of(json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES)))
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"is damaged: {error}") from None


def _keep_sidecar(folder: Path, head: Mapping[str, Any], table: Columns, marks: Mapping[str, FileDigest]) -> None:
    """Write the sidecar; where the folder cannot be written, reading is slower and all is said all the same."""
    with suppress(WrongUsage):
        write_bytes(folder / SIDECAR, npz_cache_bytes(head, table, marks))


def _checked(folder: Path, head: Mapping[str, Any], table: Columns) -> Results:
    """Return results whose two files belong together.

    Raises:
        InvalidFile: one of them is damaged.
    """
    try:
        results = results_of(head, table)
        knobs, n_told = [column.name for column in knobs_told(head)], int(head["n_complete"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder / FRONT_JSON, f"is damaged: {type(error).__name__} {error}") from None
    n_references, n_objectives = len(results.reference_point), len(results.objectives)
    if n_references != n_objectives:
        raise _damaged(folder / FRONT_JSON, f"has {n_references} reference values for {n_objectives} objectives")
    wanted = ("design_id", "origin", *knobs, "is_feasible", *(o.name for o in results.objectives))
    if missing := [name for name in wanted if name not in table]:
        raise _damaged(folder / TRIALS_CSV, f"lacks {', '.join(missing)}")
    if n_told != n_rows(table):
        raise _damaged(folder / TRIALS_CSV, f"has {n_rows(table)} rows, {FRONT_JSON} tells of {n_told}")
    return results


def _front(path: Path) -> tuple[dict[str, Any], FileDigest]:
    """Return what front.json tells beside its designs: these are in trials.csv too."""
    content = read_bytes(path, max_bytes=_MAX_BYTES)
    try:
        data = json.loads(decode_text(path, content))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"is damaged: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise _damaged(path, f"is not of schema '{SCHEMA}'")
    return {**data, "designs": []}, file_digest(content)


def _trials(path: Path) -> tuple[Columns, FileDigest]:
    content = read_bytes(path, max_bytes=_MAX_BYTES)
    try:
        return read_csv(decode_text(path, content)), file_digest(content)
    except (ValueError, KeyError, csv.Error) as error:
        raise _damaged(path, f"is damaged: {error}") from None


def _damaged(path: Path, what: str) -> InvalidFile:
    return InvalidFile(path, [Fault("", what, "run the study again; the trials themselves are in its storage")])
