"""Broken samples files of more than sixty kinds: each is rejected with the location and a fix.

Every kind breaks a valid file at a random position that hypothesis chooses.
"""

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.io.csv_text import MAX_COLUMNS
from explorer.models.samples.samples import ONE_FAMILY, read_samples_csv

Table = list[list[str]]
Break = Callable[[Table, random.Random], "str | bytes"]
HEADER = ["family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz", "accuracy", "latency_s", "energy_j",
          "power_w", "size_bytes"]  # fmt: skip
ROW = ["CNN", "0.33", "0.02", "1.0", "2.5e9", "0.94", "0.15", "22.5", "25", "18e6"]
KNOB_COLUMNS, TARGET_COLUMNS = range(1, 5), range(5, 10)


def text_of(table: Table, *, delimiter: str = ",") -> str:
    return "\n".join(delimiter.join(row) for row in table) + "\n"


def cell(value: str, columns: "range | tuple[int, ...]" = range(1, 10)) -> Break:
    """Return a break that writes a value into a random cell of some columns."""

    def broken(table: Table, rng: random.Random) -> str:
        table[rng.randrange(1, len(table))][rng.choice(list(columns))] = value
        return text_of(table)

    return broken


def named(name: str, value: str) -> Break:
    return cell(value, (HEADER.index(name),))


def among(name: str, value: str) -> Break:
    """Return a break that writes a value among at least one other."""

    def broken(table: Table, rng: random.Random) -> str:
        return named(name, value)([*table, list(ROW)], rng)

    return broken


def encoded(codec: str, *, extra: str = "") -> Break:
    return lambda table, _: (text_of(table) + extra).encode(codec)


def heading(change: Callable[[list[str], random.Random], None]) -> Break:
    def broken(table: Table, rng: random.Random) -> str:
        change(table[0], rng)
        return text_of(table)

    return broken


def cut(row: list[str], rng: random.Random) -> None:
    del row[rng.randrange(1, len(row))]


def ragged(change: Callable[[list[str], random.Random], None]) -> Break:
    def broken(table: Table, rng: random.Random) -> str:
        change(table[rng.randrange(1, len(table))], rng)
        return text_of(table)

    return broken


def inserted(text: str) -> Break:
    """Return a break that inserts text at a random position after the header."""

    def broken(table: Table, rng: random.Random) -> str:
        whole = text_of(table)
        position = rng.randrange(whole.index("\n") + 1, len(whole))
        return whole[:position] + text + whole[position:]

    return broken


def twice(row: list[str], rng: random.Random) -> None:
    row[rng.choice([i for i in range(len(row)) if i != 5])] = "accuracy"


