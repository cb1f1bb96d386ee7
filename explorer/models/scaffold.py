"""Scaffold for `explorer init`: a commented space and study from a samples CSV."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.io.catalog import is_shipped
from explorer.io.tables.read import read_table
from explorer.models.diagnostics.redundancy import duplicated_knobs
from explorer.models.response.tables import measured_knobs
from explorer.models.samples.knob_inference import infer_knobs
from explorer.models.samples.samples import ONE_FAMILY, Samples, read_samples_csv
from explorer.problem.columns import column_of

_MAX_SETTINGS = 12  # a knob with at most so many distinct, repeated numbers becomes a list, others a range
_MAX_POINTS = 256
_LONGEST_NAME = 80
_LOG_RATIO = 20
_PREFERRED = ("energy_j", "latency_s", "accuracy", "size_bytes", "power_w")


@dataclass(frozen=True, slots=True)
class Scaffold:
    """Texts of a space (None if the rows themselves are searched) and of a study, with notes for the user."""

    space: str | None
    study: str
    notes: tuple[str, ...]


def scaffold_study(
    path: Path, *, name: str, folder: Path, knobs: Sequence[str] = (), is_table: bool = False
) -> Scaffold:
    """Return a commented space and study for a samples CSV.

    Args:
        path: the CSV.
        name: name of the space and of the study.
        folder: folder of the study; its path to the CSV is relative to it.
        knobs: further columns that are knobs; default: inferred from names and values.
        is_table: search the measured rows themselves instead of a model fitted to them.

    Raises:
        WrongUsage: the file does not exist.
        InvalidFile: it is not a samples CSV, or fewer than two targets are measured in every row.
    """
    table = read_table(path)
    inferred = infer_knobs(table)
    own = list(knobs or inferred.knobs)
    samples = read_samples_csv(table, extra_knobs=own)
    targets = [t for t in _PREFERRED if t in samples.targets and np.isfinite(samples.columns[t]).all()]
    # A constant target cannot be optimized.
    targets = [t for t in targets if np.ptp(samples.columns[t]) > 0] or targets
    if len(targets) < 2:
        text = f"measured in every row: {', '.join(targets) or 'nothing'}; a front needs two of {', '.join(_PREFERRED)}"
        fix = (
            "measure another target, or leave out the rows that lack it. Targets of several tables are fitted together "
        )
        fix += "by `explorer fit A.csv B.csv -o model.json`; name model.json in a study of your own"
        raise InvalidFile(path, [Fault("", text, fix)])
    preferred = [target for target in targets if target in _PREFERRED[:3]]
    objectives = preferred if len(preferred) > 1 else targets[:2]
    file = os.path.relpath(path, folder)
    study = _study_lines(samples, file, name=name, own=own, objectives=objectives, is_table=is_table)
    unused = [column for column in (*inferred.knobs, *inferred.undecided) if column not in own]
    space = None if is_table else _text(_space_lines(samples, path, unused=unused))
    return Scaffold(space, _text(study), (*(() if knobs else inferred.notes), *samples.notes))


def ensure_name(name: object) -> None:
    """Raise unless a name of a study is safe as a folder's name.

    Raises:
        WrongUsage: it has other characters than letters, digits, - and _, or too many.
    """
    if not isinstance(name, str) or not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_LONGEST_NAME}}}", name):
        raise WrongUsage(f"--name {name}: a name has letters, digits, - and _", fix="choose another name")


def scaffold_name(path: Path, *, name: str | None = None) -> str:
    """Return a name for the space and the study of a samples CSV: the file's name, or `my-NAME` if that ships.

    A local file with the name of a shipped one would shadow it in this folder.

    Raises:
        WrongUsage: `name` ships, or is not a valid name.

    >>> scaffold_name(Path("my rows.csv")), scaffold_name(Path("cnn.csv"))
    ('my-rows', 'my-cnn')
    """
    chosen = name or re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:_LONGEST_NAME] or "mine"
    ensure_name(chosen)
    if not is_shipped(chosen):
        return chosen
    if name:
        text = f"--name {name}: a study or space of this name ships with explorer and would be shadowed in this folder"
        raise WrongUsage(text, fix=f"--name my-{name}")
    return f"my-{chosen}"


def fitted_model_name(path: str) -> str:
    """Return the file name for a model fitted to a samples CSV: `my-model.json` for `my.csv`."""
    return f"{path.removesuffix('.csv')}-model.json"


def _text(lines: Iterator[str]) -> str:
    return "\n".join(lines) + "\n"


def _study_lines(
    samples: Samples, file: str, *, name: str, own: Sequence[str], objectives: Sequence[str], is_table: bool
) -> Iterator[str]:
    table = f"{{ table = {_quoted(file)}, knobs = [{', '.join(map(_quoted, own))}] }}"
    yield f"title = {_quoted(f'{name}: ' + ' against '.join(objectives))}"
    if is_table:
        yield f"model = {table}    # the measured rows are the designs; nothing is predicted"
    else:
        yield f"space = {_quoted(name)}"
        yield f"model = {_quoted(file)}"
        yield f"# model = {_quoted(fitted_model_name(file))}    # the same, once `explorer fit` has written it"
        yield f"# model = {table}    # the measured rows themselves; then without space"
    if samples.families != (ONE_FAMILY,):
        yield f"families = [{', '.join(map(_quoted, samples.families))}]"
    measured = [t for t in _PREFERRED if t in samples.targets]
    both = {"energy_j", "latency_s"} <= set(measured)
    yield f"objectives = [{', '.join(map(_quoted, objectives))}]    # measured: {', '.join(measured)}" + (
        "; edp_js follows from energy and latency" if both else ""
    )
    yield from _constraint_lines(samples, measured)
    if {"energy_j", "accuracy"} <= set(measured):
        largest = column_of("energy_j").text(float(np.nanmax(samples.columns["energy_j"])))
        yield from (
            "",
            "[cost]",
            f"energy_max = {_quoted(largest)}    # E_max of the weighted cost J: the largest measured",
        )
    yield from ("", "[search]", 'sampler = "auto"', "trials = 400", "seed = 0")


def _constraint_lines(samples: Samples, measured: Sequence[str]) -> Iterator[str]:
    target = "accuracy" if "accuracy" in measured else measured[0]
    middle = float(np.nanmedian(samples.columns[target]))
    limit = f"{target} {'>=' if target == 'accuracy' else '<='} {column_of(target).text(float(f'{middle:.2g}'))}"
    yield f"# constraints = [{_quoted(limit)}]    # floors and caps, on knobs as well"


def _space_lines(samples: Samples, path: Path, *, unused: Sequence[str]) -> Iterator[str]:
    yield f"title = {_quoted(f'Knobs of {path.name}')}"
    if samples.families == (ONE_FAMILY,):
        yield f"family = {_quoted(ONE_FAMILY)}    # the file has no family column"
    yield from ("", "# Ranges are those of the samples; lists hold every value that was measured.", "[axes]")
    columns = {knob: samples.columns[knob] for knob in samples.knobs if knob != "family"}
    copies = duplicated_knobs(samples.columns, knobs=measured_knobs(samples))
    varied = {k: values for k, values in columns.items() if len(set(values.tolist())) > 1 and k not in copies}
    pairs = {"voltage_v", "frequency_hz"} & varied.keys()
    for knob, values in varied.items():
        if knob not in {"voltage_v", "frequency_hz"}:
            yield f"{knob} = {_axis(knob, values)}"
    for knob, source in copies.items():
        yield f"# {knob}: {source} decides it in every row, so it is left out"
    for knob in (name for name in columns if name not in varied and name not in copies):
        yield f"# {knob}: {_value(knob, columns[knob][0])} in every row, so it is fixed"
    for knob in unused:
        yield f"# {knob} = {{ ... }}    # a column that varies: a knob, or only recorded?"
    if len(pairs) == 1:
        only = next(iter(pairs))
        yield f"{'voltage' if only == 'voltage_v' else 'frequency'} = {_clock_axis(only, varied)}"
        yield f'# (if {only} was measured, not set: leave it out, and write ignore = ["{only}"] above [axes])'
    yield from _operating_lines(columns if len(pairs) == 2 else {}, varied)


def _operating_lines(columns: dict[str, NDArray[Any]], varied: dict[str, NDArray[Any]]) -> Iterator[str]:
    points = sorted({*zip(columns.get("frequency_hz", ()), columns.get("voltage_v", ()), strict=False)})
    if points and len(points) > _MAX_POINTS:
        yield f"voltage = {_clock_axis('voltage_v', varied)}"
        yield f"frequency = {_clock_axis('frequency_hz', varied)}"
        yield from ("", "[operating_points]", 'law = "alpha-power"')
        return
    yield from ("", '# `explorer list` shows devices whose tables can be used instead: device = "rk3399-big"')
    yield "[operating_points]"
    if not points:
        yield 'law = "none"    # voltage and clock are not both knobs'
        return
    yield "points = ["
    for hertz, volts in points:
        yield f"    {{ frequency = {hertz / 1e9:.10g}, voltage = {volts:.10g} }},"
    yield "]"


def _axis(knob: str, values: NDArray[Any]) -> str:
    """Return an axis: names as choices, few repeated numbers as a list, other numbers as a range."""
    if values.dtype == object:
        return f"{{ choices = [{', '.join(map(_quoted, sorted(set(values.tolist()))))}] }}"
    column = column_of(knob)
    unit = f', unit = "{column.symbol}"' if column.symbol else ""
    # A step of 0 means "not quantized", which is not the limit of small steps: it is not searched.
    distinct = sorted({v for v in values.tolist() if v > 0 or knob != "quant_step"})
    is_log = distinct[0] > 0 and distinct[-1] / distinct[0] >= _LOG_RATIO
    ends = f"range = [{distinct[0]:.12g}, {distinct[-1]:.12g}]" + (', scale = "log"' if is_log else "")
    is_repeated = 2 * len(distinct) <= len(values) or all(v == int(v) for v in distinct)
    if len(distinct) == 1:
        return f"{{ value = {distinct[0]:.12g}{unit} }}"
    if len(distinct) > _MAX_SETTINGS or not is_repeated:
        return f"{{ {ends}{unit} }}"
    between = "" if knob == "weight_bits" else f"    # or between them: {ends}"
    return f"{{ values = [{', '.join(f'{v:.12g}' for v in distinct)}]{unit} }}{between}"


def _clock_axis(knob: str, varied: dict[str, NDArray[Any]]) -> str:
    distinct = sorted({float(value) for value in varied[knob]})
    unit = "V" if knob == "voltage_v" else "Hz"
    if len(distinct) <= _MAX_POINTS and len(varied.keys() & {"voltage_v", "frequency_hz"}) == 1:
        return f'{{ values = [{", ".join(f"{v:.12g}" for v in distinct)}], unit = "{unit}" }}'
    return f'{{ range = [{distinct[0]:.12g}, {distinct[-1]:.12g}], unit = "{unit}" }}'


def _value(knob: str, value: Any) -> str:
    return value if isinstance(value, str) else column_of(knob).text(float(value))


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
