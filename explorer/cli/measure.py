"""`explorer measure`: measures compressed versions of a real network."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explorer.api.measurement import Measurement, Row


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
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Write a samples CSV here, or continue the one that is there.")
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="NAME:min|max[:UNIT]", help="What score returns: mAP:max; may be repeated."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("--output", metavar="NAME", help="The output that gives the classes.", show_default="best one"),
    ] = None,
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
    force: Annotated[bool, typer.Option("--force", help="Begin the samples CSV anew, whatever it holds.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Prune and quantize a network to each design, run it on labelled data, and write the measurements.

    Accuracy comes with its 95 % Wilson interval, latency is the 20th percentile of interleaved runs on one thread, size
    names its codec. Energy is measured where this machine has a meter, and otherwise absent; energy_mac_mem_j is Eq.
    (1) under a declared technology. Designs that end in the same codes are measured once. Each finished design is in
    the samples CSV at once: the same command, or one with another grid, measures only what is missing.
    """
    from explorer import api
    from explorer.api.measurement import SHIPPED, MeasurementOptions
    from explorer.cli.console import note, print_json
    from explorer.cli.progress import counting_progress

    options = MeasurementOptions(
        codec=codec.value, per_tensor=per_tensor, clip_to=clip.value if clip else None, energy=energy.value,
        seconds=time_limit, device=device, level=level, technology=technology or SHIPPED,
    )  # fmt: skip
    with counting_progress("measuring") as advance:
        result = api.measure(
            model, data=data, designs=designs, grid=grid, family=family, calibration=full_int8, options=options,
            out=out, targets=target or (), output=output, force=force, progress=advance,
            say=lambda text: note(text if text.startswith("warning: ") else f"note: {text}"),
        )  # fmt: skip
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)
    for row in result.failures[:5]:
        knobs = ", ".join(f"{name} = {row[key]:g}" for name, key in (("R", "pruning_ratio"), ("D", "quant_step"))
                          if key in row)  # fmt: skip
        note(f"note: {knobs or 'the source network'} failed: {row['error']}")
    if out is not None and out.stem and not out.is_char_device() and not out.is_fifo():
        note(f"wrote {out} and {out.stem}.provenance.json")


def _print(result: "Measurement") -> None:
    from explorer.cli.console import note, print_prose, print_table

    setup, rows = result.setup, result.rows
    network, counts = setup.network, setup.counts
    source = ", ".join(quality.text(name) for name, quality in setup.task.source.items())
    print_prose(
        f"{network.name}: {network.n_weights:,} weights, {network.n_bytes:,} bytes; {source}; {counts.n_macs:,} MACs "
        f"and {counts.n_accesses:,} memory accesses a run"
    )
    print_prose("")
    targets = setup.task.targets
    level = "90 %" if setup.task.data.score else "95 %"
    titles = ["R", "D", "R_eff", *(title for name in targets for title in (name, f"{level} interval")), "latency us",
              f"{rows[0].get('size_codec', '')} bytes", "codes", "clipped", "eq. (1) nJ", "energy mJ"]  # fmt: skip
    spare = ["clipped", "eq. (1) nJ", "codes", "energy mJ", "R_eff", *[f"{level} interval"] * len(targets)]
    left_out = print_table(titles, [_cells(row, targets) for row in rows], spare=spare)
    if left_out:
        note(f"left out, as the terminal is narrow: {', '.join(dict.fromkeys(left_out))} (--json and -o have them)")
    note("weights that are zero save no time on dense hardware; latency is onnxruntime's, one thread")
    note(
        f"energy: {setup.meter.name}, idle in it" if setup.meter else "energy: no meter on this machine, none measured"
    )
    note(f"eq. (1) is modelled: {setup.technology.title}, every access to {setup.options.level}")
    if counts.uncounted:
        note(f"not counted: {', '.join(counts.uncounted[:5])}")


def _cells(row: "Row", targets: "Sequence[str]") -> list[Any]:
    knobs = [row.get("pruning_ratio", "-"), row.get("quant_step", "-")]
    if row["error"]:
        return [*knobs, *["-"] * (7 + 2 * len(targets))]
    quality = [
        text for name in targets
        for text in (f"{row[name]:.4f}", f"[{row[f'{name}_lo']:.3f}, {row[f'{name}_hi']:.3f}]")
    ]  # fmt: skip
    energy = row.get("energy_j")
    return [
        *knobs, row.get("r_effective", "-"), *quality,
        row["latency_s"] * 1e6 if "latency_s" in row else "-", row["size_bytes"], row["container"], row["n_clipped"],
        row["energy_mac_mem_j"] * 1e9,
        energy * 1e3 if energy is not None else "-",
    ]  # fmt: skip
