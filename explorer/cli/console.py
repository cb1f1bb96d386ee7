"""Output of commands: data on stdout, notes on stderr, plain text where the stream is no terminal."""

import math
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from explorer.api.results import Column, Columns

_GAP = 2  # spaces between two columns of a table
_PIPE_WIDTH = 200  # a pipe has no width of its own; rows wider than a default of 80 would be cut


def stdout() -> Console:
    """Return the console for data; made at each call, so that a redirected stream is honoured."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return the console for progress and notes."""
    return _console(sys.stderr)


def note(text: str, *, console: Console | None = None) -> None:
    """Print a note to stderr, above the progress bar where there is one."""
    (console or stderr()).print(_wrapped(text, sys.stderr), markup=False, highlight=False, soft_wrap=True)


def print_text(text: str) -> None:
    """Print one line of data, unwrapped and uninterpreted."""
    stdout().print(text, markup=False, highlight=False, soft_wrap=True)


def print_prose(text: str, *, indent: str = "") -> None:
    """Print a sentence: broken between words in a terminal, one line in a pipe."""
    print_text(_wrapped(text, sys.stdout, indent=indent))


def _wrapped(text: str, stream: Any, *, indent: str = "") -> str:
    """Return lines of prose broken between words, where the stream is a terminal; paths and URLs are never broken."""
    if not stream.isatty():
        return "\n".join(indent + line for line in text.splitlines())
    width, lines = _console(stream).width, []
    for line in text.splitlines():
        own = indent + line[: len(line) - len(line.lstrip())]
        lines += textwrap.wrap(
            line.strip(), width, initial_indent=own, subsequent_indent=own, break_long_words=False,
            break_on_hyphens=False,
        ) or [""]  # fmt: skip
    return "\n".join(lines)


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    spare: Sequence[str] = (),
    console: Console | None = None,
) -> list[str]:
    """Print rows under headers; numbers are aligned to the right and never broken, if that can be.

    Where a terminal is too narrow for that, intervals go below their values; where it still is, the spare columns are
    left out, the first ones first.

    Args:
        headers: of the columns.
        rows: one value for each header.
        title: above all.
        spare: headers of columns that a narrow terminal may do without.
        console: where it is printed; default: stdout.

    Returns:
        The headers of the columns that were left out.
    """
    console = console or stdout()
    names, body, width = list(headers), [[_cell(value) for value in row] for row in rows], console.width
    if _total(_widths(names, body)) > width:
        body = [[cell.replace(" [", "\n[") for cell in row] for row in body]
    left_out = []
    for name in spare:
        if _total(_widths(names, body)) <= width:
            break
        i = names.index(name)
        left_out.append(names.pop(i))
        body = [row[:i] + row[i + 1 :] for row in body]
    widths = _fitted(names, body, width)
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for i, name in enumerate(names):
        is_number = bool(body) and all(_is_number(row[i]) for row in body)
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(name, justify=justify, overflow="fold", width=widths[i] if widths else None)
    for row in body:
        table.add_row(*row)
    console.print(table, markup=False, highlight=False)
    return left_out


def _fitted(names: Sequence[str], body: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return a width for each column that breaks no word; none where the table fits already, or cannot fit.

    Spare width goes where it saves the most lines for each character.
    """
    cells = [
        max((cell_len(line) for row in body for line in row[i].splitlines()), default=0) for i in range(len(names))
    ]
    whole = [max(cell, cell_len(name)) for cell, name in zip(cells, names, strict=True)]
    tries = (_widths(names, body), _widths(names, body, is_whole=False))
    widths = next((least for least in tries if _total(least) <= width), [])
    if _total(whole) <= width or not widths:
        return []
    rows = [names, *body]
    while True:
        spare, height = width - _total(widths), _height(rows, widths)
        gains = []
        for i in range(len(widths)):
            for more in range(1, min(spare, whole[i] - widths[i]) + 1):
                wider = [*widths[:i], widths[i] + more, *widths[i + 1 :]]
                gains.append(((height - _height(rows, wider)) / more, wider))
        gain, best = max(gains, default=(0.0, widths), key=lambda one: one[0])
        if gain <= 0:
            return widths
        widths = best


def _height(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> float:
    """Return the lines of a table; those of single cells count a little, as two cells may have to become lower."""
    lines = [[_n_lines(cell, width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return sum(max(row) + 0.1 * sum(row) for row in lines)


@lru_cache(maxsize=100_000)
def _n_lines(text: str, width: int) -> int:
    return sum(len(textwrap.wrap(line, max(width, 1))) or 1 for line in text.splitlines() or [""])


def _widths(names: Sequence[str], body: Sequence[Sequence[str]], *, is_whole: bool = True) -> list[int]:
    """Return the least width of each column: of its longest word; a number is one with its interval (`is_whole`)."""
    widths = []
    for i, name in enumerate(names):
        cells = [row[i] for row in body]
        is_number = is_whole and bool(cells) and all(map(_is_number, cells))
        words = [part for cell in cells for part in (cell.splitlines() if is_number else cell.split())]
        widths.append(max(map(cell_len, [*name.split(), *words]), default=0))
    return widths


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def print_json(payload: Mapping[str, Any], *, one_line: bool = False) -> None:
    """Print JSON that every parser takes: NaN and infinities become null."""
    from explorer.api.results import to_text

    sys.stdout.write(to_text(payload, indent=None if one_line else 2))
    sys.stdout.flush()


def _console(stream: Any) -> Console:
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return Console(
        file=stream,
        emoji=False,  # `q:up:max` and paths with colons are texts, not pictures
        no_color=is_plain,
        force_terminal=False if is_plain else None,
        width=None if stream.isatty() else _PIPE_WIDTH,
    )


def _cell(value: object) -> str:
    if isinstance(value, float) or (hasattr(value, "item") and isinstance(value.item(), float)):
        number = float(value)  # type: ignore[arg-type]
        return "-" if math.isnan(number) else f"{number:.4g}"
    return "-" if value is None else str(value)


def _is_number(text: str) -> bool:
    """Return whether a cell is a number, perhaps with a unit of one word and an interval."""
    words = text.split() or ["x"]
    try:
        float(words[0].rstrip("%").replace(",", ""))
    except ValueError:
        return text == "-"
    return len(words) <= 2 or words[1][0] in "[(" or words[2][0] in "[("


def short_title(column: "Column") -> str:
    """Name a column for a narrow terminal: 'latency ms'."""
    unit = (column.display_unit or column.symbol).replace("J*s", "J·s")
    return f"{column.short} {unit}".strip()


def value_cell(columns: "Columns", name: str, row: int, *, with_bounds: bool, column: "Column | None" = None) -> object:
    """Return one value as text: '128.2 [114.9, 142]', or a plain number where it has no interval."""
    from explorer.api.results import bounds, column_of

    value = columns[name][row]
    if isinstance(value, str):
        return value
    scale = (column or column_of(name)).scale
    low, high = bounds(name)
    if not with_bounds or low not in columns or math.isnan(float(columns[low][row])):
        return float(value) / scale
    return (
        f"{float(value) / scale:.4g} [{float(columns[low][row]) / scale:.3g}, {float(columns[high][row]) / scale:.3g}]"
    )
