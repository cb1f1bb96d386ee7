"""Tables of any source: files in every format that `io/tables` reads, DataFrames, and Optuna studies."""

from pathlib import Path

from explorer.errors import WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.io.files import is_file, write_text
from explorer.io.tables.frame import Table
from explorer.io.tables.read import read_table
from explorer.search.study_table import is_storage, read_storage


def load_table(source: Table | CsvTable) -> CsvTable:
    """Read a table of any source.

    Args:
        source: a file, a DataFrame, a mapping of columns, or an Optuna storage: its URL or file, with `#NAME` for one
            of several studies.

    Raises:
        WrongUsage: there is no such file or storage, or a storage has several studies and none is named.
        InvalidFile: it is no table; all faults at once.
        MissingPart, MissingDriver: the package that reads the format is not installed.
    """
    if isinstance(source, (str, Path)) and is_storage(str(source)):
        return read_storage(str(source))
    return read_table(source)


def save_table(table: CsvTable, path: Path) -> Path:
    """Write a table as CSV beside a study, which names its samples by a file; return the path.

    Raises:
        WrongUsage: another file is there already, or the folder cannot be written.
    """
    if is_file(path) and path.read_text(encoding="utf-8") == table.text:
        return path
    if path.exists():
        raise WrongUsage(f"{path}: there already, with other rows", fix="move it, or take another --name")
    write_text(path, table.text)
    return path


def storage_file_name(source: str) -> str:
    """Return a file name for the trials of an Optuna storage.

    >>> storage_file_name("sqlite:///runs/my.db#sweep 2"), storage_file_name("postgresql://me@host/trials")
    ('my-sweep-2-trials.csv', 'trials-trials.csv')
    """
    base, _, study = source.rpartition("#") if "#" in source else (source, "", "")
    stem = Path(base.split("?")[0]).stem
    return "-".join(filter(None, [stem, study.replace(" ", "-"), "trials.csv"]))
