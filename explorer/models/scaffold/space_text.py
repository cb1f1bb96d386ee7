"""Text of a space for a user's table: its columns, its declared targets, and axes as measured."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.io.declarations import toml_string
from explorer.models.samples.reading.reading import Reading
from explorer.models.samples.samples import ONE_FAMILY, Samples
from explorer.problem.columns import column_of
from explorer.problem.targets import Target

_MAX_SETTINGS = 12  # a knob with at most so many distinct, repeated numbers becomes a list, others a range
_MAX_POINTS = 256
_LOG_RATIO = 20


def space_lines(
    samples: Samples, reading: Reading, *, file: str, copies: dict[str, str], ignore: Sequence[str]
) -> Iterator[str]:
    """Yield the lines of a space.

    Args:
        samples: the table.
        reading: how its columns were read.
        file: name of the table.
        copies: knobs that another knob decides in every row, with that knob.
        ignore: columns that the user left out.
    """
    yield f"title = {toml_string(f'Knobs of {file}')}"
    if samples.families == (ONE_FAMILY,):
        yield f"family = {toml_string(ONE_FAMILY)}    # the file has no family column"
    if ignore:
        yield f"ignore = [{', '.join(map(toml_string, ignore))}]    # columns that are left out"
    yield from ("", "# Ranges are those of the samples; lists hold every value that was measured.", "[axes]")
    columns = {knob: samples.columns[knob] for knob in samples.knobs if knob != "family"}
    varied = {k: values for k, values in columns.items() if len(set(values.tolist())) > 1 and k not in copies}
    pairs = {"voltage_v", "frequency_hz"} & varied.keys()
    for knob, values in varied.items():
        if knob not in {"voltage_v", "frequency_hz"}:
            yield f"{knob} = {_axis(knob, values)}"
    for knob, source in copies.items():
        yield f"# {knob}: {source} decides it in every row, so it is left out"
    for knob in (name for name in columns if name not in varied and name not in copies):
        yield f"# {knob}: {_value(knob, columns[knob][0])} in every row, so it is fixed"
    for knob in reading.undecided:
        yield f"# {knob} = {{ ... }}    # a column that varies: a knob, or only recorded?"
    if len(pairs) == 1:
        only = next(iter(pairs))
        yield f"{'voltage' if only == 'voltage_v' else 'frequency'} = {_clock_axis(only, varied)}"
        yield f'# (if {only} was measured, not set: leave it out, and write ignore = ["{only}"] above [axes])'
    yield from _operating_lines(columns if len(pairs) == 2 else {}, varied)
    yield from column_lines(reading)
    yield from target_lines(reading.targets)


def column_lines(reading: Reading) -> Iterator[str]:
    """Yield the [columns] of a space: what of the file is read as what, where its header does not state it."""
    sources = column_sources(reading)
    if sources:
        yield from (
            "",
            "# What the columns of the file were read as. `fit` and `run` read it the same way.",
            "[columns]",
        )
    yield from (f"{name} = {source}" for name, source in sources.items())
    for one in reading.columns:
        if one.kind == "derived":
            yield f'# {one.name} is derived: {one.why}; ignore = ["{one.name}"] above [axes] leaves it out'


def column_sources(reading: Reading) -> dict[str, str]:
    """Return the columns that are read under another name or unit, as TOML values by their name here."""
    result = {}
    for one in reading.converted():
        unit = f", unit = {toml_string(one.unit)}" if one.unit else ""
        result[one.name] = f"{{ column = {toml_string(one.column)}{unit} }}" if unit else toml_string(one.column)
    return result


def target_lines(targets: Sequence[Target]) -> Iterator[str]:
    """Yield the [targets] of a space or study."""
    for target in targets:
        yield from ("", f"[targets.{target.name}]", f'direction = "{target.direction}"')
        if target.unit:
            yield f"unit = {toml_string(target.unit)}"
        if np.isfinite(target.range).any():
            yield f"range = [{', '.join(f'{end:g}' for end in target.range)}]"
        if target.interval != "none":
            yield f'interval = "{target.interval}"'


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
        return f"{{ choices = [{', '.join(map(toml_string, sorted(set(values.tolist()))))}] }}"
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
