"""What every evaluator offers: designs in, predicted columns out."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, cast

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.problem.applicability import Range
from explorer.problem.columns import Columns


class Evaluator(Protocol):
    """Adds predicted columns to a table of designs; all rows at once."""

    @property
    def name(self) -> str:
        """What it was called: `paper`, or a path."""

    @property
    def is_vectorized(self) -> bool:
        """Whether thousands of designs can be assessed in a blink: not where each of them is measured."""

    @property
    def families(self) -> tuple[str, ...]:
        """The families it can predict."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns it adds."""

    def targets_of(self, family: str) -> tuple[str, ...]:
        """The columns that it can predict for one family; the others are NaN there."""

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        """For each family, the span of each numeric knob in which it has seen samples: exactly the knobs it needs."""

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """The values of each category knob that were measured in one family; without categories empty."""

    def law(self, family: str) -> AlphaPowerLaw | None:
        """The V-f law of a family, where it knows one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must know of the samples behind it."""

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with the predicted columns and `domain_distance`, shape (n,) each."""


class Measurer(Evaluator, Protocol):
    """An evaluator that measures: what it has measured is kept, whole, and never measured again."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What tells one measurement's conditions from another's, as plain JSON values."""

    def recorded(self, designs: Columns) -> list[dict[str, Any]]:
        """Return all that was measured of designs, as plain JSON values; measure what was not yet."""

    def measure(self, design: Mapping[str, Any]) -> Any:
        """Measure one design in this process; return it raw, as `accept` takes it."""

    def task(self) -> Callable[[Mapping[str, Any]], Any]:
        """Return a picklable callable that does the same in another process."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of the user that the task reads."""

    def accept(self, design: Mapping[str, Any], raw: Any) -> dict[str, Any]:
        """Check a raw measurement and keep it, so that `evaluate` knows it; return it as plain JSON values.

        Raises:
            MeasurementFailed: it is no measurement.
        """

    def knows(self, design: Mapping[str, Any]) -> bool:
        """Tell whether a design was measured."""

    def recall(self, row: object) -> None:
        """Take over what an earlier run measured; what is no such row is passed over."""

    def design_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the knobs of a kept row; None where it is none."""

    def provenance(self, *, when: str) -> dict[str, Any]:
        """Return the conditions of the measurements, as plain JSON values."""


def as_measurer(evaluator: Evaluator) -> Measurer | None:
    """Return an evaluator as what it is: one that measures; None where it predicts."""
    return None if evaluator.is_vectorized else cast("Measurer", evaluator)
