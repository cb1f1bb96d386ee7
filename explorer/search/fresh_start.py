"""Fresh start of a study: its earlier result folder is kept under a numbered name."""

from pathlib import Path

from explorer.errors import StudyChanged, WrongUsage
from explorer.io.files import cannot_write
from explorer.models.evaluation import Problem
from explorer.pareto.results.folder import FRONT_JSON
from explorer.search.session import open_session
from explorer.search.storage.open import journal_path
from explorer.search.storage.retry import Notify
from explorer.search.storage.run_lock import run_lock

_MAX_KEPT = 10_000


def is_changed(problem: Problem, *, out: Path, storage: str | None) -> bool:
    """Return whether the trials in a storage are of another declaration of the study.

    Raises:
        WrongUsage, InvalidFile, MissingPart: the storage cannot be used, or another run is active.
    """
    with run_lock(out, storage, study=problem.study.name):
        try:
            _ = open_session(problem, out=out, storage_url=storage).study
        except StudyChanged:
            return True
        return False


def set_aside(problem: Problem, *, out: Path, storage: str | None, notify: Notify) -> Path | None:
    """Rename the result folder of a study, and its journal outside of it, to unused numbered names.

    Args:
        problem: the study.
        out: its result folder.
        storage: a journal's path; None for the journal in the result folder.
        notify: called with the new name.

    Returns:
        The new name of the folder; None where there was none.

    Raises:
        WrongUsage: the trials are in a database, another run is active, or the folder cannot be renamed.
    """
    journal = journal_path(storage, out)
    if journal is None:
        raise WrongUsage(
            f"study '{problem.study.name}': its trials are in a database, which keeps one study of a name",
            fix="name another --storage and --out; --from DIR takes over the measurements of a result folder",
        )
    is_outside = journal.absolute().parent != out.absolute()
    if is_outside and journal.is_file():
        _rename(journal, lock=(out, storage, problem.study.name))
    if not out.exists():
        return None
    _check_folder(problem, out, journal)
    kept = _rename(out, lock=(out, storage, problem.study.name))
    notify(f"note: the earlier results are kept in {kept}/")
    return kept


def _check_folder(problem: Problem, out: Path, journal: Path) -> None:
    """Raise if a folder is no result folder, or holds what the run needs.

    Raises:
        WrongUsage: it must not be renamed.
    """
    place = out.resolve()
    needed = [Path.cwd(), problem.study.path.resolve(), *(space.path.resolve() for space in problem.study.spaces)]
    if any(path.is_relative_to(place) for path in needed):
        raise WrongUsage(f"{out}: holds the working folder or the study, and cannot be renamed",
                         fix="choose another result folder with --out")  # fmt: skip
    if any(out.iterdir()) and not (out / FRONT_JSON).is_file() and not (out / journal.name).is_file():
        raise WrongUsage(f"{out}: is no result folder", fix="choose another folder with --out")


def _rename(path: Path, *, lock: tuple[Path, str | None, str]) -> Path:
    out, storage, study = lock
    with run_lock(out, storage, study=study):  # no run is active; the lock moves with its folder
        try:
            names = (path.with_name(f"{path.name}-{i}") for i in range(1, _MAX_KEPT))
            kept = next(name for name in names if not name.exists())
            path.rename(kept)
        except OSError as error:
            raise cannot_write(path, error) from None
    return kept
