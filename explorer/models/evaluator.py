"""Protocols of evaluators: designs in, target columns out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.problem.applicability import Range
from explorer.problem.columns import Columns, Float


class StoppingRule(Protocol):
    """Rule that stops designs before their last sample (`pareto.acquisition.racing_rule`)."""

    def front(self, columns: Columns) -> list[list[float]]:
        """Return the objectives of the feasible, non-dominated designs, shape (k, m)."""

    def best(self, columns: Columns) -> Float:
        """Return the best value of each objective over versions of one design, shape (m,); NaN if none is feasible."""

    def can_matter(
        self, columns: Columns, *, front: Sequence[Sequence[float]], stopped: Sequence[Sequence[float]]
    ) -> bool:
        """Return whether a design, between its least and its greatest accuracy, can change the front."""


class Evaluator(Protocol):
    """Evaluator: adds target columns to a table of designs, all rows at once."""

    @property
    def name(self) -> str:
        """Name by which the evaluator was loaded: `paper`, `h100`, or a path."""

    @property
    def is_vectorized(self) -> bool:
        """True if it predicts thousands of designs at once, False if it measures each of them."""

    @property
    def families(self) -> tuple[str, ...]:
        """Families that it can evaluate."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Target columns that it adds."""

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets available for one family; all others are NaN for it."""

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """For each family, the sampled range of each numeric knob that the evaluator needs."""

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the sampled values of each categorical knob of one family; empty without such knobs."""

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return the V-f law of a family, if the evaluator has one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user on the samples or the measurement."""

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with the target columns and `domain_distance`, shape (n,) each."""


class Measurer(Evaluator, Protocol):
    """Evaluator that measures. It stores every measurement in full and never repeats one."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Identity of the measurement conditions, as plain JSON values."""

    def measure_rows(self, designs: Columns) -> list[dict[str, Any]]:
        """Return the full measurement of each design as plain JSON values; measure those not yet measured."""

    def measure(self, design: Mapping[str, Any]) -> Any:
        """Measure one design in this process; return the raw result for `add_measurement`."""

    def start_racing(self, rule: StoppingRule) -> None:
        """Let a rule stop designs before their last sample, where they are measured sample by sample."""

    def travel_data(self) -> dict[str, Any]:
        """Return plain data that a process which measures a design needs beside its knobs."""

    def task(self) -> Callable[[Mapping[str, Any]], Any]:
        """Return a picklable callable that does what `measure` does, in another process."""

    @property
    def files(self) -> tuple[Path, ...]:
        """User files that the task reads."""

    def add_measurement(self, design: Mapping[str, Any], raw: Any) -> dict[str, Any]:
        """Validate and store a raw measurement for `evaluate`; return it as plain JSON values.

        Raises:
            MeasurementFailed: the raw result is not a valid measurement.
        """

    def is_measured(self, design: Mapping[str, Any]) -> bool:
        """Return True if a design was measured."""

    def adopt_measurement(self, row: object) -> None:
        """Store a measurement of an earlier run; ignore anything that is not a complete row."""

    def design_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the knobs of a stored row, or None if it has none."""

    def provenance(self, *, when: str) -> dict[str, Any]:
        """Return the conditions of the measurements, as plain JSON values."""


def as_measurer(evaluator: Evaluator) -> Measurer | None:
    """Return the evaluator as a `Measurer`, or None if it predicts."""
    return None if evaluator.is_vectorized else cast("Measurer", evaluator)
