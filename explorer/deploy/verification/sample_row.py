"""What a verification measured, as one more row of a samples CSV, so that the next fit learns from it."""

import csv
import io
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.verification.run_network import Evaluation
from explorer.errors import Fault, InvalidFile
from explorer.io.files import MAX_TABLE_BYTES, read_text, write_text
from explorer.network.compression.sizes import Sizes
from explorer.network.measurement.measure import KNOBS, MEASURED

COLUMNS = (*KNOBS, *MEASURED)
_NEEDED = ("family", "accuracy")
_OF_THE_CLOCK = ("latency_s", "latency_s_lo", "latency_s_hi", "energy_j", "power_w")


def read_samples_header(path: Path) -> list[str]:
    """Return the columns of a samples CSV; those of `explorer measure` where there is no such file yet.

    Raises:
        WrongUsage: it may not be read.
        InvalidFile: it has no header, or lacks what a sample is told apart by.
    """
    if not path.exists():
        return list(COLUMNS)
    header = _header(read_text(path, max_bytes=MAX_TABLE_BYTES), path)
    lacking = [name for name in _NEEDED if name not in header]
    if lacking:
        what = f"column '{lacking[0]}' is missing"
        raise InvalidFile(path, [Fault("row 1", what, "name a table that `explorer measure -o` wrote, or a new one")])
    return header


def append_row(path: Path, manifest: ManifestFile, trial: Evaluation, *, sizes: Sizes, on_target: bool) -> None:
    """Append what was measured; what stands in the file stays as it is, and columns that it lacks are left out.

    Away from the device, or with its clock not set, latency and energy are not those of the design's clock: in a table
    that tells samples apart by their clock they stay empty.

    Args:
        path: the table.
        manifest: of the bundle.
        trial: what was measured.
        sizes: of the network's file.
        on_target: whether this machine is the device at the applied clock.

    Raises:
        WrongUsage: it cannot be read or written.
        InvalidFile: it is no samples CSV.
    """
    header = read_samples_header(path)
    has_clock = not {"frequency_hz", "voltage_v"}.isdisjoint(header)
    left_out = _OF_THE_CLOCK if has_clock and not on_target else ()
    row = sample_row(manifest, trial, sizes=sizes)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if path.exists():
        before = read_text(path, max_bytes=MAX_TABLE_BYTES)
        buffer.write(before if before.endswith("\n") else before + "\n")
    else:
        writer.writerow(header)
    writer.writerow(["" if name in left_out or row.get(name) is None else row[name] for name in header])
    write_text(path, buffer.getvalue())


def sample_row(manifest: ManifestFile, trial: Evaluation, *, sizes: Sizes) -> dict[str, Any]:
    """Return what was measured under the columns of `explorer measure`.

    The operating point and the study's own knobs come with it, for tables that have them as columns.
    """
    design, network, point = manifest.design, manifest.network, manifest.operating_point
    energy = network.energy_mac_mem if network else None
    window = trial.window
    row: dict[str, Any] = {
        "family": design.family, "pruning_ratio": design.pruning_ratio, "quant_step": design.quant_step, **design.knobs,
        "accuracy": trial.accuracy.value, "accuracy_lo": trial.accuracy.lo, "accuracy_hi": trial.accuracy.hi,
        "n_right": trial.n_right, "n_samples": trial.n_samples,
        "latency_s": trial.latency.median, "latency_s_lo": trial.latency.low, "latency_s_hi": trial.latency.high,
        "latency_batch": trial.batch,
        "size_file_bytes": sizes.file, "size_dense_bytes": sizes.dense, "size_deflate_bytes": sizes.deflate,
        "size_entropy_bytes": sizes.entropy,
        "energy_basis": "measured" if window else "none", "energy_meter": trial.meter,
    }  # fmt: skip
    if network:
        row |= {"size_bytes": sizes.of(network.size_codec), "size_codec": network.size_codec,
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


def _header(text: str, path: Path) -> list[str]:
    try:
        header = next(csv.reader(io.StringIO(text), strict=True), [])
    except csv.Error as error:
        raise InvalidFile(path, [Fault("row 1", f"is not CSV: {error}", "name a samples CSV")]) from None
    return [name.strip() for name in header]
