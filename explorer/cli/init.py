"""`explorer init`: a space and a study to start from, for a user's own samples."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    samples: Annotated[Path, typer.Argument(metavar="SAMPLES.csv", help="Your measurements.")],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the space and the study.", show_default="the file's name")
    ] = None,
    knob: Annotated[
        list[str] | None,
        typer.Option("--knob", help="A further column that is a knob; may be repeated.", show_default="by its name"),
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Search the measured rows themselves, without a model.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
) -> None:
    """Write a commented space and study for your samples: search_spaces/NAME.toml and studies/NAME.toml.

    Knobs are the columns that explorer knows and those that look like knobs; objectives are targets measured in every
    row; ranges and lists are those of the samples. Look through both files, then `explorer run NAME`.
    """
    import shlex

    from explorer import api
    from explorer.cli.console import note, print_text

    starter = api.init(samples, name=name, knobs=knob or (), table=table, force=force)
    for path in starter.paths:
        print_text(str(path))
    for text in starter.notes:
        note(f"note: {text}")
    note(f"look through {'it' if len(starter.paths) == 1 else 'them'}, then:")
    if not table:
        columns = "".join(f" --knob {shlex.quote(column)}" for column in knob or ())
        model = shlex.quote(starter.model_file)
        note(f"  explorer fit {shlex.quote(str(samples))}{columns} -o {model}    # its errors on held-out rows")
    note(f"  explorer run {starter.name}")
    note(f"  explorer choose {starter.name} --knee")
