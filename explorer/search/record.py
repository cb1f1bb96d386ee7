"""Recording finished trials together."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import create_trial

from explorer.problem.columns import Float


@dataclass(frozen=True, slots=True)
class Block:
    """COMPLETE trials to be recorded together, n of them, in order.

    Args:
        params: for each parameter n external values.
        distributions: of the same parameters.
        values: the objectives, shape (n, m).
        constraints: for each name by how much it is missed, shape (n,); feasible is at most 0.
        user_attrs: for each name n JSON values; None where a trial has no such attribute.
        system_attrs: the same.
        began: when the trials began.
        ended: when they ended.
    """

    params: Mapping[str, Sequence[Any]]
    distributions: Mapping[str, BaseDistribution]
    values: Float
    constraints: Mapping[str, Float]
    user_attrs: Mapping[str, Sequence[Any]]
    system_attrs: Mapping[str, Sequence[Any]]
    began: datetime.datetime
    ended: datetime.datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """The numbers that recorded trials got, and why the slow way was taken (empty where it was not)."""

    numbers: Sequence[int]
    note: str = ""


def record(study: optuna.Study, block: Block) -> Recorded:
    """Record a block of trials."""
    first = len(study.get_trials(deepcopy=False))
    n = len(block.values)

    def row(columns: Mapping[str, Sequence[Any]], i: int) -> dict[str, Any]:
        return {name: values[i] for name, values in columns.items() if values[i] is not None}

    study.add_trials(
        [
            create_trial(
                params=row(block.params, i), distributions=dict(block.distributions), values=block.values[i].tolist(),
                constraints={name: float(values[i]) for name, values in block.constraints.items()},
                user_attrs=row(block.user_attrs, i), system_attrs=row(block.system_attrs, i),
            )
            for i in range(n)
        ]
    )  # fmt: skip
    return Recorded(range(first, first + n))
