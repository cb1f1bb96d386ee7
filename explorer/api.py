"""What the commands do, for Python: load a study, run it, look at its front, from a notebook or a script."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.deploy.artifact import NetworkOptions
from explorer.deploy.bundle import Bundle
from explorer.deploy.ship import Wishes, ship
from explorer.deploy.verify import Verdict, verified
from explorer.errors import Interrupted, MeasurementFailed, NoFeasibleDesign, WrongUsage
from explorer.models.assessment import Assessment, assessment_of
from explorer.models.store import load_evaluator
from explorer.network.data import LabelledData, load_data
from explorer.pareto import decide
from explorer.pareto.applied import apply_to
from explorer.pareto.certify import certify
from explorer.pareto.compare import Comparison
from explorer.pareto.compare import compare as compare_fronts
from explorer.pareto.decide import Choice
from explorer.pareto.explain import Explanation
from explorer.pareto.explain import explain as explain_design
from explorer.pareto.folder import FRONT_JSON, read_folder, write_folder
from explorer.pareto.notes import nearest_misses
from explorer.pareto.results import Results
from explorer.problem.columns import COLUMNS, Column, bounds, own_knobs
from explorer.problem.columns import describe as meaning_of
from explorer.problem.constraints import parse_constraint
from explorer.problem.device import device_points
from explorer.problem.manifest_file import ManifestFile
from explorer.problem.objectives import CostWeights
from explorer.problem.study import load_study
from explorer.report.files import write_page
from explorer.search.again import changes_since, study_file
from explorer.search.begin import fingerprint, n_complete, prepare
from explorer.search.collect import collect
from explorer.search.dashboard import Dashboard, find_study, open_dashboard
from explorer.search.run import Clock, Progress, logged, search, utc_now
from explorer.search.storage import JOURNAL_NAME, journal_path, recover_journal
from explorer.search.workers import search_in_parallel

RESULTS_FOLDER = Path("results")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did: its results, the folder, how many trials were added, the seconds of search, and any recovery."""

    results: Results
    out: Path
    n_added: int
    search_seconds: float
    recovered_from: Path | None = None


def load(study: str) -> Assessment:
    """Load a study by name or path, with its model: ready to run, or to assess designs without searching.

    Raises:
        WrongUsage: there is no such study or model.
        InvalidFile: a file is not what it should be; all of its faults at once.
    """
    declared = load_study(study)
    return assessment_of(declared, load_evaluator(declared))


def run(
    study: str | Assessment,
    *,
    trials: int | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    storage: str | None = None,
    workers: int = 1,
    out: str | Path | None = None,
    recover: bool = False,
    progress: Progress | None = None,
    clock: Clock = utc_now,
) -> Outcome:
    """Run or resume a study and write its result folder.

    Args:
        study: a study's name or path, or one already loaded.
        trials: number of COMPLETE trials wanted in all; default: the study's.
        seed: default: the study's. The same file and seed give the same front (with one worker).
        sampler: default: the study's.
        storage: any Optuna URL, or a journal file's path; default: a journal file in the result folder.
        workers: processes that search together.
        out: the result folder; default `results/<study>/`.
        recover: mend a journal whose last write was cut off; the damaged file is kept.
        progress: called after each batch of trials.
        clock: tells the time for provenance.

    Raises:
        WrongUsage, InvalidFile, MissingPart: something asked for cannot be done; nothing was lost.
        NoFeasibleDesign: no design meets the constraints; the result folder is written all the same.
        MeasurementFailed: designs are measured, and none of many in a row could be; the folder holds what was found.
        Interrupted: Ctrl-C; the result folder holds what was found so far.
    """
    loaded = load(study) if isinstance(study, str) else study
    asked = loaded.study.with_search(trials=trials, seed=seed, sampler=sampler)
    folder = Path(out) if out is not None else RESULTS_FOLDER / asked.name
    journal = journal_path(storage, folder)
    kept = recover_journal(journal) if recover and journal and journal.is_file() else None
    prepared = prepare(replace(loaded, study=asked), out=folder, storage_url=storage)
    before = n_complete(prepared)
    began = time.perf_counter()
    stopped: Interrupted | MeasurementFailed | None = None
    try:
        with logged(prepared, clock=clock):
            if workers == 1:
                search(prepared, progress=progress)
            else:
                search_in_parallel(prepared, workers=workers, done=before, progress=progress)
    except (Interrupted, MeasurementFailed) as error:
        stopped = error
    seconds = time.perf_counter() - began
    results = certify(collect(prepared), prepared.assessment)
    write_folder(results, folder)
    write_page(results, folder / "report.html", place=_place(results.study, folder))
    if stopped:
        raise stopped
    if not results.is_front.any():
        misses = "".join(f"\n  {line}" for line in nearest_misses(results.table, prepared.assessment))
        raise NoFeasibleDesign(
            f"none of {results.n_complete} designs meets every constraint{misses}",
            fix="loosen the constraint that is furthest from being met, or widen the space",
        )
    return Outcome(results, folder, results.n_complete - before, seconds, kept)


