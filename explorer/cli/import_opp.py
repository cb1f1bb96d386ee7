"""`explorer import-opp`: a device's own operating points, from its device tree or a CSV."""

from pathlib import Path
from typing import Annotated

import typer


def import_opp(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A device tree's source (.dts, .dtsi) or a CSV.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the device's TOML here.", show_default="to stdout")
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", help="The table's label or node name, where there are several.")
    ] = None,
    bin_name: Annotated[str | None, typer.Option("--bin", help="Only the points of this speed bin.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
) -> None:
    """Read a device's table of operating points, and write it as a device that a search space can name.

    Knows operating-points-v2 (opp-hz, opp-microvolt, per-bin opp-microvolt-NAME, opp-supported-hw), the old pairs of
    kHz and microvolt, and what dtc decompiles. A CSV has frequency_hz (or _mhz), and voltage_v (or _mv), power_w, bin.
    """
    import sys

    from explorer import api
    from explorer.cli.console import note

    table, text = api.import_opp(file, cluster=cluster, bin_name=bin_name, output=output, force=force)
    if output is None:
        sys.stdout.write(text)
    for line in table.notes:
        note(f"note: {line}")
    bins = sorted({point.bin for point in table.points} - {""})
    if len(bins) > 1:
        note(f"note: {len(bins)} speed bins: {', '.join(bins)}; a space says which its chip is: bin = '{bins[0]}'")
    usage = f'[operating_points] device = "{output}"' if output else "write it with -o DEVICE.toml"
    note(f"{len(table.points)} operating points; a search space names them: {usage}")
