"""Tables 1 and 2 of the paper, row by row in SI units."""

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Table = Mapping[str, NDArray[np.generic]]

SOURCE = "D. Ekpah and M. Abass, 'Energy Efficient Mechanisms for Neural Networks', Tables 1 and 2"

# The file keeps the units that the paper prints; everything inside is SI.
_TO_SI = {
    "mac_energy_pj": ("mac_energy_j", 1e-12),
    "access_energy_pj": ("access_energy_j", 1e-12),
    "original_size_mb": ("original_size_bytes", 1e6),
    "compressed_size_mb": ("compressed_size_bytes", 1e6),
    "frequency_ghz": ("frequency_hz", 1e9),
    "capacitance_nf": ("capacitance_f", 1e-9),
}


@cache
def paper_table() -> Table:
    """Return the ten samples as columns of shape (10,), in SI; rows 1-10 of Table 2 belong to samples 1-10 of Table 1.

    `name` numbers the samples within their family as the paper's text does (`DNN3` is sample 6). The four energies
    and two powers that a sample has keep apart: `total_energy_j` and `power_w` are Table 2's columns,
    `average_power_w` is Table 1's P_avg.

    >>> table = paper_table()
    >>> str(table["name"][5]), float(table["frequency_hz"][5]), float(table["total_energy_j"][5])
    ('DNN3', 1800000000.0, 12.1)
    """
    return parse_table(files("explorer.paper").joinpath("table.csv").read_text(encoding="utf-8"))


def parse_table(text: str) -> Table:
    """Read the text of a table in the format of `table.csv` (the paper's printed units) into SI columns."""
    rows = list(csv.DictReader(text.splitlines()))
    columns: dict[str, NDArray[np.generic]] = {}
    for name in rows[0]:
        cells = [row[name] for row in rows]
        if name == "family":
            columns[name] = np.array(cells)
            continue
        si_name, scale = _TO_SI.get(name, (name, 1.0))
        values = np.array([float(cell) * scale for cell in cells])
        columns[si_name] = values.astype(np.int64) if name in {"sample", "epochs", "batches"} else values
    family = columns["family"]
    number = [int(np.sum(family[: i + 1] == family[i])) for i in range(len(rows))]
    columns["name"] = np.array([f"{f}{n}" for f, n in zip(family, number, strict=True)])
    for values in columns.values():
        values.flags.writeable = False
    return MappingProxyType(columns)