def results(study_or_folder: str | Path) -> Results:
    """Read the results of a study by name (`results/<study>/`), or of a result folder.

    Raises:
        WrongUsage: there are none.
        InvalidFile: a file in the folder is damaged.
    """
    return read_folder(results_folder(study_or_folder))


def results_folder(study_or_folder: str | Path) -> Path:
    """Return the result folder that an argument means.

    Raises:
        WrongUsage: there is none; it says how to make it.
    """
    given, named = _folders(study_or_folder)
    for folder in (given, named):
        if (folder / FRONT_JSON).is_file():
            return folder
    if given.is_dir():
        raise WrongUsage(f"{given}: holds no results", fix="give a folder that `explorer run` wrote")
    study = load_study(str(study_or_folder))  # an unknown name is told as such, with the nearest one
    raise WrongUsage(f"{named}: study '{study.name}' has not been run here", fix=f"explorer run {study_or_folder}")


def _place(study: str, folder: Path) -> str:
    """Return what a command typed where the study was run calls its results."""
    return study if folder == RESULTS_FOLDER / study else str(folder)


def _folders(study_or_folder: str | Path) -> tuple[Path, Path]:
    """Return the folders that an argument may mean: itself, and a study's default one."""
    given = Path(study_or_folder).expanduser()
    return given, RESULTS_FOLDER / given.stem if given.suffix == ".toml" else RESULTS_FOLDER / given


def choose(
    study_or_folder: str | Path,
    *,
    knee: bool = False,
    alpha: float | None = None,
    energy_max_j: float | None = None,
    minimize: str | None = None,
    design: int | None = None,
    where: Sequence[str] = (),
    allow_extrapolation: bool = False,
    device: str | None = None,
    bin_name: str = "",
) -> tuple[Choice, dict[str, Any]]:
    """Choose one configuration from a front by one rule; return it, and what `chosen.json` holds of it.

    Args:
        study_or_folder: a study that was run here, or a result folder.
        knee: choose where the front bends most.
        alpha: choose the least weighted cost, Eq. (10).
        energy_max_j: E_max of the weighted cost; default: the study's.
        minimize: choose the best value of this column.
        design: choose this design.
        where: conditions such as 'accuracy >= 0.9'.
        allow_extrapolation: take designs outside the model's domain as well.
        device: apply the choice to this device: the point of its own table with the nearest clock. What was asked and
            what is applied, evaluated again, both come with the payload.
        bin_name: the device's speed bin, where its table has several.

    Raises:
        WrongUsage: there are no results, or a rule, condition or device cannot be used.
        NoFeasibleDesign: no design meets the conditions inside the domain.
    """
    found = results(study_or_folder)
    candidates = found.front_columns
    if design is not None:
        candidates, rule = decide.one_design(found, design)
    elif alpha is not None:
        asked = found.provenance.get("question", {}).get("energy_max_j", CostWeights().energy_max_j)
        rule = decide.by_alpha(candidates, alpha=alpha, energy_max_j=asked if energy_max_j is None else energy_max_j)
    elif minimize is not None:
        rule = decide.by_column(candidates, minimize)
    elif knee:
        rule = decide.knee(found, candidates)
    else:
        raise WrongUsage("no rule given", fix="give one of knee, alpha, minimize, design")
    own = [name for name in own_knobs(candidates) if candidates[name].dtype != object]
    conditions = [parse_constraint(text, where="--where", own=own) for text in where]
    lacking = [c.column for c in conditions if c.column not in candidates]
    if lacking:
        raise WrongUsage(f"the results have no column {', '.join(lacking)}", fix=f"it has {', '.join(candidates)}")
    choice = decide.choose(
        found, rule=rule, candidates=candidates, conditions=conditions, allow_extrapolation=allow_extrapolation
    )
    payload = {
        "schema": "explorer.chosen/1",
        "study": found.study,
        "rule": {"name": choice.rule, "text": choice.why, "where": [condition.text for condition in conditions]},
        "design": choice.design,
        "runner_up": choice.runner_up,
        "price_of_accuracy": choice.price,
        "is_extrapolated": choice.is_extrapolated,
        "provenance": dict(found.provenance),
    }
    if device is not None:
        points = device_points(device, bin_name=bin_name)
        applied = apply_to(
            choice.design, assessment=_asked_of(found), points=points, conditions=conditions,
            allow_extrapolation=allow_extrapolation,
        )  # fmt: skip
        payload["applied"] = {
            "device": device,
            "bin": bin_name,
            "operating_point": applied.point,
            "design": applied.design,
            "is_extrapolated": applied.is_extrapolated,
        }
    return choice, payload


