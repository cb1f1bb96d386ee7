"""Errors that a user can cause: each states the fact, its location and the fix, and has an exit code."""

import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

MAX_LISTED_FAULTS = 50
# The packages of each extra of pyproject.toml. A fix names them, not 'explorer[onnx]': no package index has `explorer`.
EXTRAS = {
    "cluster": ("distributed",),
    "dashboard": ("optuna-dashboard",),
    "excel": ("python-calamine",),
    "gp": ("torch",),
    "images": ("kaleido",),
    "nvml": ("nvidia-ml-py",),
    "onnx": ("onnx", "onnxruntime"),
    "parquet": ("pyarrow",),
    "postgresql": ("psycopg[binary]",),
}


class ExplorerError(Exception):
    """Base class of all errors below; the command line prints it without a traceback and exits with `exit_code`."""

    exit_code = 2

    def __init__(self, problem: str, *, fix: str) -> None:
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem = problem
        self.fix = fix


class WrongUsage(ExplorerError):
    """An unusable argument of a command or function (exit 2)."""


class OutOfRange(WrongUsage):
    """A number outside the range in which its equation is defined."""

    def __init__(self, name: str, value: object, *, allowed: str, fix: str) -> None:
        super().__init__(f"{name} = {value} is outside {allowed}", fix=fix)


class UnknownName(WrongUsage):
    """A name that is not one of the valid names; the fix suggests the nearest one."""

    def __init__(self, label: str, name: str, valid: Iterable[str]) -> None:
        super().__init__(f"{label}: unknown name '{name}'", fix=suggestion(name, sorted(valid)))


class StudyChanged(WrongUsage):
    """A study whose declaration has changed since its trials were stored.

    Args:
        problem: the fact, with the changes.
        folder: result folder of the stored trials; empty where they are in a database, which keeps one study a name.
        changes: the changed keys.
        n_measured: number of stored measurements.
    """

    def __init__(self, problem: str, *, folder: str, changes: str, n_measured: int) -> None:
        self.folder, self.changes, self.n_measured = folder, changes, n_measured
        taking = f"take over its {n_measured} measurements with --from {shlex.quote(folder)}, " if n_measured else ""
        anew = "begin anew with --fresh, which keeps the old folder, or with --out DIR"
        anew = anew if folder else "name another --storage and --out"
        super().__init__(problem, fix=f"restore the declaration to resume, {taking if folder else ''}or {anew}")

    @property
    def question(self) -> str:
        """The question to a user at a terminal: whether to begin again, with the measurements that there are."""
        if self.n_measured:
            return f"The question changed: {self.changes}. Take over {self.n_measured} measurements from {self.folder}?"
        return f"The question changed: {self.changes}. Begin anew, and keep {self.folder} under another name?"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a file, with its location `where` ('' for the whole file) and the instruction that removes it."""

    where: str
    what: str
    fix: str

    @property
    def problem(self) -> str:
        """The fact after its location."""
        return f"{self.where}: {self.what}" if self.where else self.what

    def __str__(self) -> str:
        return f"{self.problem}\n    fix: {self.fix}"


class InvalidFile(ExplorerError):
    """An invalid input file; carries all of its faults at once (exit 3)."""

    exit_code = 3

    def __init__(self, path: object, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        if len(self.faults) == 1:
            super().__init__(f"{path}: {self.faults[0].problem}", fix=self.faults[0].fix)
            return
        listing = "".join(f"\n  {fault}" for fault in self.faults)
        super().__init__(f"{path}: {len(self.faults)} faults{listing}", fix="correct all of the above, then run again")


class NoFeasibleDesign(ExplorerError):
    """No design that meets the constraints, or a failed check (exit 4)."""

    exit_code = 4


class MeasurementFailed(ExplorerError):
    """A network that cannot be run, or outputs from which no accuracy can be computed (exit 4)."""

    exit_code = 4


class VerificationFailed(ExplorerError):
    """A bundle that differs from its manifest (exit 4)."""

    exit_code = 4


class MissingPart(ExplorerError):
    """An optional package that is not installed; the fix installs all packages of its extra (exit 5)."""

    exit_code = 5

    def __init__(self, part: str, *, needed_for: str, extra: str) -> None:
        super().__init__(f"{part} is not installed; {needed_for} needs it", fix=install_command(extra))


class Interrupted(ExplorerError):
    """A run that the user stopped; everything finished so far is saved (exit 130)."""

    exit_code = 130


def install_command(extra: str) -> str:
    """Return the shell command that installs the packages of an extra.

    >>> install_command("onnx")
    'pip install onnx onnxruntime'
    """
    return f"pip install {shlex.join(EXTRAS[extra])}"


def suggestion(name: str, valid: Sequence[str]) -> str:
    """Return the valid name nearest to a misspelt one as a question, or a list of all valid names.

    >>> suggestion("edpjs", ["edp_js", "accuracy"])
    "did you mean 'edp_js'?"
    """
    near = get_close_matches(name, valid, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"choose one of: {', '.join(valid)}"


def limit_faults(faults: list[Fault]) -> list[Fault]:
    """Return at most `MAX_LISTED_FAULTS` faults, with the number of the omitted ones as a last fault."""
    if len(faults) <= MAX_LISTED_FAULTS:
        return faults
    rest = len(faults) - MAX_LISTED_FAULTS
    omitted = Fault(f"and {rest} more", "like these", "correct the first ones, then run again")
    return [*faults[:MAX_LISTED_FAULTS], omitted]


def group_faults(
    column: str, cells: Sequence[tuple[int, str]], *, one: str, many: str, fix: str, listed: int = 3
) -> list[Fault]:
    """Return one fault for all cells of a column that are wrong in the same way; none without such cells.

    Call it once for each kind of fault of a column; the first rows are named with their values.

    Args:
        column: name of the column, as the file has it.
        cells: row number in the file and text of each wrong cell.
        one: what a single cell does ("is not a number").
        many: what several do ("are not numbers").
        fix: the instruction that removes them.
        listed: number of rows that are named.

    >>> cells = [(2, "93.2"), (3, "91"), (4, "90.5"), (7, "88")]
    >>> print(*group_faults("accuracy", cells, one="looks like percent", many="look like percent", fix="write shares"))
    4 cells of accuracy: look like percent ('93.2' in row 2, '91' in row 3, '90.5' in row 4, ...)
        fix: write shares
    >>> print(*group_faults("accuracy", cells[:1], one="looks like percent", many="", fix="write a share"))
    row 2, accuracy: '93.2' looks like percent
        fix: write a share
    """
    named = [f"'{text[:40]}' in row {number}" if text else f"row {number}" for number, text in cells[:listed]]
    if len(cells) < 2:
        return [Fault(f"row {i}, {column}", f"'{text[:40]}' {one}" if text else one, fix) for i, text in cells]
    examples = ", ".join(named) + (", ..." if len(cells) > listed else "")
    return [Fault(f"{len(cells)} cells of {column}", f"{many} ({examples})", fix)]


def rows_text(numbers: Sequence[int], *, listed: int = 5) -> str:
    """Return row numbers for people.

    >>> rows_text([3]), rows_text([3, 5, 9], listed=2)
    ('row 3', 'rows 3, 5 and 1 more')
    """
    rest = f" and {len(numbers) - listed} more" if len(numbers) > listed else ""
    return f"row{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers[:listed]))}{rest}"
