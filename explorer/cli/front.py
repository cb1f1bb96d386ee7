"""`explorer front` and `explorer report`: the results of a study."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.results import Columns, Results

# A front of a few dozen designs is read row by row; of a thousand, a screenful is enough.
_MOST, _SOME = 100, 40

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
    is_all: Annotated[bool, typer.Option("--all", help="A row for every design, in a table too.")] = False,
) -> None:
    """Print the Pareto front: the feasible designs that no other one beats.

    A table of more than 100 designs shows 40, evenly along the front; CSV and JSON are always complete.
    """
    import sys

    from explorer.api.results import csv_parts, front_head, front_order, front_parts, load_results

    results = load_results(study)
    columns = results.front_columns
    if style is Format.json:
        sys.stdout.writelines(front_parts(columns, front_head(results)))
    elif style is Format.csv:
        sys.stdout.writelines(csv_parts(columns, front_order(columns)))
    else:
        _print_front(results, columns, is_all=is_all)


def _print_front(results: "Results", columns: "Columns", *, is_all: bool) -> None:
    from explorer.api.results import COLUMNS, front_order, is_extrapolated, n_rows, own_knobs
    from explorer.cli.console import note, print_table, short_title, value_cell

    n = n_rows(columns)
    rows_shown = range(n) if is_all or n <= _MOST else [round(i * (n - 1) / (_SOME - 1)) for i in range(_SOME)]
    hidden = {
        "design_id",
        "origin",
        "throughput_ops",
        "ops_per_watt",
        "frequency_max_hz",
        "sample_distance",
        "nearest_sample",
        "n_right",
        "n_samples",
        "is_stopped",
        "n_right_holdout",
        "n_samples_holdout",
        *(name for name in columns if name.startswith("p_limit_")),
    }
    objectives = {o.name for o in results.objectives}
    with_bounds = {*objectives, "accuracy_holdout"}
    limited = {text.split()[0] for text in results.constraints}  # the worst case of a column, where that is limited
    visible = {*COLUMNS, *own_knobs(columns), *objectives, *limited} - hidden
    names = [name for name in front_order(columns) if name in visible]
    outside = is_extrapolated(columns["domain_distance"])
    rows = [
        [
            f"{columns['design_id'][i]}{'*' if outside[i] else ''}",
            *[
                value_cell(columns, name, i, with_bounds=name in with_bounds, column=results.column(name))
                for name in names
            ],
        ]
        for i in rows_shown
    ]
    titles = {n: short_title(results.column(n)) for n in names}
    spare = [titles[name] for name in _spare(columns, names) if name not in objectives]
    left_out = print_table(["design", *titles.values()], rows, spare=spare)
    if len(rows) < n:
        note(
            f"{len(rows)} of the front's {n:,} designs are shown, evenly along {results.objectives[0].name}; "
            "--all shows every one, --format csv or json writes them"
        )
    brackets = f", in brackets {_brackets(results, columns)}" if any(f"{name}_lo" in columns for name in names) else ""
    note(f"{n:,} of {results.n_designs:,} designs{brackets}; hypervolume {results.hypervolume:.6g}")
    if n_measured := int((columns["design_id"] < 0).sum()):
        note(f"{n_measured} of them {'is' if n_measured == 1 else 'are'} measured: designs with a negative number")
    if left_out:
        note(f"left out for want of width: {', '.join(left_out)}; --format csv has all")
    if outside.any():
        note("* extrapolated: outside the model's domain")
    for warning in results.model_warnings:
        note(f"warning: {warning['text']}")
    for text in (*results.notes, *([results.advice] if results.advice else [])):
        note(f"note: {text}")


# Columns that a narrow terminal omits, the first ones first, unless they are objectives.
_SPARE = ("training_energy_j", "mac_memory_energy_j", "domain_distance", "carbon_g_per_day", "energy_per_day_j",
          "utilization", "deadline_margin_s", "mean_power_w", "p99_latency_s", "battery_days", "weighted_cost",
          "edp_js", "size_bytes", "power_w", "latency_s", "energy_j", "accuracy", "p_front", "p_limits")  # fmt: skip


def _brackets(results: "Results", columns: "Columns") -> str:
    """Return the kind of the intervals, as a phrase."""
    from explorer.api.results import declared_targets

    if "certainty" in columns:
        return "their 90 % intervals"
    kind = results.provenance.get("model", {}).get("kind", "")
    is_scored = any(target.name in columns for target in declared_targets())
    live = "the 90 % bootstrap interval of what was scored" if is_scored else (
        "the 95 % Wilson interval of what was counted"
    )  # fmt: skip
    by_kind = {"live": live, "table": "the range of repeated readings"}
    return by_kind.get(kind, "the intervals that were measured with them")


def _spare(columns: "Columns", names: Sequence[str]) -> list[str]:
    """Return the columns that can be done without: knobs that are the same in all designs, then `_SPARE`."""
    from explorer.api.results import knobs_of

    same = [name for name in knobs_of(columns) if name in names and len(set(columns[name].tolist())) == 1]
    return [*same, *(name for name in _SPARE if name in names)]


def report(
    study: StudyOrFolder,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The page.", show_default="DIR/report.html")
    ] = None,
    png: Annotated[bool, typer.Option("--png", help="Write the plot as PNG instead (needs a browser).")] = False,
    svg: Annotated[bool, typer.Option("--svg", help="Write the plot as SVG instead (needs a browser).")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that explorer did not write.")] = False,
) -> None:
    """Write the result page again: one HTML file that opens without a network."""
    from explorer import api
    from explorer.api.analysis import report_image
    from explorer.cli.console import print_text
    from explorer.errors import WrongUsage

    if png and svg:
        raise WrongUsage("--png and --svg exclude each other", fix="ask for one of them, then for the other")
    if not (png or svg):
        print_text(str(api.report(study, output, force=force)))
        return
    print_text(str(report_image(study, output, kind="png" if png else "svg", force=force)))
