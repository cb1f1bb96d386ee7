"""Execution of the command blocks of a README, in order, in one folder, as a user types them.

Each command has a process of its own, which is a fork of one that has imported the program: a hundred commands would
take 250 CPU s for their imports alone.
"""

import multiprocessing
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
READMES = sorted(
    path.relative_to(ROOT)
    for path in [*ROOT.glob("*.md"), *ROOT.glob("*/**/*.md"), *ROOT.glob(".github/*.md")]
    if not {".venv", "results", "node_modules"} & set(path.relative_to(ROOT).parts) and path.name != "CHANGELOG.md"
)
# What commands import: the program, and the libraries that it imports late.
PRELOADED = [
    *(f"explorer.api.{path.stem}" for path in sorted((ROOT / "explorer/api").glob("*.py"))),
    "explorer.cli.app", "scipy.stats", "plotly.graph_objects", "plotly.io", "onnx", "onnxruntime", "tests.readme",
]  # fmt: skip


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
    """Save a named block as its file, or run a shell block's commands or a script; raises what failed."""
    if block.file:
        path = folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
    elif block.language == "sh":
        for line in commands(block):
            words = plain_words(line)
            if words[:1] == ["explorer"]:
                run_fork(run_program, words, folder)
            else:
                run_shell(re.sub(r"^explorer\b", f"{shlex.quote(sys.executable)} -m explorer", line), folder)
    elif block.language == "python":
        run_fork(run_script, [block.text], folder)


def plain_words(line: str) -> list[str]:
    """Return the words of a command; none where a shell does more than to split it."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = [*lexer]
    is_plain = not re.search(r"[$`*~]", line) and not any(set(word) <= set("();<>|&") for word in words)
    return words if is_plain else []


def run_shell(line: str, folder: Path) -> None:
    """Run a command by a shell."""
    done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, check=False, timeout=300)  # noqa: S602
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def run_fork(target: Callable[[Sequence[str]], None], words: Sequence[str], folder: Path) -> None:
    """Run a function in a fork of a process that has imported the program."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(PRELOADED)
    output = folder.with_name(f"{folder.name}.out")
    process = forks.Process(target=_redirected, args=(target, list(words), str(folder), str(output)))
    process.start()
    process.join(300)
    if process.exitcode is None:
        process.kill()
    text = output.read_text(encoding="utf-8", errors="replace") if output.exists() else ""
    assert process.exitcode == 0, f"{words}\n{text[-6000:]}"


def _redirected(target: Callable[[Sequence[str]], None], words: list[str], folder: str, output: str) -> None:
    file = os.open(output, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.chdir(folder)
    target(words)


def run_program(words: Sequence[str]) -> None:
    """Run the program's own entry with its arguments."""
    from explorer.cli.app import main

    sys.argv = [*words]
    main()


def run_script(words: Sequence[str]) -> None:
    """Run the text of a script in the current folder."""
    (text,) = words
    sys.path.insert(0, "")
    script = Path.cwd().with_name("script.py")
    script.write_text(text, encoding="utf-8")
    runpy.run_path(str(script), run_name="__main__")
