"""History of a study's races: the rule, the designs that were measured on all samples, and those that were stopped."""

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.evaluator import StoppingRule
from explorer.network.measurement.measure import Row
from explorer.network.measurement.racing import Racing, unpack_bits
from explorer.network.task.accuracy import wilson_interval
from explorer.problem.columns import Columns, bounds

_MIN_SHARE = 0.5  # a design that is wrong on most samples says nothing about which of them are hard
_MAX_MISSES = 255  # a byte for each sample, as they travel to workers


@dataclass(slots=True)
class RaceHistory:
    """What the races of a study have shown.

    Args:
        n: number of samples of the search.
        rule: stops designs; None while every design is measured on all samples.
        misses: number of full designs that were wrong on each sample, shape (n,).
        best: best objectives of each stopped design, by its effective configuration.
        counted: effective configurations of the designs that `misses` counts.
    """

    n: int
    rule: StoppingRule | None = None
    misses: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    best: dict[str, list[float]] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)

    def _count_misses(self, row: Row) -> None:
        """Count the samples that a full design was wrong on, once for each effective configuration."""
        if row["effective"] in self.counted:
            return
        self.counted.add(row["effective"])
        is_right = unpack_bits(row.get("right_bits"), self.n)
        if is_right is not None and is_right.mean() >= _MIN_SHARE:
            self.misses = ~is_right + (self.misses if len(self.misses) else 0)

    def travel_data(self, rows: Sequence[Row], columns_of: Callable[[Sequence[Row]], Columns]) -> dict[str, Any]:
        """Return what a process needs to race a design, as plain data; empty without a rule.

        Args:
            rows: all rows of the study.
            columns_of: returns rows as columns, shape (n,) each.
        """
        rule = self.rule
        if rule is None:
            return {}
        full = [row for row in rows if not row.get("is_stopped")]
        for row in full:
            self._count_misses(row)
        for row in rows:
            if row.get("is_stopped") and row["effective"] not in self.best:
                columns = columns_of([row, {**row, "accuracy": row["accuracy_hi"]}])
                self.best[row["effective"]] = rule.best(columns).tolist()
        misses = np.minimum(self.misses, _MAX_MISSES).astype(np.uint8).tobytes()
        front = rule.front(columns_of(full)) if full else []
        stopped = [values for values in self.best.values() if np.isfinite(values).all()]
        return {"front": front, "stopped": stopped, "misses": zlib.compress(misses, 1)}


def make_racing(
    rule: StoppingRule, data: Mapping[str, Any], *, n: int, knobs: Mapping[str, Any], source_s: float | None
) -> Racing:
    """Return the race of one design.

    Args:
        rule: stops designs.
        data: as `travel_data` returns it.
        n: number of samples of the search.
        knobs: the design.
        source_s: latency of the source network that the study's latencies are relative to.
    """

    def can_matter(row: Mapping[str, Any], low: int, high: int) -> bool:
        right = np.array([low, high], dtype=np.float64)
        known = {**relative_row(dict(row), source_s), **knobs}
        columns = {
            name: np.full(2, value, dtype=np.float64) for name, value in known.items() if isinstance(value, int | float)
        }
        ends = dict(zip(bounds("accuracy"), wilson_interval(right, n), strict=True))
        return rule.can_matter(
            {**columns, "accuracy": right / n, **ends}, front=data["front"], stopped=data["stopped"]
        )  # fmt: skip

    misses = np.frombuffer(zlib.decompress(data["misses"]), dtype=np.uint8).astype(np.int64)
    return Racing(can_matter, misses)


def relative_row(row: Row, source_s: float | None) -> Row:
    """Return a row whose latency is its ratio to the source times a latency of the source.

    The source ran in turn with each design: designs of a slow phase compare with those of a fast one.
    """
    if "latency_ratio" not in row or source_s is None:
        return row
    ends = {f"latency_s{end}": row.get(f"latency_ratio{end}", math.nan) * source_s for end in ("", "_lo", "_hi")}
    return {**row, **ends}
