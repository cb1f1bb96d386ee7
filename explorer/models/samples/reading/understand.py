"""Understand a user's table: read every column as a knob, a target, or what else it is, and state why."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from explorer.errors import Fault, suggestion
from explorer.io.csv_text import CsvTable
from explorer.models.samples.knob_inference import InferredKnobs, infer_knobs
from explorer.models.samples.machine import MACHINE_COLUMNS
from explorer.models.samples.reading.cells import (
    is_missing,
    is_mostly_numeric,
    no_percent_faults,
    numbers_and_unit,
    numbers_of,
    percent_faults,
    text_reason,
    without_missing,
    without_percent,
)
from explorer.models.samples.reading.reading import (
    BUILT_IN_KNOBS,
    ColumnReading,
    Kind,
    Reading,
    own_name,
)
from explorer.network.measurement.measure import MEASURED
from explorer.problem.columns import COLUMNS, TARGETS, bounds, is_free_name
from explorer.problem.declarations.samples import ColumnSource
from explorer.problem.naming.spellings import (
    dictionary,
    match_header,
    meant_unit,
    qualities,
    squeeze,
    strip_tracker,
    symbol_of,
    without_unit,
)
from explorer.problem.targets import Target, declared_target
from explorer.units import factor

_COUNTS = ("n_right", "n_samples")
_REFERENCES = ("latency_source_s", "latency_ratio", "latency_ratio_lo", "latency_ratio_hi", "latency_batch")
_SHARES = ("accuracy", "pruning_ratio")
_MAX_LABELS_SHARE = 0.5  # a column of families with more names a row names the rows


def understand(
    table: CsvTable,
    *,
    mapping: Mapping[str, ColumnSource] | None = None,
    targets: Sequence[Target] = (),
    knobs: Sequence[str] | None = None,
    ignore: Collection[str] = (),
    is_one_of_several: bool = False,
) -> Reading:
    """Return how every column of a table is read.

    Args:
        table: the file, as text.
        mapping: what the user states: the column of a knob or target, with its unit.
        targets: declared targets, read from the columns of their names unless `mapping` states otherwise.
        knobs: user-defined knobs; None: infer them from names and values.
        ignore: columns to leave out, by their header or by their name here.
        is_one_of_several: whether stated columns may be missing, since other files have them.
    """
    reader = _Reader(table, ignore)
    reader.drop_unfinished_rows(set(knobs or ()) | {source.column for source in (mapping or {}).values()})
    reader.claim_mapped(mapping or {}, is_lenient=is_one_of_several)
    reader.claim_targets(targets)
    reader.claim_knobs(knobs or ())
    reader.claim_own_names()
    reader.claim_spellings()
    reader.claim_directions()
    inferred = reader.infer(knobs)
    reader.claim_rest(inferred)
    reader.find_units()
    reader.claim_intervals()
    return reader.reading(inferred, is_inferred=knobs is None)


class _Reader:
    """Readings of the columns of one table while they are found: the first claim of a column, or of a name, stands."""

    def __init__(self, table: CsvTable, ignore: Collection[str]) -> None:
        self.table, self.header = table, table.header
        self.found: dict[int, ColumnReading] = {}
        self.blocked = set(ignore)
        self.faults: list[Fault] = []
        self.notes: list[str] = []
        self.dropped: list[tuple[int, str]] = []
        self.targets: list[Target] = []
        self.stated: set[str] = set()  # names whose unit the user states
        # Rows of unfinished runs carry no information on a column.
        self.kept = table
        has_values = any(one == "value" or one.startswith("values_") for one in self.header)
        self.is_optuna = has_values and any(one.startswith("params_") for one in self.header)
        for i, name in enumerate(self.header):
            if name in self.blocked:
                self.claim(i, "ignored", why="left out, as you asked")

    def cells(self, i: int) -> list[str]:
        return self.kept.cells(self.header[i], index=i)

    def free(self) -> Iterator[tuple[int, str]]:
        """Yield index and header of the columns that nothing has claimed."""
        yield from [(i, name) for i, name in enumerate(self.header) if i not in self.found]

    def source_of(self, name: str) -> str | None:
        """Return the header of the column that is used under a name."""
        return next((one.column for one in self.found.values() if one.name == name), None)

    def claim(
        self, i: int, kind: Kind, name: str = "", *, unit: str = "", why: str = "", is_sure: bool = False
    ) -> None:
        self.found[i] = ColumnReading(self.header[i], kind, name, unit, why=why, is_sure=is_sure)

    def drop_unfinished_rows(self, used: Collection[str]) -> None:
        """Leave out the rows of runs that crashed or still run, by the first column of states."""
        trackers = dictionary()["trackers"]
        known = {*trackers["finished"], *trackers["unfinished"]}
        for i, name in self.free():
            if name in used or squeeze(name) not in trackers["state"]:
                continue
            cells = [squeeze(cell.removeprefix("TrialState.")) for cell in self.table.cells(name, index=i)]
            if known.isdisjoint(cells):
                continue
            bad = [cell in trackers["unfinished"] for cell in cells]
            kinds = Counter(cell for cell, is_bad in zip(cells, bad, strict=True) if is_bad)
            listed = ", ".join(f"{n} {kind}" if len(kinds) > 1 else kind for kind, n in kinds.most_common())
            if any(bad) and not all(bad):
                self.kept = self.table.keep([not is_bad for is_bad in bad])
                numbers = zip(self.table.numbers, bad, cells, strict=True)
                self.dropped = [(number, f"{name}: {cell}") for number, is_bad, cell in numbers if is_bad]
                self.notes.append(f"{sum(bad)} of {len(bad)} runs are not finished ({name}: {listed}) and are left out")
            elif any(bad):
                what = f"no run is finished ({listed})"
                self.faults.append(Fault(name, what, f"export finished runs, or leave the column out: --ignore {name}"))
            self.claim(i, "state", why=f"runs that are not finished are left out: {sum(bad)} of {len(bad)}")
            return

    def claim_mapped(self, mapping: Mapping[str, ColumnSource], *, is_lenient: bool) -> None:
        for name, source in mapping.items():
            same = [i for i, one in enumerate(self.header) if one == source.column]
            same = same or [i for i, one in enumerate(self.header) if squeeze(one) == squeeze(source.column)]
            if not same:
                if not is_lenient:
                    fix = suggestion(source.column, [one for one in self.header if one])
                    self.faults.append(Fault("row 1", f"there is no column '{source.column}', read as {name}", fix))
                continue
            self.declare(name)
            is_target = name in TARGETS
            if not is_target and name not in BUILT_IN_KNOBS and not is_free_name(name):
                self.faults.append(Fault("row 1", f"'{source.column}' cannot be read as {name}", "choose another name"))
                continue
            unit = self.stated_unit(source.column, name) if not source.unit else self.unit(source, name)
            self.stated |= {name} if source.unit else set()
            kind: Kind = "target" if is_target else "knob"
            self.claim(same[0], kind, name, unit=unit, why="as you stated", is_sure=source == ColumnSource(name))

    def unit(self, source: ColumnSource, name: str) -> str:
        unit = meant_unit(source.unit, _symbol(name))
        if not unit:
            fix = f"write a unit of {_symbol(name) or 'a share: % or 1'}"
            self.faults.append(Fault("row 1", f"'{source.unit}' is not a unit of {name} ('{source.column}')", fix))
        return unit

    def stated_unit(self, header: str, name: str) -> str:
        """Return the unit that a header states for a column: in brackets, as its ending, or by being the name here."""
        match, symbol = match_header(header), _symbol(name)
        if header == name:
            return symbol
        if match is not None and match.column == name:
            return match.unit
        stem, bracket = without_unit(header)
        return meant_unit(bracket or re.split(r"[\s_\-./]", stem)[-1], symbol)

    def declare(self, name: str) -> None:
        """Declare a quantity of the dictionary as a target, and remember it."""
        target = declared_target(name) or (qualities()[name].declare() if name in qualities() else None)
        if target is not None and target not in self.targets:
            self.targets.append(target)

    def claim_targets(self, targets: Sequence[Target]) -> None:
        for target in targets:
            if target not in self.targets:
                self.targets.append(target)
            if self.source_of(target.name) is not None or target.name in self.blocked:
                continue
            for i, header in self.free():
                stem = without_unit(strip_tracker(header)[0])[0]
                match = match_header(header)
                same = {squeeze(header), squeeze(stem), squeeze(strip_tracker(header)[0])}
                if squeeze(target.name) in same or (match is not None and match.column == target.name):
                    unit = self.stated_unit(header, target.name)
                    is_sure = header == target.name
                    self.claim(i, "target", target.name, unit=unit, why="declared target", is_sure=is_sure)
                    break

    def claim_knobs(self, knobs: Sequence[str]) -> None:
        for knob in knobs:
            if self.source_of(knob) is None and knob not in BUILT_IN_KNOBS:
                for i, header in sorted(self.free(), key=lambda one: one[1] != knob):
                    if knob in {header, own_name(header), own_name(header, is_optuna=True)}:
                        self.claim(i, "knob", knob, why="declared knob", is_sure=True)
                        break

    def claim_own_names(self) -> None:
        """Claim columns that have the name of a built-in knob or a target already."""
        for i, header in self.free():
            if header not in {*BUILT_IN_KNOBS, *TARGETS}:
                continue
            if header in self.blocked or (self.source_of(header) or header) != header:
                self.claim(i, "ignored", why=f"{header} is read from '{self.source_of(header)}'")
            elif header == "weight_bits" and "quant_step" in self.header:
                self.claim(i, "ignored", why="quant_step is read instead")
            else:
                self.declare(header)
                kind: Kind = "target" if header in TARGETS else "knob"
                self.claim(i, kind, header, unit=_symbol(header), why="its name", is_sure=True)

    def claim_spellings(self) -> None:
        """Claim columns whose header is in the dictionary, those that are spelt most clearly first."""
        matches = []
        for i, header in self.free():
            role, match = strip_tracker(header)[1], match_header(header)
            if match is not None and role != "other":
                is_knob = match.column in BUILT_IN_KNOBS
                is_odd = role == ("measured" if is_knob else "knob")
                matches.append((is_odd, match.rank, i, match))
        for _, _, i, match in sorted(matches, key=lambda one: one[:3]):
            name, (cells, unit) = match.column, numbers_and_unit(self.cells(i), match)
            if name in COLUMNS and COLUMNS[name].kind == "objective":
                self.claim(i, "ignored", why=f"{name} follows from other columns")
            elif name in self.blocked:
                self.claim(i, "ignored", why=f"{name} is left out, as you asked")
            elif (source := self.source_of(name)) is not None:
                self.claim(i, "ignored", why=f"{name} is read from '{source}'")
            elif name == "weight_bits" and self.source_of("quant_step") is not None:
                self.claim(i, "ignored", why="quant_step is read instead")
            elif name == "family" and len(set(cells)) > max(1, int(_MAX_LABELS_SHARE * len(cells))):
                continue
            elif name == "family" or (is_mostly_numeric(cells) and numbers_of(without_percent(cells)).size):
                self.declare(name)
                kind: Kind = "knob" if name in BUILT_IN_KNOBS else "target"
                is_sure = self.header[i] == name
                why = "its name" if is_sure else f"a usual name of {name}"
                self.claim(i, kind, name, unit=unit, why=why, is_sure=is_sure)

    def claim_directions(self) -> None:
        """Claim the values of an Optuna study: its directions state that they are targets, whatever their names are."""
        for i, header in self.free():
            if header in self.table.directions:
                name = re.sub(r"\W+", "_", header)
                direction: Literal["min", "max"] = "max" if self.table.directions[header] == "max" else "min"
                self.targets.append(declared_target(name) or Target(name, direction))
                self.claim(i, "target", name, why=f"a value of the study ({direction})", is_sure=name == header)

    def infer(self, knobs: Sequence[str] | None) -> InferredKnobs:
        """Infer user-defined knobs among the columns that are left, from their names and values."""
        header = [self.found[i].name if i in self.found else "" for i in range(len(self.header))]
        set_by_tracker = []
        trackers = dictionary()["trackers"]
        for i, name in self.free():
            stripped, role = strip_tracker(name)
            own = own_name(name, is_optuna=self.is_optuna)
            # A run's number or user is none of its settings, and a measured value is none either.
            words = {*trackers["repeat"], *trackers["bookkeeping"], *trackers["label"]}
            is_word = squeeze(stripped) in map(squeeze, words)
            # A runtime by name (tflite) is a setting; W&B's Runtime is the seconds that a run took.
            is_word = is_word and (squeeze(stripped) != "runtime" or is_mostly_numeric(self.cells(i)))
            if role in {"measured", "other"} or is_word:
                continue
            is_name_taken = own in header or not is_free_name(own)
            header[i] = name if is_name_taken else own
            set_by_tracker += [own] if role == "knob" and not is_name_taken else []
        rows = zip(*[without_missing(self.cells(i)) for i in range(len(header))], strict=True)
        inferred = infer_knobs(
            CsvTable(header, [list(row) for row in rows], self.kept.numbers, ""), named=set_by_tracker
        )
        for knob in inferred.knobs if knobs is None else ():
            i = header.index(knob)
            why = "a setting of the run" if knob in set_by_tracker else "a usual name of a knob, and it varies"
            self.claim(i, "knob", knob, unit=without_unit(self.header[i])[1], why=why, is_sure=knob == self.header[i])
        return inferred

    def claim_rest(self, inferred: InferredKnobs) -> None:
        """Describe every column that is left, and the reason why it is not used."""
        trackers = dictionary()["trackers"]
        label = next((n for n in ("name", "label") if n in self.header), None)
        if label is None:
            words = [(squeeze(name), i) for i, name in self.free() if squeeze(name) in map(squeeze, trackers["label"])]
            order = [squeeze(word) for word in trackers["label"]]
            for _, i in sorted(words, key=lambda one: order.index(one[0])):
                if 2 * len(set(self.cells(i))) > len(self.cells(i)):
                    self.claim(i, "label", "name", why="names the rows")
                    break
        partition = inferred.partition[0] if inferred.partition else ""
        for i, header in self.free():
            kind, name, why = self.rest(i, header, label)
            own = own_name(header, is_optuna=self.is_optuna)
            is_open = kind == "ignored" and match_header(header) is None and own != partition
            if is_open and (header in inferred.undecided or own in inferred.undecided):
                why = f"varies: a knob (--knob {own}), or only recorded?"
            self.claim(i, kind, name, why=why)

    def rest(self, i: int, header: str, label: str | None) -> tuple[Kind, str, str]:
        """Return kind, name and reason of a column that is neither a knob nor a target."""
        trackers = dictionary()["trackers"]
        stripped, role = strip_tracker(header)
        spelt = {squeeze(header), squeeze(stripped)}
        cells = [cell for cell in self.cells(i) if not is_missing(cell, is_number=True)]
        is_number = is_mostly_numeric(cells)
        is_word = squeeze(header) in map(squeeze, (*trackers["bookkeeping"], *trackers["label"], *trackers["state"]))
        name = re.sub(r"\W+", "_", without_unit(stripped)[0]).strip("_") or "NAME"
        rules: list[tuple[bool, Kind, str]] = [
            (header in {label, "name", "label"}, "label", "names the rows"),
            (header in MACHINE_COLUMNS and not is_number, "machine", "what the rows were measured on"),
            (header in _COUNTS and self.is_counted(), "count", "right answers, and samples they are counted on"),
            (header in _REFERENCES, "reference", "the source network, timed in turn with each row"),
            (header in MEASURED, "bookkeeping", "written by `explorer measure`, for the record"),
            (not spelt.isdisjoint(map(squeeze, trackers["repeat"])), "bookkeeping", "tells repeats apart"),
            (role == "other" or is_word, "bookkeeping", "of the runs, not of the designs"),
            (not cells, "ignored", "empty"),
            (len(set(cells)) == 1, "ignored", f"{cells[0][:20] if cells else ''} in every row"),
            (not is_number and match_header(header) is not None, "ignored", text_reason(cells)),
            (not is_number, "ignored", "text"),
        ]
        kind, why = next(
            ((kind, why) for is_it, kind, why in rules if is_it),
            ("ignored", f"numbers, not known: a target (--target {name}:min), or a knob?"),
        )
        return kind, "" if kind in {"ignored", "bookkeeping"} else header, why

    def is_counted(self) -> bool:
        """Return whether the table has a target that is a counted share."""
        targets = [(one.name, declared_target(one.name)) for one in self.found.values() if one.kind == "target"]
        return any(
            name == "accuracy" or (target is not None and target.interval == "counts") for name, target in targets
        )

    def find_units(self) -> None:
        """Complete the units that headers do not state, by the values, and set the scales."""
        for i, one in list(self.found.items()):
            if one.kind not in {"knob", "target"} or not one.name:
                continue
            symbol, cells, why, unit = _symbol(one.name), self.cells(i), one.why, one.unit
            target = declared_target(one.name)
            is_share = one.name in _SHARES or (target is not None and target.range[1] == 1 and target.range[0] >= 0)
            if not unit and is_share:
                filled = [cell for cell in cells if not is_missing(cell, is_number=True)]
                is_percent, faults = percent_faults(one.column, without_percent(cells), self.kept.numbers)
                if is_percent or (filled and all(cell.endswith("%") for cell in filled)):
                    unit, why = "%", f"{why}; its values are in percent"
                self.faults += faults
            elif unit == "%" and is_share and one.name not in self.stated:
                self.faults += no_percent_faults(one.column, without_percent(cells), self.kept.numbers)
            elif not unit and (steps := dictionary()["magnitude"].get(one.name)):
                values = numbers_of(cells)
                unit = next(u for u, end in steps if not values.size or abs(float(np.median(values))) < end)
                why = f"{why}; no unit is stated, its values suggest {unit}"
            is_own = one.kind == "knob" and one.name not in BUILT_IN_KNOBS
            scale = factor(unit, symbol) if unit and not is_own and unit != symbol else 1.0
            is_sure = one.is_sure and unit in {"", symbol}
            self.found[i] = replace(one, unit=unit, scale=scale, why=why, is_sure=is_sure)

    def claim_intervals(self) -> None:
        """Claim the ends of given intervals (mAP_lo, mAP_hi), in the unit of their target."""
        for one in list(self.found.values()):
            target = declared_target(one.name)
            for end in bounds("") if target is not None and target.interval == "given" else ():
                for i in (
                    i for i, header in enumerate(self.header) if header in {f"{one.column}{end}", one.name + end}
                ):
                    why = f"interval of {one.name}"
                    self.found[i] = replace(one, column=self.header[i], kind="reference", name=one.name + end, why=why)

    def reading(self, inferred: InferredKnobs, *, is_inferred: bool) -> Reading:
        columns = [self.found[i] for i in range(len(self.header))]
        names = {one.name for one in columns}
        if {"power_w", "latency_s"} <= names and not {"energy_j"} & {*names, *self.blocked}:
            columns.append(ColumnReading("", "derived", "energy_j", "J", why="power_w x latency_s of each row"))
        used = {one.name for one in columns}
        undecided = tuple(one for one in (*inferred.knobs, *inferred.undecided) if one not in used)
        notes = (*(inferred.notes if is_inferred else ()), *self.notes)
        return Reading(tuple(columns), tuple(self.dropped), undecided, notes, tuple(self.faults), tuple(self.targets))


def _symbol(name: str) -> str:
    return symbol_of(name) if name in COLUMNS or name in qualities() else ""
