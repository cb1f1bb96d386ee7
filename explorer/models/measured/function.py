"""Evaluator that measures every design by a function of the user, such as on a board with a power meter."""

import ast
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import MeasurementFailed, WrongUsage, suggestion
from explorer.io.files import read_text, sha256
from explorer.models.evaluator import StoppingRule
from explorer.models.measured.task import SourceFunction, describe_exception
from explorer.models.samples.machine import join_machines
from explorer.network.measurement.host import processor
from explorer.problem.applicability import Domain
from explorer.problem.columns import TARGETS, Columns, allowed_text, bounds, is_allowed, knobs_of, n_rows
from explorer.problem.space_builder import declared_knobs
from explorer.problem.study import Study

Measure = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Function from the knobs of a design, by name in SI units, to a number for each target, optionally `_lo` and `_hi`."""

_MAX_TEXT = 1_000
_MAX_SOURCE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FunctionEvaluator:
    """Evaluator that measures by a function.

    Args:
        name: of the function: `task.py:measure`.
        function: measures one design; None if results are only read.
        targets: the columns that it returns.
        domain: declared range of every numeric knob, by family; no measurement extrapolates.
        categories: declared choices of every categorical knob, by family.
        sha256: of the source of the function; empty if it has no file.
        rows: measurements by the values of the knobs; grows.
    """

    name: str
    function: Measure | None
    targets: tuple[str, ...]
    domain: Domain
    categories: Mapping[str, Mapping[str, tuple[str, ...]]]
    sha256: str = ""
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def is_vectorized(self) -> bool:
        """False: every design is measured."""
        return False

    @property
    def families(self) -> tuple[str, ...]:
        """Families that the spaces of the study declare."""
        return tuple(self.domain)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the measurement and its intervals."""
        return (f"every design was measured by {self.name}; intervals are those that it returned",)

    @property
    def machine(self) -> str:
        """The machines that the function returned as `machine`, joined by "; "; empty if it returns none.

        The function may measure on a board that it controls from another host, so that the host's name says nothing.
        """
        return join_machines([str(row.get("machine", "")) for row in self.rows.values()])

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Identity of the measurement: its targets. A corrected function continues the same study."""
        return {"kind": "function", "targets": list(self.targets)}

    def provenance(self, *, when: str) -> dict[str, Any]:
        """Return function, machines and time of the measurements, as plain JSON values."""
        hosts = sorted({row["host"] for row in self.rows.values() if "host" in row})
        # Rows without a host come from this machine.
        is_local = not self.rows or any("host" not in row for row in self.rows.values())
        machine: dict[str, Any] = {"processor": processor()} if is_local else {}
        if hosts:
            machine["hosts"] = hosts
        return {"function": self.name, "sha256": self.sha256, **machine, "when": when}

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the measured columns."""
        del family
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the declared choices of each categorical knob."""
        return self.categories[family]

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return None: the space declares the operating points of the device."""
        del family
        return None

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with their measurements, made one after the other; `domain_distance` is 0.

        Each design is measured once.

        Raises:
            MeasurementFailed: the function failed, or did not return a valid measurement.
        """
        rows = self.measure_rows(designs)
        names = [end for name in self.targets for end in (name, *bounds(name))]
        columns = {name: np.array([row.get(name, math.nan) for row in rows], dtype=np.float64) for name in names}
        measured = {n: v for n, v in columns.items() if n in self.targets or np.isfinite(v).any() or not rows}
        return {**designs, **measured, "domain_distance": np.zeros(n_rows(designs))}

    def measure_rows(self, designs: Columns) -> list[dict[str, Any]]:
        """Return the full results of the function for designs, with their knobs, as plain JSON values.

        Raises:
            MeasurementFailed: as `evaluate`.
        """
        names = knobs_of(designs)
        rows = zip(*[designs[name].tolist() for name in names], strict=True)
        return [self._measure_once(dict(zip(names, values, strict=True))) for values in rows]

    def adopt_measurement(self, row: object) -> None:
        """Store a measurement of an earlier run, from its storage; ignore anything that is not a complete row."""
        if not isinstance(row, dict) or not isinstance(row.get("knobs"), dict):
            return
        if all(isinstance(row.get(t), int | float) and math.isfinite(row[t]) for t in self.targets):
            self.rows.setdefault(_key(row["knobs"]), row)

    def measure(self, design: Mapping[str, Any]) -> Any:
        """Return the result of the function for one design, called in this process.

        Raises:
            MeasurementFailed: the function failed.
        """
        function = self.task()
        try:
            return function(dict(design))
        except (Exception, SystemExit) as error:  # no error of the user's code ends the search
            raise MeasurementFailed(f"{self.name}: {describe_exception(error)}", fix=_FIX) from error

    def start_racing(self, rule: StoppingRule) -> None:
        """Ignore the rule: the function measures a design as a whole."""

    def travel_data(self) -> dict[str, Any]:
        """Return an empty mapping: the function takes the knobs alone."""
        return {}

    def task(self) -> Measure:
        """Return the function itself.

        Raises:
            WrongUsage: no function was given.
        """
        if self.function is None:
            raise WrongUsage("the study measures by a function of yours", fix="name it: --measure FILE.py:NAME")
        return self.function

    @property
    def files(self) -> tuple[Path, ...]:
        """Empty: the files that the function reads are unknown."""
        return ()

    def add_measurement(self, design: Mapping[str, Any], raw: Any) -> dict[str, Any]:
        """Validate the result of the function for a design; store and return it with its knobs as plain JSON values.

        Raises:
            MeasurementFailed: the result is not a valid measurement.
        """
        if not isinstance(raw, Mapping):
            raise MeasurementFailed(f"{self.name} returned {type(raw).__name__}, not a mapping", fix=_FIX)
        row = {**_extras(raw, self.targets), **self._numbers(raw), "knobs": dict(design)}
        return self.rows.setdefault(_key(design), row)

    def is_measured(self, design: Mapping[str, Any]) -> bool:
        """Return True if a design was measured."""
        return _key(design) in self.rows

    def design_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the knobs of a stored row, or None if it has none."""
        knobs = row.get("knobs")
        return dict(knobs) if isinstance(knobs, Mapping) else None

    def _measure_once(self, knobs: dict[str, Any]) -> dict[str, Any]:
        key = _key(knobs)
        return self.rows[key] if key in self.rows else self.add_measurement(knobs, self.measure(knobs))

    def _numbers(self, raw: Mapping[str, Any]) -> dict[str, float]:
        values = {}
        for target in self.targets:
            for name in (target, *bounds(target)):
                if name not in raw and name != target:
                    continue
                value = raw.get(name)
                value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
                if not isinstance(value, numbers.Real) or not math.isfinite(value):
                    raise MeasurementFailed(
                        f"{self.name} returned {value!r:.40} for {name}", fix="return a finite number"
                    )
                if not is_allowed(target, np.array([float(value)]), is_measured=True)[0]:
                    allowed = allowed_text(target, is_measured=True)
                    text = f"{self.name} returned {name} = {float(value):g}, outside {allowed}"
                    raise MeasurementFailed(text, fix="return SI units, shares between 0 and 1")
                values[name] = float(value)
        return values


