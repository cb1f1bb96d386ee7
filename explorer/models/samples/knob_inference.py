"""Which further columns of a samples CSV are knobs: a guess by their names and by what their cells do."""

from collections.abc import Iterator
from dataclasses import dataclass

from explorer.io.csv_text import CsvTable, is_numeric
from explorer.problem.columns import COLUMNS, KNOBS, is_free_name
from explorer.problem.csv_columns import UNIT_COLUMNS

# Words in the names of columns that are usually turned on purpose, not measured beside.
_KNOB_WORDS = frozenset({
    "batch", "resolution", "width", "depth", "precision", "power_limit", "memory_clock", "thread", "core", "device",
    "model", "runtime", "scheme", "input", "channel", "bits", "task", "backend", "board", "accelerator",
})  # fmt: skip
# The name of a column ends so where it was measured, counted or computed, whatever it was measured of.
_MEASURED_ENDINGS = ("_avg", "_mean", "_max", "_min", "_std", "_temperature", "_version", "batches")
_NO_KNOBS = frozenset({"name", "label", "source", "repeat", ""})
_FREE_TEXT = 0.5  # names that are new in more than every second row are labels


@dataclass(frozen=True, slots=True)
class InferredKnobs:
    """Further columns that vary: those taken for knobs, and those that may be knobs or only measured beside.

    `apart` is a column of names that parts the file into tables of their own, with the number that shows it.
    """

    knobs: tuple[str, ...]
    others: tuple[str, ...]
    apart: tuple[str, str] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must know of it; none where nothing was guessed."""
        told = [f"taken for knobs by their names: {', '.join(self.knobs)} (--knob names others)"] if self.knobs else []
        if self.apart:
            name, number = self.apart
            told.append(
                f"no two values of {name} share a value of {number}: where {name} tells devices or networks apart, "
                "rename that column to family, and each is fitted and searched by its own values"
            )
        return tuple(told)


def infer_knobs(csv: CsvTable) -> InferredKnobs:
    """InferredKnobs which columns of a file are knobs, beside those that explorer knows.

    >>> text = [["batch", "note", "accuracy"], ["8", "a", "0.9"], ["16", "a", "0.8"], ["8", "b", "0.9"]]
    >>> guess_knobs(CsvTable(text[0], text[1:], [2, 3, 4], "")).knobs
    ('batch',)
    """
    candidates = list(_candidates(csv))
    named = [column for column in candidates if _is_named(column)]
    apart = _apart(csv, named) if "family" not in csv.header else None
    knobs: list[str] = []
    for column in named:
        parts = apart is not None and column == apart[0]
        if is_free_name(column) and not parts and not _is_echo(csv, column, knobs):
            knobs.append(column)
    return InferredKnobs(tuple(knobs), tuple(column for column in candidates if column not in knobs), apart)


def _apart(csv: CsvTable, named: list[str]) -> tuple[str, str] | None:
    """Return a column of names whose values share no clock (or other knob of explorer's), each having several."""
    for column in (name for name in named if is_numeric(csv.cells(name)) is False):
        for knob in (k for k in KNOBS[1:] if k in csv.header):
            pairs = {(a, b) for a, b in zip(csv.cells(column), csv.cells(knob), strict=True) if a and b}
            sizes = [sum(a == level for a, _ in pairs) for level in {a for a, _ in pairs}]
            if len(sizes) > 1 and min(sizes) > 1 and len({b for _, b in pairs}) == len(pairs):
                return column, knob
    return None


def _candidates(csv: CsvTable) -> Iterator[str]:
    """Yield the further columns that could be knobs: they vary, hold one kind of thing, and repeat their values.

    Numbers that are called like a knob need not come back: they may have been drawn from a range.
    """
    known = {*COLUMNS, *UNIT_COLUMNS, *_NO_KNOBS}
    for column in dict.fromkeys(csv.header):
        if column in known or csv.header.count(column) > 1:
            continue
        values = [cell for cell in csv.cells(column) if cell]
        kind, most = is_numeric(values), max(2, int(_FREE_TEXT * len(values)))
        is_knob = kind is True and _is_named(column)
        if kind is not None and 1 < len(set(values)) <= (len(values) if is_knob else most):
            yield column


def _is_named(column: str) -> bool:
    return any(word in column for word in _KNOB_WORDS) and not column.endswith(_MEASURED_ENDINGS)


def _is_echo(csv: CsvTable, column: str, taken: list[str]) -> bool:
    """Tell whether a column only says again what another knob says, within each family."""
    family = csv.cells("family") if "family" in csv.header else [""] * len(csv.rows)
    cells = csv.cells(column)
    for knob in (k for k in (*KNOBS[1:], "weight_bits", *taken) if k in csv.header):
        rows = [(f, a, b) for f, a, b in zip(family, csv.cells(knob), cells, strict=True) if a and b]
        pairs = len({(f, a, b) for f, a, b in rows})
        if len({(f, a) for f, a, _ in rows}) == pairs == len({(f, b) for f, _, b in rows}):
            return True
    return False
