"""`explorer deploy`: the bundle of a chosen configuration."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Codec(StrEnum):
    """Which size is meant."""

    file = "file"
    dense = "dense"
    deflate = "deflate"
    entropy = "entropy"


def deploy(
    chosen: Annotated[Path, typer.Argument(metavar="CHOSEN.json", help="What `explorer choose` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The bundle's folder, to be made.")],
    model: Annotated[
        str | None, typer.Option("--model", help="An ONNX file or a shipped network's name, to be compressed.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option("--device", help="A device's name or TOML file: its nearest clock.", show_default="chosen.json's"),
    ] = None,
    bin_name: Annotated[str, typer.Option("--bin", help="The device's speed bin.", show_default=False)] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there already.")] = False,
    allow_extrapolation: Annotated[
        bool, typer.Option("--allow-extrapolation", help="Take a design outside the model's domain as well.")
    ] = False,
    codec: Annotated[Codec, typer.Option("--codec", help="Which size size_bytes promises.")] = Codec.deflate,
    technology: Annotated[
        Path | None, typer.Option("--technology", help="TOML of pJ per MAC and access.", show_default="45 nm")
    ] = None,
    level: Annotated[str, typer.Option("--level", help="The memory level of Eq. (1).")] = "dram",
) -> None:
    """Write the deployment bundle of a chosen configuration: manifest, checksums, and what has not been checked.

    With --model it holds your network, pruned and quantized at the chosen R and D; with --device, scripts that set the
    device's nearest clock and restore the former one. It never tells to set a voltage: that is for the device to
    choose.
    """
    from explorer import api
    from explorer.cli.console import note, print_text
    from explorer.deploy.artifact import NetworkOptions
    from explorer.network.technology import SHIPPED

    made, bundle = api.deploy(
        chosen, out=output, model=model, device=device, bin_name=bin_name, force=force,
        allow_extrapolation=allow_extrapolation, network=NetworkOptions(codec.value, level, technology or SHIPPED),
    )  # fmt: skip
    for name in bundle.names:
        print_text(str(bundle.folder / name))
    note(f"design {made.design.design_id} of {made.study} ({made.rule.text}). What has NOT been checked:")
    for text in made.not_checked:
        note(f"  {text}")
