"""Analysis of results: the page, images, one design explained, fronts compared, and the dashboard."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from explorer.api.results import (
    RESULTS_FOLDER,
    HasResults,
    as_results,
    display_name,
    files_read,
    folders_of,
    results_folder,
)
from explorer.api.studies import load_study
from explorer.devices.device import read_device_points
from explorer.devices.machines import MachineCheck
from explorer.errors import WrongUsage
from explorer.io.outputs import check_output
from explorer.models.evaluation import Problem, fingerprint
from explorer.models.machine import check_device
from explorer.pareto.comparison.compare import Comparison, compare_results, comparison_json
from explorer.pareto.comparison.robustness import RobustnessPrice, price_of_robustness, robustness_json
from explorer.pareto.decision.binding_scenarios import binding_json, binding_scenarios
from explorer.pareto.decision.device_point import evaluate_on_device
from explorer.pareto.explanation.explain import Explanation, explain_design, explanation_json
from explorer.pareto.explanation.local_sensitivity import LocalSensitivity
from explorer.pareto.explanation.perturbations import Perturbation
from explorer.pareto.explanation.surrogate_of_results import with_fitted_surrogate
from explorer.pareto.results.folder import FRONT_JSON, read_folder
from explorer.pareto.results.origin import locate_study_file, provenance_changes
from explorer.pareto.results.results import Results
from explorer.problem.constraints import Constraint
from explorer.report.pages.comparison import write_comparison
from explorer.report.pages.write import write_image, write_page
from explorer.search.dashboard.server import Dashboard, find_study, open_dashboard
from explorer.search.session import prepare_reference
from explorer.search.storage.open import JOURNAL_NAME

__all__ = [
    "Comparison",
    "Explanation",
    "LocalSensitivity",
    "Perturbation",
    "RobustnessPrice",
    "apply_to_device",
    "binding_scenarios_of",
    "compare",
    "compare_with_nominal",
    "comparison_json",
    "dashboard",
    "explain",
    "explanation_json",
    "report",
    "report_image",
    "robustness_json",
]


def report(study_or_folder: str | Path | HasResults, path: str | Path | None = None, *, force: bool = False) -> Path:
    """Write the result page of a finished run again; return its path, by default `report.html` in the result folder.

    Args:
        study_or_folder: a study that was run here, a result folder, or results.
        path: the page; an earlier one is replaced.
        force: replace a file that is no page of explorer's.

    Raises:
        WrongUsage: there are no results, or the file cannot be written or must not be replaced.
        InvalidFile: a file in the folder is damaged.
    """
    results = as_results(study_or_folder)
    folder = (
        results_folder(study_or_folder) if isinstance(study_or_folder, (str, Path)) else RESULTS_FOLDER / results.study
    )
    written = Path(path) if path else folder / "report.html"
    check_output(written, kind="page", inputs=files_read(results, folder), force=force)
    write_page(results, written, display_name=display_name(results.study, folder))
    return written


def report_image(
    study_or_folder: str | Path, path: Path | None = None, *, kind: Literal["png", "svg"] = "png", force: bool = False
) -> Path:
    """Write the front's plot as an image; return its path, by default `front.png` or `front.svg` in the result folder.

    Raises:
        MissingPart: kaleido is not installed.
        WrongUsage: there are no results, no browser draws the plot, or the file cannot be written or is no such image
            of explorer's, and `force` is not set.
    """
    folder = results_folder(study_or_folder)
    results, written = read_folder(folder), (path or folder / "front").with_suffix(f".{kind}")
    check_output(written, kind=kind, inputs=files_read(results, folder), force=force)
    return write_image(results, written, kind=kind)


def explain(
    study_or_folder: str | Path | Results | HasResults,
    *,
    design: int,
    study: str | Path | Problem | None = None,
) -> Explanation:
    """Explain one finished design: sensitivities, active limits, the dominating design, the nearest sample.

    Args:
        study_or_folder: a study that was run here, a result folder, or results.
        design: the design's number.
        study: the study of the results, or its file; default: the file that their provenance names.

    Raises:
        WrongUsage: there are no such results or design, or their study or model is gone.
        InvalidFile: a file is damaged.
    """
    results = as_results(study_or_folder)
    if isinstance(study, Problem):
        problem = study
    else:
        is_read = not isinstance(study_or_folder, (str, Path))
        folder = RESULTS_FOLDER / results.study if is_read else results_folder(str(study_or_folder))
        name = results.study if is_read else str(study_or_folder)
        problem = load_study(study or locate_study_file(results.provenance, folder=folder, asked=name))
    warnings = provenance_changes(results.provenance, problem)
    if not problem.is_vectorized:
        problem, note = with_fitted_surrogate(problem, results)
        warnings = (*warnings, note)
    return explain_design(results, design, problem=problem, warnings=warnings)


def compare(
    studies_or_folders: Sequence[str | Path | Results | HasResults],
    *,
    objectives: Sequence[str] | None = None,
    output: str | Path | None = None,
    force: bool = False,
) -> Comparison:
    """Compare the fronts of two or more studies that were run here, or result folders.

    Args:
        studies_or_folders: two or more; labels are the studies' names, or the arguments where two names are equal.
        objectives: compare by these; default: those that all declare, or else those that any declares and all hold.
        output: write a page with the fronts here; an earlier page is replaced.
        force: replace a file that is no page of explorer's.

    Raises:
        WrongUsage: there are no results, they cannot be compared by these objectives, or the page cannot be written or
            must not be replaced.
        InvalidFile: a file of a folder is damaged.
        NoFeasibleDesign: no study has a feasible design.
    """
    if isinstance(studies_or_folders, (str, Path, Results)):
        raise WrongUsage("one study is given", fix="give a list of two or more")
    results = [as_results(one) for one in studies_or_folders]
    if output is not None:
        check_output(Path(output), kind="page", force=force, inputs=[
            path for one, result in zip(studies_or_folders, results, strict=True) if isinstance(one, (str, Path))
            for path in files_read(result, results_folder(one))
        ])  # fmt: skip
    labels = [one.study for one in results]
    if len(set(labels)) < len(labels):
        labels = [
            str(one) if isinstance(one, (str, Path)) else result.study
            for one, result in zip(studies_or_folders, results, strict=True)
        ]
    if repeated := [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        raise WrongUsage(f"'{repeated[0]}' is given twice", fix="give each study or folder once")
    comparison = compare_results(results, labels=labels, objectives=objectives)
    if output is not None:
        write_comparison(comparison, Path(output))
    return comparison


def compare_with_nominal(study_or_folder: str | Path | Problem) -> RobustnessPrice:
    """Compare the exact front whose limits hold in every scenario of a study with its nominal exact front.

    Args:
        study_or_folder: a study with scenarios, by name or path, which need not have been run; or a result folder.

    Raises:
        WrongUsage: there is no such study, it has no scenarios, or it measures its designs.
        InvalidFile: a file is damaged.
        NoFeasibleDesign: no design meets the limits, nominally or in every scenario.
    """
    if isinstance(study_or_folder, Problem):
        problem = study_or_folder
    else:
        ran = [folder for folder in folders_of(study_or_folder) if (folder / FRONT_JSON).is_file()]
        if ran and not Path(study_or_folder).is_file():
            origin = read_folder(ran[0]).provenance
            problem = load_study(locate_study_file(origin, folder=ran[0], asked=str(study_or_folder)))
        else:
            problem = load_study(study_or_folder)
    return price_of_robustness(problem, prepare_reference(problem) if problem.is_vectorized else ())


def binding_scenarios_of(results: Results, design: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the scenario that binds each limit of a chosen design, as plain JSON values; empty without scenarios."""
    if "scenario" not in results.provenance.get("question", {}):
        return []
    problem = _problem_of(results)
    columns = {name: np.array([value], dtype=object if isinstance(value, str) else np.float64)
               for name, value in design.items() if value is not None}  # fmt: skip
    return binding_json(binding_scenarios(problem, columns, is_measured=int(design.get("design_id", 0)) < 0))


