"""Measurements of an earlier study, or of a table, that are trials of a study whose question has changed."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.errors import WrongUsage, suggestion
from explorer.io.outputs import is_written_as
from explorer.io.tables.read import read_table
from explorer.models.evaluation import Problem
from explorer.models.evaluator import as_measurer
from explorer.models.loading import load_samples
from explorer.network.measurement.measure import KNOBS
from explorer.network.measurement.samples_file import read_samples_file
from explorer.pareto.results.folder import FRONT_JSON, read_folder
from explorer.problem.columns import STOPPED, TARGETS, Columns, bounds, column_of, knobs_of, n_rows
from explorer.problem.design_space import ROW, DesignSpace
from explorer.problem.study import Study
from explorer.search.encoding import Encoding, columns_of, rows_of
from explorer.search.session import DECLARATION_ATTR, MEASURED_ATTR, SearchSession, complete_trials, load_studies
from explorer.search.storage.open import JOURNAL_NAME
from explorer.search.trial_table import SAMPLE, design_keys
from explorer.units import parse_quantity

Values = Mapping[str, Any]
# Names of knobs in a space file, and their columns.
_COLUMNS = {"voltage": "voltage_v", "frequency": "frequency_hz"}
_FINGERPRINT = {
    "network_sha256": "another network (SHA-256)", "data_sha256": "other data (SHA-256)", "machine": "another machine",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EarlierMeasurement:
    """Measured design of an earlier study or table.

    Args:
        knobs: the design, SI units.
        values: all that was measured.
        conditions: fingerprint of its evaluator, and under `live` the options of a network's measurement.
    """

    knobs: Values
    values: Values
    conditions: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class AdoptedMeasurement:
    """Measurement that is a trial of the present study.

    Args:
        params: Optuna parameters of the trial.
        row: the measurement in its stored form.
        source: where it comes from, for the trial.
    """

    params: Mapping[str, Any]
    row: Values
    source: str


@dataclass(frozen=True, slots=True)
class Adoption:
    """Measurements to take over, and the numbers of the others by their reason."""

    measurements: Sequence[AdoptedMeasurement]
    reasons: Counter[str]
    source: str

    def text(self) -> str:
        """Return the numbers as a sentence."""
        n, n_left = len(self.measurements), self.reasons.total()
        listed = "; ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        rest = f"; not taken over: {listed}" if n_left else ""
        return f"{n} of {n + n_left} measurements of {self.source} are taken over{rest}"


def read_measurements(source: Path, study: Study) -> list[EarlierMeasurement]:
    """Read all measurements of a result folder, or of a table of samples.

    Args:
        source: the folder or the file.
        study: states what the columns of a table mean.

    Raises:
        WrongUsage: there are none.
        InvalidFile: a file is damaged.
    """
    if source.is_dir():
        rows = [*_of_storage(source)] or ([*_of_results(source)] if (source / FRONT_JSON).is_file() else [])
    elif source.is_file():
        rows = [*_of_table(source, study)]
    else:
        raise WrongUsage(f"{source}: no such result folder", fix="give the folder that `explorer run` wrote")
    if not rows:
        raise WrongUsage(f"{source}: holds no measurements", fix="give the result folder of a study that measured")
    return rows


def ensure_adoptable(problem: Problem, source: Path, *, assume: Mapping[str, Any]) -> None:
    """Raise before a study begins for which no measurement of a source can be used for lack of a knob.

    Raises:
        WrongUsage: all lack a knob of the study that is not assumed, or there are none; or as `adopt_measurements`.
        InvalidFile: a file is damaged.
    """
    if problem.is_vectorized:
        return
    assumed, needed = _assumed(problem, assume), set(_middle(problem)) - {"family"}
    earlier = read_measurements(source, problem.study)
    known = set().union(*(one.knobs for one in earlier), assumed)
    if lacking := sorted(needed - known):
        options = " ".join(f"--assume {name}=VALUE" for name in lacking)
        raise WrongUsage(f"{source}: its measurements lack {', '.join(lacking)}",
                         fix=f"say at which value they were measured: {options}")  # fmt: skip


def adopt_measurements(session: SearchSession, source: Path, *, assume: Mapping[str, Any]) -> Adoption:
    """Return the measurements of a source that lie in the space of a study and have all of its targets.

    Derived objectives are computed again from the measured targets when the trials are stored.

    Args:
        session: the study, whose designs are measured.
        source: a result folder, or a samples CSV.
        assume: values of knobs that the measurements lack: numbers, or text with a unit.

    Raises:
        WrongUsage: there are no measurements, or an assumed knob is no knob of the study.
        InvalidFile: a file is damaged.
    """
    problem = session.problem
    earlier = read_measurements(source, problem.study)
    values = _assumed(problem, assume)
    complete = set(design_keys(session.trials.table))
    measurements, reasons = [], Counter[str]()
    for one in earlier:
        try:
            found = _adopt(problem, one, assumed=values, complete=complete)
        except _NotAdopted as reason:
            reasons[str(reason)] += 1
        else:
            measurements.append(AdoptedMeasurement(*found, source=str(source)))
    return Adoption(measurements, reasons, str(source))


class _NotAdopted(Exception):
    """Reason why a measurement is no trial of the study, as a phrase after a number."""


def _adopt(
    problem: Problem, earlier: EarlierMeasurement, *, assumed: Values, complete: set[tuple[Any, ...]]
) -> tuple[Mapping[str, Any], Values]:
    """Return the parameters and the stored row of a measurement, which the evaluator then knows.

    Raises:
        _NotAdopted: it cannot be taken over.
    """
    measuring = as_measurer(problem.evaluator)
    if measuring is None:
        raise TypeError("predicted designs take over nothing")
    values = _with_codec(problem, earlier.values)
    if values.get(STOPPED):
        raise _NotAdopted("stopped before their last sample")
    # First: of a measurement without latency no machine is known.
    if missing := [name for name in measuring.targets if not _is_number(values.get(name))]:
        raise _NotAdopted(f"without target {missing[0]}")
    _check_conditions(problem, earlier)
    encoding = Encoding(problem.regions)
    params = (rows_of(encoding.encode(_design(problem, {**assumed, **earlier.knobs}))) or [{}])[0]
    exact = encoding.decode(columns_of([params]), n=1)
    (key,) = design_keys(exact)
    if key in complete:
        raise _NotAdopted("of designs that are trials already")
    own = {name: column.tolist()[0] for name, column in exact.items()}
    measuring.adopt_measurement({**values, **{k: v for k, v in own.items() if k in KNOBS[1:]}, "knobs": own})
    if not measuring.is_measured(own):
        raise _NotAdopted("incomplete for this study")
    complete.add(key)
    return params, measuring.measure_rows(exact)[0]


def _design(problem: Problem, knobs: Values) -> Columns:
    """Return the knobs of a measurement as a design of a study, shape (1,) each.

    Raises:
        _NotAdopted: it lies outside the space, or has other knobs.
    """
    (first, *others) = problem.regions
    # One network is one family, whatever its name.
    family = first if problem.study.live or ("family" not in knobs and not others) else str(knobs.get("family"))
    if family not in problem.regions:
        raise _NotAdopted(f"of family '{family}', which is not searched")
    region, given = problem.regions[family], {**knobs, "family": family}
    needed = knobs_of(region.from_unit(np.full((1, len(region.axes)), 0.5)))
    if lacking := [name for name in needed if name not in given]:
        raise _NotAdopted(f"without knob {lacking[0]} (--assume {lacking[0]}=VALUE)")
    if extra := [name for name in given if name not in needed]:
        raise _NotAdopted(f"with knob {extra[0]}, which the study lacks")
    design = {name: _column([given[name]]) for name in needed}
    if outside := _first_outside(region, design):
        raise _NotAdopted(f"outside the range of {outside}")
    return design


def _first_outside(region: DesignSpace, design: Columns) -> str:
    """Return the first knob of a design that is outside a space, or ''."""
    middle = region.from_unit(np.full((1, len(region.axes)), 0.5))
    if wrong := [name for name, values in middle.items() if (values.dtype == object) != (design[name].dtype == object)]:
        return wrong[0]
    if region.contains(design)[0]:
        return ""
    values = region.knobs(design)
    nearest = region.designs({axis.name: np.clip(values[axis.name], axis.low, axis.high) for axis in region.axes})
    return next((name for name in nearest if not _is_close(nearest[name][0], design[name][0])), "its knobs")


def _check_conditions(problem: Problem, earlier: EarlierMeasurement) -> None:
    """Raise if a measurement differs from those of a study in its network, data, machine or options.

    Raises:
        _NotAdopted: it does.
    """
    measuring = as_measurer(problem.evaluator)
    present = measuring.fingerprint if measuring else {}
    for name, reason in _FINGERPRINT.items():
        if name in present and earlier.conditions.get(name) != present[name]:
            raise _NotAdopted(f"of {reason}")
    live, then = problem.study.declaration().get("live", {}), earlier.conditions.get("live", {})
    for name, value in live.items():
        if name != "codec" and name in then and then[name] != value:
            raise _NotAdopted(f"with another {name}")


def _with_codec(problem: Problem, values: Values) -> Values:
    """Return values with the size under the study's codec: a network's rows hold the size under every codec."""
    codec = problem.study.live.codec if problem.study.live else ""
    size = values.get(f"size_{codec}_bytes")
    return values if size is None else {**values, "size_bytes": size, "size_codec": codec}


def _assumed(problem: Problem, assume: Mapping[str, Any]) -> dict[str, Any]:
    """Return assumed values by column, in SI units.

    Raises:
        WrongUsage: a name is no knob of the study, or a value is not a number.
    """
    columns, result = _middle(problem), {}
    for given, value in assume.items():
        name = _COLUMNS.get(given, given)
        if name not in columns:
            raise WrongUsage(f"--assume {given}: is no knob of the study", fix=suggestion(given, knobs_of(columns)))
        is_text = columns[name].dtype == object or not isinstance(value, str)
        symbol = (problem.study.own_columns.get(name) or column_of(name)).symbol
        result[name] = value if is_text else parse_quantity(value, symbol)
    return result


def _middle(problem: Problem) -> Columns:
    """Return the columns of a design of each family, to see their names and types."""
    tables = [region.from_unit(np.full((1, len(region.axes)), 0.5)) for region in problem.regions.values()]
    return {name: values for table in tables for name, values in table.items()}


def _of_storage(folder: Path) -> Iterator[EarlierMeasurement]:
    """Yield the measured trials of the journal in a result folder."""
    if not (folder / JOURNAL_NAME).is_file():
        return  # trials in a database: the files of the folder have their targets
    for study in load_studies(None, folder):
        declaration = json.loads(study.user_attrs.get(DECLARATION_ATTR, "{}"))
        conditions = {**declaration.get("model", {}), "live": declaration.get("live", {})}
        for trial in complete_trials(study):
            row = trial.user_attrs.get(MEASURED_ATTR)
            if isinstance(row, dict):
                knobs = row.get("knobs") or {name: row[name] for name in KNOBS if name in row}
                yield EarlierMeasurement(knobs, _without(row, ("knobs", *knobs)), conditions)


def _of_results(folder: Path) -> Iterator[EarlierMeasurement]:
    """Yield the measured designs of results: all of a study that measures or reads a table, else its samples."""
    results = read_folder(folder)
    model, question = (results.provenance.get(name, {}) for name in ("model", "question"))
    table, conditions = results.table, {**model, "live": question.get("live", {})}
    is_measured = np.ones(n_rows(table), dtype=np.bool_)
    if model.get("kind") not in {"live", "function", "table"}:
        is_measured = table["origin"] == SAMPLE
    yield from _of_columns(table, np.flatnonzero(is_measured).tolist(), conditions)


def _of_table(path: Path, study: Study) -> Iterator[EarlierMeasurement]:
    """Yield the rows of a table of samples; those of `explorer measure` with their conditions."""
    if is_written_as(path, "samples table"):
        rows, provenance = read_samples_file(path)
        live = {"per_tensor": provenance["pruning"] == "per tensor", "device": provenance["latency"]["device"]}
        conditions = {
            "network_sha256": provenance["network"]["sha256"], "data_sha256": provenance["data"]["sha256"],
            "machine": provenance["machine"]["processor"], "live": live,
        }  # fmt: skip
        for row in rows:
            yield EarlierMeasurement({name: row[name] for name in KNOBS}, _without(row, KNOBS), conditions)
        return
    cells = read_table(path)
    sources = {name: one for name, one in study.columns.items() if one.column in cells.header}
    own = [name for name in study.own_columns if name in cells.header or name in sources]
    ignore = [name for space in study.spaces for name in space.file.ignore]
    for table in load_samples([cells], own=own, ignore=ignore, columns=sources, targets=study.targets):
        columns = table.samples.columns
        yield from _of_columns(columns, list(range(n_rows(columns))), {})


def _of_columns(columns: Columns, rows: Sequence[int], conditions: Mapping[str, Any]) -> Iterator[EarlierMeasurement]:
    knobs = [name for name in knobs_of(columns) if name != ROW]
    values = [end for name in TARGETS for end in (name, *bounds(name)) if end in columns]
    values += [STOPPED] if STOPPED in columns else []
    listed = {name: columns[name].tolist() for name in (*knobs, *values)}
    for i in rows:
        measured = {name: listed[name][i] for name in values if _is_number(listed[name][i])}
        yield EarlierMeasurement({name: listed[name][i] for name in knobs}, measured, conditions)


def _without(row: Values, names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _column(values: Sequence[Any]) -> "np.ndarray[tuple[int], np.dtype[Any]]":
    return np.array(values, dtype=object if isinstance(values[0], str) else np.float64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _is_close(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b)
    return bool(np.isclose(a, b, rtol=1e-6, atol=1e-12))
