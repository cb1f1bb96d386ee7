"""Manifest of a bundle: shipped files, predictions, and the list of unchecked assumptions."""

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
from explorer.io.declarations import Declaration
from explorer.problem.columns import COLUMNS, bounds
from explorer.problem.objectives import objective_of

MANIFEST = "manifest.json"
# The same clock needs 950 mV on one chip and 1000 mV on another of the same type: only the device's table has it.
_VOLTAGE_NOTE = (
    "assumed by the predictions, for information only: set the clock and let the device choose the voltage from its "
    "own table"
)


def to_shipped_design(selected: SelectedDesign) -> ShippedDesign:
    """Return the knobs of a chosen design, which determine how its network is compressed."""
    design = selected.file.design
    return ShippedDesign(
        design_id=design.design_id, family=design.family, pruning_ratio=design.pruning_ratio,
        quant_step=design.quant_step, knobs=selected.own_knobs,
    )  # fmt: skip


def build_manifest(
    selected: SelectedDesign,
    *,
    network: ShippedNetwork | None = None,
    target: TargetDevice | None = None,
    applied_columns: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    remarks: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
) -> ManifestFile:
    """Return the manifest of a chosen design; the same arguments give the same manifest.

    Args:
        selected: the chosen design.
        network: the compressed network in the bundle, if any.
        target: the device at the applied operating point, if any.
        applied_columns: the design's columns at that point; None if they were not evaluated.
        files: the bundle's other files with their purposes.
        remarks: further unchecked assumptions.
        warnings: what the predictions do not hold for.
    """
    file = selected.file
    requested = make_promise(selected.columns, selected)
    applied = None if applied_columns is None else make_promise(applied_columns, selected)
    remarks_applied = (
        ("at the applied clock the design is EXTRAPOLATED",) if applied and applied.is_extrapolated else ()
    )
    return ManifestFile(
        schema="explorer.deploy/1",
        explorer_version=__version__,
        study=file.study,
        rule=file.rule,
        design=to_shipped_design(selected),
        network=network,
        operating_point=_operating_point(selected, target),
        predicted=requested.predicted,
        objectives=requested.objectives,
        is_extrapolated=selected.is_extrapolated,
        domain_distance=requested.domain_distance,
        applied=applied,
        files=dict(files or {}),
        machine=file.machine,
        warnings=warnings,
        not_checked=(*_not_checked(selected, network=network, target=target), *remarks_applied, *remarks),
        selection=file.selection,
        limits=file.limits,
        joint_probability=file.joint_probability,
        chosen_sha256=selected.sha256,
        provenance=file.provenance,
    )


def manifest_text(file: ManifestFile) -> str:
    """Return the text of manifest.json in printable ASCII, which YAML can contain unchanged."""
    return plain_json(file)


def plain_json(file: Declaration) -> str:
    """Return a file of a bundle as indented JSON in printable ASCII."""
    payload = file.model_dump(mode="json", by_alias=True)
    return json.dumps(payload, indent=2, allow_nan=False).replace("\x7f", "\\u007f") + "\n"


def make_promise(columns: Mapping[str, Any], selected: SelectedDesign) -> Promise:
    """Return predictions and objectives of a design from its columns."""
    names = [n for n, column in COLUMNS.items() if column.kind == "prediction" and columns.get(n) is not None]
    distance = optional_float(columns, "domain_distance")
    return Promise(
        predicted={name: Predicted(**_quantity(columns, name)) for name in names},
        objectives={
            name: ShippedObjective(**_quantity(columns, name), direction=objective_of(name).direction)
            for name in selected.file.provenance.question.objectives
        },
        is_extrapolated=is_outside_domain(columns),
        domain_distance=distance,
    )


def _operating_point(selected: SelectedDesign, target: TargetDevice | None) -> OperatingPoint | None:
    clock, volts = selected.file.design.frequency_hz, selected.file.design.voltage_v
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
    selected: SelectedDesign, *, network: ShippedNetwork | None, target: TargetDevice | None
) -> Iterator[str]:
    if network is None:
        yield "the bundle has no network: nothing has been pruned or quantized"
    if selected.file.is_measured:
        yield "the values are readings of a measured sample: the file in this bundle has not been measured"
    elif selected.file.provenance.question.live is None:
        yield "accuracy, latency, energy, power and size are predictions of a model, not measurements of your network"
    else:
        yield "the predictions were measured when the study ran, not with the file in this bundle"
    if network is not None:
        yield from _network_remarks(selected, network)
    if selected.file.design.frequency_hz is None:
        yield "the study chose no clock: no script sets one"
    elif target is None:
        yield "whether your device has this clock, and the voltage it needs, has not been looked up"
    else:
        yield from _target_remarks(target)
    if selected.file.provenance.model.name == "paper":
        yield "the model is fitted to the paper's ten samples: its accuracy does not transfer to another network"
    if selected.is_extrapolated:
        yield "the design is EXTRAPOLATED: it is outside the range of the model's samples"


def _network_remarks(selected: SelectedDesign, network: ShippedNetwork) -> Iterator[str]:
    family, name = selected.file.design.family, network.source.name
    measured = (selected.file.provenance.model.model_extra or {}).get("network_sha256")
    if family != name and measured != network.source.sha256:
        yield f"the model's samples are of '{family}': whether they are of the network '{name}' is unknown"
    yield "the quality of the compressed network was not measured again (explorer verify --data does)"
    if network.energy_mac_mem is None:
        yield "Eq. (1) was not computed: an input of the network has a dynamic length, and no data was given"


def _target_remarks(target: TargetDevice) -> Iterator[str]:
    yield f"the device ({target.title}) has not been accessed; the scripts check its clocks"
    nodes = nodes_above_cap(target)
    if target.control == "cpufreq" and nodes is None:
        yield "no overlay: the device's file lacks the device-tree names of its operating points"
    elif target.control == "cpufreq" and not nodes:
        yield "no overlay: the applied clock is the device's highest"
