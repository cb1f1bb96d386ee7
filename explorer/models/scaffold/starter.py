"""Files of `explorer init`: a space and a study for a table, planned before they are written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.io.files import write_text
from explorer.models.samples.reading.reading import BUILT_IN_KNOBS, ColumnReading
from explorer.models.scaffold.names import fitted_model_name, scaffold_name
from explorer.models.scaffold.scaffold import scaffold_study
from explorer.models.scaffold.stated import NOTHING_STATED, StatedColumns


@dataclass(frozen=True, slots=True)
class StarterFiles:
    """A space and a study for a table of measurements.

    Args:
        name: of the space and the study.
        texts: content of the files by path, the study last.
        notes: decisions that the user should check.
        model_file: the name that `explorer fit -o` should write to, as the study's comment has it.
        columns: what each column of the table was read as.
        dropped_rows: number and reason of each row that is left out.
        source: the table.
        stated: what the user stated about its columns.
    """

    name: str
    texts: Mapping[Path, str]
    notes: tuple[str, ...]
    model_file: str
    columns: tuple[ColumnReading, ...]
    dropped_rows: tuple[tuple[int, str], ...]
    source: CsvTable
    stated: StatedColumns

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files, the study last."""
        return tuple(self.texts)

    @property
    def is_table(self) -> bool:
        """Whether the study searches the measured rows themselves."""
        return len(self.texts) == 1

    def ensure_new(self) -> None:
        """Raise `WrongUsage` if one of the files is there already."""
        if existing := [str(file) for file in self.texts if file.exists()]:
            fix = "take another --name, or --force to replace"
            raise WrongUsage(f"{' and '.join(existing)}: there already", fix=fix)

    def write(self) -> None:
        """Write the files; each is replaced as a whole."""
        for file, text in self.texts.items():
            write_text(file, text)

    def corrected(self, text: str) -> "StarterFiles":
        """Return the files for one correction of a column, such as `top1=accuracy`; see `StatedColumns.corrected`."""
        knobs = [one.name for one in self.columns if one.kind == "knob" and one.name not in BUILT_IN_KNOBS]
        stated = self.stated.corrected(text, knobs=knobs)
        return plan_starter(self.source, name=self.name, stated=stated, is_table=self.is_table)

    def to_json(self) -> dict[str, Any]:
        """Return what was read and where it is written as plain JSON values."""
        space = None if self.is_table else str(self.paths[0])
        return {
            "columns": [
                {"column": one.column, "read_as": one.read_as, "unit": one.unit, "why": one.why} for one in self.columns
            ],
            "dropped_rows": [{"row": number, "why": why} for number, why in self.dropped_rows],
            "notes": list(self.notes),
            "space": space,
            "study": str(self.paths[-1]),
        }


def plan_starter(
    table: CsvTable, *, name: str | None = None, stated: StatedColumns = NOTHING_STATED, is_table: bool = False
) -> StarterFiles:
    """Return the files for a table; nothing is written yet.

    Args:
        table: the table; its source is the path of its file.
        name: of the space and the study; default: the file's name.
        stated: what the user states about its columns.
        is_table: search the measured rows themselves, without a model.

    Raises:
        WrongUsage: the name ships.
        InvalidFile: with every fault of the table.
    """
    path = Path(table.source)
    chosen = scaffold_name(path, name=name)
    scaffold = scaffold_study(table, name=chosen, folder=Path("studies"), stated=stated, is_table=is_table)
    texts = {Path("studies") / f"{chosen}.toml": scaffold.study}
    if scaffold.space is not None:
        texts = {Path("search_spaces") / f"{chosen}.toml": scaffold.space, **texts}
    notes = scaffold.notes
    if chosen == f"my-{path.stem}":
        renamed = f"called '{chosen}', for what ships as '{path.stem}' would no longer be found here"
        notes = (renamed, *notes)
    model_file, reading = fitted_model_name(path.name), scaffold.reading
    return StarterFiles(chosen, texts, notes, model_file, reading.columns, reading.dropped, table, stated)
