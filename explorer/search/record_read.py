"""Reading many trials of an Optuna database at once, into the cache that Optuna would fill one by one."""

import datetime
import json
from collections import defaultdict
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import _CachedStorage
from optuna.storages._cached_storage import _StudyInfo
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, text

INFINITE = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}
_STATES = {state.name: state for state in TrialState}
_FINISHED = ", ".join(f"'{state.name}'" for state in TrialState if state.is_finished())
_MINE = "JOIN trials t ON t.trial_id = c.trial_id WHERE t.study_id = :study AND t.trial_id > :after"
_SELECT = f"SELECT c.trial_id, %s FROM %s c {_MINE} AND t.state IN ({_FINISHED}) ORDER BY c.trial_id"


def fill_cache(storage: _CachedStorage, study_id: int) -> None:
    """Read what Optuna's cache of a database does not hold yet; unfinished trials are left to Optuna.

    Raises:
        SQLAlchemyError: the database cannot be read.
    """
    with storage._lock, storage._backend.engine.connect() as connection:
        study = storage._studies.setdefault(study_id, _StudyInfo())
        finished, unfinished = read_trials(connection, study_id, after=study.last_finished_trial_id)
        storage._add_trials_to_cache(study_id, finished)
        study.unfinished_trial_ids |= set(unfinished)
        if finished:
            study.last_finished_trial_id = finished[-1]._trial_id


def read_trials(connection: Connection, study_id: int, *, after: int) -> tuple[list[FrozenTrial], list[int]]:
    """Return the finished trials of a study with ids above one, in their order, and the ids of the others.

    Their parts are read after them: what belongs to a finished trial is all there, and does not change.
    """
    which = {"study": study_id, "after": after}
    query = "SELECT trial_id, number, state, datetime_start, datetime_complete FROM trials t WHERE study_id = :study "
    rows = connection.execute(text(f"{query} AND trial_id > :after ORDER BY trial_id"), which).all()
    params, distributions = _params(connection, which)
    values = _numbers(connection, which, "trial_values", "objective, value, value_type")
    steps = "step, intermediate_value, intermediate_value_type"
    intermediate = _numbers(connection, which, "trial_intermediate_values", steps)
    user, system = (_attributes(connection, which, f"trial_{kind}_attributes") for kind in ("user", "system"))
    finished = [
        FrozenTrial(
            number, _STATES[state], None, local_time(began), local_time(ended), params.pop(i, {}),
            distributions.pop(i, {}), user.pop(i, {}), system.pop(i, {}), intermediate.pop(i, {}), i,
            values=[value for _, value in sorted(values[i].items())] if i in values else None,
        )
        for i, number, state, began, ended in rows
        if _STATES[state].is_finished()
    ]  # fmt: skip
    return finished, [i for i, _, state, _, _ in rows if not _STATES[state].is_finished()]


_Parts = dict[int, dict[Any, Any]]


def _params(connection: Connection, which: dict[str, int]) -> tuple[_Parts, dict[int, dict[str, BaseDistribution]]]:
    params: _Parts = defaultdict(dict)
    distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    known: dict[str, BaseDistribution] = {}
    query = _SELECT % ("c.param_name, c.param_value, c.distribution_json", "trial_params")
    for i, name, value, written in connection.execute(text(f"{query}, c.param_id"), which):
        distribution = known.get(written)
        if distribution is None:
            distribution = known[written] = json_to_distribution(written)
        params[i][name] = distribution.to_external_repr(value)
        distributions[i][name] = distribution
    return params, distributions


def _numbers(connection: Connection, which: dict[str, int], table: str, columns: str) -> _Parts:
    parts: _Parts = defaultdict(dict)
    for i, place, value, kind in connection.execute(text(_SELECT % (columns, table)), which):
        parts[i][place] = INFINITE.get(kind, value)
    return parts


def _attributes(connection: Connection, which: dict[str, int], table: str) -> _Parts:
    parts: _Parts = defaultdict(dict)
    rows = connection.execute(text(_SELECT % ("c.key, c.value_json", table)), which)
    for some in rows.partitions(10_000):
        values = json.loads(f"[{','.join(value for _, _, value in some)}]")  # one call for many
        for (i, key, _), value in zip(some, values, strict=True):
            parts[i][key] = value
    return parts


def local_time(moment: Any) -> datetime.datetime | None:
    """Return naive local time from a database's naive UTC, which SQLite gives as text."""
    if moment is None:
        return None
    naive = datetime.datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return naive.replace(tzinfo=datetime.UTC).astimezone().replace(tzinfo=None)
