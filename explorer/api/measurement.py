"""Measurements of compressed versions of a network: accuracy, latency, size, operation counts and energy."""

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from explorer.errors import Interrupted, MeasurementFailed, WrongUsage
from explorer.io.files import is_stream, write_text
from explorer.io.outputs import check_output
from explorer.io.tables.frame import Table
from explorer.io.tables.read import read_table
from explorer.models.scaffold.stated import parse_target
from explorer.network.graph.model import load_network
from explorer.network.measurement.design_grid import DEFAULT_GRID, grid_designs, read_grid, source_design
from explorer.network.measurement.inspection import Inspection, inspect_network
from explorer.network.measurement.measure import (
    MEASURED,
    Row,
    as_columns,
    busy_note,
    is_latency_refused,
    knobs_of_rows,
    measure_table,
)
from explorer.network.measurement.provenance import provenance
from explorer.network.measurement.samples_file import (
    Key,
    SamplesFile,
    columns_of_file,
    is_measured,
    key_of,
    open_samples_file,
    provenance_path,
    table_text,
)
from explorer.network.measurement.setup import MeasurementOptions, MeasurementSetup, prepare_measurement
from explorer.network.measurement.technology import SHIPPED
from explorer.network.task.labelled_data import LabelledData, load_data
from explorer.problem.columns import Columns, take
from explorer.problem.targets import check_target_name

__all__ = ["DEFAULT_GRID", "SHIPPED", "Inspection", "Measurement", "MeasurementOptions", "Row", "inspect", "measure"]


_BUSY = "the machine is busy, or its clock changes: designs are timed up to three times, and CPU time counts"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measured versions of a network.

    Args:
        setup: the network, the data and the options of the measurement.
        rows: one a design, with `error` where it failed.
        provenance: network, data, machine, versions and time, as plain JSON values.
    """

    setup: MeasurementSetup
    rows: tuple[Row, ...]
    provenance: Mapping[str, Any]

    @property
    def frame(self) -> pd.DataFrame:
        """The measured designs as samples, one row each; a design that failed is not among them."""
        return pd.DataFrame(as_columns(list(self.rows)))

    @property
    def failures(self) -> list[Row]:
        """The rows that could not be measured."""
        return [row for row in self.rows if row["error"]]

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON values, the operators of the network included."""
        operators = [
            {"name": o.name, "operator": o.operator, "n_macs": o.n_macs, "n_accesses": o.n_accesses}
            for o in self.setup.counts.operators
        ]
        return {**self.provenance, "schema": "explorer.measure/1", "operators": operators, "designs": list(self.rows)}

    def save(self, path: str | Path, *, force: bool = False) -> Path:
        """Write the rows to a samples CSV, with their provenance in `NAME.provenance.json`; return the latter's path.

        Rows of other designs that the file has already are kept.

        Args:
            path: the CSV.
            force: replace the file, whatever it holds.

        Raises:
            WrongUsage: the file cannot be written, or its rows were measured under other conditions.
        """
        out = Path(path)
        with open_samples_file(out, self.provenance, force=force) as file:
            measured = file.measured([key_of(row) for row in self.rows])
            for row in self.rows:
                if key_of(row) not in measured:
                    file.append(row)
        return provenance_path(out)

    def __repr__(self) -> str:
        return f"Measurement({self.setup.network.name}: {len(self.rows)} designs, {len(self.failures)} failed)"