KINDS: dict[str, Break] = {
    # not text, or another encoding or format
    "empty": lambda _, __: "",
    "blank": lambda _, rng: " \n" * rng.randrange(1, 9),
    "UTF-16 without a mark": encoded("utf-16-be"),
    "UTF-32 without a mark": encoded("utf-32-be"),
    "Latin-1 umlaut": encoded("latin-1", extra="Größe,0,0,0,0,0,0,0,0,0\n"),
    "Windows' dashes": encoded("cp1252", extra="a – b,0,0,0,0,0,0,0,0,0\n"),
    "a NUL byte": inserted("\0"),
    "a zipped file": lambda _, rng: b"PK\x03\x04" + rng.randbytes(64) + b"\xff",
    "an SQLite file": lambda _, rng: b"SQLite format 3\x00" + rng.randbytes(32),
    "HTML": lambda _, __: "<!DOCTYPE html>\n<html><body>404</body></html>\n",
    "JSON without rows": lambda _, __: '{"family": [], "accuracy": []}\n',
    # delimiters and quotes
    "decimal commas": cell("0,33"),
    "an open quote": cell('"0.5'),
    "an open quote at the end": lambda table, _: text_of(table) + '"CNN,0.5',
    "text after a quote": cell('"0.5"x'),
    "a newline in a number": cell('"0.\n5"'),
    # headers
    "only a header": lambda table, _: text_of(table[:1]),
    "no header": lambda table, _: text_of(table[1:]),
    "a column twice": heading(twice),
    "a knob twice": heading(lambda row, rng: row.__setitem__(rng.choice(range(5, 10)), "voltage_v")),
    "nothing measured": lambda table, _: text_of([row[:5] for row in table]),
    "a misspelt knob": heading(lambda row, rng: row.__setitem__((i := rng.randrange(1, 5)), f"{row[i]}s")),
    "too many columns": lambda table, _: text_of([row + [f"{i}"] * MAX_COLUMNS for i, row in enumerate(table)]),
    # rows
    "a cell too many": ragged(lambda row, _: row.append("7")),
    "a cell too few": ragged(cut),
    "a note below": lambda table, _: text_of(table) + "measured on Monday\n",
    "a total below": lambda table, _: text_of(table) + "total,,,,,,,45,,\n",
    "units in the second row": lambda table, _: text_of([table[0], ["-"] * 3 + ["V", "Hz"] + ["s"] * 5, *table[1:]]),
    # cells
    "text for a number": cell("abc"),
    "a unit of nothing in a cell": cell("0.9 furlong"),
    "a percent sign": cell("94%", (2, 3, 4, 6, 7, 8, 9)),
    "not a number in a knob": cell("nan", KNOB_COLUMNS),
    "infinite": cell("inf"),
    "minus infinite": cell("-inf"),
    "too large for a float": cell("1e999"),
    "negative": cell("-0.5"),
    "a question mark": cell("?"),
    "n/a in a knob": cell("n/a", KNOB_COLUMNS),
    "None in a knob": cell("None", KNOB_COLUMNS),
    "an underscore": cell("1_000"),
    "digits of another script": cell("٣"),
    "a long cell": cell("9" * 200_000 + "x"),
    "a hundred thousand digits": cell("9" * 100_000),
    "a hexadecimal number": cell("0x10"),
    "a date": cell("2024-01-31"),
    "a formula's error": cell("#DIV/0!"),
    "a knob left empty": cell("", KNOB_COLUMNS),
    "no family": cell("", (0,)),
    "R = 1": named("pruning_ratio", "1"),
    "R in percent among shares": among("pruning_ratio", "33"),
    "R above 100": named("pruning_ratio", "330"),
    "a negative D": named("quant_step", "-0.1"),
    "D above 1": named("quant_step", "8"),
    "no voltage": named("voltage_v", "0"),
    "millivolts": named("voltage_v", "850"),
    "no clock": named("frequency_hz", "0"),
    "accuracy in percent among shares": among("accuracy", "94"),
    "accuracy above 100": named("accuracy", "940"),
    "a negative accuracy": named("accuracy", "-0.1"),
    "no time": named("latency_s", "0"),
    "negative energy": named("energy_j", "-3"),
    "no energy": named("energy_j", "0"),
    "no power": named("power_w", "0"),
    "a negative size": named("size_bytes", "-1"),
}  # fmt: skip


def test_at_least_sixty_kinds_of_faults_are_covered() -> None:
    assert len(KINDS) >= 60


def test_the_unbroken_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text(text_of([HEADER, ROW, ROW]), encoding="utf-8-sig")

    assert len(read_samples_csv(path).labels) == 2


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), n_rows=st.integers(1, 6))
def test_broken_file_is_rejected_with_a_fix(kind: str, seed: int, n_rows: int) -> None:
    broken = KINDS[kind]([list(HEADER), *[list(ROW) for _ in range(n_rows)]], random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.csv"
        path.write_bytes(broken if isinstance(broken, bytes) else broken.encode())
        with pytest.raises(InvalidFile, match=r"samples\.csv: (.|\n)*\n  fix: ") as caught:
            read_samples_csv(path)

    assert caught.value.exit_code == 3
    assert len(str(caught.value)) < 20_000


@settings(max_examples=150)
@given(text=st.text(alphabet=st.sampled_from('family,accuracy,0.5,1,"\n\r;x \t\0é_-'), max_size=200))
def test_any_text_is_read_or_rejected_with_a_fix(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.csv"
        path.write_bytes(text.encode())
        try:
            samples = read_samples_csv(path)
        except InvalidFile as error:
            assert "fix:" in str(error)  # noqa: PT017 - nearly all are refused
        else:
            assert samples.targets


def test_misspelt_target_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text(text_of([[*HEADER[:6], "latncy_s"], ROW[:7], ROW[:7]]))

    assert any("'latncy_s' is ignored; if it is latency_s, rename it" in note for note in read_samples_csv(path).notes)


def test_missing_family_column_means_one_family(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("accuracy,latency_s\n0.9,1\n0.8,2\n")

    assert read_samples_csv(path).families == (ONE_FAMILY,)
