"""DataFrames at the border: a table given in Python goes through the same checks as a CSV file."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from explorer.errors import InvalidFile

Table = str | Path | pd.DataFrame | Mapping[str, Any]


@contextmanager
def csv_file(table: Table, *, name: str) -> Iterator[Path]:
    """Yield the path of a CSV: the given one, or a temporary one with the rows of a DataFrame.

    Args:
        table: a path, a DataFrame, or a mapping of column names to values; the index of a DataFrame is not a column.
        name: name of a table without a file, in messages.

    Raises:
        InvalidFile: raised by the block about the temporary file, here under `name`.
    """
    if isinstance(table, (str, Path)):
        yield Path(table).expanduser()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        pd.DataFrame(table).to_csv(path, index=False)
        try:
            yield path
        except InvalidFile as error:
            if str(path) not in str(error):
                raise
            raise InvalidFile(name, error.faults) from None
