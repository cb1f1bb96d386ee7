"""The manifest and what goes with it: a bundle as texts, before anything is written."""

import json
from typing import Any

from explorer import __version__
from explorer.deploy.chosen import Chosen, number
from explorer.files import sha256
from explorer.problem.columns import COLUMNS, bounds
from explorer.problem.manifest_file import (
    AskedPoint,
    AssumedPoint,
    ManifestFile,
    OperatingPoint,
    Predicted,
    ShippedDesign,
    ShippedObjective,
)
from explorer.problem.objectives import OBJECTIVES

MANIFEST, SUMS, README = "manifest.json", "SHA256SUMS", "README.txt"
# The same clock needs 950 mV on one chip and 1000 mV on another of the same kind; a device's own table knows.
_VOLTAGE_NOTE = (
    "what the predictions assume, for information only: set the clock and let the device choose the voltage from its "
    "own table"
)


def manifest(chosen: Chosen) -> ManifestFile:
    """Return the manifest of a chosen configuration; the same chosen.json gives the same manifest."""
    file, design = chosen.file, chosen.file.design
    columns = design.columns
    predictions = [n for n, column in COLUMNS.items() if column.kind == "prediction" and columns.get(n) is not None]
    return ManifestFile(
        schema="explorer.deploy/1",
        explorer_version=__version__,
        study=file.study,
        rule=file.rule,
        design=ShippedDesign(design_id=design.design_id, family=design.family, pruning_ratio=design.pruning_ratio,
                             quant_step=design.quant_step),
        operating_point=OperatingPoint(
            asked=AskedPoint(frequency_hz=design.frequency_hz),
            information=AssumedPoint(voltage_v=design.voltage_v, note=_VOLTAGE_NOTE),
        ),
        predicted={name: Predicted(**_quantity(columns, name)) for name in predictions},
        objectives={
            name: ShippedObjective(**_quantity(columns, name), direction=OBJECTIVES[name].direction)
            for name in file.provenance.question.objectives
        },
        is_extrapolated=chosen.is_extrapolated,
        domain_distance=number(columns, "domain_distance"),
        not_checked=_not_checked(chosen),
        chosen_sha256=chosen.sha256,
        provenance=file.provenance,
    )  # fmt: skip


def bundle_texts(made: ManifestFile) -> dict[str, str]:
    """Return the files of a bundle, by name: the manifest, a page for people, and the SHA-256 of both."""
    payload = made.model_dump(mode="json", by_alias=True)
    texts = {
        MANIFEST: json.dumps(payload, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        README: _readme(made),
    }
    return {**texts, SUMS: "".join(f"{sha256(text)}  {name}\n" for name, text in texts.items())}


def _quantity(columns: dict[str, Any], name: str) -> dict[str, Any]:
    low, high = bounds(name)
    return {
        "value": number(columns, name), "lo": number(columns, low), "hi": number(columns, high),
        "unit": COLUMNS[name].symbol,
    }  # fmt: skip


def _not_checked(chosen: Chosen) -> tuple[str, ...]:
    said = [
        "no network is in this bundle: nothing has been pruned or quantized",
        "accuracy, latency, energy, power and size are predictions of a model, not measurements of your network",
        "that your device offers this clock, and which voltage it needs for it, has not been looked up",
    ]
    if chosen.file.provenance.model.name == "paper":
        said.append("the model is fitted to the paper's ten samples: its accuracy does not transfer to another network")
    if chosen.is_extrapolated:
        said.append("the design is EXTRAPOLATED: it lies outside the range in which the model has seen samples")
    return tuple(said)


def _readme(made: ManifestFile) -> str:
    design, asked = made.design, made.operating_point.asked
    volts = made.operating_point.information.voltage_v
    known = {**made.predicted, **made.objectives}
    lines = [
        f"A configuration chosen by explorer {made.explorer_version} from study '{made.study}'.",
        f"Why: design {design.design_id}: {made.rule.text}",
        *[f"Condition: {text}" for text in made.rule.where],
        "",
        f"Network family         {design.family}",
        f"Pruning ratio R        {design.pruning_ratio:.6g}",
        f"Quantization step D    {design.quant_step:.6g}",
        f"Clock f                {COLUMNS['frequency_hz'].text(asked.frequency_hz)}",
        f"(assumed voltage       {COLUMNS['voltage_v'].text(volts)}; never an instruction to set a voltage)",
        "",
        "Predicted, with the interval in which 90 % of new measurements are expected:",
        *[f"  {COLUMNS[name].label}: {_text(name, quantity)}" for name, quantity in known.items()],
        "",
        "What has NOT been checked:",
        *[f"  - {text}" for text in made.not_checked],
        "",
        f"{MANIFEST} holds all of this with every digit, and where it comes from (its schema: explorer schema deploy).",
        f"Check that nothing was changed, in this folder: sha256sum -c {SUMS}",
    ]
    return "\n".join(lines) + "\n"


def _text(name: str, quantity: Predicted) -> str:
    text = COLUMNS[name].text
    if quantity.lo is None or quantity.hi is None:
        return f"{text(quantity.value)} (no interval known)"
    return f"{text(quantity.value)} ({text(quantity.lo)} to {text(quantity.hi)})"
