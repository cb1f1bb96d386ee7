"""Append the measurements of a verification to a samples CSV, for the next fit."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.verification.run_network import Evaluation
from explorer.errors import Fault, InvalidFile
from explorer.io.files import MAX_TABLE_BYTES, read_text, write_text
from explorer.network.measurement.host import processor
from explorer.network.measurement.measure import KNOBS, MEASURED
from explorer.network.measurement.samples_file import samples_lock
from explorer.problem.columns import bounds

COLUMNS = (*KNOBS, *MEASURED)
_REQUIRED = ("family",)
_CLOCK_DEPENDENT = ("latency_s", "latency_s_lo", "latency_s_hi", "energy_j", "power_w")


def read_samples_header(path: Path) -> list[str]:
    """Return the columns of a samples CSV; those of `explorer measure` if the file does not exist yet.

    Raises:
        WrongUsage: the file cannot be read.
        InvalidFile: it has no header, or a required column is missing.
    """
    if not path.exists():
        return list(COLUMNS)
    header = _header(read_text(path, max_bytes=MAX_TABLE_BYTES), path)
    missing = [name for name in _REQUIRED if name not in header]
    if missing:
        fault = f"column '{missing[0]}' is missing"
        raise InvalidFile(path, [Fault("row 1", fault, "name a table that `explorer measure -o` wrote, or a new one")])
    return header


def append_row(
    path: Path, manifest: ManifestFile, evaluation: Evaluation, *, sizes: Mapping[str, int], is_on_device: bool
) -> None:
    """Append measurements as a row; existing rows are not changed, and no columns are added.

    On another machine or at another clock, latency and energy are not those of the design. They stay empty in a table
    with clock or voltage columns.

    Args:
        path: path of the samples CSV.
        manifest: manifest of the bundle.
        evaluation: the measurements.
        sizes: sizes of the network file in bytes, by codec.
        is_on_device: this machine is the device at the applied clock.

    Raises:
        WrongUsage: the file cannot be read or written.
        InvalidFile: it is not a samples CSV.
    """
    row, qualities = sample_row(manifest, evaluation, sizes=sizes), _qualities(evaluation)
    with samples_lock(path):
        header = read_samples_header(path)
        if not path.exists():
            header += [name for name in qualities if name not in header]
        if not set(evaluation.qualities) & set(header):
            fault = f"has no column {' or '.join(evaluation.qualities)}"
            raise InvalidFile(path, [Fault("row 1", fault, "name a table of this network's samples, or a new one")])
        _append(path, header, row, is_on_device=is_on_device)


def _append(path: Path, header: list[str], row: Mapping[str, Any], *, is_on_device: bool) -> None:
    has_clock = not {"frequency_hz", "voltage_v"}.isdisjoint(header)
    omitted = _CLOCK_DEPENDENT if has_clock and not is_on_device else ()
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if path.exists():
        existing = read_text(path, max_bytes=MAX_TABLE_BYTES)
        buffer.write(existing if existing.endswith("\n") else existing + "\n")
    else:
        writer.writerow(header)
    writer.writerow(["" if name in omitted or row.get(name) is None else row[name] for name in header])
    write_text(path, buffer.getvalue())


def sample_row(manifest: ManifestFile, evaluation: Evaluation, *, sizes: Mapping[str, int]) -> dict[str, Any]:
    """Return the measurements by the columns of `explorer measure`, with operating point and the study's own knobs."""
    design, network, point = manifest.design, manifest.network, manifest.operating_point
    energy = network.energy_mac_mem if network else None
    latency, window = evaluation.latency, evaluation.window
    row: dict[str, Any] = {
        "family": design.family, "pruning_ratio": design.pruning_ratio, "quant_step": design.quant_step, **design.knobs,
        **_qualities(evaluation), "n_samples": evaluation.n_samples,
        "latency_s": latency.seconds, "latency_s_lo": latency.low, "latency_s_hi": latency.high,
        "latency_batch": evaluation.batch,
        **{f"size_{codec}_bytes": n_bytes for codec, n_bytes in sizes.items()},
        "energy_basis": "measured" if window else "none", "energy_meter": evaluation.meter, "machine": processor(),
    }  # fmt: skip
    if network:
        row |= {"size_bytes": sizes[network.size_codec], "size_codec": network.size_codec,
                "recipe": "paper" if network.activations == "float32" else "paper-int8",
                "r_effective": network.r_effective, "n_clipped": network.n_clipped,
                "container": network.container}  # fmt: skip
    if energy:
        row |= {"n_macs": energy.n_macs, "n_accesses": energy.n_accesses, "energy_mac_mem_j": energy.value}
    if window:
        row |= {"energy_j": window.joules / window.n_runs, "power_w": window.joules / window.seconds,
                "energy_window_s": window.seconds, "energy_runs": window.n_runs}  # fmt: skip
    if point:
        row["frequency_hz"] = point.applied.frequency_hz if point.applied else point.asked.frequency_hz
        row["voltage_v"] = point.information.voltage_v if point.information else None
    return row


def _qualities(evaluation: Evaluation) -> dict[str, Any]:
    """Return the measured qualities with their intervals, an unknown bound as None, and the count of right samples."""
    row: dict[str, Any] = {}
    for name, quality in evaluation.qualities.items():
        values = (quality.value, quality.lo, quality.hi)
        row |= {column: value if math.isfinite(value) else None
                for column, value in zip((name, *bounds(name)), values, strict=True)}  # fmt: skip
        if quality.n_right is not None:
            row["n_right"] = quality.n_right
    return row


def _header(text: str, path: Path) -> list[str]:
    try:
        header = next(csv.reader(io.StringIO(text), strict=True), [])
    except csv.Error as error:
        raise InvalidFile(path, [Fault("row 1", f"is not CSV: {error}", "name a samples CSV")]) from None
    return [name.strip() for name in header]
