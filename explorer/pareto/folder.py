"""A result folder: writing results as files that people and scripts read, and reading them back."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.files import MAX_TABLE_BYTES, read_text, write_text
from explorer.pareto.reference import ExactFront
from explorer.pareto.results import WORDS, Results, front_order
from explorer.problem.columns import COLUMNS, KNOBS, Column, Columns, describe, knobs_of, n_rows, own_knobs
from explorer.problem.objectives import OBJECTIVES

SCHEMA = "explorer.front/1"
FRONT_CSV, FRONT_JSON, TRIALS_CSV, PROVENANCE_JSON = "front.csv", "front.json", "trials.csv", "provenance.json"
_TEXT_COLUMNS = frozenset({"family", "origin", *WORDS})
_FLAG_COLUMNS = frozenset({"is_feasible", "is_front"})
_FLAGS = {"True": True, "False": False}


def write_folder(results: Results, folder: Path) -> list[Path]:
    """Write front.csv, front.json, trials.csv and provenance.json, each in one step; return their paths.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    front = results.front_columns
    trials = {**results.table, "is_front": results.is_front}
    texts = {
        FRONT_CSV: csv_text(front, front_order(front)),
        TRIALS_CSV: csv_text(trials, [*front_order(trials), "is_feasible", "is_front"]),
        PROVENANCE_JSON: _json_text(dict(results.provenance)),
        FRONT_JSON: _json_text(front_json(results)),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def front_json(results: Results) -> dict[str, Any]:
    """Return a front with everything that a reader needs to judge it, as plain JSON values."""
    front = results.front_columns
    names = front_order(front)
    exact = results.exact
    return {
        "schema": SCHEMA,
        "study": results.study,
        "title": results.title,
        "objectives": [{"name": o.name, "direction": o.direction, "label": o.title} for o in results.objectives],
        "constraints": list(results.constraints),
        "reference_point": list(results.reference_point),
        "hypervolume": results.hypervolume,
        "exact_hypervolume": _plain(exact.hypervolume) if exact else None,
        "hypervolume_share": _plain(results.reached),
        "exact": {
            "hypervolume": exact.hypervolume,
            "convergence": exact.convergence,
            "n_evaluated": exact.n_evaluated,
            "values": exact.values.tolist(),
        }
        if exact
        else None,
        "n_complete": results.n_complete,
        "front_size": n_rows(front),
        "notes": list(results.notes),
        "advice": results.advice,
        "importance": [{name: _plain(value) for name, value in row.items()} for row in results.importance],
        "model_check": _finite(results.model_check),
        "knobs": [_knob_json(results.column(name)) for name in knobs_of(results.table)],
        "designs": [{name: _plain(front[name][i]) for name in names} for i in range(n_rows(front))],
        "samples": [
            {"name": label, **{name: _plain(values[i]) for name, values in results.samples.items()}}
            for i, label in enumerate(results.sample_labels)
        ],
        "provenance": dict(results.provenance),
    }


def read_folder(folder: Path) -> Results:
    """Read a result folder back.

    Raises:
        WrongUsage: it is not there, or holds no finished run.
        InvalidFile: one of its files is damaged.
    """
    if not (folder / FRONT_JSON).is_file() or not (folder / TRIALS_CSV).is_file():
        raise WrongUsage(f"{folder}: holds no results", fix="run the study first: `explorer run STUDY`")
    path, data = folder / FRONT_JSON, _read_front(folder / FRONT_JSON)
    try:
        knobs = [
            describe(str(knob["name"]), label=str(knob["label"]), unit=str(knob["unit"])) for knob in data["knobs"]
        ] if "knobs" in data else [COLUMNS[name] for name in KNOBS]  # fmt: skip
    except (KeyError, TypeError) as error:
        raise _damaged(path, f"is damaged: {type(error).__name__} {error}") from None
    table = _read_trials(folder / TRIALS_CSV, [column.name for column in knobs])
    try:
        objectives = tuple(OBJECTIVES[o["name"]] for o in data["objectives"])
        samples: list[dict[str, Any]] = data["samples"]
        results = Results(
            study=str(data["study"]),
            title=str(data["title"]),
            table=table,
            objectives=objectives,
            constraints=tuple(data["constraints"]),
            reference_point=tuple(float(x) for x in data["reference_point"]),
            samples={
                name: _sample_column([row[name] for row in samples])
                for name in (samples[0] if samples else {})
                if name != "name"
            },
            sample_labels=tuple(str(row["name"]) for row in samples),
            notes=tuple(data["notes"]),
            provenance=_object(data["provenance"]),
            exact=_exact(data.get("exact")),
            advice=str(data.get("advice", "")),
            importance=tuple(_object(row) for row in data.get("importance", ())),
            model_check=_object(data.get("model_check", {})),
            own_columns={column.name: column for column in knobs if column.name not in COLUMNS},
        )
        n_told = int(data["n_complete"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"is damaged: {type(error).__name__} {error}") from None
    if len(results.reference_point) != len(objectives):
        raise _damaged(path, f"has {len(results.reference_point)} reference values for {len(objectives)} objectives")
    missing = [o.name for o in objectives if o.name not in table]
    if missing:
        raise _damaged(folder / TRIALS_CSV, f"lacks {', '.join(missing)}")
    if n_told != n_rows(table):
        raise _damaged(folder / TRIALS_CSV, f"has {n_rows(table)} rows, {FRONT_JSON} tells of {n_told}")
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
        return _object(json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES)))
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, f"is damaged: {error}") from None


