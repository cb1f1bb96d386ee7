"""Commented space and study for a user's table, with what each of its columns was read as."""

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from explorer.errors import Fault, InvalidFile
from explorer.io.csv_text import CsvTable
from explorer.io.tables.read import read_table
from explorer.models.diagnostics.redundancy import duplicated_knobs
from explorer.models.response.tables import measured_knobs
from explorer.models.samples.reading.cells import numbers_of
from explorer.models.samples.reading.reading import ColumnReading, Reading, own_name
from explorer.models.samples.reading.understand import understand
from explorer.models.samples.samples import Samples, samples_of
from explorer.models.scaffold.space_text import space_lines
from explorer.models.scaffold.stated import NOTHING_STATED, StatedColumns
from explorer.models.scaffold.study_text import select_objectives, study_lines
from explorer.problem.declarations.axes import OWN_NAME
from explorer.problem.naming.spellings import qualities
from explorer.problem.targets import Target

_MAX_OBJECTIVES = 6


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Texts of a space (None if the rows themselves are searched) and of a study, with notes for the user."""

    space: str | None
    study: str
    notes: tuple[str, ...]
    reading: Reading


def scaffold_study(
    path: Path | CsvTable,
    *,
    name: str,
    folder: Path,
    stated: StatedColumns = NOTHING_STATED,
    is_table: bool = False,
) -> Scaffold:
    """Return a commented space and study for a table of measurements.

    Args:
        path: the file, or the table that was read from it.
        name: name of the space and of the study.
        folder: folder of the study; its path to the file is relative to it.
        stated: what the user states about its columns; the rest is understood from names and values.
        is_table: search the measured rows themselves instead of a model fitted to them.

    Raises:
        WrongUsage: the file does not exist.
        InvalidFile: it is no table of samples, or has fewer than two targets that vary.
    """
    table = read_table(path)
    knobs = [one if re.fullmatch(OWN_NAME, one) else own_name(one) for one in stated.knobs]
    reading = understand(
        table, mapping=stated.mapping, targets=stated.targets, knobs=knobs or None, ignore=stated.ignore
    )
    reading = replace(reading, targets=tuple(_with_range(target, table, reading) for target in reading.targets))
    samples = samples_of(table, reading, extra_knobs=knobs or reading.own_knobs)
    # The values of an Optuna study are what its user asked for.
    asked = [one.name for one in reading.columns if one.kind == "target" and one.column in table.directions]
    objectives, notes = select_objectives(samples, stated=[*asked, *(target.name for target in stated.targets)])
    objectives = asked[:_MAX_OBJECTIVES] if len(asked) > 1 else objectives
    if not any(len(set(samples.columns[knob].tolist())) > 1 for knob in samples.knobs):
        raise InvalidFile(table.source, [_no_knob(table, reading)])
    if len(_varied_targets(samples)) < 2:
        raise InvalidFile(table.source, [_too_few_targets(samples)])
    copies = duplicated_knobs(samples.columns, knobs=measured_knobs(samples))
    reading = replace(reading, columns=tuple(_with_echo(one, copies) for one in reading.columns))
    file = os.path.relpath(table.source, folder)
    study = study_lines(
        samples, reading, file=file, name=name, objectives=objectives, ignore=stated.ignore, is_table=is_table
    )
    space = space_lines(samples, reading, file=Path(table.source).name, copies=copies, ignore=stated.ignore)
    # What each column was read as is shown as a table, not as notes.
    shown = set(reading.column_notes())
    kept = [note for note in samples.notes if note not in shown]
    return Scaffold(None if is_table else _text(space), _text(study), (*kept, *notes), reading)


def _no_knob(table: CsvTable, reading: Reading) -> Fault:
    """Return the fault that no knob varies, with the columns that could be one."""
    unused = [(i, one.column) for i, one in enumerate(reading.columns) if one.kind in {"ignored", "label"}]
    varied = [name for i, name in unused if name and len(set(table.cells(name, index=i))) > 1]
    fix = "say which column was set: --knob COLUMN, or --map pruning_ratio=COLUMN"
    return Fault("row 1", "no knob varies: all rows are the same design", f"{fix} (such as {', '.join(varied[:5])})"
                 if varied else fix)  # fmt: skip


def _too_few_targets(samples: Samples) -> Fault:
    varied = _varied_targets(samples)
    constant = [target for target in samples.targets if target not in varied]
    rest = f" (constant: {', '.join(constant)})" if constant else ""
    fix = "measure another target, or name its column: --map latency_s=COLUMN, --target NAME:max. Targets of several "
    fix += "tables are fitted together by `explorer fit A.csv B.csv -o model.json`; name model.json in a study"
    return Fault("", f"targets that vary: {', '.join(varied) or 'none'}{rest}; a front needs two", fix)


def _varied_targets(samples: Samples) -> list[str]:
    return [t for t in samples.targets if np.nanmax(samples.columns[t]) > np.nanmin(samples.columns[t])]


def _with_range(target: Target, table: CsvTable, reading: Reading) -> Target:
    """Return a target that may be negative where the table has it so and no one has stated what its range is."""
    index = next((i for i, one in enumerate(reading.columns) if one.name == target.name and one.column), None)
    if index is None or target.name in qualities() or target.range != (0.0, math.inf):
        return target
    is_negative = bool((numbers_of(table.cells("", index=index)) < 0).any())
    return replace(target, range=(-math.inf, math.inf)) if is_negative else target


def _with_echo(one: ColumnReading, copies: Mapping[str, str]) -> ColumnReading:
    if one.kind != "knob" or one.name not in copies:
        return one
    return replace(one, kind="echo", why=f"{copies[one.name]} decides it in every row")


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"