def write_report(study_or_folder: str | Path, path: Path | None = None) -> Path:
    """Write the result page of a finished run anew; return its path, by default `report.html` in the result folder.

    Raises:
        WrongUsage: there are no results, or the file cannot be written.
        InvalidFile: a file in the folder is damaged.
    """
    folder = results_folder(study_or_folder)
    found = read_folder(folder)
    written = path or folder / "report.html"
    write_page(found, written, place=_place(found.study, folder))
    return written


def explain(study_or_folder: str | Path, *, design: int, study: str | None = None) -> Explanation:
    """Explain one finished design: what beats it, what each knob would change, what holds it, the nearest sample.

    Args:
        study_or_folder: a study that was run here, or a result folder.
        design: the design's number.
        study: the study file of the results; default: the one that their provenance names.

    Raises:
        WrongUsage: there are no such results or design, or their study or model is gone.
        InvalidFile: a file is damaged.
    """
    found, folder = results(study_or_folder), results_folder(study_or_folder)
    file = study or study_file(found.provenance, folder=folder, asked=str(study_or_folder))
    assessment = load(file)
    changes = changes_since(found.provenance, assessment)
    return explain_design(found, design, assessment=assessment, warnings=changes)


def deploy(
    chosen: str | Path,
    *,
    out: str | Path,
    model: str | Path | None = None,
    device: str | None = None,
    bin_name: str = "",
    force: bool = False,
    allow_extrapolation: bool = False,
    network: NetworkOptions | None = None,
) -> tuple[ManifestFile, Bundle]:
    """Write the deployment bundle of a chosen configuration; return its manifest, and what was written.

    Args:
        chosen: the chosen.json that `choose` wrote.
        out: the bundle's folder, to be made.
        model: an ONNX file, or a shipped network's name: it is compressed at the design's R and D.
        device: name or file of a device: its nearest clock is applied, and its scripts are written.
        bin_name: the device's speed bin, where its table has several.
        force: replace a bundle that is there already.
        allow_extrapolation: take a design outside the model's domain as well.
        network: how the network is sized and its energy modelled.

    Raises:
        MissingPart: a network is given and onnx is not installed.
        WrongUsage: there is no such file, network or device, or the folder exists or cannot be written.
        InvalidFile: a file is not what it should be; all faults at once.
        NoFeasibleDesign: the design breaks its study's constraints, or lies outside the model's domain.
        MeasurementFailed: the network cannot be run.
    """
    wishes = Wishes(
        model, network or NetworkOptions(), device, bin_name, force=force, allow_extrapolation=allow_extrapolation
    )
    return ship(Path(chosen).expanduser(), Path(out).expanduser(), wishes=wishes, load=load)


