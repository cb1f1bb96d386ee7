"""Output files of commands: no file is replaced that a command reads, nor one that explorer did not write."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from explorer.errors import WrongUsage
from explorer.io.files import is_stream

Kind = Literal[
    "model", "choice", "audit", "page", "png", "svg", "device file", "samples table", "provenance", "results"
]  # fmt: skip
GENERATOR = "explorer"
SVG_MARK = f"<!-- {GENERATOR} -->"
_HEAD_BYTES = 4_096


def _json(name: str) -> str:
    return rf'\s*\{{\s*"schema":\s*"explorer\.{name}/'


# Start of each kind of file that explorer writes, but for a device file: it is there to be edited.
_MARKS: dict[str, re.Pattern[bytes]] = {
    kind: re.compile(mark.encode("latin-1"), re.DOTALL)
    for kind, mark in {
        "model": _json("model"),
        "choice": _json("chosen"),
        "audit": _json("paper"),
        "provenance": _json("samples"),
        "results": _json("front"),
        "page": rf'<!doctype html>.*<meta name="generator" content="{GENERATOR}',
        "png": rf"\x89PNG\r\n\x1a\n.*tEXtSoftware\0{GENERATOR}",
        "svg": rf".*{SVG_MARK}",
        "samples table": r"family,pruning_ratio,quant_step,(recipe,)?accuracy,accuracy_lo,",
    }.items()
}


def check_output(
    path: Path | None, *, kind: Kind | None, inputs: Iterable[str | Path | None] = (), force: bool = False
) -> None:
    """Raise if a command must not write a file, before the work is done for it.

    A device or a pipe may be written. Links are followed: two names of one file are one file.

    Args:
        path: the output; None for no output.
        kind: what explorer writes there; a file of another kind is not replaced. None: only inputs are protected.
        inputs: what the command reads: files, or names of things that ship, which are no files.
        force: replace a file that explorer did not write.

    Raises:
        WrongUsage: the command reads the file, or the file exists and explorer did not write it.
    """
    try:
        if path is None or is_stream(path) or not path.is_file():
            return
        if any(_is_same(path, Path(one).expanduser()) for one in inputs if one is not None):
            raise WrongUsage(f"{path}: is read by this command, and would be replaced by its output",
                             fix="choose another name with -o")  # fmt: skip
        if not force and kind is not None and path.stat().st_size and not is_written_as(path, kind):
            raise WrongUsage(f"{path}: exists, and is no {kind} as explorer writes it",
                             fix="choose another name with -o, or replace it with --force")  # fmt: skip
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror or error}", fix="check the path and its permissions") from None


def is_written_as(path: Path, kind: Kind) -> bool:
    """Return whether a file begins like one of a kind that explorer writes.

    Raises:
        OSError: the file is not readable.
    """
    with path.open("rb") as file:
        return kind in _MARKS and _MARKS[kind].match(file.read(_HEAD_BYTES)) is not None


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except (OSError, ValueError):  # not there: nothing to lose
        return False
