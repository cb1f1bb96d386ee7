"""`explorer predict`: predictions of a model for one design, or for a table of them."""

from pathlib import Path
from typing import Annotated

import typer

from explorer.cli.front import Format


def predict(
    model: Annotated[str, typer.Argument(help="`paper`, `h100`, a model.json, or a samples CSV.")],
    designs: Annotated[Path | None, typer.Option("--designs", help="A CSV of designs, one a row, SI units.")] = None,
    family: Annotated[str | None, typer.Option("--family", help="Network family.")] = None,
    pruning_ratio: Annotated[float | None, typer.Option("--pruning-ratio", help="R, a share in [0, 1).")] = None,
    quant_step: Annotated[float | None, typer.Option("--quant-step", help="D, in (0, 1].")] = None,
    voltage: Annotated[str | None, typer.Option("--voltage", help="V, in volt or with a unit (850mV).")] = None,
    frequency: Annotated[str | None, typer.Option("--frequency", help="f, in hertz or with a unit (2.1GHz).")] = None,
    own: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KNOB=VALUE", help="A further knob of the samples; may be repeated."),
    ] = None,
    style: Annotated[Format, typer.Option("--format", help="For people, or for scripts.")] = Format.table,
) -> None:
    """Predict accuracy, latency, energy, power and size of designs: one by its knobs, or many from a CSV."""
    import sys

    from explorer.api.models import predict_columns
    from explorer.api.results import COLUMNS, bounds, column_of, csv_text
    from explorer.cli.console import note, print_json, print_table, short_title, value_cell
    from explorer.errors import WrongUsage

    knobs = {
        "family": family,
        "pruning_ratio": None if pruning_ratio is None else repr(pruning_ratio),
        "quant_step": None if quant_step is None else repr(quant_step),
        "voltage_v": voltage,
        "frequency_hz": frequency,
        **dict(_pair(text) for text in own or ()),
    }
    texts = {name: text for name, text in knobs.items() if text is not None}
    if designs is not None and texts:
        raise WrongUsage(f"--designs stands beside {', '.join(texts)}", fix="give a file, or one design's knobs")
    columns = predict_columns(model, designs, texts)
    n = len(columns["family"])
    if style is Format.csv:
        sys.stdout.write(csv_text(columns, list(columns)))
    elif style is Format.json:
        listed = [{name: values[i] for name, values in columns.items()} for i in range(n)]
        print_json({"schema": "explorer.predict/1", "model": model, "designs": listed})
    else:
        ends = {end for name in columns for end in bounds(name)}
        names = [name for name in columns if name not in ends]
        titles = [short_title(column_of(name)) if name in COLUMNS else name for name in names]
        rows = [[value_cell(columns, name, i, with_bounds=True) for name in names] for i in range(n)]
        if n == 1:
            print_table(["quantity", "value"], list(zip(titles, rows[0], strict=True)))
        else:
            print_table(titles, rows)
        note("in brackets: where 90 % of new measurements would lie")
    if "frequency_max_hz" in columns:
        impossible = int((columns["frequency_hz"] > columns["frequency_max_hz"] * (1 + 1e-9)).sum())
    else:
        impossible = 0
    if impossible:
        note(f"note: {impossible} of {n} designs cannot exist: their voltage does not support their clock")
    outside = int((columns["domain_distance"] > 0).sum())
    if outside:
        note(f"note: {outside} of {n} designs lie outside the samples' range: there the model extrapolates")


def _pair(text: str) -> tuple[str, str]:
    from explorer.errors import WrongUsage

    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise WrongUsage(f"--set {text}: is not a knob and a value", fix="write --set resolution=128")
    return name.strip(), value.strip()
