"""How commands speak: data on stdout, notes on stderr, plain text wherever nobody would see colours."""

import json
import math
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

_PIPE_WIDTH = 200  # a pipe has no width of its own; rows wider than a default of 80 would be cut


def stdout() -> Console:
    """Return the console for data; made anew at each call, so that a redirected stream is honoured."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Return the console for progress and notes."""
    return _console(sys.stderr)


def note(text: str) -> None:
    """Tell the user something that is not data."""
    stderr().print(text, markup=False, highlight=False, soft_wrap=True)


def print_text(text: str) -> None:
    """Print one line of data, unwrapped and uninterpreted."""
    stdout().print(text, markup=False, highlight=False, soft_wrap=True)


def print_prose(text: str, *, indent: str = "") -> None:
    """Print a sentence: broken between words in a terminal, one line in a pipe."""
    width = stdout().width if sys.stdout.isatty() else sys.maxsize
    print_text(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent))


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Print rows under headers; numbers are aligned to the right."""
    body = [[_cell(value) for value in row] for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="bold")
    for index, header in enumerate(headers):
        is_number = bool(body) and all(_is_number(row[index]) for row in body)
        table.add_column(header, justify="right" if is_number else "left", overflow="fold")
    for row in body:
        table.add_row(*row)
    stdout().print(table, markup=False, highlight=False)


def print_json(payload: Mapping[str, Any], *, one_line: bool = False) -> None:
    """Print JSON that every parser takes: NaN and infinities become null."""
    sys.stdout.write(json.dumps(finite(payload), indent=None if one_line else 2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def finite(value: Any) -> Any:
    """Replace what JSON has no word for (NaN, infinity, numpy scalars) by null and plain numbers."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, "item"):
        return finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _console(stream: Any) -> Console:
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb" or not stream.isatty()
    return Console(
        file=stream,
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
    try:
        float(text.partition(" ")[0].rstrip("%").replace(",", "") or "x")
    except ValueError:
        return text == "-"
    return True
