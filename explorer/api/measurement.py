"""Measurements of compressed versions of a network: accuracy, latency, size, operation counts and energy."""

import datetime
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import Interrupted, MeasurementFailed, WrongUsage
from explorer.io.files import write_text
from explorer.io.json_text import write_json
from explorer.io.tables.frame import Table
from explorer.io.tables.read import read_table
from explorer.network.graph.model import load_network
from explorer.network.measurement.design_grid import DEFAULT_GRID, grid_designs, read_grid
from explorer.network.measurement.labelled_data import LabelledData, load_data
from explorer.network.measurement.measure import Row, as_columns, measure_table
from explorer.network.measurement.provenance import provenance
from explorer.network.measurement.setup import MeasurementOptions, MeasurementSetup, prepare_measurement
from explorer.network.measurement.technology import SHIPPED
from explorer.pareto.results.csv_text import csv_text

__all__ = ["DEFAULT_GRID", "SHIPPED", "Measurement", "MeasurementOptions", "Row", "measure"]

SAVE_EVERY_S = 5.0  # a killed command loses at most this much


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

    def save(self, path: str | Path) -> Path:
        """Write the rows as a samples CSV with its provenance in `NAME.provenance.json`; return the latter's path.

        Raises:
            WrongUsage: a file cannot be written.
        """
        return _write(self.setup, list(self.rows), Path(path))

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
    output: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
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
        output: a samples CSV, written while designs are measured.
        progress: called after each design with the numbers of finished and of all designs.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: there is no such network or data, or the file cannot be written.
        InvalidFile: a file is invalid; all faults at once.
        MeasurementFailed: no design could be measured.
        Interrupted: Ctrl-C; the output holds the designs that were finished.
    """
    if designs is not None and grid is not None:
        raise WrongUsage("--designs stands beside --grid", fix="give one of them")
    network = load_network(model)
    name = family or network.name
    if designs is not None:
        table = read_grid(read_table(designs, name="designs"), family=name)
    else:
        table = grid_designs(grid or DEFAULT_GRID, family=name)
    calibrating = load_data(calibration) if isinstance(calibration, str) else calibration
    setup = prepare_measurement(
        network, load_data(data) if isinstance(data, str) else data,
        options=options or MeasurementOptions(technology=SHIPPED), calibration=calibrating,
    )  # fmt: skip
    rows: list[Row] = []
    path_out = Path(output) if output is not None else None
    try:
        _measure_all(setup, table, rows, output=path_out, progress=progress)
    except KeyboardInterrupt:
        if path_out is not None and rows:
            _write(setup, rows, path_out)
        saved = f"the {len(rows)} designs measured so far are in {output}" if output and rows else "nothing was written"
        raise Interrupted(f"stopped; {saved}", fix="the same command measures all of them again") from None
    failed = [row for row in rows if row["error"]]
    if len(failed) == len(rows):
        raise MeasurementFailed(
            f"none of {len(rows)} designs could be measured: {failed[0]['error']}",
            fix="correct that, or try one design",
        )
    result = Measurement(setup, tuple(rows), provenance(setup, when=_now()))
    if path_out is not None:
        result.save(path_out)
    return result


def _measure_all(
    setup: MeasurementSetup,
    designs: Any,
    rows: list[Row],
    *,
    output: Path | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    saved = time.monotonic() - 2 * SAVE_EVERY_S
    for row in measure_table(setup, designs):
        rows.append(row)
        if progress:
            progress(len(rows), len(designs["family"]))
        # The first good row at once: a file that cannot be written is reported before the work is done.
        is_due = time.monotonic() - saved > SAVE_EVERY_S and not all(row["error"] for row in rows)
        if output is not None and is_due:
            _write(setup, rows, output)
            saved = time.monotonic()


def _write(setup: MeasurementSetup, rows: list[Row], path: Path) -> Path:
    columns, sidecar = as_columns(rows), path.with_name(f"{path.stem}.provenance.json")
    write_text(path, csv_text(columns, list(columns)))
    write_json(sidecar, provenance(setup, when=_now()), indent=1)
    return sidecar


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
