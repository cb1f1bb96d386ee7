"""`explorer verify`: checks a bundle against its checksums, codes and predictions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from explorer.api.deployment import Check, Interval

_INSIDE = {"kept": "yes", "broken": "NO"}


def verify(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The folder that `explorer deploy` wrote.")],
    data: Annotated[
        str | None, typer.Option("--data", help="VALIDATION.npz with x and y; `digits`; or python:MODULE.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="The network it was made from: every code is compared with Eq. (5).")
    ] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", help="Append the measurement to this samples CSV.")
    ] = None,
    sysfs: Annotated[Path, typer.Option("--sysfs", help="Root of the files with this machine's clocks.")] = Path(
        "/sys"
    ),
    no_energy: Annotated[bool, typer.Option("--no-energy", help="Read no energy meter.")] = False,
    measured: Annotated[
        list[str] | None,
        typer.Option(
            "--measured", help="What you measured on the device, as COLUMN=VALUE or COLUMN=LOW..HIGH; may be repeated."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Verify a bundle: checksums, codes, stored outputs, and predictions against measurements.

    Exit code 4 means a broken promise: a file was changed, the network does not run, its codes are not those of
    Eq. (5), its outputs are not the stored ones, or every measurement is outside the predicted 90 % interval: for
    accuracy, where it does not overlap the measured 95 % Wilson interval. So does a limit that was likely to hold and
    is not met. Latency, energy and the clock are judged on the device alone. Missing measurements are listed, and
    break nothing.
    """
    from explorer import api
    from explorer.cli.console import note, print_json, print_table
    from explorer.errors import VerificationFailed

    verdict = api.verify(
        bundle, data=data, model=model, samples=samples, sysfs=sysfs, energy=not no_energy,
        measured=measured or (),
    )  # fmt: skip
    if as_json:
        print_json(verdict.to_json())
    else:
        rows = [[_title(check), _text(check, check.promised), _text(check, check.found),
                 _INSIDE.get(check.state, check.state), check.note] for check in verdict.checks]  # fmt: skip
        print_table(["what", "predicted", "measured", "inside?", ""], rows)
        for text in verdict.warnings:
            note(f"warning: {text}")
        for text in verdict.notes:
            note(f"note: {text}")
        if verdict.data and not verdict.data.warning:
            note(f"note: {verdict.data.text}")
    if verdict.samples:
        note(f"one row added to {verdict.samples}: `explorer fit {verdict.samples}` learns from it")
    elif samples is not None:
        note(f"nothing was added to {samples}: the network is not what was promised, or did not run")
    if not verdict.is_kept:
        names = ", ".join(check.name for check in verdict.broken)
        raise VerificationFailed(
            f"{bundle}: broken: {names}", fix=_fix(verdict.broken, is_live=verdict.data is not None)
        )


def _fix(broken: "tuple[Check, ...]", *, is_live: bool) -> str:
    notes = [check.note for check in broken if check.state == "broken" and isinstance(check.promised, str)]
    texts = "; ".join(dict.fromkeys(filter(None, notes)))
    if is_live and not texts:  # the network itself was measured: no model is to blame
        return "check labels and preprocessing of --data; if they are right, choose again, on more samples"
    return texts or "measure samples of this network (--samples), fit and choose again: the model does not know it"


def _title(check: "Check") -> str:
    from explorer.api.results import COLUMNS

    name = check.name.removeprefix("limit of ")
    label = COLUMNS[name].label if name in COLUMNS else name
    return label if name == check.name else f"limit of {label}"


def _text(check: "Check", value: "Interval | str | None") -> str:
    from explorer.api.results import COLUMNS

    if value is None or isinstance(value, str):
        return value or "-"
    text = COLUMNS[check.name.removeprefix("limit of ")].text
    return text(value.value) if value.lo == value.hi else f"{text(value.value)} ({text(value.lo)} to {text(value.hi)})"
