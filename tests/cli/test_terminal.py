"""Tables in a real terminal: its width is kept, and no number is broken where something can be done about it."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest


def typed(folder: Path, *args: str, columns: int) -> list[str]:
    """Return the lines that a terminal of so many columns shows of a command."""
    screen, line = pty.openpty()
    fcntl.ioctl(line, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "CI"}}
    done = subprocess.Popen(
        [sys.executable, "-m", "explorer", *args], cwd=folder, stdin=line, stdout=line, stderr=line,
        env={**environment, "NO_COLOR": "1", "TERM": "xterm"},
    )  # fmt: skip
    os.close(line)
    shown = b""
    while True:
        try:
            part = os.read(screen, 65_536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(screen)
    assert done.wait() == 0, shown
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).splitlines()


@pytest.mark.parametrize("columns", [80, 100, 120])
@pytest.mark.slow
def test_a_front_fits_the_terminal_with_whole_numbers(paper_run: Path, columns: int) -> None:
    lines = typed(paper_run, "front", "paper", columns=columns)
    table = lines[: next(i for i, line in enumerate(lines) if re.match(r"\d+ of ", line))]
    first = next(line for line in table if re.match(r" *\d+", line)).split()

    assert max(map(len, table)) <= columns
    assert all(re.fullmatch(r"[\d.e-]+|CNN|\[?[\d.e-]+[\],]?", word) for word in first)
    assert len([word for word in first if "." in word]) >= 5
    assert re.search(r"left out for want of width: .*--format csv has all", " ".join(lines))
    assert max(map(len, lines)) <= columns


def test_a_wide_terminal_has_every_column_on_one_line(paper_run: Path) -> None:
    lines = typed(paper_run, "front", "paper", columns=220)

    assert "domain distance" in lines[0]
    assert not any(line.startswith("left out") for line in lines)


@pytest.mark.slow
def test_no_word_of_a_fit_is_broken(paper_run: Path) -> None:
    lines = typed(paper_run, "fit", "paper", columns=80)

    assert any(line.startswith("throughput_ops ") for line in lines)
    assert any("leave-one-out" in line for line in lines)
