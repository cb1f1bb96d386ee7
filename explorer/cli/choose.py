"""`explorer choose`: one configuration from the front."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from explorer.cli.front import StudyOrFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from explorer.api.results import Column
    from explorer.api.selection import Choice


def choose(
    study: StudyOrFolder,
    knee: Annotated[bool, typer.Option("--knee", help="Where the front bends most.")] = False,
    alpha: Annotated[
        float | None, typer.Option("--alpha", help="Least weighted cost J, eq. (10), at this alpha.")
    ] = None,
    energy_max: Annotated[
        str | None, typer.Option("--energy-max", help="E_max of J.", show_default="the study's")
    ] = None,
    minimize: Annotated[
        str | None, typer.Option("--minimize", metavar="COLUMN", help="The best value of one column: solved again.")
    ] = None,
    best: Annotated[
        str | None, typer.Option("--best", metavar="COLUMN", help="The same; reads better where more is better.")
    ] = None,
    front_only: Annotated[bool, typer.Option("--front", help="The best value among the designs of the front.")] = False,
    design: Annotated[int | None, typer.Option("--design", metavar="ID", help="This design.")] = None,
    where: Annotated[
        list[str] | None, typer.Option("--where", help="A condition, such as 'accuracy>=0.9'; may be repeated.")
    ] = None,
    confidence: Annotated[
        str | None,
        typer.Option("--confidence", metavar="P", help="All limits and conditions hold jointly with it, such as 0.9."),
    ] = None,
    allow_extrapolation: Annotated[
        bool, typer.Option("--allow-extrapolation", help="Take designs outside the model's domain as well.")
    ] = False,
    device: Annotated[
        str | None,
        typer.Option("--device", help="Apply it to this device: its point with the nearest clock, evaluated again."),
    ] = None,
    bin_name: Annotated[str, typer.Option("--bin", help="The device's speed bin.", show_default=False)] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write it here.", show_default="DIR/chosen.json")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no choice.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Choose one configuration, print why, and write it as JSON.

    --minimize and --best answer from all feasible designs; where designs are predicted, the model is solved for it
    again. The other rules choose from the front. Always among feasible designs inside the model's domain. The knee is
    the design at the greatest distance to the line (or plane) through the front's extremes, after scaling every
    objective to [0, 1].
    """
    from explorer import api
    from explorer.api.results import files_read, results_folder
    from explorer.api.selection import parse_probability
    from explorer.cli.console import print_json, print_prose, print_text
    from explorer.errors import WrongUsage
    from explorer.units import parse_quantity

    flags = [flag for flag, is_set in (("--knee", knee), ("--alpha", alpha is not None),
                                         ("--minimize", minimize is not None), ("--best", best is not None),
                                         ("--design", design is not None)) if is_set]  # fmt: skip
    if len(flags) != 1:
        raise WrongUsage(
            f"{' and '.join(flags) or 'no rule'} given", fix="give one of --knee, --alpha, --minimize, --best, --design"
        )
    if front_only and minimize is None and best is None:
        raise WrongUsage("--front stands without --minimize or --best", fix="give both, or neither")
    if energy_max is not None and alpha is None:
        raise WrongUsage("--energy-max stands without --alpha", fix="give both, or neither")
    results = api.load_results(study)
    choice = api.choose(
        study, knee=knee, alpha=alpha, energy_max_j=None if energy_max is None else parse_quantity(energy_max, "J"),
        minimize=minimize, best=best, front_only=front_only, design=design, where=where or (),
        allow_extrapolation=allow_extrapolation, device=device, bin_name=bin_name,
        confidence=None if confidence is None else parse_probability(confidence, where="--confidence"),
    )  # fmt: skip
    folder = results_folder(study)
    path = choice.save(output or folder / "chosen.json", inputs=files_read(results, folder), force=force)
    if as_json:
        print_json(choice.record)
        return
    for line in _lines(choice, results.own_columns):
        print_prose(line)
    print_text(str(path))


def _lines(choice: "Choice", columns: "Mapping[str, Column]") -> "Iterator[str]":
    """Yield warnings, the design and its rule, its odds, its point on a device, the runner-up, the cost of accuracy."""
    from explorer.api.selection import describe_design as describe
    from explorer.api.selection import odds_lines

    record = choice.record
    yield from (f"WARNING: {text}" for text in record["warnings"])
    yield f"design {choice.design['design_id']}: {choice.why}"
    yield from (f"  {line}" for line in describe(choice.design, columns))
    limits = [(one["constraint"], one["probability"]) for one in record.get("limits", ())]
    yield from odds_lines(limits, record.get("joint_probability"))
    yield from (f"note: {text}" for text in record["notes"])
    if choice.is_measured:
        row = choice.design.get("nearest_sample", "")
        yield f"MEASURED: the values are readings{f' of sample {row}' if row else ''}, not predictions"
    if record["machine"]:
        yield f"measured on: {record['machine']}"
    if choice.is_extrapolated:
        yield "EXTRAPOLATED: outside the model's domain; measure it before you believe it"
    if bound := record.get("scenarios"):
        yield "scenario that binds each limit:"
        yield from (f"  {one['text']}" for one in bound)
    yield from _applied(record.get("applied"), columns)
    if choice.runner_up is not None:
        configuration = "; ".join(describe(choice.runner_up, columns)[:5])
        yield f"runner-up: design {choice.runner_up['design_id']}: {configuration}"
    if choice.price:
        yield choice.price


def _applied(applied: "Mapping[str, Any] | None", columns: "Mapping[str, Column]") -> "Iterator[str]":
    """Yield the design at a device's operating point."""
    from explorer.api.selection import describe_design as describe

    if applied is None:
        return
    yield f"applied to {applied['device']} at {applied['operating_point']}, evaluated again:"
    yield from (f"  {line}" for line in describe(applied["design"], columns))
    if applied["is_extrapolated"]:
        yield "EXTRAPOLATED there: outside the model's domain; measure it before you believe it"
