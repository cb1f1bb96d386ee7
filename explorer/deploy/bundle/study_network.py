"""Network, data and options of a bundle as its study measured them, found again by their SHA-256."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.network_artifact import NetworkOptions
from explorer.deploy.bundle.selected import SelectedDesign
from explorer.errors import ExplorerError, WrongUsage
from explorer.io.files import is_file
from explorer.network.graph.model import Network, load_network, shipped_networks
from explorer.network.graph.session import PROVIDERS
from explorer.network.measurement.samples_file import provenance_path, read_conditions
from explorer.network.task.labelled_data import LabelledData, load_data
from explorer.network.task.module import PYTHON
from explorer.pareto.results.origin import locate_study_file
from explorer.problem.study import read_study

_DIGITS = 12  # of a SHA-256, in messages


@dataclass(frozen=True, slots=True)
class StudyNetwork:
    """Network of a bundle with its options; warnings on the predictions, and remarks on missing parts."""

    network: Network
    options: NetworkOptions
    warnings: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def find_study_network(
    selected: SelectedDesign, *, folder: Path, model: str | Path | None, options: NetworkOptions
) -> StudyNetwork:
    """Return the network of a chosen design with the options of its measurement.

    A live study names its network and data. A samples CSV of `explorer measure` has its options in a second file.
    Options of the user come first.

    Args:
        selected: the chosen design.
        folder: folder of its file.
        model: path of an ONNX file or name of a shipped network; None: the one that a live study measured.
        options: options that the user gives.

    Raises:
        WrongUsage: the network of the study is gone or another one, or calibration data is missing.
        InvalidFile: the network, or the provenance of the samples, has faults.
    """
    if model is None or selected.file.provenance.question.live is not None:
        return _of_live_study(selected, folder, model, options)
    network = load_network(model)
    conditions = _conditions(selected, folder)
    if conditions is None:
        return StudyNetwork(network, options)
    measured, name = _mapping(conditions, "network"), selected.file.provenance.model.name
    warnings = _other_network(network, str(measured.get("sha256", "")), f"the samples of {Path(name).name}")
    is_int8 = conditions.get("activations") == "int8"
    if is_int8 and options.calibration is None:
        raise WrongUsage(
            f"{name}: its samples were measured with int8 activations", fix="give their data: --full-int8 CALIBRATION"
        )
    clip = re.search(r"clipped to (int4|int8|int16)", str(conditions.get("quantization")))
    return StudyNetwork(network, replace(
        options, codec=options.codec or _text(_mapping(conditions, "size"), "codec"),  # type: ignore[arg-type]
        per_tensor=options.per_tensor or conditions.get("pruning") == "per tensor",
        clip_to=options.clip_to or (clip[1] if clip else None),  # type: ignore[arg-type]
        measured_calibration=str(conditions.get("calibration") or "") if is_int8 else "",
        device=_device(_mapping(conditions, "latency").get("device")),
        output=options.output or _text(_mapping(conditions, "task"), "output"),
    ), warnings)  # fmt: skip


def _of_live_study(
    selected: SelectedDesign, folder: Path, model: str | Path | None, options: NetworkOptions
) -> StudyNetwork:
    live, origin = selected.file.provenance.question.live, selected.file.provenance
    digest = _text(origin.model.model_extra or {}, "network_sha256") or ""
    network = _measured_network(selected, folder, digest) if model is None else load_network(model)
    data, remark = (options.data, "") if options.data else _measured_data(selected, folder)
    measured = replace(
        options, data=data, codec=options.codec or (live.codec if live else None),
        per_tensor=options.per_tensor or bool(live and live.per_tensor),
        clip_to=options.clip_to or (live.clip if live else None), measured_calibration="",
        device=_device((live.model_extra or {}).get("device") if live else None),
        output=options.output or _text(_mapping(_measurement(selected), "task"), "output"),
    )  # fmt: skip
    return StudyNetwork(network, measured, _other_network(network, digest, "the study"), (remark,) if remark else ())


def _measured_network(selected: SelectedDesign, folder: Path, digest: str) -> Network:
    """Return the network that a live study measured.

    Raises:
        WrongUsage: no file has its SHA-256.
    """
    name, study = selected.file.provenance.model.name, selected.file.study
    if name in shipped_networks():
        paths: list[str | Path] = [name]
    else:
        paths = [path for path in _candidates(selected, folder, name, "onnx") if is_file(path)]
    if not paths:
        raise WrongUsage(
            f"{name}: the network of study '{study}' is not there any more",
            fix="name it with --model FILE.onnx, or leave it out with --no-network",
        )
    networks = [load_network(path) for path in paths]
    same = [network for network in networks if network.sha256 == digest]
    if not same:
        raise WrongUsage(
            f"{paths[0]}: is not the network that study '{study}' measured: its SHA-256 is "
            f"{networks[0].sha256[:_DIGITS]}..., not {digest[:_DIGITS]}...",
            fix="run the study again, restore the file, or name it with --model FILE.onnx",
        )
    return same[0]


def _measured_data(selected: SelectedDesign, folder: Path) -> tuple[LabelledData | None, str]:
    """Return the data of a live study, or why it cannot be used. Python code is never run on the word of a file."""
    name = _text(_mapping(_measurement(selected), "files"), "data") or ""
    digest = _text(selected.file.provenance.model.model_extra or {}, "data_sha256")
    if name.startswith(PYTHON):
        return None, f"the study's data is Python code ({name}), which was not run: name it with --data"
    is_shipped = bool(name) and "/" not in name and not name.endswith(".npz")
    paths = [p.absolute() for p in _candidates(selected, folder, name, "data") if is_file(p)]
    texts = [name] if is_shipped else list(map(str, paths))
    reason = ""
    for one in texts:
        try:
            data = load_data(one)
        except ExplorerError:
            continue
        if data.sha256 == digest:
            return data, ""
        reason = f"{Path(one).name} is other data"
    return None, f"the study's data was not used: {reason or f'{Path(name).name} was not found'}. Name it with --data"


def _candidates(selected: SelectedDesign, folder: Path, name: str, key: str) -> Iterator[Path]:
    """Yield possible paths of a study's file: as recorded, from the folder of the run, as the study names it."""
    if name:
        yield from (Path(name), folder.parent.parent / name)
    try:
        origin = selected.file.provenance.model_dump(mode="json")
        study = read_study(locate_study_file(origin, folder=folder, asked=selected.file.study))
    except ExplorerError:
        return
    if study.live is not None:
        yield Path(getattr(study.live, key) or "")


def _conditions(selected: SelectedDesign, folder: Path) -> Mapping[str, Any] | None:
    """Return the provenance of the samples that the model is fitted to; None if `explorer measure` did not write it."""
    name = Path(selected.file.provenance.model.name)
    for path in (name, folder.parent.parent / name):
        if path.suffix and is_file(provenance_path(path)):
            return read_conditions(path)
    return None


def _other_network(network: Network, digest: str, measurer: str) -> tuple[str, ...]:
    if not digest or network.sha256 == digest:
        return ()
    text = (
        f"numbers of another network: {measurer} measured one with SHA-256 {digest[:_DIGITS]}..., not '{network.name}'"
    )
    return (f"{text} ({network.sha256[:_DIGITS]}...)",)


def _device(name: object) -> str:
    return name if isinstance(name, str) and name in PROVIDERS else "cpu"


def _measurement(selected: SelectedDesign) -> Mapping[str, Any]:
    return _mapping(selected.file.provenance.model_extra or {}, "measurement")


def _text(table: Mapping[str, Any], key: str) -> str | None:
    value = table.get(key)
    return value if isinstance(value, str) and value else None


def _mapping(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key)
    return value if isinstance(value, Mapping) else {}
