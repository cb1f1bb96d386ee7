"""Evaluator that measures every design by a function of the user: on their board, with their meter."""

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
from explorer.models.measured.task import SourceFunction
from explorer.network.measurement.provenance import processor
from explorer.problem.applicability import Domain
from explorer.problem.columns import TARGETS, Columns, allowed_text, bounds, is_allowed, knobs_of, n_rows
from explorer.problem.space_builder import declared_knobs
from explorer.problem.study import Study

Measure = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A design's knobs by name, in SI, to what was measured of it: a number for each target, `_lo` and `_hi` if known."""

_MAX_TEXT = 1_000
_MAX_SOURCE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class FunctionEvaluator:
    """An evaluator that asks a function.

    Args:
        name: what it is called: `task.py:measure`.
        function: measures one design; None where results are only looked at.
        targets: the columns that it gives.
        domain: the span of every numeric knob that the spaces declare: nothing is far from a sample.
        words: the choices of every category knob, by family.
        sha256: of the function's source, where there is a file of it.
        rows: what was measured, by the knobs' values; grows.
    """

    name: str
    function: Measure | None
    targets: tuple[str, ...]
    domain: Domain
    words: Mapping[str, Mapping[str, tuple[str, ...]]]
    sha256: str = ""
    rows: dict[tuple[Any, ...], dict[str, Any]] = field(default_factory=dict)

    @property
    def is_vectorized(self) -> bool:
        """Every design is measured."""
        return False

    @property
    def families(self) -> tuple[str, ...]:
        """The families that the study's spaces declare."""
        return tuple(self.domain)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was measured, by what, and what it does not say."""
        return (f"every design was measured by {self.name}: no interval but what it gives itself",)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What tells one measurement from another: what is measured. A mended function still asks the same question."""
        return {"kind": "function", "targets": list(self.targets)}

    def provenance(self, *, when: str) -> dict[str, Any]:
        """Return what measured, where and when, as plain JSON values."""
        hosts = sorted({row["host"] for row in self.rows.values() if "host" in row})
        # Rows without a host come from this machine.
        is_local = not self.rows or any("host" not in row for row in self.rows.values())
        here, there = {"processor": processor()} if is_local else {}, {"hosts": hosts} if hosts else {}
        return {"function": self.name, "sha256": self.sha256, **here, **there, "when": when}

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the columns that are measured."""
        del family
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the declared choices of each category knob."""
        return self.words[family]

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return no law: a device lists the operating points that it has."""
        del family
        return None

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with what was measured of them, one after the other; `domain_distance` is 0 everywhere.

        A design that was measured before is not measured again.

        Raises:
            MeasurementFailed: the function failed, or gave what is no measurement.
        """
        rows = self.recorded(designs)
        names = [end for name in self.targets for end in (name, *bounds(name))]
        found = {name: np.array([row.get(name, math.nan) for row in rows], dtype=np.float64) for name in names}
        measured = {n: v for n, v in found.items() if n in self.targets or np.isfinite(v).any() or not rows}
        return {**designs, **measured, "domain_distance": np.zeros(n_rows(designs))}

    def recorded(self, designs: Columns) -> list[dict[str, Any]]:
        """Return all that the function gave for designs, with their knobs, as plain JSON values.

        Raises:
            MeasurementFailed: as `evaluate`.
        """
        names = knobs_of(designs)
        return [self._row(dict(zip(names, values, strict=True))) for values in self._values(designs, names)]

    def recall(self, row: object) -> None:
        """Take over what an earlier run measured (and its storage kept); what is no such row is passed over."""
        if not isinstance(row, dict) or not isinstance(row.get("knobs"), dict):
            return
        if all(isinstance(row.get(t), int | float) and math.isfinite(row[t]) for t in self.targets):
            self.rows.setdefault(_key(row["knobs"]), row)

    def _values(self, designs: Columns, names: list[str]) -> "zip[tuple[Any, ...]]":
        return zip(*[designs[name].tolist() for name in names], strict=True)

    def measure(self, design: Mapping[str, Any]) -> Any:
        """Return what the function gives for one design, in this process.

        Raises:
            MeasurementFailed: it failed.
        """
        function = self.task()
        try:
            return function(dict(design))
        except (Exception, SystemExit) as error:  # whatever the user's code does, the search survives it
            raise MeasurementFailed(f"{self.name}: {describe(error)}", fix=_FIX) from error

    def task(self) -> Measure:
        """Return the function itself.

        Raises:
            WrongUsage: none was named.
        """
        if self.function is None:
            raise WrongUsage("the study measures by a function of yours", fix="name it: --measure FILE.py:NAME")
        return self.function

    @property
    def files(self) -> tuple[Path, ...]:
        """No files: what the function reads, only its author knows."""
        return ()

    def accept(self, design: Mapping[str, Any], raw: Any) -> dict[str, Any]:
        """Check what the function gave for a design, and keep it with its knobs, as plain JSON values.

        Raises:
            MeasurementFailed: it is no measurement.
        """
        if not isinstance(raw, Mapping):
            raise MeasurementFailed(f"{self.name} returned no mapping but {type(raw).__name__}", fix=_FIX)
        row = {**_extras(raw, self.targets), **self._numbers(raw), "knobs": dict(design)}
        return self.rows.setdefault(_key(design), row)

    def knows(self, design: Mapping[str, Any]) -> bool:
        """Tell whether a design was measured."""
        return _key(design) in self.rows

    def design_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the knobs of a kept row; None where it has none."""
        knobs = row.get("knobs")
        return dict(knobs) if isinstance(knobs, Mapping) else None

    def _row(self, knobs: dict[str, Any]) -> dict[str, Any]:
        key = _key(knobs)
        return self.rows[key] if key in self.rows else self.accept(knobs, self.measure(knobs))

    def _numbers(self, given: Mapping[str, Any]) -> dict[str, float]:
        found = {}
        for target in self.targets:
            for name in (target, *bounds(target)):
                if name not in given and name != target:
                    continue
                value = given.get(name)
                value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
                if not isinstance(value, numbers.Real) or not math.isfinite(value):
                    raise MeasurementFailed(f"{self.name} gave {value!r:.40} for {name}", fix="return a finite number")
                if not is_allowed(target, np.array([float(value)]), is_measured=True)[0]:
                    allowed = allowed_text(target, is_measured=True)
                    what = f"{self.name} gave {name} = {float(value):g}, outside {allowed}"
                    raise MeasurementFailed(what, fix="return SI units, shares between 0 and 1")
                found[name] = float(value)
        return found


_FIX = "mend the function: it takes a design and returns a number for each target"


def function_evaluator(study: Study, measure: Measure | str | None) -> FunctionEvaluator:
    """Return the evaluator of a study that measures by a function.

    Args:
        study: a study whose model is `{ measures = [...] }`.
        measure: the function, or FILE.py:NAME; None where nothing is to be measured.

    Raises:
        WrongUsage: there is no such function.
    """
    if study.function is None:
        raise TypeError(f"{study.path} measures by no function")
    function = load_function(measure) if isinstance(measure, str) else measure
    name = measure if isinstance(measure, str) else getattr(measure, "__qualname__", "a function")
    domain, words = {}, {}
    for space in study.spaces:
        spans, choices = declared_knobs(space.file, path=space.path)
        for family in space.families:
            domain[family], words[family] = spans, choices
    targets = tuple(t for t in TARGETS if t in study.function.measures)
    digest = sha256(function.source) if isinstance(function, SourceFunction) else ""
    return FunctionEvaluator(str(name), function, targets, domain, words, digest)


def load_function(text: str) -> SourceFunction:
    """Read FILE.py:NAME without running it: it runs where it measures, in this process or in another one.

    Raises:
        WrongUsage: there is no such file or function, or the file is no Python.
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
        raise WrongUsage(f"{path}: {type(error).__name__}: {error}", fix="mend that file") from None
    known = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    # Only a plain file tells its names unrun: one that assigns or imports them may hold any.
    if name not in known and all(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Expr) for node in body):
        raise WrongUsage(f"{path}: has no function '{name}'", fix=suggestion(name, known) if known else f"def {name}")
    return SourceFunction(str(path.absolute()), name, source)


def run_source(function: SourceFunction) -> None:
    """Run the file of a function in this process, so that its faults show before a search begins.

    Raises:
        WrongUsage: it cannot be run, or does not define the function.
    """
    path = Path(function.file)
    try:
        function.load()
    except AttributeError:
        raise WrongUsage(f"{path}: has no function '{function.name}'", fix=f"def {function.name}") from None
    except (Exception, SystemExit) as error:
        raise WrongUsage(f"{path}: {describe(error)}", fix="mend that file") from error


def _key(knobs: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(knobs.items()))


def _extras(given: Mapping[str, Any], targets: tuple[str, ...]) -> dict[str, Any]:
    """Return what a function tells besides, where it can be kept: numbers, words and flags."""
    own = {end for target in targets for end in (target, *bounds(target))}
    return {
        str(name): value
        for name, value in given.items()
        if name not in own and isinstance(value, str | int | float | bool) and len(str(value)) <= _MAX_TEXT
    }
