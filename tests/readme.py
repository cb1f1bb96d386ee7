"""Execution of the command blocks of a README, in order, in one folder, as a user types them."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
READMES = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md"), *ROOT.glob(".github/*.md")]
    if not {".venv", "results", "node_modules"} & set(path.relative_to(ROOT).parts) and path.name != "CHANGELOG.md"
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a README: its language and its text; `file` is named by a comment in its first line."""

    language: str
    text: str

    @property
    def file(self) -> str:
        first = re.match(r"# ([\w./-]+\.(?:toml|py|csv))\n", self.text)
        return first[1] if first else ""


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a Markdown text in order."""
    return [Block(*found) for found in re.findall(r"^ *```(\w+)\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)]


def commands(block: Block) -> list[str]:
    """Return the commands of a shell block, continued lines joined."""
    joined = block.text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def execute(block: Block, folder: Path) -> None:
    """Save a named block as its file, or run a shell block's commands or a script; prints what failed."""
    if block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
    elif block.language == "sh":
        for line in commands(block):
            run(re.sub(r"^explorer\b", f"{shlex.quote(sys.executable)} -m explorer", line), folder)
    elif block.language == "python":
        run(f"{shlex.quote(sys.executable)} -c {shlex.quote(block.text)}", folder)


def run(line: str, folder: Path) -> None:
    done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, check=False, timeout=300)  # noqa: S602
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
