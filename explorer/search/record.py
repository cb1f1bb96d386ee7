"""Recording many finished trials at once, in Optuna's own formats; one by one where a storage is not known."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, _CachedStorage

from explorer.search.block import BLOCK_KEY, Block, Recorded, Unknown, earlier
from explorer.search.record_sheet import one_trial, serialize

__all__ = ["Block", "Recorded", "is_known", "read_ahead", "record"]

_Write = Callable[..., Sequence[int]]
_Check = Callable[..., None]

_tried: WeakSet[Block] = WeakSet()
"""Blocks that were tried: one that is tried again may be stored already."""
_faults: WeakKeyDictionary[BaseStorage, str] = WeakKeyDictionary()
"""Storages whose format was compared with the installed Optuna's; empty where it is known, else what is not."""


def record(study: optuna.Study, block: Block) -> Recorded:
    """Record a block: all of its trials or none, once, however often it is called with the same block.

    Into a journal file and into SQLite or PostgreSQL a block is written at once; any other storage, and an Optuna that
    writes otherwise than the one this was made for, takes its trials one by one through `study.add_trials`.

    Args:
        study: an Optuna study at any storage.
        block: the trials. After an error call again with this very object: what was stored is found.

    Raises:
        ValueError, TypeError: a trial that Optuna refuses too; nothing was recorded.
        OSError, SQLAlchemyError: the storage is full, locked, lost, or cannot be written.
        KeyError: the study was deleted.
    """
    if not block.n:
        return Recorded(range(0), "")
    is_retry = block in _tried
    try:
        return Recorded(_at_once(study, block, is_retry=is_retry), "")
    except Unknown as error:
        numbers = _one_by_one(study, block, is_retry=is_retry)
        if type(study._storage) is InMemoryStorage:
            return Recorded(numbers, "")  # where there is nothing to wait for
        return Recorded(numbers, f"trials are recorded one by one, which takes longer: explorer does not know {error}")


def read_ahead(study: optuna.Study) -> None:
    """Have all trials of a study in a database read at once, which takes Optuna ten times as long when it is asked.

    Where nothing is gained, or the database is not one that is known, it does nothing.

    Raises:
        SQLAlchemyError: the database cannot be read.
    """
    storage = study._storage
    if type(storage) is _CachedStorage and not _checked(storage, _ways(storage)[1]):
        from explorer.search.record_read import fill_cache

        fill_cache(storage, study._study_id)


def is_known(storage: BaseStorage) -> bool:
    """Tell whether a storage is one into which trials are written and from which they are read at once."""
    try:
        return not _checked(storage, _ways(storage)[1])
    except Unknown:
        return False


def _at_once(study: optuna.Study, block: Block, *, is_retry: bool) -> Sequence[int]:
    storage = study._storage
    sheet = serialize(block, n_objectives=len(study.directions))
    write, check = _ways(storage)
    if fault := _checked(storage, check):
        raise Unknown(fault)
    _tried.add(block)
    return write(storage, study._study_id, sheet, is_retry=is_retry)


def _ways(storage: BaseStorage) -> tuple[_Write, _Check]:
    if type(storage) is JournalStorage:
        from explorer.search.record_journal import check_journal, write_journal

        return write_journal, check_journal
    if type(storage) in {RDBStorage, _CachedStorage}:
        from explorer.search.record_rdb import check_rdb, write_rdb

        return write_rdb, check_rdb
    raise Unknown(f"a {type(storage).__name__}")


def _checked(storage: BaseStorage, check: _Check) -> str:
    if storage not in _faults:
        _faults[storage] = _fault(storage, check)
    return _faults[storage]


def _fault(storage: BaseStorage, check: _Check) -> str:
    """Compare what is written with what the installed Optuna writes; whatever surprises sends trials the public way."""
    try:
        specimens = []
        for block in _specimens():
            trial = one_trial(block, 0)
            trial.system_attrs[BLOCK_KEY] = block.token
            specimens.append((serialize(block, n_objectives=block.values.shape[1]), trial))
        check(storage, specimens)
    except Exception as error:  # noqa: BLE001 - the installed Optuna may differ in any way
        return str(error) if isinstance(error, Unknown) else f"the installed Optuna {optuna.__version__} ({error!r})"
    return ""


def _specimens() -> list[Block]:
    """Return a trial of each kind of value, with one objective and with two."""
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    distributions = {
        "x": FloatDistribution(0.5, 2.0, log=True),
        "n": IntDistribution(1, 9, step=2),
        "c": CategoricalDistribution((None, True, "ä", 0.5)),
    }
    params: dict[str, list[Any]] = {"x": [1.25], "n": [3], "c": ["ä"]}
    attrs: dict[str, list[Any]] = {
        "f": [0.1],
        "i": [float("-inf")],
        "s": ['"\\ä\n'],
        "b": [True],
        "d": [{"k": [1, None]}],
    }
    return [
        Block(params, distributions, np.array([values]), {"p": np.array([-0.5])}, attrs, {"g": [3]}, moment, moment)
        for values in ([0.1], [float("inf"), -2.5])
    ]


def _one_by_one(study: optuna.Study, block: Block, *, is_retry: bool) -> list[int]:
    """Add trials the public way, each with its own mark, so that a retry adds those that are missing."""
    there = _found(study, block) if is_retry else {}
    _tried.add(block)
    trials = []
    for i in range(block.n):
        if i not in there:
            trials.append(one_trial(block, i))
            trials[-1].system_attrs[BLOCK_KEY] = [block.token, i]
    study.add_trials(trials)
    there = _found(study, block)
    return [there[i] for i in range(block.n)]


def _found(study: optuna.Study, block: Block) -> dict[int, int]:
    trials = study.get_trials(deepcopy=False)
    found = earlier(((trial.number, trial.system_attrs.get(BLOCK_KEY)) for trial in trials), block.token)
    at_once = {} if found.first is None else {i: found.first + i for i in range(block.n)}
    return {**found.singles, **at_once}
