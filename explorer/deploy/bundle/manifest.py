"""The manifest of a bundle: what is shipped, what is promised of it, and what nobody has checked."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from explorer import __version__
from explorer.deploy.bundle.schema import (
    AppliedPoint,
    AskedPoint,
    AssumedPoint,
    ManifestFile,
    OperatingPoint,
    Predicted,
    Promise,
    ShippedDesign,
    ShippedNetwork,
    ShippedObjective,
)
from explorer.deploy.bundle.selected import SelectedDesign, is_outside_domain, optional_float
from explorer.deploy.device.scripts import nodes_above_cap
from explorer.deploy.device.target import TargetDevice
from explorer.problem.columns import COLUMNS, bounds
from explorer.problem.objectives import OBJECTIVES

MANIFEST = "manifest.json"
# The same clock needs 950 mV on one chip and 1000 mV on another of the same kind; a device's own table knows.
_VOLTAGE_NOTE = (
    "what the predictions assume, for information only: set the clock and let the device choose the voltage from its "
    "own table"
)


def to_shipped_design(chosen: SelectedDesign) -> ShippedDesign:
    """Return what of a chosen configuration says how to compress a network."""
    design = chosen.file.design
    return ShippedDesign(
        design_id=design.design_id, family=design.family, pruning_ratio=design.pruning_ratio,
        quant_step=design.quant_step, knobs=chosen.own_knobs,
    )  # fmt: skip


def build_manifest(
    chosen: SelectedDesign,
    *,
    network: ShippedNetwork | None = None,
    target: TargetDevice | None = None,
    there: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    remarks: tuple[str, ...] = (),
) -> ManifestFile:
    """Return the manifest of a chosen configuration; the same arguments give the same manifest.

    Args:
        chosen: the configuration.
        network: the compressed network in the bundle, if there is one.
        target: the device at the applied point, if one was named.
        there: the design's columns at that point, evaluated again; None where they were not.
        files: the bundle's other files, and what each is for.
        remarks: what else has not been checked.
    """
    file = chosen.file
    asked = make_promise(chosen.columns, chosen)
    applied = None if there is None else make_promise(there, chosen)
    far = ("at the applied clock the design is EXTRAPOLATED",) if applied and applied.is_extrapolated else ()
    return ManifestFile(
        schema="explorer.deploy/1",
        explorer_version=__version__,
        study=file.study,
        rule=file.rule,
        design=to_shipped_design(chosen),
        network=network,
        operating_point=_operating_point(chosen, target),
        predicted=asked.predicted,
        objectives=asked.objectives,
        is_extrapolated=chosen.is_extrapolated,
        domain_distance=asked.domain_distance,
        applied=applied,
        files=dict(files or {}),
        not_checked=(*_not_checked(chosen, network=network, target=target), *far, *remarks),
        chosen_sha256=chosen.sha256,
        provenance=file.provenance,
    )


def manifest_text(made: ManifestFile) -> str:
    """Return manifest.json; every character is printable ASCII, so that YAML and old tools can carry it too."""
    payload = made.model_dump(mode="json", by_alias=True)
    return json.dumps(payload, indent=2, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def make_promise(columns: Mapping[str, Any], chosen: SelectedDesign) -> Promise:
    """Return what a model says of a design, from its columns."""
    known = [n for n, column in COLUMNS.items() if column.kind == "prediction" and columns.get(n) is not None]
    distance = optional_float(columns, "domain_distance")
    return Promise(
        predicted={name: Predicted(**_quantity(columns, name)) for name in known},
        objectives={
            name: ShippedObjective(**_quantity(columns, name), direction=OBJECTIVES[name].direction)
            for name in chosen.file.provenance.question.objectives
        },
        is_extrapolated=is_outside_domain(columns),
        domain_distance=distance,
    )


def _operating_point(chosen: SelectedDesign, target: TargetDevice | None) -> OperatingPoint | None:
    clock, volts = chosen.file.design.frequency_hz, chosen.file.design.voltage_v
    if clock is None:
        return None
    applied = None if target is None else AppliedPoint(
        device=target.device, title=target.title, source=target.source, bin=target.bin_name, point=target.point,
        control=target.control, frequency_hz=target.clock_hz, clocks_hz=target.clocks_hz,
    )  # fmt: skip
    information = None if volts is None else AssumedPoint(voltage_v=volts, note=_VOLTAGE_NOTE)
    return OperatingPoint(asked=AskedPoint(frequency_hz=clock), applied=applied, information=information)


def _quantity(columns: Mapping[str, Any], name: str) -> dict[str, Any]:
    low, high = bounds(name)
    return {
        "value": optional_float(columns, name), "lo": optional_float(columns, low), "hi": optional_float(columns, high),
        "unit": COLUMNS[name].symbol,
    }  # fmt: skip


def _not_checked(
    chosen: SelectedDesign, *, network: ShippedNetwork | None, target: TargetDevice | None
) -> Iterator[str]:
    if network is None:
        yield "no network is in this bundle: nothing has been pruned or quantized"
    if chosen.file.provenance.question.live is None:
        yield "accuracy, latency, energy, power and size are predictions of a model, not measurements of your network"
    else:
        yield "what is promised was measured when the study ran, not of the file in this bundle"
    if network is not None:
        yield from _of_network(chosen, network)
    if chosen.file.design.frequency_hz is None:
        yield "the study chose no clock: there is no script to set one"
    elif target is None:
        yield "that your device offers this clock, and which voltage it needs for it, has not been looked up"
    else:
        yield from _of_target(target)
    if chosen.file.provenance.model.name == "paper":
        yield "the model is fitted to the paper's ten samples: its accuracy does not transfer to another network"
    if chosen.is_extrapolated:
        yield "the design is EXTRAPOLATED: it lies outside the range in which the model has seen samples"


def _of_network(chosen: SelectedDesign, network: ShippedNetwork) -> Iterator[str]:
    family, name = chosen.file.design.family, network.source.name
    if family != name:
        yield f"the model's samples are of '{family}'; that they are of the network '{name}' is not known"
    measured = (chosen.file.provenance.model.model_extra or {}).get("network_sha256")
    if measured not in {None, network.source.sha256}:
        yield f"the study measured another network than '{name}': SHA-256 {str(measured)[:16]}..."
    if network.activations == "int8":
        yield "activations are int8: that the samples were measured so is not known"
    yield "the compressed network was loaded, but not run on labelled data: explorer verify does that"
    if network.energy_mac_mem is None:
        yield "Eq. (1) was not computed: an input of the network leaves a length open"


def _of_target(target: TargetDevice) -> Iterator[str]:
    yield f"the device ({target.title}) has not been looked at; the scripts check what it offers"
    above = nodes_above_cap(target)
    if target.control == "cpufreq" and above is None:
        yield "no overlay: the device's file does not tell what the device tree calls its operating points"
    elif target.control == "cpufreq" and not above:
        yield "no overlay: the applied clock is the device's highest"
