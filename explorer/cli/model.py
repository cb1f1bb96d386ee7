"""`explorer fit` and `explorer predict`: surrogates from measurements, and what they say of a design."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.front import Format


def fit(
    samples: Annotated[
        str, typer.Argument(metavar="SAMPLES.csv", help="A samples CSV, or `paper` for the paper's ten.")
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the fitted model here (JSON).")] = None,
    knob: Annotated[
        list[str] | None, typer.Option("--knob", help="A further column that is a knob; may be repeated.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option("--ignore", help="A column to pass over; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Fit surrogates to measured samples; tell their coefficients and what they are worth.

    Every target's leave-one-out error stands beside two answers that need no model: the family's mean, and the nearest
    sample.
    """
    import json

    from explorer.cli.console import finite, note, print_json, print_table, print_text
    from explorer.files import write_text
    from explorer.models.draws import posterior_draws
    from explorer.models.store import fit_samples, load_samples, model_to_json
    from explorer.models.summary import (
        calibration_text,
        coefficient_rows,
        fit_summary,
        identifiability,
        law_rows,
        warnings_of,
    )
    from explorer.models.surrogate import EXPONENT_SOURCE, THRESHOLD_SOURCE
    from explorer.models.validation import leave_one_out
    from explorer.pareto.advice import advice_for_model

    data = load_samples(samples, own=knob or (), ignore=ignore or ())
    model = fit_samples(data, name=samples)
    judged = leave_one_out(data, widening=model.widening)
    advice = advice_for_model(model, posterior_draws(model))
    if output is not None:
        write_text(output, json.dumps(finite(model_to_json(model)), indent=1, ensure_ascii=False) + "\n")
    if as_json:
        print_json(
            {
                **fit_summary(model, judged),
                "next_measurement": {"design": advice.design, "reduction": advice.reduction} if advice else None,
            }
        )
        return
    print_text(f"{len(data.labels)} samples of {', '.join(data.families)}: {data.source}")
    print_text("")
    print_table(
        ["target", "n", "leave-one-out error", "family mean", "nearest sample", "in 90 % interval", "half width"],
        [
            [
                j.target,
                str(j.n),
                _error(j.target, j.model),
                _error(j.target, j.family_mean),
                _error(j.target, j.nearest_sample),
                f"{j.n_covered} of {j.n}",
                f"{j.half_width:.4f}" if j.target == "accuracy" else f"{j.half_width:.1%}",
            ]
            for j in judged.values()
        ],
        title="What predictions are worth: each sample predicted by the others (mean error)",
    )
    print_text("")
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
            for r in coefficient_rows(model)
        ],
        title="Coefficients (mode of the posterior); 'from data': how far the samples narrowed the prior",
    )
    print_text("")
    print_text(f"Intervals: {calibration_text(model)}.")
    print_text("")
    print_text("What these samples cannot tell:")
    for text in identifiability(model):
        print_text(f"  {text}")
    if advice:
        print_text(f"Next: {advice.text}.")
    print_text("")
    print_text("Shapes, relative to each family's least compressed sample (r weights, q bits, v voltage, c clock):")
    for shape in model.fits.values():
        print_text(f"  {shape.shape.formula}")
    for law in law_rows(model):
        print_text(
            f"  {law['family']}: f <= {law['constant'] / 1e9:.3g} GHz (V - {law['threshold_v']:.2g})"
            f"^{law['exponent']:.2g} / V"
        )
    print_text("")
    print_text("Where the priors come from:")
    for row in coefficient_rows(model):
        print_text(f"  {row['name']}: {row['prior']['source']}")
    print_text(f"  V_th: {THRESHOLD_SOURCE}; exponent: {EXPONENT_SOURCE}; K: the smallest that lets every sample exist")
    for text in (*data.notes, *warnings_of(model, judged)):
        note(f"note: {text}")
    if output is not None:
        note(f"wrote {output}")


