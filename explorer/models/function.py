"""Function: an evaluator that measures every design by a function of the user's own: their board, their meter."""

import importlib.util
import math
import numbers
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from explorer.errors import MeasurementFailed, WrongUsage, suggestion
from explorer.files import sha256
from explorer.network.provenance import processor
from explorer.problem.columns import TARGETS, Columns, allowed_text, bounds, is_allowed, knobs_of, n_rows
from explorer.problem.domain import Domain
from explorer.problem.operating import AlphaPowerLaw
from explorer.problem.region import declared_knobs
from explorer.problem.study import Study

Measure = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""A design's knobs by name, in SI, to what was measured of it: a number for each target, `_lo` and `_hi` if known."""

_MAX_TEXT = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Function:
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
    def is_cheap(self) -> bool:
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
        return {"function": self.name, "sha256": self.sha256, "processor": processor(), "when": when}

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

    def _row(self, knobs: dict[str, Any]) -> dict[str, Any]:
        key = _key(knobs)
        if key not in self.rows:
            self.rows[key] = {**self._measured(knobs), "knobs": knobs}
        return self.rows[key]

    def _measured(self, knobs: dict[str, Any]) -> dict[str, Any]:
        if self.function is None:
            raise WrongUsage("the study measures by a function of yours", fix="name it: --measure FILE.py:NAME")
        try:
            given = self.function(dict(knobs))
        except Exception as error:  # whatever the user's code does, the search survives it
            raise MeasurementFailed(f"{self.name}: {type(error).__name__}: {error}"[:_MAX_TEXT], fix=_FIX) from error
        if not isinstance(given, Mapping):
            raise MeasurementFailed(f"{self.name} returned no mapping but {type(given).__name__}", fix=_FIX)
        return {**_extras(given, self.targets), **self._numbers(given)}

    def _numbers(self, given: Mapping[str, Any]) -> dict[str, float]:
        found = {}
        for target in self.targets:
            for name in (target, *bounds(target)):
                if name not in given and name != target:
                    continue
                value = given.get(name)
                if not isinstance(value, numbers.Real) or not math.isfinite(value):
                    raise MeasurementFailed(f"{self.name} gave {value!r:.40} for {name}", fix="return a finite number")
                if not is_allowed(target, np.array([float(value)]), is_measured=True)[0]:
                    allowed = allowed_text(target, is_measured=True)
                    what = f"{self.name} gave {name} = {float(value):g}, outside {allowed}"
                    raise MeasurementFailed(what, fix="return SI units, shares between 0 and 1")
                found[name] = float(value)
        return found


_FIX = "mend the function: it takes a design and returns a number for each target"


def function_of(study: Study, measure: Measure | str | None) -> Function:
    """Return the evaluator of a study that measures by a function.

    Args:
        study: a study whose model is `{ measures = [...] }`.
        measure: the function, or FILE.py:NAME; None where nothing is to be measured.

    Raises:
        WrongUsage: there is no such function.
    """
    if study.function is None:
        raise TypeError(f"{study.path} measures by no function")
    named = load_function(measure) if isinstance(measure, str) else (measure, "")
    name = measure if isinstance(measure, str) else getattr(measure, "__qualname__", "a function")
    domain, words = {}, {}
    for space in study.spaces:
        spans, choices = declared_knobs(space.file, path=space.path)
        for family in space.families:
            domain[family], words[family] = spans, choices
    targets = tuple(t for t in TARGETS if t in study.function.measures)
    return Function(str(name), named[0], targets, domain, words, named[1])


def load_function(text: str) -> tuple[Measure, str]:
    """Load FILE.py:NAME, which the user named and so trusts; return the function and the SHA-256 of its file.

    Raises:
        WrongUsage: there is no such file or function, or the file cannot be run.
    """
    file, _, name = text.rpartition(":")
    path = Path(file).expanduser()
    if not file.endswith(".py") or not name.isidentifier():
        raise WrongUsage(f"'{text}' names no function", fix="write FILE.py:NAME, such as task.py:measure")
    if not path.is_file():
        raise WrongUsage(f"{path}: no such file", fix="give the path of a Python file")
    spec = importlib.util.spec_from_file_location(f"explorer_measure_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise WrongUsage(f"{path}: cannot be imported", fix="give the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise WrongUsage(f"{path}: {type(error).__name__}: {error}", fix="mend that file") from error
    found = getattr(module, name, None)
    if not callable(found):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise WrongUsage(f"{path}: has no function '{name}'", fix=suggestion(name, known) if known else f"def {name}")
    return found, sha256(path.read_text(encoding="utf-8"))


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
