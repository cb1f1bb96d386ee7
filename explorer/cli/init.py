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
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write a commented space and study for your samples: search_spaces/NAME.toml and studies/NAME.toml.

    Knobs are the columns that explorer knows and those that look like knobs; objectives are what was measured in every
    row; ranges and lists are those of the samples. Look through both files, then `explorer run NAME`.
    """
    import shlex

    from explorer.cli.console import note, print_text
    from explorer.errors import WrongUsage
    from explorer.io.files import write_text
    from explorer.models.scaffold import fitted_model_name, scaffold_name, scaffold_study

    called = scaffold_name(samples, name=name)
    starter = scaffold_study(samples, name=called, folder=Path("studies"), knobs=knob or (), is_table=table)
    texts = {Path("studies") / f"{called}.toml": starter.study}
    if starter.space is not None:
        texts = {Path("search_spaces") / f"{called}.toml": starter.space, **texts}
    there = [str(path) for path in texts if path.exists()]
    if there and not force:
        raise WrongUsage(f"{' and '.join(there)}: there already", fix="take another --name, or --force to replace")
    for path, text in texts.items():
        write_text(path, text)
        print_text(str(path))
    if called == f"my-{samples.stem}":
        note(f"note: called '{called}', for what ships as '{samples.stem}' would no longer be found here")
    for text in starter.notes:
        note(f"note: {text}")
    note(f"look through {'it' if len(texts) == 1 else 'them'}, then:")
    if not table:
        columns = "".join(f" --knob {shlex.quote(column)}" for column in knob or ())
        model = shlex.quote(fitted_model_name(samples.name))
        note(f"  explorer fit {shlex.quote(str(samples))}{columns} -o {model}    # what the model is worth")
    note(f"  explorer run {called}")
    note(f"  explorer choose {called} --knee")
