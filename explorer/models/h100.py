"""H100 samples: four families measured by this project on one accelerator; energy and accuracy in two tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from explorer.io.csv_text import CsvTable
from explorer.io.files import sha256
from explorer.io.tables.read import read_table
from explorer.models.response.tables import KnobColumns
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples

_FOLDER = Path(__file__).parent
_SOURCE = (
    "measured on an NVIDIA H100 80GB HBM3 (total-energy counter, windows of 2 s of CUDA-graph replays, idle power of "
    "128 W included); accuracy on 719 held-out digits of 32 x 32 pixels. 'Pruned' networks were trained at that width, "
    "and R counts the weights that they lack (Eq. 4); D is the step of Eq. (5) on the weights, rounded after training"
)
_MACHINE = "NVIDIA H100 80GB HBM3 at 1.98 GHz"
_ENERGY_KNOBS = (
    KnobSpec("family", "category"),
    KnobSpec("pruning_ratio", "number"),
    KnobSpec("precision", "category"),
    KnobSpec("batch_size", "number", is_log=True),
)
_ACCURACY_KNOBS = (
    KnobSpec("family", "category"),
    KnobSpec("pruning_ratio", "number"),
    KnobSpec("quant_step", "number"),
)


def h100_tables() -> tuple[KnobColumns, KnobColumns]:
    """Return two tables: energy, latency and power by precision and batch size; accuracy by step. Both vary the width.

    `latency_s` is per batch, `energy_j` per inference. `quant_step` 0 is a network that was not quantized.
    """
    energy = _table("h100_energy.csv", _ENERGY_KNOBS, ("latency_s", "energy_j", "power_w"))
    accuracy = _table("h100_accuracy.csv", _ACCURACY_KNOBS, ("accuracy",))
    return energy, accuracy


def _table(file: str, knobs: Sequence[KnobSpec], targets: Sequence[str]) -> KnobColumns:
    path = _FOLDER / file
    table = read_table(path)
    columns = {knob.name: _values(table, knob) for knob in knobs}
    columns |= {name: np.array([float(cell) for cell in table.cells(name)]) for name in targets}
    labels = tuple(f"{family} {width}, row {n} of {file}" for family, width, n in zip(
        table.cells("family"), table.cells("width"), table.numbers, strict=True))  # fmt: skip
    samples = Samples(columns, labels, _SOURCE, sha256(table.text), (), tuple(table.numbers), machine=_MACHINE)
    return KnobColumns(samples, tuple(knobs))


def _values(table: CsvTable, knob: KnobSpec) -> "np.ndarray[tuple[int], np.dtype[np.object_ | np.float64]]":
    cells = table.cells(knob.name)
    return np.array(cells, dtype=object) if knob.kind == "category" else np.array([float(cell) for cell in cells])
