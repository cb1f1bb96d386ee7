"""Result folder: write results as CSV and JSON files with an npz cache, and read them back."""

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
    cannot_write,
    decode_text,
    file_digest,
    read_bytes,
    read_text,
    write_bytes,
    write_parts,
    write_text,
)
from explorer.io.outputs import is_written_as
from explorer.pareto.results.csv_text import csv_parts, csv_round_trip, read_results_csv
from explorer.pareto.results.front_json import (
    SCHEMA,
    front_head,
    front_parts,
    json_text,
    knob_declarations,
    parse_results,
    require_object,
)
from explorer.pareto.results.npz_cache import NPZ_CACHE, npz_cache_bytes, read_npz_cache
from explorer.pareto.results.results import Results, front_order
from explorer.problem.columns import Columns

FRONT_CSV, FRONT_JSON, TRIALS_CSV, PROVENANCE_JSON = "front.csv", "front.json", "trials.csv", "provenance.json"
RESULT_FILES = (FRONT_CSV, FRONT_JSON, TRIALS_CSV, PROVENANCE_JSON, NPZ_CACHE)
# A design takes about 2 kB in front.json and 0.5 kB in trials.csv.
_MAX_BYTES = 2_000_000_000


def write_folder(results: Results, folder: Path) -> list[Path]:
    """Write front.csv, front.json, trials.csv, provenance.json and results.npz, each atomically; return their paths.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    front, head, provenance = results.front_columns, front_head(results), json_text(results.provenance)
    trials = {**results.table, "is_front": results.is_front}
    names = [*front_order(trials), "is_feasible", "is_front"]
    write_parts(folder / FRONT_CSV, csv_parts(front, front_order(front)))
    digests = {TRIALS_CSV: write_parts(folder / TRIALS_CSV, csv_parts(trials, names))}
    write_text(folder / PROVENANCE_JSON, provenance)
    digests[FRONT_JSON] = write_parts(folder / FRONT_JSON, front_parts(front, head))
    _write_cache(folder, head, csv_round_trip({name: trials[name] for name in names[:-1]}), digests)
    return [folder / name for name in RESULT_FILES]


def ensure_writable(folder: Path) -> None:
    """Raise if results would replace files of a user in a folder that is no result folder.

    Raises:
        WrongUsage: lists the files.
    """
    try:
        if not folder.is_dir() or any(folder.glob("*.journal")) or is_written_as(folder / FRONT_JSON, "results"):
            return
    except FileNotFoundError:
        pass
    except OSError as error:
        raise cannot_write(folder, error) from None
    if existing := [name for name in (*RESULT_FILES, "report.html") if (folder / name).exists()]:
        listed = ", ".join(existing)
        raise WrongUsage(f"{folder}: is no result folder of explorer, and has {listed}",
                         fix="choose another folder with --out, or move these files")  # fmt: skip


def read_folder(folder: Path) -> Results:
    """Read a result folder: from results.npz if its digests match front.json and trials.csv, else from these files.

    Raises:
        WrongUsage: the folder does not exist, or holds no finished run.
        InvalidFile: a file is damaged.
    """
    if not (folder / FRONT_JSON).is_file() or not (folder / TRIALS_CSV).is_file():
        raise WrongUsage(f"{folder}: holds no results", fix="run the study first: `explorer run STUDY`")
    if cached := read_npz_cache(folder, (FRONT_JSON, TRIALS_CSV)):
        with suppress(InvalidFile):  # the cache or a file is damaged: reading the files decides which
            return _checked(folder, *cached)
    head, front_digest = _front(folder / FRONT_JSON)
    table, trials_digest = _trials(folder / TRIALS_CSV)
    results = _checked(folder, head, table)
    _write_cache(folder, head, table, {FRONT_JSON: front_digest, TRIALS_CSV: trials_digest})
    return results


def read_provenance(folder: Path) -> dict[str, Any]:
    """Return the provenance of a result folder; empty while its first run is not finished.

    Raises:
        InvalidFile: the file is damaged.
    """
    path = folder / PROVENANCE_JSON
    if not path.is_file():
        return {}
    try:
        return require_object(json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES)))
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"is damaged: {error}") from None


def _write_cache(folder: Path, head: Mapping[str, Any], table: Columns, digests: Mapping[str, FileDigest]) -> None:
    """Write results.npz; a read-only folder goes without it, and reading is slower."""
    with suppress(WrongUsage):
        write_bytes(folder / NPZ_CACHE, npz_cache_bytes(head, table, digests))


def _checked(folder: Path, head: Mapping[str, Any], table: Columns) -> Results:
    """Return the results of front.json and trials.csv after a check that the two files are consistent.

    Raises:
        InvalidFile: a file is damaged.
    """
    try:
        results = parse_results(head, table)
        knobs, n_declared = [column.name for column in knob_declarations(head)], int(head["n_complete"])
        n_measured = int(head.get("n_measured", 0))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder / FRONT_JSON, f"is damaged: {type(error).__name__} {error}") from None
    n_references, n_objectives = len(results.reference_point), len(results.objectives)
    if n_references != n_objectives:
        raise _damaged(folder / FRONT_JSON, f"has {n_references} reference values for {n_objectives} objectives")
    required = ("design_id", "origin", *knobs, "is_feasible", *(o.name for o in results.objectives))
    if missing := [name for name in required if name not in table]:
        raise _damaged(folder / TRIALS_CSV, f"lacks {', '.join(missing)}")
    if (n_declared, n_measured) != (results.n_complete, results.n_measured):
        has = f"has {results.n_complete} trials and {results.n_measured} measured rows"
        problem = f"{has}, but {FRONT_JSON} has n_complete {n_declared} and n_measured {n_measured}"
        raise _damaged(folder / TRIALS_CSV, problem)
    return results


def _front(path: Path) -> tuple[dict[str, Any], FileDigest]:
    """Return front.json without its designs, which trials.csv holds too, and its digest."""
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
        return read_results_csv(decode_text(path, content)), file_digest(content)
    except (ValueError, KeyError, csv.Error) as error:
        raise _damaged(path, f"is damaged: {error}") from None


def _damaged(path: Path, what: str) -> InvalidFile:
    return InvalidFile(path, [Fault("", what, "run the study again: its trials are in the storage")])
