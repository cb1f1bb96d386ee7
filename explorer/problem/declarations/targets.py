"""Schema of declared targets, in a space file or a study: `[targets.mAP]`."""

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_serializer

from explorer.errors import WrongUsage
from explorer.io.declarations import Declaration, validation_error
from explorer.problem.columns import COLUMNS
from explorer.problem.targets import Interval, Target, check_target_name, declared_target

_End = Annotated[float, Field(allow_inf_nan=True)]


def _as_range(ends: tuple[float, float]) -> tuple[float, float]:
    if not ends[0] < ends[1]:
        raise validation_error(f"range {list(ends)} is empty", fix="write [lowest, highest]; inf is open")
    return ends


class TargetDeclaration(Declaration):
    """Declared target: a measured quantity that explorer does not define."""

    direction: Literal["min", "max"] = Field(description="'max' where more is better, 'min' where less is")
    unit: Annotated[str, Field(max_length=30)] = Field("", description="of its values, such as 'MB' or 'tokens/s'")
    range: Annotated[tuple[_End, _End], AfterValidator(_as_range)] = Field(
        (0.0, math.inf),
        description="[lowest, highest] value in SI, such as [0, 1]; inf is open; values outside are faults",
    )
    interval: Interval = Field(
        "none",
        description="origin of its uncertainty: counts (n_right, n_samples), given (NAME_lo, NAME_hi), bootstrap, none",
    )

    @field_serializer("range")
    def _write_range(self, ends: tuple[float, float]) -> list[float | None]:
        """Return the range for JSON, which has no infinity: open ends are null."""
        return [end if math.isfinite(end) else None for end in ends]


def _declare(targets: dict[str, TargetDeclaration]) -> dict[str, TargetDeclaration]:
    """Declare the targets, so that the objectives and limits of the same file may name them."""
    built_in = [name for name in COLUMNS if declared_target(name) is None]
    for name, one in targets.items():
        try:
            check_target_name(name, taken=built_in)
        except WrongUsage as error:
            raise validation_error(error.problem, fix=error.fix) from None
        target_of(name, one)
    return targets


def target_of(name: str, declaration: TargetDeclaration) -> Target:
    """Return the target of a declaration."""
    return Target(name, declaration.direction, declaration.unit, declaration.range, declaration.interval)


Targets = Annotated[dict[str, TargetDeclaration], Field(max_length=50), AfterValidator(_declare)]
