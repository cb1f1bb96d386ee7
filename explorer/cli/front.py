"""`explorer front` and `explorer report`: what a study has found."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

StudyOrFolder = Annotated[
    str, typer.Argument(metavar="STUDY_OR_DIR", help="A study that was run here, or a result folder.")
]


class Format(StrEnum):
    """How data is printed."""

    table = "table"
    csv = "csv"
    json = "json"


def front(
    study: StudyOrFolder,
    style: Annotated[Format, typer.Option("--format", help="For people, or for scripts.")] = Format.table,
) -> None:
    """Print the Pareto front: the feasible designs that no other one beats."""
    import sys

    from explorer import api
    from explorer.cli.cells import short_title, value_cell
    from explorer.cli.console import note, print_json, print_table
    from explorer.pareto.folder import csv_text, front_json
    from explorer.pareto.results import front_order
    from explorer.problem.columns import COLUMNS, own_knobs
    from explorer.problem.domain import is_extrapolated

    results = api.results(study)
    columns = results.front_columns
    if style is Format.json:
        print_json(front_json(results))
        return
    if style is Format.csv:
        sys.stdout.write(csv_text(columns, front_order(columns)))
        return
    hidden = {
        "design_id",
        "origin",
        "throughput_ops",
        "ops_per_watt",
        "frequency_max_hz",
        "sample_distance",
        "nearest_sample",
    }
    asked = {o.name for o in results.objectives}
    names = [n for n in front_order(columns) if n in {*COLUMNS, *own_knobs(columns)} and n not in hidden]
    outside = is_extrapolated(columns["domain_distance"])
    shown = [
        [
            f"{columns['design_id'][i]}{'*' if outside[i] else ''}",
            *[value_cell(columns, n, i, with_bounds=n in asked, column=results.column(n)) for n in names],
        ]
        for i in range(len(columns["design_id"]))
    ]
    print_table(["design", *[short_title(results.column(n)) for n in names]], shown)
    brackets = "their 90 % intervals" if "certainty" in columns else "the range of repeated readings"
    note(f"{len(shown)} of {results.n_complete} designs, in brackets {brackets}; hypervolume {results.hypervolume:.6g}")
    if outside.any():
        note("* extrapolated: outside the model's domain")
    for text in (*results.notes, *([results.advice] if results.advice else [])):
        note(f"note: {text}")


def report(
    study: StudyOrFolder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The page.", show_default="DIR/report.html")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write the plot as PNG instead (needs a browser).")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Write the plot as SVG instead (needs a browser).")] = False,
) -> None:
    """Write the result page anew: one HTML file that opens without a network."""
    from explorer import api
    from explorer.cli.console import print_text
    from explorer.errors import WrongUsage
    from explorer.report.files import write_image

    if png and svg:
        raise WrongUsage("--png and --svg exclude each other", fix="ask for one of them, then for the other")
    if not (png or svg):
        print_text(str(api.write_report(study, output)))
        return
    path = output or api.results_folder(study) / ("front.png" if png else "front.svg")
    print_text(str(write_image(api.results(study), path, kind="png" if png else "svg")))
