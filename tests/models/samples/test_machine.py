"""Machine of samples: read from a table, kept by composed tables, and latencies relative to a source network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from explorer.models.loading import fit_samples, load_samples
from explorer.models.samples.machine import machine_warnings
from explorer.models.samples.samples import Samples, paper_samples, read_samples_csv

RATIOS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def write(path: Path, header: str, rows: Sequence[Sequence[object]]) -> Path:
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n", encoding="utf-8")
    return path


def read(tmp_path: Path, header: str, rows: Sequence[Sequence[object]], **options: Sequence[str]) -> Samples:
    return read_samples_csv(write(tmp_path / "samples.csv", header, rows), **options)


@pytest.mark.parametrize("column", ["machine", "device", "host"])
def test_text_column_names_the_machine(tmp_path: Path, column: str) -> None:
    samples = read(tmp_path, f"pruning_ratio,latency_s,{column}", [(r, 0.1, "AMD EPYC 7B13") for r in RATIOS])

    assert samples.machine == "AMD EPYC 7B13"
    assert samples.rows(np.arange(len(RATIOS)) < 2).machine == "AMD EPYC 7B13"
    assert not any("several machines" in text for text in samples.notes)


def test_table_without_a_machine_does_not_state_one(tmp_path: Path) -> None:
    assert read(tmp_path, "pruning_ratio,latency_s", [(r, 0.1) for r in RATIOS]).machine == ""
    assert read(tmp_path, "pruning_ratio,latency_s,device", [(r, 0.1, "cuda") for r in RATIOS]).machine == ""
    assert read(tmp_path, "pruning_ratio,latency_s,host", [(r, 0.1, 7) for r in RATIOS]).machine == ""


def test_rows_of_several_machines_are_a_warning(tmp_path: Path) -> None:
    rows = [(r, 0.1, "board" if r < 0.5 else "server") for r in RATIOS]
    samples = read(tmp_path, "pruning_ratio,latency_s,machine", rows)
    as_knob = read(tmp_path, "pruning_ratio,latency_s,machine", rows, extra_knobs=["machine"])

    assert samples.machine == "board; server"
    (text,) = machine_warnings(samples.machine)
    assert text.startswith("the samples are of several machines (board, server)")
    assert as_knob.machine == ""
    assert machine_warnings(as_knob.machine) == ()


def test_row_without_a_machine_is_not_of_the_others(tmp_path: Path) -> None:
    rows = [(r, 0.1, "board" if r < 0.5 else "") for r in RATIOS]

    assert read(tmp_path, "pruning_ratio,latency_s,machine", rows).machine == "board; not stated"


def test_shipped_samples_state_their_machine() -> None:
    assert paper_samples().machine == "the paper's accelerator"
    assert {table.samples.machine for table in load_samples(["h100"])} == {"NVIDIA H100 80GB HBM3 at 1.98 GHz"}


def test_composed_model_keeps_the_machine_of_its_latencies(tmp_path: Path) -> None:
    """Accuracy is the same on every machine: the table that measures it need not name one."""
    timed = write(
        tmp_path / "timed.csv", "pruning_ratio,latency_s,machine", [(r, 0.1 - 0.05 * r, "board") for r in RATIOS]
    )
    accurate = write(tmp_path / "accurate.csv", "pruning_ratio,accuracy", [(r, 0.9 - 0.1 * r) for r in RATIOS])

    assert fit_samples(load_samples([str(timed), str(accurate)]), name="both").samples.machine == "board"


def test_latencies_of_a_machine_that_grows_busier_enter_as_ratios(tmp_path: Path) -> None:
    """Pruned networks of equal speed: without the source, latency seems to double with R."""
    load = np.linspace(1.0, 2.0, len(RATIOS))
    rows = [(r, 0.8e-3 * busy, 1e-3 * busy) for r, busy in zip(RATIOS, load, strict=True)]
    paired = read(tmp_path, "pruning_ratio,latency_s,latency_source_s", rows)
    ratio = read(tmp_path, "pruning_ratio,latency_s,latency_ratio", [(r, t, 0.8) for r, t, _ in rows])

    assert paired.columns["latency_s"] == pytest.approx(0.8 * 1e-3 * np.median(load))
    assert ratio.columns["latency_s"] == pytest.approx(paired.columns["latency_s"])
    (note,) = [text for text in paired.notes if text.startswith("latency_s is the ratio to the source")]
    assert "varied by 100%" in note


def test_source_latency_is_compared_within_equal_batches_only(tmp_path: Path) -> None:
    """A larger batch takes longer in the source as well: that is no slow phase of the machine."""
    rows = [(r, b, 0.8e-3 * b * busy, 1e-3 * b * busy) for r in RATIOS for b, busy in ((1, 1 + r), (8, 2 - r))]
    samples = read(tmp_path, "pruning_ratio,batch_size,latency_s,latency_source_s", rows, extra_knobs=["batch_size"])

    batch, latency = samples.columns["batch_size"], samples.columns["latency_s"]
    assert np.ptp(latency[batch == 1]) == pytest.approx(0, abs=1e-12)
    assert latency[batch == 8] == pytest.approx(8 * 0.8e-3 * np.median([2 - r for r in RATIOS]))


def test_rows_without_a_source_enter_as_measured(tmp_path: Path) -> None:
    rows = [(0.1, 1.0, 1.0), (0.2, 2.0, 2.0), (0.3, 5.0, ""), (0.4, "", 3.0)]
    samples = read(tmp_path, "pruning_ratio,latency_s,latency_source_s", rows)

    assert samples.columns["latency_s"] == pytest.approx([1.5, 1.5, 5.0, np.nan], nan_ok=True)
    assert any("1 rows have no such pair" in text for text in samples.notes)


def test_calm_machine_leaves_latencies_unchanged(tmp_path: Path) -> None:
    samples = read(tmp_path, "pruning_ratio,latency_s,latency_source_s", [(r, 0.5 + r, 1.0) for r in RATIOS])

    assert samples.columns["latency_s"].tolist() == [0.5 + r for r in RATIOS]
    assert not any("ratio to the source" in text for text in samples.notes)