_FIX = "correct the function: it takes a design and returns a number for each target"


def function_evaluator(study: Study, measure: Measure | str | None) -> FunctionEvaluator:
    """Return the evaluator of a study that measures by a function.

    Args:
        study: a study whose model is `{ measures = [...] }`.
        measure: the function, or FILE.py:NAME; None if results are only read.

    Raises:
        WrongUsage: the function does not exist.
    """
    if study.function is None:
        raise TypeError(f"{study.path} measures by no function")
    function = load_function(measure) if isinstance(measure, str) else measure
    name = measure if isinstance(measure, str) else getattr(measure, "__qualname__", "a function")
    domain, categories = {}, {}
    for space in study.spaces:
        spans, choices = declared_knobs(space.file, path=space.path)
        for family in space.families:
            domain[family], categories[family] = spans, choices
    targets = tuple(t for t in TARGETS if t in study.function.measures)
    digest = sha256(function.source) if isinstance(function, SourceFunction) else ""
    return FunctionEvaluator(str(name), function, targets, domain, categories, digest)


def load_function(text: str) -> SourceFunction:
    """Load FILE.py:NAME as source, without executing it: the process that measures executes it.

    Raises:
        WrongUsage: the file or function does not exist, or the file is not valid Python.
    """
    file, _, name = text.rpartition(":")
    path = Path(file).expanduser()
    if not file.endswith(".py") or not name.isidentifier():
        raise WrongUsage(f"'{text}' names no function", fix="write FILE.py:NAME, such as task.py:measure")
    if not path.is_file():
        raise WrongUsage(f"{path}: no such file", fix="give the path of a Python file")
    try:
        source = read_text(path, max_bytes=_MAX_SOURCE_BYTES)
        body = ast.parse(source, filename=str(path)).body
    except (SyntaxError, ValueError) as error:
        raise WrongUsage(f"{path}: {type(error).__name__}: {error}", fix="correct that file") from None
    defined = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    # Assignments and imports may define further names: the check is complete only for a file without them.
    if name not in defined and all(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Expr) for node in body):
        raise WrongUsage(
            f"{path}: has no function '{name}'", fix=suggestion(name, defined) if defined else f"def {name}"
        )
    return SourceFunction(str(path.absolute()), name, source)


def run_source(function: SourceFunction) -> None:
    """Execute the file of a function in this process, to report its errors before a search starts.

    Raises:
        WrongUsage: the file fails, or does not define the function.
    """
    path = Path(function.file)
    try:
        function.load()
    except AttributeError:
        raise WrongUsage(f"{path}: has no function '{function.name}'", fix=f"def {function.name}") from None
    except (Exception, SystemExit) as error:
        raise WrongUsage(f"{path}: {describe_exception(error)}", fix="correct that file") from error


def _key(knobs: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(knobs.items()))


def _extras(raw: Mapping[str, Any], targets: tuple[str, ...]) -> dict[str, Any]:
    """Return the further values of a result that can be stored: numbers, texts and flags."""
    columns = {end for target in targets for end in (target, *bounds(target))}
    return {
        str(name): value
        for name, value in raw.items()
        if name not in columns and isinstance(value, str | int | float | bool) and len(str(value)) <= _MAX_TEXT
    }
