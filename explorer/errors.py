"""Every error that a user can cause: what is wrong, where, and how to mend it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

MAX_LISTED_FAULTS = 50


class ExplorerError(Exception):
    """Base of all errors below; the command line prints it without a traceback and exits with `exit_code`."""

    exit_code = 2

    def __init__(self, problem: str, *, fix: str) -> None:
        super().__init__(f"{problem}\n  fix: {fix}")
        self.problem = problem
        self.fix = fix


class WrongUsage(ExplorerError):
    """A command or function was called with something it cannot use (exit 2)."""


class OutOfRange(WrongUsage):
    """A number lies outside the range in which its equation has a meaning."""

    def __init__(self, name: str, value: object, *, allowed: str, fix: str) -> None:
        super().__init__(f"{name} = {value} is outside {allowed}", fix=fix)


class UnknownName(WrongUsage):
    """A name is not one that the explorer knows."""

    def __init__(self, where: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"{where}: unknown name '{name}'", fix=suggestion(name, sorted(known)))


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a file: where in it, what, and how to mend it."""

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}\n    fix: {self.fix}"


class InvalidFile(ExplorerError):
    """An input file is not what it should be; carries all of its faults at once (exit 3)."""

    exit_code = 3

    def __init__(self, path: object, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        if len(self.faults) == 1:
            fault = self.faults[0]
            place = f"{fault.where}: " if fault.where else ""
            super().__init__(f"{path}: {place}{fault.what}", fix=fault.fix)
            return
        listing = "".join(f"\n  {fault}" for fault in self.faults)
        super().__init__(f"{path}: {len(self.faults)} faults{listing}", fix="mend all of the above, then run again")


class NoFeasibleDesign(ExplorerError):
    """No design meets the constraints, or a check failed (exit 4)."""

    exit_code = 4


class MeasurementFailed(ExplorerError):
    """A network could not be run, or gave what no accuracy can be taken from (exit 4)."""

    exit_code = 4


class VerificationFailed(ExplorerError):
    """A bundle is not what it promises (exit 4)."""

    exit_code = 4


class MissingPart(ExplorerError):
    """An optional part is not installed (exit 5)."""

    exit_code = 5

    def __init__(self, part: str, *, needed_for: str, extra: str) -> None:
        super().__init__(f"{part} is not installed; {needed_for} needs it", fix=f"pip install 'explorer[{extra}]'")


class Interrupted(ExplorerError):
    """The user stopped a run; everything finished so far is saved (exit 130)."""

    exit_code = 130


def suggestion(name: str, known: Sequence[str]) -> str:
    """Say which known name was probably meant, or list all of them.

    >>> suggestion("edpjs", ["edp_js", "accuracy"])
    "did you mean 'edp_js'?"
    """
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"choose one of: {', '.join(known)}"


def limit_faults(faults: list[Fault]) -> list[Fault]:
    """Cut a flood of faults short."""
    if len(faults) <= MAX_LISTED_FAULTS:
        return faults
    rest = len(faults) - MAX_LISTED_FAULTS
    return [*faults[:MAX_LISTED_FAULTS], Fault(f"and {rest} more", "like these", "mend the first ones, then run again")]
