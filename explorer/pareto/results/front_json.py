"""front.json: the front with objectives, diagnostics and provenance, as text and back."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.pareto.results.csv_text import BLOCK, format_cells
from explorer.pareto.results.results import ExactFront, Results, front_order
from explorer.problem.columns import COLUMNS, KNOBS, Column, Columns, column_of, knobs_of, n_rows
from explorer.problem.objectives import objective_of
from explorer.problem.targets import target_from_json, targets_json

SCHEMA = "explorer.front/1"
# JSON strings cannot hold a bare line break, so this text occurs only where the designs are inserted.
_DESIGNS_SLOT = '\n  "designs": []'


def front_parts(front: Columns, head: Mapping[str, Any]) -> Iterator[str]:
    """Yield the text of front.json: the head with one line per design inserted.

    Args:
        front: the front's designs.
        head: all other content, from `front_head`.

    Raises:
        ValueError: the head holds NaN or infinity.
    """
    before, slot, after = json_text(head).partition(_DESIGNS_SLOT)
    yield before
    if n_rows(front):
        yield slot[:-1] + "\n"
        yield from _lines(front)
        yield "  ]"
    else:
        yield slot
    yield after


def front_head(results: Results) -> dict[str, Any]:
    """Return the content of front.json as plain JSON values, with an empty list of `designs`."""
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
        "n_measured": results.n_measured,
        "front_size": int(results.is_front.sum()),
        "machine": str(results.provenance.get("machine", "")),
        "notes": list(results.notes),
        "advice": results.advice,
        "importance": [{name: _plain(value) for name, value in row.items()} for row in results.importance],
        "model_check": _finite(results.model_check),
        "model_warnings": [dict(one) for one in results.model_warnings],
        **({"targets": targets} if (targets := targets_json(results.table)) else {}),
        "knobs": [_knob_json(results.column(name)) for name in knobs_of(results.table)],
        "designs": [],
        "samples": [
            {"name": label, **{name: _plain(values[i]) for name, values in results.samples.items()}}
            for i, label in enumerate(results.sample_labels)
        ],
        "provenance": dict(results.provenance),
    }


def knob_declarations(data: Mapping[str, Any]) -> list[Column]:
    """Return the knobs declared in front.json; the built-in ones where it declares none.

    Raises:
        KeyError, TypeError: the content is damaged.
    """
    if "knobs" not in data:
        return [COLUMNS[name] for name in KNOBS]
    return [column_of(str(knob["name"]), label=str(knob["label"]), unit=str(knob["unit"])) for knob in data["knobs"]]


def parse_results(data: Mapping[str, Any], table: Columns) -> Results:
    """Return results from the content of front.json and the table of all finished designs.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the content is damaged.
    """
    for target in data.get("targets", ()):
        target_from_json(require_object(target))
    objectives = tuple(objective_of(o["name"]) for o in data["objectives"])
    samples: list[dict[str, Any]] = data["samples"]
    return Results(
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
        provenance=require_object(data["provenance"]),
        exact=_exact(data.get("exact")),
        advice=str(data.get("advice", "")),
        importance=tuple(require_object(row) for row in data.get("importance", ())),
        model_check=require_object(data.get("model_check", {})),
        model_warnings=tuple(_warning(one) for one in data.get("model_warnings", ())),
        own_columns={column.name: column for column in knob_declarations(data) if column.name not in COLUMNS},
    )


def _warning(value: Any) -> dict[str, str]:
    return {"kind": str(require_object(value)["kind"]), "text": str(value["text"])}


def require_object(value: Any) -> dict[str, Any]:
    """Return a JSON value if it is an object.

    Raises:
        TypeError: the value is not an object.
    """
    if not isinstance(value, dict):
        raise TypeError(f"{value!r:.40} is not an object")
    return value


def json_text(payload: Mapping[str, Any]) -> str:
    """Return indented JSON.

    Raises:
        ValueError: the payload holds NaN or infinity.
    """
    return json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _lines(front: Columns) -> Iterator[str]:
    names = front_order(front)
    line = "    {" + ", ".join(_quoted(name).replace("%", "%%") + ": %s" for name in names) + "}"
    n = n_rows(front)
    for begin in range(0, n, BLOCK):
        cells = [_cells(front[name][begin : begin + BLOCK]) for name in names]
        text = ",\n".join(line % row for row in zip(*cells, strict=True))
        yield text + (",\n" if begin + BLOCK < n else "\n")


def _cells(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind == "f":  # JSON has no NaN or infinity
        return format_cells(np.where(np.isfinite(values), values, np.nan), missing="null", quoted=_quoted)
    if values.dtype.kind == "b":
        return ["true" if value else "false" for value in values.tolist()]
    if values.dtype == object and not set(map(type, values.tolist())) <= {str}:
        return [json.dumps(_plain(value), ensure_ascii=False) for value in values.tolist()]
    return format_cells(values, missing="null", quoted=_quoted)


def _quoted(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)


def _knob_json(column: Column) -> dict[str, str]:
    return {"name": column.name, "label": column.label, "unit": column.display_unit or column.symbol}


def _exact(data: Mapping[str, Any] | None) -> ExactFront | None:
    if data is None:
        return None
    values = np.array(data["values"], dtype=np.float64)
    return ExactFront(float(data["hypervolume"]), float(data["convergence"]), int(data["n_evaluated"]), values)


def _sample_column(values: list[Any]) -> NDArray[Any]:
    if any(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    return np.array([np.nan if value is None else value for value in values])


def _finite(value: Any) -> Any:
    """Return a tree of JSON values with null in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return _plain(value)


def _plain(value: Any) -> Any:
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not np.isfinite(plain) else plain
