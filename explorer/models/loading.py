"""Load evaluators and models by name, and select the kind of model for a set of samples."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.io.files import is_file
from explorer.io.tables.read import TABLE_SUFFIXES, read_table
from explorer.models.evaluator import Evaluator
from explorer.models.h100 import h100_tables
from explorer.models.measured.function import Measure, function_evaluator
from explorer.models.measured.network import network_evaluator
from explorer.models.measured.table import table_evaluator
from explorer.models.model_files.surrogate import surrogate_from_file, surrogate_to_json
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import KnobColumns, with_knobs
from explorer.models.samples.samples import paper_samples, read_samples_csv
from explorer.network.measurement.samples_file import declared_by_file
from explorer.network.task.labelled_data import LabelledData
from explorer.problem.declarations.samples import ColumnSource
from explorer.problem.declarations.study import SHIPPED_MODELS
from explorer.problem.objectives import needs_of
from explorer.problem.study import Study
from explorer.problem.targets import Target

__all__ = ["fit_samples", "load_evaluator", "load_model", "load_samples", "model_from_file", "model_to_json"]

_N_SNIFFED = 4096


def load_model(
    name: str,
    *,
    own: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    columns: Mapping[str, ColumnSource] | None = None,
    targets: Sequence[Target] = (),
) -> Surrogate:
    """Return a model by name: `paper`, `h100`, a model.json written by `explorer fit -o`, or samples to fit now.

    Args:
        name: what to load.
        own: further columns of a samples CSV that are knobs; None: infer them from their names.
        ignore: columns of a samples CSV to ignore.
        columns: the column of a samples CSV that holds a knob or target, where its header does not state it.
        targets: declared targets.

    Raises:
        WrongUsage: no model has this name.
        InvalidFile: the file is not a valid model or samples CSV; lists all faults.
    """
    if name in SHIPPED_MODELS:
        return _shipped_model(name)
    path = Path(name).expanduser()
    if path.suffix == ".json" and is_file(path) and _is_model_file(path):
        return model_from_file(path)
    tables = load_samples([name], own=own, ignore=ignore, columns=columns, targets=targets)
    return fit_samples(tables, name=name)


def _is_model_file(path: Path) -> bool:
    """Return whether a JSON file is a model; records, columns and lines of JSON are samples."""
    try:
        with path.open("rb") as file:
            start = file.read(_N_SNIFFED).lstrip()
    except OSError:  # reading it as a model shows why
        return True
    return start.startswith(b"{") and b'"schema"' in start


@cache
def _shipped_model(name: str) -> Surrogate:
    """Return the model of shipped samples, fitted once in a process: it does not change."""
    return fit_samples(load_samples([name]), name=name)


def load_samples(
    names: Sequence[str | CsvTable],
    *,
    own: Sequence[str] | None = None,
    ignore: Sequence[str] = (),
    columns: Mapping[str, ColumnSource] | None = None,
    targets: Sequence[Target] = (),
) -> tuple[KnobColumns, ...]:
    """Return tables of samples by name: `paper`, `h100` (two tables), or tables of samples with user-defined knobs.

    A user-defined knob may be a column of only some of the files. Without names (`own` is None) knobs are inferred from
    the columns, and the samples' notes list them.

    Raises:
        WrongUsage: a file does not exist, or none of several files has a column of `own`.
        InvalidFile: a file is not a samples CSV; lists all faults.
    """
    tables: list[KnobColumns] = []
    for name in names:
        if name == "paper":
            tables.append(with_knobs(paper_samples()))
        elif name == "h100":
            tables += h100_tables()
        else:
            table = read_table(_existing_table(name) if isinstance(name, str) else name)
            samples = read_samples_csv(
                table, extra_knobs=own, ignore=ignore, columns=columns,
                targets=tuple(dict.fromkeys((*targets, *declared_by_file(table.source)))),
                is_one_of_several=len(names) > 1,
            )  # fmt: skip
            tables.append(with_knobs(samples))
    unused = [k for k in own or () if not any(k in table.samples.columns for table in tables)] if len(names) > 1 else []
    if unused:
        raise WrongUsage(f"none of the files has a column {', '.join(unused)}", fix="check the column name")
    return tuple(tables)


def _existing_table(name: str) -> Path:
    path = Path(name).expanduser()
    if not is_file(path) and path.suffix.lower() not in TABLE_SUFFIXES:
        shipped = ", ".join(SHIPPED_MODELS)
        raise WrongUsage(f"no model is called '{name}'", fix=f"name {shipped}, a model.json or a samples CSV")
    return path


def fit_samples(
    tables: Sequence[KnobColumns],
    *,
    name: str,
    without: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Surrogate:
    """Fit a model to some tables; each target is an average over forms.

    Args:
        tables: the samples.
        name: of the model.
        without: names of forms to leave out.
        progress: called with the numbers of fitted and of all targets.

    Raises:
        InvalidFile: no model can be fitted to the tables.
    """
    try:
        return fit_surrogate(tables, name=name, without=without, progress=progress)
    except WrongUsage as error:
        raise InvalidFile(name, [Fault("", error.problem, error.fix)]) from None


def load_evaluator(
    study: Study, *, measure: Measure | str | None = None, data: str | LabelledData | None = None
) -> Evaluator:
    """Return the evaluator of a study: a network or function that measures, a table's rows, or a model.

    Args:
        study: the study.
        measure: the function of a study that measures by one, or FILE.py:NAME; results can be read without it.
        data: labelled data of a study that measures a network; default: that of its file.

    Raises:
        WrongUsage: the model, function or data does not exist, or the study does not measure by it.
        InvalidFile: a file is not valid; lists all faults.
        MissingPart: the study measures a network and onnx is not installed.
        MeasurementFailed: the network cannot be run.
    """
    if data is not None and study.live is None:
        raise WrongUsage(f"{study.path} measures no network", fix="leave --data out, or write model = { onnx = 'NET' }")
    if study.function is not None:
        return function_evaluator(study, measure)
    if measure is not None:
        raise WrongUsage(
            f"{study.path} measures by no function", fix="leave --measure out, or write model = { measures = [...] }"
        )
    if study.live is not None:
        return network_evaluator(study, data=data)
    if study.table is not None:
        samples = read_samples_csv(
            Path(study.model), extra_knobs=study.table.knobs, ignore=study.table.ignore, columns=study.columns,
            targets=study.targets,
        )  # fmt: skip
        needs = [need for name in study.compared_columns for need in needs_of(name)]
        return table_evaluator(samples, name=study.model, needs=list(dict.fromkeys(needs)))
    ignore = [name for space in study.spaces for name in space.file.ignore]
    own = [name for name in study.own_columns if name != "weight_bits"]
    return load_model(study.model, own=own, ignore=ignore, columns=study.columns, targets=study.targets)


def model_from_file(path: Path) -> Surrogate:
    """Load a model file; its predictions are those of the model when it was written.

    Raises:
        InvalidFile: the file is not a model, or was written by a version with other forms.
    """
    return surrogate_from_file(path)


def model_to_json(model: Surrogate) -> Mapping[str, Any]:
    """Return a model as plain JSON values; `model_from_file` restores its predictions exactly."""
    return surrogate_to_json(model)