def verify(
    bundle: str | Path,
    *,
    data: str | LabelledData | None = None,
    model: str | Path | None = None,
    samples: str | Path | None = None,
    sysfs: str | Path = "/sys",
    energy: bool = True,
) -> Verdict:
    """Hold a bundle against what it promises; nothing is raised for a broken promise: `is_kept` tells.

    Args:
        bundle: the folder that `deploy` wrote.
        data: labelled data, or what `measure --data` takes; None measures nothing.
        model: the network that the bundle was made from: every code is then compared with Eq. (5).
        samples: a samples CSV to which what was measured is appended.
        sysfs: where this machine shows its clocks.
        energy: read an energy meter where there is one.

    Raises:
        MissingPart: the bundle holds a network and onnx is not installed.
        WrongUsage: there is no such bundle or data, or the samples cannot be written.
        InvalidFile: the manifest or the data is damaged, or the samples have other columns.
    """
    return verified(Path(bundle).expanduser(), data=load_data(data) if isinstance(data, str) else data,
                    model=model, samples=None if samples is None else Path(samples).expanduser(),
                    sysfs=Path(sysfs), energy=energy)  # fmt: skip


def compare(studies_or_folders: Sequence[str | Path], *, objectives: Sequence[str] | None = None) -> Comparison:
    """Compare the fronts of two or more studies that were run here, or result folders.

    Args:
        studies_or_folders: two or more; each is called by its study's name, or, where two have the same, as given.
        objectives: compare by these; default: those that all declare, or else those that any declares and all hold.

    Raises:
        WrongUsage: there are no results, or they cannot be compared; it says by what they can.
        InvalidFile: a file of a folder is damaged.
        NoFeasibleDesign: no study has a feasible design.
    """
    folders = [results_folder(given) for given in studies_or_folders]
    found = [read_folder(folder) for folder in folders]
    labels = [one.study for one in found]
    if len(set(labels)) < len(labels):
        labels = [str(given) for given in studies_or_folders]
    if twice := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        raise WrongUsage(f"'{twice[0]}' is given twice", fix="give each study or folder once")
    return compare_fronts(found, labels=labels, objectives=objectives)


def dashboard(
    study_or_folder: str | Path, *, storage: str | None = None, host: str = "127.0.0.1", port: int = 8080
) -> Dashboard:
    """Make optuna-dashboard listen for a study's trials, also while it runs; `serve` then answers.

    Args:
        study_or_folder: a study that was run or is running here, or a result folder.
        storage: where its trials are kept; default: the journal file in its folder.
        host: the address to listen on.
        port: the port; 0 takes a free one.

    Raises:
        MissingPart: optuna-dashboard is not installed.
        WrongUsage: there are no trials, or the port cannot be had.
        InvalidFile: a file is damaged.
    """
    folders = _folders(study_or_folder)
    begun = [folder for folder in folders if any((folder / name).is_file() for name in (JOURNAL_NAME, FRONT_JSON))]
    if not begun and storage is None:
        results_folder(study_or_folder)  # tells what is missing
    stored, name = find_study(begun[0] if begun else folders[1], storage)
    return open_dashboard(stored, name, host=host, port=port)


def _asked_of(found: Results) -> Assessment:
    """Load the study that results are of, and see that its model still rests on the same samples.

    Raises:
        WrongUsage: the study is not where it was, or its samples have changed.
    """
    path = str(found.provenance.get("study", {}).get("file", found.study))
    loaded = load(path)
    now, then = fingerprint(loaded.evaluator), found.provenance.get("model", {})
    if now.get("samples_sha256") != then.get("samples_sha256"):
        raise WrongUsage(f"{path}: its samples have changed since the run", fix=f"explorer run {path}")
    return loaded


def describe(design: Mapping[str, Any], columns: Mapping[str, Column] | None = None) -> list[str]:
    """Return a design's columns as lines for people, with intervals where they are known.

    Args:
        design: its columns.
        columns: what the user's own knobs mean; default: what their names tell.
    """
    lines = []
    own = [name for name in design if name in own_knobs(dict.fromkeys(design, np.empty(0)))]
    known = [name for name, column in COLUMNS.items() if column.kind == "knob"]
    for name in [*known, *own, *[name for name in COLUMNS if name not in known]]:
        value, column = design.get(name), (columns or {}).get(name) or meaning_of(name)
        if isinstance(value, str):
            lines.append(f"{column.label}: {value}")
        elif value is not None and math.isfinite(float(value)):
            low, high = (design.get(end) for end in bounds(name))
            span = ""
            if low is not None and high is not None and math.isfinite(float(low)):
                span = f" ({column.text(float(low))} to {column.text(float(high))})"
            lines.append(f"{column.label}: {column.text(float(value))}{span}")
    return lines
