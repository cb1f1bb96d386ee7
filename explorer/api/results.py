"""Stored results of a study, with the columns, units and interval ends needed to print them."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from explorer.errors import WrongUsage
from explorer.io.json_text import to_text
from explorer.pareto.results.csv_text import csv_parts, csv_text
from explorer.pareto.results.folder import FRONT_JSON, RESULT_FILES, read_folder
from explorer.pareto.results.front_json import front_head, front_parts
from explorer.pareto.results.results import Results, front_order
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, Column, Columns, bounds, column_of, knobs_of, n_rows, own_knobs
from explorer.problem.targets import declared_targets

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "COLUMNS",
    "RESULTS_FOLDER",
    "Column",
    "Columns",
    "HasResults",
    "Results",
    "as_results",
    "bounds",
    "column_of",
    "csv_parts",
    "csv_text",
    "declared_targets",
    "display_name",
    "files_read",
    "folders_of",
    "front",
    "front_head",
    "front_order",
    "front_parts",
    "is_extrapolated",
    "knobs_of",
    "load_results",
    "n_rows",
    "own_knobs",
    "results_folder",
    "to_text",
]

RESULTS_FOLDER = Path("results")


def load_results(study_or_folder: str | Path) -> Results:
    """Read the results of a study by name (`results/<study>/`), or of a result folder.

    Raises:
        WrongUsage: there are none.
        InvalidFile: a file in the folder is damaged.
    """
    return read_folder(results_folder(study_or_folder))


class HasResults(Protocol):
    """The outcome of a run: it has `results`."""

    @property
    def results(self) -> Results:
        """All finished designs."""
        ...


def as_results(source: "str | Path | Results | HasResults") -> Results:
    """Return results: themselves, those of a run's outcome, or those stored under a study's name or in a folder.

    Raises:
        WrongUsage: there are none, or the argument is something else.
        InvalidFile: a file in the folder is damaged.
    """
    if isinstance(source, (str, Path)):
        return read_folder(results_folder(source))
    results = source if isinstance(source, Results) else getattr(source, "results", None)
    if not isinstance(results, Results):
        raise WrongUsage(
            f"a {type(source).__name__} holds no results",
            fix="give the name of a study that was run, its result folder, or what `explorer.run` returned",
        )
    return results


def front(study_or_folder: "str | Path | Results | HasResults") -> "pd.DataFrame":
    """Return the Pareto front of stored results: a design each row, with predictions, intervals and objectives.

    Raises:
        WrongUsage: there are none.
        InvalidFile: a file in the folder is damaged.
    """
    return as_results(study_or_folder).front()


def results_folder(study_or_folder: str | Path) -> Path:
    """Return the result folder of a study's name, or of a path.

    Raises:
        WrongUsage: there is none; the fix is the command that makes it.
    """
    direct, named = folders_of(study_or_folder)
    for folder in (direct, named):
        if (folder / FRONT_JSON).is_file():
            return folder
    if direct.is_dir():
        raise WrongUsage(f"{direct}: holds no results", fix="give a folder that `explorer run` wrote")
    # Imported here: reading results must not import the declarations, and pydantic with them.
    from explorer.problem.study import read_study

    study = read_study(str(study_or_folder))  # raises for an unknown name, with the nearest one
    raise WrongUsage(f"{named}: study '{study.name}' has not been run here", fix=f"explorer run {study_or_folder}")


def files_read(results: Results, folder: Path) -> list[Path]:
    """Return the files behind results: those of their folder, of their study, its spaces and its model."""
    origin = results.provenance
    entries = [origin.get("study", {}), *origin.get("spaces", ())]
    names = [origin.get("model", {}).get("name"), *(entry.get("file") for entry in entries)]
    return [*(folder / name for name in RESULT_FILES), *(Path(name) for name in names if name)]


def display_name(study: str, folder: Path) -> str:
    """Return the name of results in a command: the study, or their folder where it is not the default one."""
    return study if folder == RESULTS_FOLDER / study else str(folder)


def folders_of(study_or_folder: str | Path) -> tuple[Path, Path]:
    """Return the two folders that an argument can name: itself, and a study's default folder."""
    path = Path(study_or_folder).expanduser()
    return path, RESULTS_FOLDER / path.stem if path.suffix == ".toml" else RESULTS_FOLDER / path
