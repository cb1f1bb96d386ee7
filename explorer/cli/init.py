"""`explorer init`: a space and a study to start from, for a user's own table."""

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.models import StarterFiles

_FOR_THE_RECORD, _MANY = ("reference", "bookkeeping"), 5


def init(
    samples: Annotated[str, typer.Argument(metavar="FILE", help="Your measurements: any table, or an Optuna storage.")],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the space and the study.", show_default="the file's name")
    ] = None,
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="TARGET=COLUMN", help="What a column is: accuracy=top1; may be repeated."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="NAME:min|max[:UNIT]", help="A further target: mAP:max; may be repeated."),
    ] = None,
    knob: Annotated[
        list[str] | None,
        typer.Option("--knob", help="A further column that is a knob; may be repeated.", show_default="by its name"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="A column to leave out; may be repeated.")
    ] = None,
    table: Annotated[
        bool, typer.Option("--table", help="Search the measured rows themselves, without a model.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Write without asking.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing files.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Write a commented space and study for your table: search_spaces/NAME.toml and studies/NAME.toml.

    Shows what each column was read as, in which unit, and why; a terminal asks before it writes. Objectives are targets
    that vary by more than their noise; ranges and lists are those of the samples.
    """
    import sys

    from explorer.api.models import plan_init, state_columns
    from explorer.cli.console import note, print_json, print_text

    stated = state_columns(mapping=_pairs(maps or ()), targets=target or (), knobs=knob or (), ignore=ignore or ())
    starter = plan_init(samples, name=name, stated=stated, is_table=table)
    if not force:
        starter.ensure_new()
    is_asked = not (yes or as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    if not as_json:
        _print_columns(starter)
    if is_asked:
        starter = _confirmed(starter)
    starter.write()
    if as_json:
        print_json({"schema": "explorer.init/1", **starter.to_json()})
        return
    for path in starter.paths:
        print_text(str(path))
    for text in starter.notes:
        note(f"note: {text}")
    _print_next(starter)


def _pairs(maps: "list[str] | tuple[str, ...]") -> dict[str, str]:
    from explorer.errors import WrongUsage

    pairs = {}
    for text in maps:
        name, equals, column = text.partition("=")
        if not equals or not name.strip() or not column.strip():
            raise WrongUsage(f"--map {text}: this is not TARGET=COLUMN", fix="write for example --map accuracy=top1")
        pairs[name.strip()] = column.strip()
    return pairs


def _print_columns(starter: "StarterFiles") -> None:
    from explorer.cli.console import note, print_table, stderr

    # A table of `explorer measure` has thirty columns for the record: they would hide those that matter.
    counts = Counter((one.read_as, one.why) for one in starter.columns)
    groups: dict[tuple[str, ...], list[str]] = {}
    for i, one in enumerate(starter.columns):
        is_shared = counts[one.read_as, one.why] >= _MANY and one.read_as in _FOR_THE_RECORD
        groups.setdefault((one.read_as, one.unit, one.why, "" if is_shared else str(i)), []).append(one.column)
    rows = []
    for (read_as, unit, why, _), names in groups.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        rows.append([(_printable(names[0]) or "-") + more, read_as, unit, _printable(why)])
    print_table(["column", "read as", "unit", "why"], rows, console=stderr())
    note("")


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _confirmed(starter: "StarterFiles") -> "StarterFiles":
    """Ask whether to write, and take corrections until the answer is yes."""
    from explorer.cli.console import note
    from explorer.errors import ExplorerError

    while True:
        question = "Write it? [Y/n], or a correction (COLUMN=accuracy, =NAME:max, =knob, =ignore)"
        answer = typer.prompt(question, default="Y", show_default=False, err=True).strip()
        if answer.lower() in {"y", "yes"}:
            return starter
        if answer.lower() in {"n", "no"}:
            note("nothing was written")
            raise typer.Exit(0)
        try:
            starter = starter.corrected(answer)
        except ExplorerError as error:
            note(f"error: {error}")
            continue
        _print_columns(starter)


def _print_next(starter: "StarterFiles") -> None:
    import shlex

    from explorer.cli.console import note

    note(f"look through {'it' if len(starter.paths) == 1 else 'them'}, then:")
    if not starter.is_table:
        file, model = shlex.quote(starter.source.source), shlex.quote(starter.model_file)
        note(f"  explorer fit {file} --space {starter.name} -o {model}    # its errors on held-out rows")
    note(f"  explorer run {starter.name}")
    note(f"  explorer choose {starter.name} --knee")