def predict(
    model: Annotated[str, typer.Argument(help="`paper`, a model.json, or a samples CSV.")],
    designs: Annotated[Path | None, typer.Option("--designs", help="A CSV of designs, one a row, SI units.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="Network family.")] = None,
    pruning_ratio: Annotated[float | None, typer.Option("--pruning-ratio", help="R, a share in [0, 1).")] = None,
    quant_step: Annotated[float | None, typer.Option("--quant-step", help="D, in (0, 1].")] = None,
    voltage: Annotated[str | None, typer.Option("--voltage", help="V, in volt or with a unit (850mV).")] = None,
    frequency: Annotated[str | None, typer.Option("--frequency", help="f, in hertz or with a unit (2.1GHz).")] = None,
    style: Annotated[Format, typer.Option("--format", help="For people, or for scripts.")] = Format.table,
) -> None:
    """Predict accuracy, latency, energy, power and size of designs: one by its knobs, or many from a CSV."""
    import sys

    from explorer.cli.cells import short_title, value_cell
    from explorer.cli.console import note, print_json, print_table
    from explorer.errors import WrongUsage
    from explorer.models.prediction import one_design, predict_designs
    from explorer.models.samples import read_designs
    from explorer.models.store import load_model
    from explorer.pareto.folder import csv_text
    from explorer.problem.columns import COLUMNS, describe

    knobs = {
        "--family": family,
        "--pruning-ratio": pruning_ratio,
        "--quant-step": quant_step,
        "--voltage": voltage,
        "--frequency": frequency,
    }
    given = [name for name, value in knobs.items() if value is not None]
    if designs is not None and given:
        raise WrongUsage(f"--designs stands beside {', '.join(given)}", fix="give a file, or one design's knobs")
    missing = [name for name, value in knobs.items() if value is None]
    if designs is None and missing:
        raise WrongUsage(f"{', '.join(missing)} missing", fix="give all five knobs, or --designs FILE.csv")
    surrogate = load_model(model)
    if designs is not None:
        family_ = surrogate.families[0]
        categories = tuple(surrogate.choices(family_))
        asked = read_designs(designs, knobs=("family", *surrogate.domain[family_], *categories), categories=categories)
    else:
        asked = one_design(
            family=str(family),
            pruning_ratio=float(pruning_ratio or 0.0),
            quant_step=float(quant_step or 0.0),
            voltage=str(voltage),
            frequency=str(frequency),
        )
    columns = predict_designs(surrogate, asked)
    n = len(columns["family"])
    if style is Format.csv:
        sys.stdout.write(csv_text(columns, list(columns)))
    elif style is Format.json:
        listed = [{name: values[i] for name, values in columns.items()} for i in range(n)]
        print_json({"schema": "explorer.predict/1", "model": model, "designs": listed})
    else:
        names = [name for name in columns if name in COLUMNS or name in asked]
        titles = [short_title(describe(name)) if name in COLUMNS else name for name in names]
        rows = [[value_cell(columns, name, i, with_bounds=True) for name in names] for i in range(n)]
        if n == 1:
            print_table(["quantity", "value"], list(zip(titles, rows[0], strict=True)))
        else:
            print_table(titles, rows)
        note("in brackets: where 90 % of new measurements would lie")
    impossible = int((columns["frequency_hz"] > columns["frequency_max_hz"] * (1 + 1e-9)).sum())
    if impossible:
        note(f"note: {impossible} of {n} designs cannot exist: their clock is above what their voltage carries")
    outside = int((columns["domain_distance"] > 0).sum())
    if outside:
        note(f"note: {outside} of {n} designs lie outside the samples' range: there the model extrapolates")


def _error(target: str, errors: object) -> str:
    from explorer.models.validation import Errors

    if not isinstance(errors, Errors):
        return "-"
    # Accuracy is a share already; its relative error would only confuse.
    return f"{errors.mae:.4f}" if target == "accuracy" else f"{errors.mape:.1%}"
