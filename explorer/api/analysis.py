"""Looking at what was found: the page, one design, several fronts, the dashboard."""

from collections.abc import Sequence
from pathlib import Path

from explorer.api.results import display_name, folders_of, load_results, results_folder
from explorer.api.studies import load_problem
from explorer.errors import WrongUsage
from explorer.pareto.comparison.compare import Comparison
from explorer.pareto.comparison.compare import compare as compare_fronts
from explorer.pareto.explanation.explain import Explanation
from explorer.pareto.explanation.explain import explain as explain_design
from explorer.pareto.explanation.surrogate_of_results import with_fitted_surrogate
from explorer.pareto.results.folder import FRONT_JSON, read_folder
from explorer.pareto.results.origin import locate_study_file, provenance_changes
from explorer.report.pages.write import write_page
from explorer.search.dashboard.server import Dashboard, find_study, open_dashboard
from explorer.search.storage.open import JOURNAL_NAME


def write_report(study_or_folder: str | Path, path: Path | None = None) -> Path:
    """Write the result page of a finished run anew; return its path, by default `report.html` in the result folder.

    Raises:
        WrongUsage: there are no results, or the file cannot be written.
        InvalidFile: a file in the folder is damaged.
    """
    folder = results_folder(study_or_folder)
    found = read_folder(folder)
    written = path or folder / "report.html"
    write_page(found, written, place=display_name(found.study, folder))
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
    found, folder = load_results(study_or_folder), results_folder(study_or_folder)
    file = study or locate_study_file(found.provenance, folder=folder, asked=str(study_or_folder))
    problem = load_problem(file)
    changes = provenance_changes(found.provenance, problem)
    if not problem.is_vectorized:
        problem, said = with_fitted_surrogate(problem, found)
        changes = (*changes, said)
    return explain_design(found, design, problem=problem, warnings=changes)


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
    folders = folders_of(study_or_folder)
    begun = [folder for folder in folders if any((folder / name).is_file() for name in (JOURNAL_NAME, FRONT_JSON))]
    if not begun and storage is None:
        results_folder(study_or_folder)  # tells what is missing
    stored, name = find_study(begun[0] if begun else folders[1], storage)
    return open_dashboard(stored, name, host=host, port=port)
