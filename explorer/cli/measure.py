"""`explorer measure`: what compressed versions of a real network are worth, measured."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from explorer.network.measurement.measure import Row
    from explorer.network.measurement.setup import MeasurementSetup

SAVE_EVERY_S = 5.0


class Codec(StrEnum):
    """Which size is meant."""

    file = "file"
    dense = "dense"
    deflate = "deflate"
    entropy = "entropy"


class Energy(StrEnum):
    """Whether to look for a meter."""

    auto = "auto"
    none = "none"


class Container(StrEnum):
    """What codes may be clipped to."""

    int4 = "int4"
    int8 = "int8"
    int16 = "int16"


def measure(
    model: Annotated[str, typer.Argument(metavar="MODEL.onnx", help="An ONNX file, or a shipped network's name.")],
    data: Annotated[str, typer.Option("--data", help="VALIDATION.npz with x and y; `digits`; or python:MODULE.")],
    designs: Annotated[
        Path | None, typer.Option("--designs", help="A CSV with the columns pruning_ratio and quant_step.")
    ] = None,
    grid: Annotated[
        str | None,
        typer.Option("--grid", help="'R=low:high:n,D=low:high:n(log)'; one number fixes a knob.", show_default="7 x 7"),
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="Name in the table.", show_default="MODEL's")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write a samples CSV here.")] = None,
    codec: Annotated[Codec, typer.Option("--codec", help="Which size is size_bytes.")] = Codec.deflate,
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="Prune each tensor by R alone.")] = False,
    clip: Annotated[Container | None, typer.Option("--clip", help="Clip codes to this instead of widening.")] = None,
    full_int8: Annotated[
        str | None, typer.Option("--full-int8", metavar="CALIBRATION", help="int8 activations, set on this data.")
    ] = None,
    energy: Annotated[Energy, typer.Option("--energy", help="auto: where a meter is; it is never guessed.")] = (
        Energy.auto
    ),
    device: Annotated[str, typer.Option("--device", help="cpu or cuda.")] = "cpu",
    technology: Annotated[
        Path | None, typer.Option("--technology", help="TOML of pJ per MAC and access.", show_default="45 nm")
    ] = None,
    level: Annotated[str, typer.Option("--level", help="The memory level of Eq. (1).")] = "dram",
    time_limit: Annotated[float | None, typer.Option("--time-limit", help="Seconds for each design.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Prune and quantize a network to each design, run it on labelled data, and write what was measured.

    Accuracy comes with its 95 % Wilson interval, latency is the median of interleaved runs on one thread, size names
    its codec. Energy is measured where this machine has a meter, and otherwise absent; energy_mac_mem_j is Eq. (1)
    under a declared technology. Designs that end in the same codes are measured once. Ctrl-C keeps what is done.
    """
    from explorer.cli.console import note, print_json
    from explorer.errors import Interrupted, MeasurementFailed, WrongUsage
    from explorer.network.graph.model import load_network
    from explorer.network.measurement.design_grid import DEFAULT_GRID, grid_designs, read_grid
    from explorer.network.measurement.labelled_data import load_data
    from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
    from explorer.network.measurement.technology import SHIPPED

    if designs is not None and grid is not None:
        raise WrongUsage("--designs stands beside --grid", fix="give one of them")
    network = load_network(model)
    name = family or network.name
    wanted = read_grid(designs, family=name) if designs else grid_designs(grid or DEFAULT_GRID, family=name)
    conditions = MeasurementOptions(
        codec=codec.value, per_tensor=per_tensor, clip_to=clip.value if clip else None, energy=energy.value,
        seconds=time_limit, device=device, level=level, technology=technology or SHIPPED,
    )  # fmt: skip
    calibration = load_data(full_int8) if full_int8 else None
    bench = prepare_measurement(network, load_data(data), options=conditions, calibration=calibration)
    rows: list[Row] = []
    try:
        _measure_all(bench, wanted, rows=rows, output=output)
    except KeyboardInterrupt:
        if output is not None and rows:
            _write(bench, rows, output=output)
        kept = f"the {len(rows)} designs measured so far are in {output}" if output and rows else "nothing was written"
        raise Interrupted(f"stopped; {kept}", fix="the same command measures all of them again") from None
    failed = [row for row in rows if row["error"]]
    if len(failed) == len(rows):
        raise MeasurementFailed(
            f"none of {len(rows)} designs could be measured: {failed[0]['error']}", fix="mend that, or try one design"
        )
    if as_json:
        print_json(_payload(bench, rows))
    else:
        _print(bench, rows)
    for row in failed[:5]:
        note(f"note: R = {row['pruning_ratio']:g}, D = {row['quant_step']:g} failed: {row['error']}")
    if output is not None:
        _write(bench, rows, output=output)
        note(f"wrote {output} and {_sidecar(output).name}")


