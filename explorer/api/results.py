"""Where results lie: a study's own folder, or the one that was given."""

from pathlib import Path

from explorer.errors import WrongUsage
from explorer.pareto.results.folder import FRONT_JSON, read_folder
from explorer.pareto.results.results import Results

RESULTS_FOLDER = Path("results")


def load_results(study_or_folder: str | Path) -> Results:
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
    given, named = folders_of(study_or_folder)
    for folder in (given, named):
        if (folder / FRONT_JSON).is_file():
            return folder
    if given.is_dir():
        raise WrongUsage(f"{given}: holds no results", fix="give a folder that `explorer run` wrote")
    # Not at the top: results are read without the declarations that they were made from, and pydantic with them.
    from explorer.problem.study import read_study

    study = read_study(str(study_or_folder))  # an unknown name is told as such, with the nearest one
    raise WrongUsage(f"{named}: study '{study.name}' has not been run here", fix=f"explorer run {study_or_folder}")


def display_name(study: str, folder: Path) -> str:
    """Return what a command typed where the study was run calls its results."""
    return study if folder == RESULTS_FOLDER / study else str(folder)


def folders_of(study_or_folder: str | Path) -> tuple[Path, Path]:
    """Return the folders that an argument may mean: itself, and a study's default one."""
    given = Path(study_or_folder).expanduser()
    return given, RESULTS_FOLDER / given.stem if given.suffix == ".toml" else RESULTS_FOLDER / given
