"""Warnings about the samples of a model, and the texts they are composed of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from explorer.problem.columns import column_of

WarningKind = Literal[
    "hidden_factor", "outlier", "non_monotone", "cliff", "constant", "collinear", "no_better_than_baseline", "machine"
]
_MAX_LISTED = 5


@dataclass(frozen=True, slots=True)
class ModelWarning:
    """Warning about the samples or the fit of a model.

    Args:
        kind: one of `WarningKind`.
        text: the fact, the rows and the fix.
    """

    kind: WarningKind
    text: str

    def __str__(self) -> str:
        return self.text


def join_items(items: Sequence[str]) -> str:
    """Join the first five items by commas, with the number of the others.

    >>> join_items(["1", "2", "3", "4", "5", "6"])
    '1, 2, 3, 4, 5 and 1 more'
    """
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more


def knob_text(name: str, value: float) -> str:
    """Format a knob's value with its unit, if it has one.

    >>> knob_text("frequency_hz", 9e8), knob_text("quant_step", 0.05)
    ('900 MHz', '0.05')
    """
    column = column_of(name)
    return column.text(value) if column.symbol else f"{value:.4g}"
