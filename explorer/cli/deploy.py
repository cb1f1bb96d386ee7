"""`explorer deploy`: the bundle of a chosen configuration."""

from pathlib import Path
from typing import Annotated

import typer


def deploy(
    chosen: Annotated[Path, typer.Argument(metavar="CHOSEN.json", help="What `explorer choose` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="BUNDLE", help="The bundle's folder, to be made.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a bundle that is there already.")] = False,
    allow_extrapolation: Annotated[
        bool, typer.Option("--allow-extrapolation", help="Take a design outside the model's domain as well.")
    ] = False,
) -> None:
    """Write the deployment bundle of a chosen configuration: manifest, checksums, and what has not been checked.

    The bundle says how to compress the network and at which clock to run it. It never tells to set a voltage: that is
    for the device to choose.
    """
    from explorer import api
    from explorer.cli.console import note, print_text

    made, bundle = api.deploy(chosen, out=output, force=force, allow_extrapolation=allow_extrapolation)
    for name in bundle.names:
        print_text(str(bundle.folder / name))
    note(f"design {made.design.design_id} of {made.study} ({made.rule.text}). What has NOT been checked:")
    for text in made.not_checked:
        note(f"  {text}")
