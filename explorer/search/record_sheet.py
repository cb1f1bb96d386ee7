"""A block's columns as text and internal numbers: what every storage format is filled with, serialized once."""

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.problem.columns import Float
from explorer.search.block import BLOCK_KEY, Block, Unknown

# As FrozenTrial.set_constraint stores it; the check of each storage's format compares it with what Optuna writes.
_CONSTRAINT = "constraints:"
_SCALARS = {float, int, bool, str}
_ABSENT = object()

Texts = Mapping[str, Sequence[str | None]]
"""Attribute name to one JSON text a trial; None where a trial has no such attribute."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A block, serialized.

    Args:
        block: what it was made from.
        distributions: parameter name to Optuna's JSON of its distribution.
        params: parameter name to n internal numbers: a choice is its index.
        values: one column of n numbers an objective.
        user_attrs, system_attrs: their JSON; the constraints are among the latter.
        began, ended: in UTC.
    """

    block: Block
    distributions: Mapping[str, str]
    params: Mapping[str, Sequence[float]]
    values: Sequence[Sequence[float]]
    user_attrs: Texts
    system_attrs: Texts
    began: datetime.datetime
    ended: datetime.datetime

    @property
    def n(self) -> int:
        """How many trials there are."""
        return self.block.n

    @property
    def token(self) -> str:
        """What marks the first trial."""
        return self.block.token


def serialize(block: Block, *, n_objectives: int) -> Sheet:
    """Serialize a block.

    Raises:
        ValueError: a column's length or a value is one that Optuna refuses as well.
        TypeError: an attribute cannot be written as JSON.
        Unknown: a distribution of a kind that only Optuna knows how to store.
    """
    _check_shape(block, n_objectives)
    sheet = Sheet(
        block,
        {name: distribution_to_json(distribution) for name, distribution in block.distributions.items()},
        {name: _internal(distribution, block.params[name]) for name, distribution in block.distributions.items()},
        block.values.T.tolist(),
        {name: texts(plain(values)) for name, values in block.user_attrs.items()},
        {name: texts(values) for name, values in _system_attrs(block).items()},
        block.began.astimezone(datetime.UTC),
        block.ended.astimezone(datetime.UTC),
    )
    _check_values(sheet)
    return sheet


def plain(values: Sequence[Any] | Float) -> list[Any]:
    """Return a column as a list of Python's own values."""
    return list(values.tolist() if isinstance(values, np.ndarray) else values)


def texts(values: Sequence[Any]) -> list[str | None]:
    """Return the JSON text of each value, as Optuna writes it; None stays None.

    >>> texts([0.5, None, {"a": [1]}, float("inf")])
    ['0.5', None, '{"a": [1]}', 'Infinity']
    """
    kinds = set(map(type, values))
    if kinds <= {float, int}:
        return list(json.dumps(values)[1:-1].split(", "))  # one call: a number's text has no comma
    if kinds <= {str, type(None)} or kinds <= {bool, type(None)}:
        known = {value: None if value is None else json.dumps(value) for value in set(values)}
        return [known[value] for value in values]
    return [None if value is None else json.dumps(value) for value in values]


def one_trial(block: Block, i: int) -> FrozenTrial:
    """Return trial i the public way, without the mark of its block; its times are naive and local, as Optuna's are.

    Raises:
        ValueError: Optuna refuses it.
    """
    trial = create_trial(
        state=TrialState.COMPLETE,
        values=block.values[i].tolist(),
        params={name: _item(values, i) for name, values in block.params.items()},
        distributions=dict(block.distributions),
        user_attrs={name: _item(values, i) for name, values in block.user_attrs.items() if values[i] is not None},
        system_attrs={name: _item(values, i) for name, values in block.system_attrs.items() if values[i] is not None},
        constraints={name: float(values[i]) for name, values in block.constraints.items()},
    )
    trial.datetime_start, trial.datetime_complete = local(block.began), local(block.ended)
    return trial