def _read_front(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"is damaged: {error}") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise _damaged(path, f"is not of schema '{SCHEMA}'")
    return data


def _read_trials(path: Path, knobs: Sequence[str]) -> Columns:
    try:
        table = _read_csv(read_text(path, max_bytes=MAX_TABLE_BYTES))
    except (ValueError, KeyError, csv.Error) as error:
        raise _damaged(path, f"is damaged: {error}") from None
    missing = [name for name in ("design_id", "origin", *knobs, "is_feasible") if name not in table]
    if missing:
        raise _damaged(path, f"lacks {', '.join(missing)}")
    return table


def _damaged(path: Path, what: str) -> InvalidFile:
    return InvalidFile(path, [Fault("", what, "run the study again; the trials themselves are in its storage")])


def _knob_json(column: Column) -> dict[str, str]:
    return {"name": column.name, "label": column.label, "unit": column.shown_in or column.symbol}


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is not an object")
    return value


def _exact(data: dict[str, Any] | None) -> ExactFront | None:
    if data is None:
        return None
    values = np.array(data["values"], dtype=np.float64)
    return ExactFront(float(data["hypervolume"]), float(data["convergence"]), int(data["n_evaluated"]), values)


def csv_text(columns: Columns, names: list[str]) -> str:
    """Return columns as CSV; numbers keep every digit, so that reading gives back the same floats."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*[[_cell(v) for v in columns[name].tolist()] for name in names], strict=True))
    return buffer.getvalue()


def _read_csv(text: str) -> Columns:
    rows = list(csv.reader(io.StringIO(text)))
    header, body = rows[0], rows[1:]
    if any(len(row) != len(header) for row in body):
        raise ValueError("a row is cut off")
    columns: Columns = {}
    own = set(own_knobs(dict.fromkeys(header, np.empty(0))))
    for j, name in enumerate(header):
        cells = [row[j] for row in body]
        if name in _TEXT_COLUMNS:
            columns[name] = np.array(cells, dtype=object)
        elif name in _FLAG_COLUMNS:
            columns[name] = np.array([_FLAGS[cell] for cell in cells], dtype=np.bool_)
        elif name == "design_id":
            columns[name] = np.array([int(cell) for cell in cells], dtype=np.int64)
        elif name in own and not all(map(_is_number, cells)):
            columns[name] = np.array(cells, dtype=object)
        else:
            columns[name] = np.array([float(cell) if cell else np.nan for cell in cells])
    columns.pop("is_front", None)
    return columns


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _cell(value: Any) -> Any:
    return "" if isinstance(value, float) and math.isnan(value) else value


def _json_text(payload: dict[str, Any]) -> str:
    return json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _sample_column(values: list[Any]) -> "np.ndarray[tuple[int], np.dtype[Any]]":
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([np.nan if value is None else value for value in values])


def _finite(value: Any) -> Any:
    """Return a tree of JSON values with null for what JSON has no number for."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