def _measure_all(bench: "MeasurementSetup", designs: Any, *, rows: "list[Row]", output: Path | None) -> None:
    import time

    from explorer.cli.progress import counting_progress
    from explorer.network.measurement.measure import measure_table

    saved = time.monotonic() - 2 * SAVE_EVERY_S
    with counting_progress("measuring", total=len(designs["family"])) as advance:
        for row in measure_table(bench, designs):
            rows.append(row)
            advance()
            # The first good row at once: a place that cannot be written shows before the work is done.
            is_due = time.monotonic() - saved > SAVE_EVERY_S and not all(row["error"] for row in rows)
            if output is not None and is_due:
                _write(bench, rows, output=output)
                saved = time.monotonic()


def _sidecar(output: Path) -> Path:
    return output.with_name(f"{output.stem}.provenance.json")


def _write(bench: "MeasurementSetup", rows: "list[Row]", *, output: Path) -> None:
    import datetime
    import json

    from explorer.io.files import write_text
    from explorer.network.measurement.measure import as_columns
    from explorer.network.measurement.provenance import provenance
    from explorer.pareto.results.csv_text import csv_text

    columns = as_columns(rows)
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_text(output, csv_text(columns, list(columns)))
    write_text(_sidecar(output), json.dumps(provenance(bench, when=now), indent=1, ensure_ascii=False) + "\n")


def _payload(bench: "MeasurementSetup", rows: "list[Row]") -> dict[str, Any]:
    import datetime

    from explorer.network.measurement.provenance import provenance

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    operators = [
        {"name": o.name, "operator": o.operator, "n_macs": o.n_macs, "n_accesses": o.n_accesses}
        for o in bench.counts.operators
    ]
    said = provenance(bench, when=now)
    return {**said, "schema": "explorer.measure/1", "operators": operators, "designs": rows}


def _print(bench: "MeasurementSetup", rows: "list[Row]") -> None:
    from explorer.cli.console import note, print_table, print_text

    network, counts = bench.network, bench.counts
    print_text(
        f"{network.name}: {network.n_weights:,} weights, {network.n_bytes:,} bytes; {int(bench.is_correct.sum())} of "
        f"{bench.data.n_samples} right; {counts.n_macs:,} MACs and {counts.n_accesses:,} memory accesses a run"
    )
    print_text("")
    titles = ["R", "D", "R_eff", "accuracy", "95 % interval", "latency us", f"{rows[0].get('size_codec', '')} bytes",
              "codes", "clipped", "eq. (1) nJ", "energy mJ"]  # fmt: skip
    print_table(titles, [_cells(row) for row in rows])
    note("weights that are zero save no time on dense hardware; latency is onnxruntime's, one thread")
    note(
        f"energy: {bench.meter.name}, idle in it" if bench.meter else "energy: no meter on this machine, none measured"
    )
    note(f"eq. (1) is modelled: {bench.technology.title}, every access to {bench.options.level}")
    if counts.uncounted:
        note(f"not counted: {', '.join(counts.uncounted[:5])}")


def _cells(row: "Row") -> list[Any]:
    knobs = [row["pruning_ratio"], row["quant_step"]]
    if row["error"]:
        return [*knobs, *["-"] * 9]
    energy = row.get("energy_j")
    return [
        *knobs, row["r_effective"], f"{row['accuracy']:.4f}", f"[{row['accuracy_lo']:.3f}, {row['accuracy_hi']:.3f}]",
        row["latency_s"] * 1e6, row["size_bytes"], row["container"], row["n_clipped"], row["energy_mac_mem_j"] * 1e9,
        energy * 1e3 if energy is not None else "-",
    ]  # fmt: skip