def dashboard(
    study_or_folder: str | Path, *, storage: str | None = None, host: str = "127.0.0.1", port: int = 8080
) -> Dashboard:
    """Start optuna-dashboard on a study's trials, also during a run; call `serve` to answer requests.

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
    folders = folders_of(study_or_folder)
    begun = [folder for folder in folders if any((folder / name).is_file() for name in (JOURNAL_NAME, FRONT_JSON))]
    if not begun and storage is None:
        results_folder(study_or_folder)  # raises with what is missing
    stored, name = find_study(begun[0] if begun else folders[1], storage)
    return open_dashboard(stored, name, host=host, port=port)


def apply_to_device(
    results: Results,
    design: dict[str, Any],
    *,
    device: str,
    bin_name: str,
    conditions: Sequence[Constraint],
    allow_extrapolation: bool,
) -> tuple[dict[str, Any], MachineCheck]:
    """Return the entry `applied` of chosen.json: a design at the device's operating point with the nearest clock.

    The second value compares the device with the machine that the model's samples were measured on.

    Raises:
        WrongUsage: the device or the study does not exist, or the samples have changed.
        NoFeasibleDesign: there, a condition is not met, or the model extrapolates.
    """
    points = read_device_points(device, bin_name=bin_name)
    problem = _problem_of(results)
    point = evaluate_on_device(
        design, problem=problem, points=points, conditions=conditions,
        allow_extrapolation=allow_extrapolation,
    )  # fmt: skip
    applied = {
        "device": device,
        "bin": bin_name,
        "operating_point": point.point,
        "design": point.design,
        "is_extrapolated": point.is_extrapolated,
    }
    return applied, check_device(problem.evaluator, device, unsupported=problem.unsupported)


def _problem_of(results: Results) -> Problem:
    """Load the study of results, and check that its samples are unchanged.

    Raises:
        WrongUsage: the study is gone, or its samples have changed.
    """
    path = str(results.provenance.get("study", {}).get("file", results.study))
    loaded = load_study(path)
    now, then = fingerprint(loaded.evaluator), results.provenance.get("model", {})
    if now.get("samples_sha256") != then.get("samples_sha256"):
        raise WrongUsage(f"{path}: its samples have changed since the run", fix=f"explorer run {path}")
    return loaded
