"""`explorer deploy`: the bundle of a chosen configuration."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.measure import Codec, Container


def deploy(
    chosen: Annotated[Path, typer.Argument(metavar="CHOSEN.json", help="What `explorer choose` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The bundle's folder, to be made.")],
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="An ONNX file or a shipped network's name, to be compressed.",
            show_default="that of a live study",
        ),
    ] = None,
    no_network: Annotated[
        bool, typer.Option("--no-network", help="Ship no network, though the study has one.")
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="Labelled data: its first samples are run, and their outputs stored.",
            show_default="the study's",
        ),
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
    allow_other_machine: Annotated[
        bool, typer.Option("--allow-other-machine", help="Take a device that the samples were not measured on.")
    ] = False,
    codec: Annotated[
        Codec | None, typer.Option("--codec", help="Which size size_bytes is.", show_default="the study's, or deflate")
    ] = None,
    per_tensor: Annotated[bool, typer.Option("--per-tensor", help="Prune each tensor by R alone.")] = False,
    clip: Annotated[Container | None, typer.Option("--clip", help="Clip codes to this instead of widening.")] = None,
    full_int8: Annotated[
        str | None, typer.Option("--full-int8", metavar="CALIBRATION", help="int8 activations, set on this data.")
    ] = None,
    technology: Annotated[
        Path | None, typer.Option("--technology", help="TOML of pJ per MAC and access.", show_default="45 nm")
    ] = None,
    level: Annotated[str, typer.Option("--level", help="The memory level of Eq. (1).")] = "dram",
    governor: Annotated[
        bool, typer.Option("--governor", help="Write operating points by slack, for a run-time governor.")
    ] = False,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", help="Probability that a slack of --governor suffices.", show_default="0.9"),
    ] = None,
) -> None:
    """Write the deployment bundle of a chosen configuration: manifest, checksums, and a list of unchecked claims.

    It holds the network of a live study, or the one of --model, pruned and quantized at the chosen R and D with the
    options of its measurement, and outputs of a few samples that the network must give again. With --device
    it holds scripts that set the device's nearest clock and restore the former one. It never sets a voltage:
    the device chooses it. With --governor it holds the operating points that are Pareto-optimal in latency and energy,
    each with the least time to a deadline from which it can be used.
    """
    from explorer import api
    from explorer.api.deployment import SHIPPED, NetworkOptions, load_data
    from explorer.cli.console import note, print_text
    from explorer.errors import WrongUsage

    if confidence is not None and not governor:
        raise WrongUsage("--confidence stands without --governor", fix="give both, or neither")
    options = NetworkOptions(
        codec.value if codec else None, level, technology or SHIPPED, per_tensor=per_tensor,
        clip_to=clip.value if clip else None, calibration=load_data(full_int8) if full_int8 else None,
        data=load_data(data) if data else None,
    )  # fmt: skip
    manifest, bundle = api.deploy(
        chosen, out=output, model=model, without_network=no_network, device=device, bin_name=bin_name, force=force,
        allow_extrapolation=allow_extrapolation, allow_other_machine=allow_other_machine, network=options,
        governor=governor, confidence=0.9 if confidence is None else confidence,
    )  # fmt: skip
    for name in bundle.names:
        print_text(str(bundle.folder / name))
    for text in manifest.warnings:
        note(f"warning: {text}")
    note(f"design {manifest.design.design_id} of {manifest.study} ({manifest.rule.text}). What has NOT been checked:")
    for text in manifest.not_checked:
        note(f"  {text}")
