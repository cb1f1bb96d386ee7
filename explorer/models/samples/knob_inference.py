"""Infer which extra columns of a samples CSV are knobs, from their names and values."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from explorer.io.csv_text import CsvTable, is_numeric
from explorer.problem.columns import COLUMNS, KNOBS, is_free_name

# Words in the names of columns that are usually set by the experimenter, not measured.
_KNOB_WORDS = frozenset({
    "batch", "resolution", "width", "depth", "precision", "power_limit", "memory_clock", "thread", "core", "device",
    "model", "runtime", "scheme", "input", "channel", "bits", "task", "backend", "board", "accelerator",
    "dtype", "engine", "delegate",
})  # fmt: skip
# Endings of the names of columns that were measured, counted or computed.
_MEASURED_ENDINGS = ("_avg", "_mean", "_max", "_min", "_std", "_temperature", "_version", "batches")
_NO_KNOBS = frozenset({"name", "label", "source", "repeat", ""})
_MAX_DISTINCT_SHARE = 0.5  # a column of names with more distinct values per row is a label


@dataclass(frozen=True, slots=True)
class InferredKnobs:
    """Extra columns that vary, divided into inferred knobs and undecided columns.

    Args:
        knobs: columns inferred to be knobs.
        undecided: columns that may be knobs or measurements.
        partition: a column of names that divides the file into independent tables, with the numeric knob whose values
            it divides.
    """

    knobs: tuple[str, ...]
    undecided: tuple[str, ...]
    partition: tuple[str, str] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on the inference; empty if nothing was inferred."""
        notes = [f"inferred knobs: {', '.join(self.knobs)} (by name; declare others with --knob)"] if self.knobs else []
        if self.partition:
            name, number = self.partition
            notes.append(
                f"no two values of {name} share a value of {number}: if {name} identifies devices or networks, rename "
                "that column to family, so that each is fitted and searched separately"
            )
        return tuple(notes)


def infer_knobs(csv: CsvTable, *, named: Collection[str] = ()) -> InferredKnobs:
    """Infer which columns of a file are knobs, in addition to the built-in ones.

    Args:
        csv: the file.
        named: columns that an experiment tracker lists among the settings of a run.

    >>> text = [["batch", "note", "accuracy"], ["8", "a", "0.9"], ["16", "a", "0.8"], ["8", "b", "0.9"]]
    >>> infer_knobs(CsvTable(text[0], text[1:], [2, 3, 4], "")).knobs
    ('batch',)
    """
    candidates = list(_candidates(csv, named))
    settings = [column for column in candidates if _has_knob_name(column) or column in named]
    # A setting of a run is a knob, even where no two runs share a value of another one.
    candidates_of_partition = [column for column in settings if column not in named]
    partition = _partition(csv, candidates_of_partition) if "family" not in csv.header else None
    knobs: list[str] = []
    for column in settings:
        is_partition = partition is not None and column == partition[0]
        if is_free_name(column) and not is_partition and not _is_redundant(csv, column, knobs):
            knobs.append(column)
    return InferredKnobs(tuple(knobs), tuple(column for column in candidates if column not in knobs), partition)


def _partition(csv: CsvTable, columns: list[str]) -> tuple[str, str] | None:
    """Return a column of names whose values have disjoint sets of clocks (or another built-in knob), several each."""
    for column in (name for name in columns if is_numeric(csv.cells(name)) is False):
        for knob in (k for k in KNOBS[1:] if k in csv.header):
            pairs = {(a, b) for a, b in zip(csv.cells(column), csv.cells(knob), strict=True) if a and b}
            sizes = [sum(a == level for a, _ in pairs) for level in {a for a, _ in pairs}]
            if len(sizes) > 1 and min(sizes) > 1 and len({b for _, b in pairs}) == len(pairs):
                return column, knob
    return None


def _candidates(csv: CsvTable, named: Collection[str] = ()) -> Iterator[str]:
    """Yield the extra columns that could be knobs: varied, all numbers or all names, with repeated values.

    Numbers in a column with the name of a knob need not repeat: they may have been sampled from a range.
    """
    reserved = {*COLUMNS, *_NO_KNOBS}
    for column in dict.fromkeys(csv.header):
        if column in reserved or csv.header.count(column) > 1:
            continue
        values = [cell for cell in csv.cells(column) if cell]
        kind, n_max = is_numeric(values), max(2, int(_MAX_DISTINCT_SHARE * len(values)))
        is_knob = kind is True and (_has_knob_name(column) or column in named)
        if kind is not None and 1 < len(set(values)) <= (len(values) if is_knob else n_max):
            yield column


def _has_knob_name(column: str) -> bool:
    return any(word in column for word in _KNOB_WORDS) and not column.endswith(_MEASURED_ENDINGS)


def _is_redundant(csv: CsvTable, column: str, knobs: list[str]) -> bool:
    """Return True if a column is a one-to-one function of another knob within each family."""
    family = csv.cells("family") if "family" in csv.header else [""] * len(csv.rows)
    cells = csv.cells(column)
    for knob in (k for k in (*KNOBS[1:], "weight_bits", *knobs) if k in csv.header):
        rows = [(f, a, b) for f, a, b in zip(family, csv.cells(knob), cells, strict=True) if a and b]
        n_pairs = len({(f, a, b) for f, a, b in rows})
        if len({(f, a) for f, a, _ in rows}) == n_pairs == len({(f, b) for f, _, b in rows}):
            return True
    return False
