"""Declarations of knobs, and the distinct designs of a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.problem.columns import Columns


@dataclass(frozen=True, slots=True)
class KnobSpec:
    """Declaration of a knob: a category, or a number (`is_log`: compared by factors, not by differences)."""

    name: str
    kind: Literal["category", "number"]
    is_log: bool = False


def distinct_designs(designs: Columns, knobs: Sequence[KnobSpec]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first row of each distinct design, and the index of each row's design, in order of appearance."""
    keys = [np.unique(designs[knob.name].astype(str if knob.kind == "category" else np.float64), return_inverse=True)[1]
            for knob in knobs]  # fmt: skip
    rows = np.stack(keys, axis=1) if keys else np.zeros((len(next(iter(designs.values()))), 1), dtype=np.int64)
    _, first, index = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[index.reshape(-1)]