def frozen_trials(sheet: Sheet, *, numbers: Sequence[int], ids: Sequence[int]) -> list[FrozenTrial]:
    """Return the trials as a storage would read them back."""
    block = sheet.block
    params = {
        name: [block.distributions[name].to_external_repr(v) for v in sheet.params[name]] for name in sheet.params
    }
    user = {name: _read_back(plain(values), sheet.user_attrs[name]) for name, values in block.user_attrs.items()}
    system = {name: _read_back(values, sheet.system_attrs[name]) for name, values in _system_attrs(block).items()}
    rows = (_rows(columns, sheet.n) for columns in (params, user, system))
    began, ended = local(block.began), local(block.ended)
    return [
        FrozenTrial(
            number, TrialState.COMPLETE, None, began, ended, row, dict(block.distributions), own_user, own_system, {},
            trial_id, values=values,
        )
        for number, trial_id, values, row, own_user, own_system in zip(
            numbers, ids, zip(*sheet.values, strict=True), *rows, strict=True
        )
    ]  # fmt: skip


def local(moment: datetime.datetime) -> datetime.datetime:
    """Return a moment as naive local time."""
    return moment.astimezone().replace(tzinfo=None)


def _system_attrs(block: Block) -> dict[str, list[Any]]:
    """Return what Optuna calls system attributes: the constraints, those given, and the mark of the first trial."""
    constraints = {_CONSTRAINT + name: _floats(values) for name, values in block.constraints.items()}
    given = {name: plain(values) for name, values in block.system_attrs.items()}
    return {**constraints, **given, BLOCK_KEY: [block.token] + [None] * (block.n - 1)}


def _item(values: Sequence[Any], i: int) -> Any:
    value = values[i]
    return value.item() if isinstance(value, np.generic) else value


def _floats(values: Sequence[Any] | Float) -> list[float]:
    return list(np.asarray(values, dtype=np.float64).tolist())


def _read_back(values: Sequence[Any], column: Sequence[str | None]) -> Sequence[Any]:
    """Return values as they come back from JSON: numbers and words are themselves, a tuple becomes a list."""
    if set(map(type, values)) <= _SCALARS:
        return values
    return [_ABSENT if text is None else json.loads(text) for text in column]


def _rows(columns: Mapping[str, Sequence[Any]], n: int) -> list[dict[str, Any]]:
    """Return one dict a trial, without what it does not have."""
    if not columns:
        return [{} for _ in range(n)]
    rows = zip(*columns.values(), strict=True)
    if any(_ABSENT in column for column in columns.values()):
        return [{k: v for k, v in zip(columns, row, strict=True) if v is not _ABSENT} for row in rows]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _check_shape(block: Block, n_objectives: int) -> None:
    if block.values.ndim != 2 or block.values.shape[1] != n_objectives:
        raise ValueError(f"values have the shape {block.values.shape}, but the study has {n_objectives} objectives")
    if block.params.keys() != block.distributions.keys():
        raise ValueError(f"parameters {set(block.params)} and distributions {set(block.distributions)} differ")
    for columns in (block.params, block.constraints, block.user_attrs, block.system_attrs):
        for name, values in columns.items():
            if len(values) != block.n:
                raise ValueError(f"'{name}' has {len(values)} values for {block.n} trials")


def _internal(distribution: BaseDistribution, values: Sequence[Any]) -> list[float]:
    if type(distribution) is CategoricalDistribution:
        index: dict[Any, int] = {}
        for i, choice in enumerate(distribution.choices):
            index.setdefault(choice, i)  # True equals 1, and the first of equals counts, as for Optuna
        try:
            return [index[value] for value in values]
        except (KeyError, TypeError):
            return [distribution.to_internal_repr(value) for value in values]
    if type(distribution) not in {FloatDistribution, IntDistribution}:
        raise Unknown(f"a {type(distribution).__name__}")
    return _floats(values)


def _check_values(sheet: Sheet) -> None:
    """Find the trials that Optuna would refuse, and let it say why."""
    bad = np.isnan(sheet.block.values).any(axis=1)
    for values in sheet.block.constraints.values():
        bad |= np.isnan(values)
    for name, column in sheet.params.items():
        distribution, x = sheet.block.distributions[name], np.array(column)
        if isinstance(distribution, FloatDistribution | IntDistribution):
            bad |= ~((distribution.low <= x) & (x <= distribution.high))
        if isinstance(distribution, FloatDistribution) and distribution.step is not None:
            steps = (x - distribution.low) / distribution.step
            bad |= np.abs(steps - np.round(steps)) >= 1e-8
        if isinstance(distribution, IntDistribution):
            bad |= (x - distribution.low) % distribution.step != 0
    for i in np.flatnonzero(bad).tolist():
        one_trial(sheet.block, i)
        raise Unknown("a parameter's value, which Optuna takes")
