"""Quality of a network under a target, with its interval."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Quality:
    """Measured quality under one target.

    Args:
        value: the quality of all samples.
        lo: lower bound of its interval.
        hi: upper bound of its interval.
        n: number of samples.
        per_sample: value of each sample, in order of the rows, shape (n,): bool for accuracy, float for a score; None
            for a score of the whole set.
    """

    value: float
    lo: float
    hi: float
    n: int
    per_sample: NDArray[Any] | None = None
