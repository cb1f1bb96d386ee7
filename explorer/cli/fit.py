"""`explorer fit`: fits a model to measurements and judges it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from explorer.api.models import MultiResponse, Surrogate


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
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Fit a model to measured samples, and judge it on rows that it was not fitted to.

    Exactly the paper's five knobs are fitted by the paper's forms, with documented priors; any other table by
    the form that predicts unseen rows best. Several files compose: accuracy from one, energy from another.
    """
    from explorer import api
    from explorer.api.models import MultiResponse
    from explorer.cli.console import note, print_json

    fitted = api.fit(list(samples), knobs=knob, ignore=ignore or ())
    model, summary, advice = fitted.model, dict(fitted.summary), fitted.next_measurement
    if output is not None:
        fitted.save(output)
    if as_json:
        print_json(fitted.to_json())
        return
    if isinstance(model, MultiResponse):
        _print_responses(model, summary)
    else:
        _print_forms(model, summary, advice.text() if advice else "")
    if model.samples.machine:
        note(f"measured on {model.samples.machine}")
    for text in dict.fromkeys((*model.notes, *summary["warnings"])):
        note(f"note: {text}")
    if output is not None:
        note(f"wrote {output}")


def _print_worth(summary: dict[str, Any], *, baselines: dict[str, str]) -> None:
    from explorer.cli.console import print_table

    rows = []
    for target, judged in summary["targets"].items():
        inside = round(judged["coverage_90"] * judged.get("n_configurations", judged["n"]))
        rows.append(
            [
                target,
                str(judged["n"]),
                _error(target, judged["loo_mae"], judged["loo_mape"]),
                *(_error(target, judged[f"{key}_loo_mae"], judged[f"{key}_loo_mape"]) for key in baselines.values()),
                f"{inside} of {judged.get('n_configurations', judged['n'])}",
                _error(target, judged["mean_half_width"], judged["mean_half_width"]),
            ]
        )
    print_table(
        ["target", "n", "leave-one-out error", *baselines, "in 90 % interval", "half width"], rows,
        title="Leave-one-out: each sample predicted by a fit to the others (mean error)",
    )  # fmt: skip


def _print_responses(model: "MultiResponse", summary: dict[str, Any]) -> None:
    from explorer.api.models import candidate_rows
    from explorer.cli.console import print_prose, print_table

    print_prose(f"{summary['n_samples']} samples of {', '.join(model.families)}: {summary['source']}")
    print_prose("Fitted by responses: the form that predicts unseen rows best, for each target.")
    print_prose("")
    _print_worth(summary, baselines={"mean of the category": "baseline"})
    print_prose("")
    rows = [
        [r["target"], r["form"] + (" *" if r["is_kept"] else ""), _error(r["target"], r["error"], r["error"]),
         _error(r["target"], r["between"], r["between"]), f"{r['r2']:.3f}"]
        for r in candidate_rows(model)
    ]  # fmt: skip
    print_table(
        ["target", "form (* kept)", "error, unseen rows", "error, unseen values", "R^2, unseen rows"], rows,
        title="Forms tried; an unseen value is one of a knob that was left out whole",
    )  # fmt: skip
    print_prose("")
    for target in model.targets:
        print_prose(f"{model.responses[target].choice}.")
    print_prose("")
    print_prose(f"Intervals: {summary['calibration']}.")
    for text in summary["identifiability"]:
        print_prose(f"  {text}")


def _print_forms(model: "Surrogate", summary: dict[str, Any], advice: str) -> None:
    from explorer.api.models import EXPONENT_SOURCE, THRESHOLD_SOURCE
    from explorer.cli.console import print_prose, print_table

    coefficients = summary["coefficients"]
    print_prose(f"{summary['n_samples']} samples of {', '.join(model.families)}: {summary['source']}")
    print_prose("Fitted by the paper's forms, with documented priors: the knobs are exactly its five.")
    print_prose("")
    _print_worth(summary, baselines={"family mean": "family_mean", "nearest sample": "nearest_sample"})
    print_prose("")
    print_table(
        ["target", "coefficient", "value", "90 % interval", "prior (median, 90 %)", "from data", "meaning"],
        [
            [
                r["target"],
                r["name"],
                r["value"],
                f"{r['lo']:.3g} to {r['hi']:.3g}",
                f"{r['prior']['value']:.3g} ({r['prior']['lo']:.2g} to {r['prior']['hi']:.2g})",
                f"{r['data_share']:.0%}",
                r["prior"]["meaning"],
            ]
            for r in coefficients
        ],
        title="Coefficients (mode of the posterior); 'from data': how far the samples narrowed the prior",
    )
    print_prose("")
    print_prose(f"Intervals: {summary['calibration']}.")
    print_prose("")
    print_prose("Not identified by these samples:")
    for text in summary["identifiability"]:
        print_prose(f"  {text}")
    if advice:
        print_prose(f"Next: {advice}.")
    print_prose("")
    print_prose("Forms, relative to each family's least compressed sample (r weights, q bits, v voltage, c clock):")
    for shape in model.fits.values():
        print_prose(f"  {shape.form.formula}")
    for law in summary["laws"]:
        print_prose(
            f"  {law['family']}: f <= {law['constant'] / 1e9:.3g} GHz (V - {law['threshold_v']:.2g})"
            f"^{law['exponent']:.2g} / V"
        )
    print_prose("")
    print_prose("Sources of the priors:")
    for row in coefficients:
        print_prose(f"  {row['name']}: {row['prior']['source']}")
    print_prose(
        f"  V_th: {THRESHOLD_SOURCE}; exponent: {EXPONENT_SOURCE}; K: the smallest that lets every sample exist"
    )


def _error(target: str, absolute: float | None, relative: float | None) -> str:
    # Accuracy is a share already; its relative error would only confuse.
    value = absolute if target == "accuracy" else relative
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if target == "accuracy" else f"{value:.1%}"
