"""`explorer fit`: fits a model to measurements and judges it."""

import math
from pathlib import Path
from typing import Annotated, Any

import typer


def fit(
    samples: Annotated[
        list[str],
        typer.Argument(
            metavar="SAMPLES.csv...", help="Samples CSVs, each with targets of its own; or `paper`, `h100`."
        ),
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the fitted model here (JSON).")] = None,
    knob: Annotated[
        list[str] | None,
        typer.Option("--knob", help="A further column that is a knob; may be repeated.", show_default="by its name"),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="A column to leave out; may be repeated.")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", metavar="NAME", help="A search space: its columns, targets and knobs are the file's."),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="FORM", help="A form to leave out of the average; may be repeated."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is no model.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Fit a model to measured samples, and judge it on rows that it was not fitted to.

    Each target is an average over forms: physical ones, curves and Gaussian processes, weighted by how well they
    predict unseen rows. Several files compose: accuracy from one, energy from another.
    """
    from explorer import api
    from explorer.cli.console import note, print_json
    from explorer.cli.progress import counting_progress

    with counting_progress("fitting") as progress:
        fitted = api.fit(
            list(samples), knobs=knob, ignore=ignore or (), space=space, without=without or (), progress=progress,
            output=output, force=force,
        )  # fmt: skip
    summary, advice = dict(fitted.summary), fitted.next_measurement
    if as_json:
        print_json(fitted.to_json())
        return
    for warning in summary["warnings"]:
        note(f"warning: {warning['text']}")
    _print_summary(summary, advice.text() if advice else "")
    for text in dict.fromkeys(fitted.model.notes):
        note(f"note: {text}")
    if output is not None:
        note(f"wrote {output}")


def _print_summary(summary: dict[str, Any], advice: str) -> None:
    from explorer.cli.console import print_prose

    machine = f", measured on {summary['machine']}" if summary["machine"] else ""
    print_prose(f"{summary['n_samples']} samples of {', '.join(summary['families'])}: {summary['source']}{machine}")
    print_prose("Each target is an average over forms, weighted by how well they predict rows that they have not seen.")
    print_prose("")
    _print_errors(summary)
    print_prose("")
    _print_forms(summary)
    print_prose("")
    _print_pairs(summary)
    print_prose(f"{summary['calibration'].capitalize()}.")
    if summary["product"]:
        print_prose(f"Derived in every draw, because the samples satisfy it: {summary['product']}.")
    moved = {t: row["loo_reference_moved"] for t, row in summary["targets"].items() if row.get("loo_reference_moved")}
    if moved:
        listed = ", ".join(
            f"{target} {_error(summary['targets'][target], error, error)}" for target, error in moved.items()
        )
        print_prose(f"With the reference design left out as well: {listed}.")
    print_prose("")
    _print_coefficients(summary)
    if summary["identifiability"]:
        print_prose("Not identified by these samples:")
        for text in summary["identifiability"]:
            print_prose(f"  {text}")
    if advice:
        print_prose(f"{advice[0].upper()}{advice[1:]}.")
    print_prose("")
    _print_assumptions(summary)


def _print_errors(summary: dict[str, Any]) -> None:
    from explorer.cli.console import print_table

    rows = []
    for target, judged in summary["targets"].items():
        if not judged["n"]:
            rows.append([target, "0", "-", "-", "-", "-"])
            continue
        rows.append(
            [
                target,
                str(judged["n"]),
                _error(judged, judged["loo_mae"], judged["loo_mape"]),
                _error(judged, judged["baseline_loo_mae"], judged["baseline_loo_mape"]),
                f"{round(judged['coverage_90'] * judged['n'])} of {judged['n']}",
                _error(judged, judged["mean_half_width"], judged["mean_half_width"]),
            ]
        )
    print_table(
        ["target", "n", "leave-one-out error", "mean of the category", "in 90 % interval", "half width"], rows,
        title="Leave-one-out: each row predicted by a fit without its design (mean error)",
    )  # fmt: skip


def _print_forms(summary: dict[str, Any]) -> None:
    from explorer.cli.console import print_table

    rows = [
        [target, form["form"], f"{form['weight']:.0%}", _error(judged, form["error"], form["error"]),
         _error(judged, form["between"], form["between"])]
        for target, judged in summary["targets"].items()
        for form in sorted(judged["forms"], key=lambda one: -one["weight"])
        if form["weight"] > 0
    ]  # fmt: skip
    n_without = sum(not form["weight"] for judged in summary["targets"].values() for form in judged["forms"])
    print_table(
        ["target", "form", "weight", "error, unseen rows", "error, unseen values"], rows,
        title=f"Forms ({n_without} more have no weight, see --json); an unseen value: of a knob, left out whole",
    )  # fmt: skip


def _print_pairs(summary: dict[str, Any]) -> None:
    from explorer.cli.console import print_prose

    for target, judged in summary["targets"].items():
        pairs = judged["pairs"]
        if pairs["n"]:
            print_prose(
                f"{target}: of {pairs['n']} statements that one unseen row is lower than another, made with "
                f"{pairs['stated']:.1%} on average (95 % at least), {pairs['right']:.1%} are right."
            )


def _print_coefficients(summary: dict[str, Any]) -> None:
    from explorer.cli.console import print_prose, print_table

    rows = [
        [r["target"], r["form"], r["name"], f"{r['value']:.3g}", f"{r['lo']:.3g} to {r['hi']:.3g}",
         f"{r['prior']['value']:.3g} ({r['prior']['lo']:.2g} to {r['prior']['hi']:.2g})", f"{r['data_share']:.0%}"]
        for r in summary["coefficients"]
    ]  # fmt: skip
    if rows:
        print_table(
            ["target", "form", "coefficient", "value", "90 % interval", "prior (median, 90 %)", "from data"], rows,
            title="Coefficients of the physical forms; 'from data': how far the samples narrowed the prior",
        )  # fmt: skip
        print_prose("")


def _print_assumptions(summary: dict[str, Any]) -> None:
    from explorer.cli.console import print_prose

    print_prose("Assumptions (priors; a width of 0 is never changed by data):")
    for row in summary["assumptions"]:
        value = "" if row["value"] is None else f" {row['value']:.3g},"
        subject = f"{row['target']}: " if row["target"] else ""
        print_prose(f"  {subject}{row['assumption']}:{value} width {row['width']:.2g} ({row['source']})")
    for law in summary["laws"]:
        print_prose(
            f"  {law['family']}: f <= {law['constant'] / 1e9:.3g} GHz (V - {law['threshold_v']:.2g})"
            f"^{law['exponent']:.2g} / V; the constant is {law['constant_source']}"
        )


def _error(judged: dict[str, Any], absolute: float | None, relative: float | None) -> str:
    # Accuracy is a share already; its relative error would only confuse.
    value = absolute if judged["errors"] == "absolute" else relative
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4g}" if judged["errors"] == "absolute" else f"{value:.1%}"
