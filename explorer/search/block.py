"""A block of finished trials, as whoever searches hands it over to be recorded."""

import datetime
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import BaseDistribution

from explorer.problem.columns import Float

BLOCK_KEY = "explorer:block"
"""The system attribute that marks a block's trials, so that none is stored twice."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Block:
    """COMPLETE trials to be recorded together, n of them, in order.

    Args:
        params: parameter name to n external values: numbers, or choices of a CategoricalDistribution.
        distributions: the same names to what they were drawn from.
        values: the objectives, shape (n, m).
        constraints: name to shape (n,), feasible at most 0; stored as `trial.set_constraint` stores them.
        user_attrs: name to n JSON values (a number, a text, a whole dict); None: that trial has no such attribute.
        system_attrs: the same.
        began, ended: when the trials were begun and done, with a time zone.
        token: tells this block from every other, so that it is recorded once however often it is tried.
    """

    params: Mapping[str, Sequence[Any]]
    distributions: Mapping[str, BaseDistribution]
    values: Float
    constraints: Mapping[str, Float]
    user_attrs: Mapping[str, Sequence[Any]]
    system_attrs: Mapping[str, Sequence[Any]]
    began: datetime.datetime
    ended: datetime.datetime
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def n(self) -> int:
        """How many trials there are."""
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a block.

    Args:
        numbers: the trial numbers that its trials got, in order.
        note: empty, or why the public slow way was taken, in one sentence for the user.
    """

    numbers: Sequence[int]
    note: str


class Unknown(Exception):
    """The bulk way meets something that it does not know, and has stored nothing; the text says what."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What earlier attempts at a block left in the study.

    Args:
        first: the number of its first trial where all of them were recorded at once.
        singles: the index in the block to the number, of trials recorded one by one.
    """

    first: int | None
    singles: Mapping[int, int]


def earlier(marks: Iterable[tuple[int, Any]], token: str) -> Earlier:
    """Find a block by its marks, which are pairs of a trial's number and its attribute `BLOCK_KEY`.

    The first of trials recorded at once carries the token; each of those recorded one by one, the token and its index.
    """
    first, singles = None, {}
    for number, mark in marks:
        if mark == token:
            first = number
        elif isinstance(mark, list) and mark[0] == token:
            singles[int(mark[1])] = number
    return Earlier(first, singles)