def measure(
    model: str | Path,
    *,
    data: str | LabelledData,
    designs: Table | None = None,
    grid: str | None = None,
    family: str | None = None,
    calibration: str | LabelledData | None = None,
    options: MeasurementOptions | None = None,
    out: str | Path | None = None,
    targets: Sequence[str] = (),
    output: str | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """Prune and quantize a network to each design, and measure it on labelled data.

    Args:
        model: an ONNX file, or a shipped network's name.
        data: labelled data, an npz with `x` and `y`, `digits`, or `python:MODULE`.
        designs: a CSV or DataFrame with `pruning_ratio` and `quant_step`.
        grid: values of R and D instead, as `--grid` takes them; default: `DEFAULT_GRID`.
        family: name of the network family; default: the network's name.
        calibration: data that sets the ranges of int8 activations; None leaves activations in float.
        options: how size, energy and latency are taken.
        out: a samples CSV. Each row is on disk before the next design is measured. Designs that it has already are
            not measured again; rows of other designs stay.
        targets: what the data's `score` returns: `["mAP:max", "seconds:min:s"]`; none: accuracy.
        output: name of the network's output that gives the classes; None chooses it.
        force: begin the CSV again.
        progress: called after each design with the numbers of finished and of all designs.
        say: called with notes for the user.

    Returns:
        The rows of the designs that were asked for, in their order, those included that the CSV had.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: there is no such network or data; the CSV cannot be written, is an input, or has rows of another
            network, data set, option or machine.
        InvalidFile: a file is invalid; all faults at once.
        MeasurementFailed: no design could be measured.
        Interrupted: Ctrl-C; the CSV holds the designs that were finished.
    """
    if designs is not None and grid is not None:
        raise WrongUsage("--designs stands beside --grid", fix="give one of them")
    declared = [replace(parse_target(text)[0], interval="bootstrap") for text in targets]
    for target in declared:
        check_target_name(target.name, taken=MEASURED)
    options = options or MeasurementOptions(technology=SHIPPED)
    options = replace(options, output=output or options.output, targets=(*options.targets, *declared))
    path_out = Path(out) if out is not None else None
    inputs = [one for one in (model, data, designs, calibration, options.technology) if isinstance(one, (str, Path))]
    _check_outputs(path_out, inputs=inputs, force=force)
    network = load_network(model)
    name = family or network.name
    if not network.weights:
        table = source_design(family=name)
        say("it has no weights to compress: it is measured as it is, as a point of comparison")
    elif designs is not None:
        table = read_grid(read_table(designs, name="designs"), family=name)
    else:
        table = grid_designs(grid or DEFAULT_GRID, family=name)
    calibrating = load_data(calibration) if isinstance(calibration, str) else calibration
    setup = prepare_measurement(
        network, load_data(data) if isinstance(data, str) else data, options=options, calibration=calibrating
    )
    for text in setup.task.notes:
        say(text)
    for text in setup.task.warnings:
        say(f"warning: {text}")
    rows: dict[Key, Row] = {}
    conditions = provenance(setup, when=_now())
    is_file = path_out is not None and not is_stream(path_out)
    stored = open_samples_file(path_out, conditions, force=force, notify=say) if path_out and is_file else nullcontext()
    try:
        with stored as file:
            _measure_all(setup, table, rows, file=file, progress=progress, say=say)
    except KeyboardInterrupt:
        n = sum(map(is_measured, rows.values()))
        saved = f"the {n} designs measured so far are in {out}" if is_file and n else "nothing was written"
        raise Interrupted(f"stopped; {saved}", fix="the same command measures the rest") from None
    failed = [row for row in rows.values() if row["error"]]
    if len(failed) == len(rows):
        raise MeasurementFailed(
            f"none of {len(rows)} designs could be measured: {failed[0]['error']}",
            fix="correct that, or try one design",
        )
    if path_out is not None and not is_file:
        write_text(path_out, table_text([*rows.values()], columns_of_file(conditions)))
    return Measurement(setup, tuple(rows.values()), {**conditions, "measured": _now()})


def inspect(
    model: str | Path,
    *,
    data: str | LabelledData | None = None,
    output: str | None = None,
    targets: Sequence[str] = (),
) -> Inspection:
    """Inspect a network: its feeds, scored output, counts, share of compressed weights, and problems.

    Args:
        model: an ONNX file, or a shipped network's name.
        data: labelled data as for `measure`; None leaves open what is scored.
        output: the output to score; None chooses it.
        targets: what the data's `score` returns, as for `measure`.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: there is no such network, data or output.
        InvalidFile: the network or the data is damaged.
        MeasurementFailed: onnxruntime cannot load the network.
    """
    network = load_network(model)
    labelled = load_data(data) if isinstance(data, str) else data
    names = [parse_target(text)[0].name for text in targets]
    return inspect_network(network, labelled, output=output, targets=names)


def _measure_all(
    setup: MeasurementSetup,
    designs: Columns,
    rows: dict[Key, Row],
    *,
    file: SamplesFile | None,
    progress: Callable[[int, int], None] | None,
    say: Callable[[str], None],
) -> None:
    """Add the row of each design to `rows`, in their order: from the file, or measured and added to the file."""
    keys = [key_of(row) for row in knobs_of_rows(designs)]
    measured = file.measured(keys) if file else {}
    missing = [i for i, key in enumerate(keys) if key not in measured]
    rows |= measured
    done = len(keys) - len(missing)
    if progress:
        progress(done, len(keys))
    for row in measure_table(setup, take(designs, np.array(missing, dtype=np.int64)), cache=file.cache if file else {}):
        if row.get("is_busy") and not any(earlier.get("is_busy") for earlier in rows.values()):
            say(_BUSY)
        rows[key_of(row)] = row
        if file:
            file.append(row)
        done += 1
        if progress:
            progress(done, len(keys))
    if note := busy_note(rows.values()):
        again = "; the same command times those again" if file and any(map(is_latency_refused, rows.values())) else ""
        say(f"{note}{again}")
    ordered = {key: rows[key] for key in keys}
    rows.clear()
    rows.update(ordered)


def _check_outputs(path: Path | None, *, inputs: Sequence[str | Path], force: bool) -> None:
    """Raise before any work if the output must not be written.

    Raises:
        WrongUsage: the table or its provenance is an input, or a file that explorer did not write.
    """
    if path is None:
        return
    check_output(path, kind="samples table", inputs=inputs, force=force)
    if not is_stream(path):
        check_output(provenance_path(path), kind="provenance", inputs=inputs, force=force)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
