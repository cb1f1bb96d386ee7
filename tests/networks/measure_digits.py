"""Measure the (R, D) surface of the five shipped classifiers and write it as one samples CSV with its provenance.

    python tests/networks/measure_digits.py explorer/network/zoo

Equivalent to `explorer measure NAME --data digits` for each network. Accuracies and sizes are reproducible on any
machine up to rounding; latencies are those of the machine in the provenance.
"""

import datetime
import json
import sys
from pathlib import Path

from explorer.io.files import write_text
from explorer.network.graph.model import load_network, shipped_networks
from explorer.network.measurement.design_grid import DEFAULT_GRID, grid_designs
from explorer.network.measurement.measure import Row, as_columns, measure_table
from explorer.network.measurement.provenance import provenance
from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
from explorer.network.task.labelled_data import load_data
from explorer.pareto.results.csv_text import csv_text


def main(folder: Path) -> None:
    """Measure all five networks and write digits-surface.csv and digits-surface.provenance.json."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    rows: list[Row] = []
    origins = {}
    for name in (name for name in shipped_networks() if name.startswith("digits-")):
        bench = prepare_measurement(load_network(name), load_data("digits"), options=MeasurementOptions(energy="none"))
        rows += measure_table(bench, grid_designs(DEFAULT_GRID, family=name))
        origins[name] = provenance(bench, when=now)
    columns = as_columns(rows)
    write_text(folder / "digits-surface.csv", csv_text(columns, list(columns)))
    text = json.dumps(origins, indent=1, ensure_ascii=False) + "\n"
    write_text(folder / "digits-surface.provenance.json", text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
