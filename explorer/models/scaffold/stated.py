"""What a user states about the columns of a table: `--map`, `--target`, and corrections typed at a prompt."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from explorer.errors import WrongUsage
from explorer.models.samples.reading.reading import BUILT_IN_KNOBS, own_name
from explorer.problem.columns import COLUMNS, TARGETS
from explorer.problem.declarations.axes import OWN_NAME
from explorer.problem.declarations.samples import ColumnSource
from explorer.problem.naming.spellings import match_header, qualities
from explorer.problem.targets import Target, check_target_name, declared_target

_TARGET = re.compile(r"(.+?):(min|max)(?::(.+))?")


@dataclass(frozen=True, slots=True)
class StatedColumns:
    """Columns of a table as the user states them.

    Args:
        mapping: column of the file, by the name of a knob or target.
        targets: declared targets.
        knobs: user-defined knobs, by their header or name; none: they are inferred.
        ignore: columns to leave out.
    """

    mapping: Mapping[str, ColumnSource] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    knobs: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def corrected(self, text: str, *, knobs: Sequence[str]) -> "StatedColumns":
        """Return them with one correction: `COLUMN=accuracy`, `COLUMN=NAME:max`, `COLUMN=knob`, `COLUMN=ignore`.

        Args:
            text: as typed.
            knobs: the user-defined knobs so far, to which one is added.

        Raises:
            WrongUsage: it is none of these.
        """
        column, equals, meant = (part.strip() for part in text.rpartition("="))
        if not equals or not column or not meant:
            fix = "write COLUMN=accuracy, COLUMN=NAME:max, COLUMN=knob or COLUMN=ignore"
            raise WrongUsage(f"'{text}' corrects no column", fix=fix)
        mapping = {name: source for name, source in self.mapping.items() if source.column != column}
        clean = replace(self, mapping=mapping, ignore=tuple(one for one in self.ignore if one != column))
        if meant == "ignore":
            kept = tuple(knob for knob in knobs if knob != own_name(column))
            return replace(clean, ignore=(*clean.ignore, column), knobs=kept)
        if meant == "knob":
            return replace(clean, knobs=tuple(dict.fromkeys((*knobs, column))))
        if _TARGET.fullmatch(meant):
            target = parse_target(meant)[0]
            source = {target.name: ColumnSource(column)}
            return replace(clean, targets=(*clean.targets, target), mapping={**clean.mapping, **source})
        return replace(clean, mapping={**clean.mapping, **mapped_columns({meant: column})})


NOTHING_STATED = StatedColumns()


def state_columns(
    *,
    mapping: Mapping[str, str] | None = None,
    targets: Sequence[str] = (),
    knobs: Sequence[str] = (),
    ignore: Sequence[str] = (),
) -> StatedColumns:
    """Return what options of a command state: `{"accuracy": "top1"}`, `"mAP:max"`, `"tokens_per_s:max:tokens/s"`.

    Raises:
        WrongUsage: a name or a direction is invalid.
    """
    parsed = [parse_target(text) for text in targets]
    sources = {target.name: ColumnSource(column) for target, column in parsed if column != target.name}
    known = tuple(target for target, _ in parsed)
    return StatedColumns({**sources, **mapped_columns(mapping or {})}, known, tuple(knobs), tuple(ignore))


def parse_target(text: str) -> tuple[Target, str]:
    """Return the declared target of `NAME:min|max[:UNIT]`, and the header that NAME is.

    The range is that of the dictionary where it knows the name.

    >>> target, column = parse_target("metrics/mAP@0.5:max")
    >>> target.name, target.direction, target.range, column
    ('mAP', 'max', (0.0, 1.0), 'metrics/mAP@0.5')
    """
    match = _TARGET.fullmatch(text.strip())
    if match is None:
        fix = f"write --target {text.partition(':')[0]}:max, or :min"
        raise WrongUsage(f"--target {text}: the direction is missing", fix=fix)
    header, unit = match[1], match[3] or ""
    spelling = match_header(header)
    name = spelling.column if spelling is not None and spelling.column in qualities() else header
    if name in TARGETS and declared_target(name) is None:
        fix = f"leave it out: it is known; of a table, write --map {name}=COLUMN"
        raise WrongUsage(f"--target {text}: explorer defines {name}", fix=fix)
    name = name if name.isidentifier() else own_name(header)
    check_target_name(name, taken=[one for one in COLUMNS if declared_target(one) is None])
    known = qualities().get(name)
    declared = declared_target(name)
    ends = known.range if known else declared.range if declared else None
    unit = unit or (known.unit if known else "")
    direction = "max" if match[2] == "max" else "min"
    target = Target(name, direction, unit, ends) if ends else Target(name, direction, unit)  # type: ignore[arg-type]
    return target, header


def mapped_columns(mapping: Mapping[str, str]) -> dict[str, ColumnSource]:
    """Return the columns of a mapping by name; a name may state the unit of the column.

    >>> mapped_columns({"latency_ms": "lat", "acc": "Top-1"})
    {'latency_s': ColumnSource(column='lat', unit='ms'), 'accuracy': ColumnSource(column='Top-1', unit='')}
    """
    result = {}
    for typed, column in mapping.items():
        match = None if typed in COLUMNS else match_header(typed)
        name = match.column if match else typed
        if name not in {*BUILT_IN_KNOBS, *TARGETS, *qualities()} and not re.fullmatch(OWN_NAME, name):
            fix = f"map to one of {', '.join((*BUILT_IN_KNOBS, *TARGETS))}, a declared target, or a knob of your own"
            raise WrongUsage(f"--map {typed}={column}: '{typed}' is no name of a knob or target", fix=fix)
        result[name] = ColumnSource(column, match.unit if match else "")
    return result
