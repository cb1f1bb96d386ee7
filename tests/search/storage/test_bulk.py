"""Bulk recording stores the same as Optuna's own methods, with concurrent writers and after failures."""

import datetime
import functools
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import NSGAIISampler, TPESampler
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from explorer.search.storage import bulk
from explorer.search.storage.bulk import BATCH_ATTR, InsertResult, TrialBatch, finish_enqueued, insert_trials
from explorer.search.storage.open import open_storage, recover_journal
from tests.search.measured import ENVIRONMENT, disk_of, plain_storage, plain_study
from tests.search.storage.recorder import batch_of

COMPLETE, FAIL = TrialState.COMPLETE, TrialState.FAIL
AB: Any = {"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)}
ON_SERVER = pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))
URLS = {"journal": "{}/study.journal", "sqlite": "sqlite:///{}/study.db"}


@pytest.fixture(params=[*URLS, ON_SERVER])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Storage of a study, in each format with a bulk writer."""
    kind = request.param
    return URLS[kind].format(tmp_path) if kind in URLS else str(request.getfixturevalue("database"))


def new_study(url: str, name: str = "study", n_objectives: int = 2) -> optuna.Study:
    storage = open_storage(url, Path())
    return optuna.create_study(study_name=name, storage=storage, directions=["minimize"] * n_objectives)


def reopened(url: str, **options: Any) -> optuna.Study:
    return plain_study(url, "study", **options)


def bare(trials: list[FrozenTrial]) -> list[str]:
    """Return all fields of trials except ids and batch keys, as text, in which 1, 1.0 and True differ."""
    result = []
    for trial in trials:
        fields = {key.lstrip("_"): value for key, value in trial.__dict__.items() if key != "_trial_id"}
        fields["system_attrs"] = {key: value for key, value in trial.system_attrs.items() if key != BATCH_ATTR}
        for name in ("params", "distributions", "user_attrs", "system_attrs"):
            fields[name] = sorted(fields[name].items())
        result.append(repr(sorted(fields.items())))
    return result


def add_publicly(study: optuna.Study, batch: TrialBatch) -> None:
    """Add a batch's trials as a user of plain Optuna does."""
    for i, state in enumerate(batch.states or [COMPLETE] * batch.n):
        columns = {"user_attrs": batch.user_attrs, "system_attrs": batch.system_attrs}
        attrs = {kind: {k: v[i] for k, v in c.items() if v[i] is not None} for kind, c in columns.items()}
        trial = create_trial(
            state=state,
            params={name: column[i] for name, column in batch.params.items()},
            distributions=dict(batch.distributions),
            values=batch.values[i].tolist() if state == COMPLETE else None,
            constraints={k: float(v[i]) for k, v in batch.constraints.items() if not np.isnan(v[i])},
            **attrs,
        )
        trial.datetime_start = batch.began.astimezone().replace(tzinfo=None)
        trial.datetime_complete = batch.ended.astimezone().replace(tzinfo=None)
        study.add_trial(trial)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
numbers = st.floats(allow_nan=False).map(lambda x: x + 0.0)  # SQLite does not store -0.0 in a numeric column
scalars = st.one_of(numbers, st.integers(-(2**53), 2**53), st.booleans(), words)
jsons = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
moments = st.datetimes(
    datetime.datetime(1990, 1, 1), datetime.datetime(2037, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.builds(datetime.timezone, st.timedeltas(datetime.timedelta(hours=-12), datetime.timedelta(hours=12))),
)  # fmt: skip


@st.composite
def axes(draw: st.DrawFn, n: int) -> tuple[Any, list[Any]]:
    """Draw a distribution of any kind, and n values of it."""
    choices = draw(st.lists(st.none() | scalars, min_size=1, max_size=4))
    distribution, values = draw(
        st.sampled_from([
            (CategoricalDistribution(choices), st.sampled_from(choices)),
            (IntDistribution(-5, 7, step=3), st.sampled_from([-5, -2, 1, 4, 7])),
            (FloatDistribution(0.1, 0.8, step=0.1), st.integers(0, 7).map(lambda step: 0.1 + 0.1 * step)),
            (FloatDistribution(1e-9, 1e300, log=True), st.floats(1e-9, 1e300)),
            (FloatDistribution(-1e300, 1e300), st.floats(-1e300, 1e300).map(lambda x: x + 0.0)),
        ])
    )  # fmt: skip
    return distribution, draw(st.lists(values, min_size=n, max_size=n))


def columns(values: st.SearchStrategy[Any], n: int) -> st.SearchStrategy[list[Any]]:
    """Draw a column of values of one or of any type, some of them missing."""
    kinds = [numbers, st.booleans(), words, values, st.none() | numbers, st.none() | values]
    return st.one_of(*(st.lists(kind, min_size=n, max_size=n) for kind in kinds))


@st.composite
def batches(draw: st.DrawFn) -> TrialBatch:
    n = draw(st.integers(1, 4))
    states = draw(st.none() | st.lists(st.sampled_from([COMPLETE, FAIL]), min_size=n, max_size=n))
    is_failed = np.array([state == FAIL for state in states or [COMPLETE] * n])
    space = draw(st.dictionaries(words, axes(n), max_size=3))
    m = draw(st.integers(1, 3))
    began = draw(moments)
    values = np.array(draw(st.lists(st.lists(numbers, min_size=m, max_size=m), min_size=n, max_size=n)))
    constraints = draw(st.dictionaries(words, st.lists(numbers, min_size=n, max_size=n), max_size=2))
    return TrialBatch(
        params={name: column for name, (_, column) in space.items()},
        distributions={name: distribution for name, (distribution, _) in space.items()},
        values=np.where(is_failed[:, None], np.nan, values),
        constraints={name: np.where(is_failed, np.nan, column) for name, column in constraints.items()},
        user_attrs=draw(st.dictionaries(words, columns(jsons, n), max_size=3)),
        system_attrs=draw(st.dictionaries(words, columns(jsons, n), max_size=2)),
        began=began,
        ended=began + draw(st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=2))),
        states=states,
    )


_opened = functools.cache(lambda url: open_storage(url, Path()))


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(batch=batches())
@pytest.mark.processes
def test_batch_equals_trials_stored_by_add_trial(url: str, batch: TrialBatch) -> None:
    directions = ["minimize"] * batch.values.shape[1]
    ours, theirs, memory = (
        optuna.create_study(storage=storage, directions=directions) for storage in (_opened(url), _opened(url), None)
    )
    assert insert_trials(memory, batch) == InsertResult([*range(batch.n)], "")
    recorded = insert_trials(ours, batch)
    add_publicly(theirs, batch)
    ours_anew, theirs_anew = (plain_study(url, study.study_name) for study in (ours, theirs))

    assert recorded.note == ""
    assert list(recorded.numbers) == list(range(batch.n))
    assert bare(ours_anew.get_trials()) == bare(theirs_anew.get_trials())
    assert bare(ours.get_trials()) == bare(ours_anew.get_trials()) == bare(memory.get_trials())
    assert [t.number for t in ours_anew.best_trials] == [t.number for t in theirs_anew.best_trials]


@pytest.mark.processes
def test_batch_columns_may_be_numpy_arrays_or_empty(url: str) -> None:
    batch = replace(batch_of(3), user_attrs={"a": [1.0, 2.0, 3.0], "b": [True, False, True]})
    arrays: Any = [{key: np.array(column) for key, column in old.items()} for old in (batch.params, batch.user_attrs)]
    study, second = new_study(url), new_study(url, "second")
    insert_trials(study, replace(batch, params=arrays[0], user_attrs=arrays[1]))
    insert_trials(second, batch)

    assert bare(study.trials) == bare(second.trials)
    assert list(insert_trials(study, batch_of(0)).numbers) == []
    assert len(study.trials) == 3


@pytest.mark.parametrize("sampler", [partial(NSGAIISampler, population_size=6), partial(TPESampler, multivariate=True)])
@pytest.mark.processes
def test_plain_optuna_resumes_and_plots_a_recorded_study(
    url: str, sampler: Callable[..., optuna.samplers.BaseSampler]
) -> None:
    batch = batch_of(20)
    insert_trials(new_study(url), batch)
    study = reopened(url, sampler=sampler(seed=0))
    study.optimize(lambda trial: (trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)), n_trials=8)
    figure = optuna.visualization.plot_pareto_front(study)

    assert [trial.number for trial in study.trials] == list(range(28))
    assert all(trial.state == COMPLETE for trial in reopened(url).trials)
    assert sum(len(trace.x) for trace in figure.data) == 28
    assert all(batch.constraints["c"][t.number] <= 0 for t in study.best_trials if t.number < 20)


@pytest.mark.processes
def test_batch_numbers_continue_and_inserts_are_idempotent(url: str) -> None:
    study, writer = new_study(url), reopened(url)
    batch = replace(batch_of(3), states=[COMPLETE, FAIL, COMPLETE])
    writer.add_trial(create_trial(values=[1.0, 2.0]))
    first = insert_trials(study, batch)
    writer.add_trial(create_trial(values=[1.0, 2.0]))
    running = writer.ask(AB)
    second = insert_trials(study, batch_of(2, seed=1))
    elsewhere = new_study(url, "elsewhere")

    assert (list(first.numbers), list(second.numbers)) == ([1, 2, 3], [6, 7])
    assert insert_trials(study, batch) == first
    assert list(insert_trials(elsewhere, batch_of(2)).numbers) == [0, 1]
    assert [t.number for t in writer.get_trials()] == list(range(8))
    assert bare(study.get_trials()) == bare(reopened(url).get_trials())
    writer.tell(running.number, [1.0, 2.0])
    assert study.get_trials()[running.number].state == COMPLETE


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"params": {"a": [0.5, 1.5], "b": [0.1, 0.2]}}, "1.5 of parameter 'a' isn't contained"),
    ({"params": {"a": [0.5, "x"], "b": [0.1, 0.2]}}, "'x' is not a valid type"),
    ({"params": {"a": [0.5, 0.6]}}, "Inconsistent parameters"),
    ({"params": {"a": [0.5], "b": [0.1, 0.2]}}, "'a' has 1 values for 2 trials"),
    ({"values": np.array([[1.0, 2.0], [np.nan, 1.0]])}, "should not contain NaN"),
    ({"values": np.array([[1.0], [2.0]])}, r"shape \(2, 1\), but the study has 2"),
    ({"constraints": {"c": np.array([0.0, np.nan])}}, "NaN is not allowed"),
    ({"states": [COMPLETE, TrialState.RUNNING]}, "COMPLETE or FAIL"),
    ({"user_attrs": {"x": [1.0, object()]}}, "not JSON serializable"),
]


@pytest.mark.processes
def test_refused_batch_stores_no_trial(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = new_study(url)
    for change, message in REFUSED:
        monkeypatch.setattr(bulk, "_verified_states", set())
        with pytest.raises(TypeError if "JSON" in message else ValueError, match=message):
            insert_trials(study, replace(batch_of(2), **change))
        assert reopened(url).trials == []

    optuna.delete_study(study_name="study", storage=plain_storage(url))
    with pytest.raises(KeyError, match="Record does not exist"):
        insert_trials(study, batch_of(2))


def recorder(url: str, token: str, *, n_batches: int, n_trials: int) -> "subprocess.Popen[str]":
    command = [
        sys.executable,
        "-m",
        "tests.search.storage.recorder",
        url,
        "study",
        token,
        str(n_batches),
        str(n_trials),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def is_whole(trial: FrozenTrial) -> bool:
    """Return True for a trial with all data of its recorder."""
    a, b = trial.params["a"], trial.params["b"]
    system = {key: value for key, value in trial.system_attrs.items() if key != BATCH_ATTR}
    has_attrs = trial.user_attrs["a"] == a and {"recorder", "batch"} < trial.user_attrs.keys()
    return has_attrs and trial.values == [a, b] and system == {"b": b, "constraints:c": a - 0.7}


@pytest.mark.processes
def test_concurrent_recorders_lose_no_trial_if_one_is_killed(url: str) -> None:
    """Two studies of one database are recorded concurrently, and a user's script adds trials to one of them."""
    study = new_study(url)
    killed, second = (
        recorder(url, "killed", n_batches=10_000, n_trials=100),
        recorder(url, "second", n_batches=8, n_trials=25),
    )
    plain, n_plain = reopened(url), 0
    assert killed.stdout
    confirmed = [killed.stdout.readline()]
    moment = time.monotonic() + random.uniform(0.0, 0.2)
    while second.poll() is None or time.monotonic() < moment:
        plain.add_trial(create_trial(values=[0.0, 0.0]))
        n_plain += 1
        if time.monotonic() > moment:
            killed.kill()
    confirmed += killed.communicate()[0].split()
    firsts = [int(line) for line in [*confirmed, *second.communicate()[0].split()]]
    # Neither the lock nor the partial line of a killed process blocks others.
    began = time.monotonic()
    numbers = insert_trials(study, batch_of(3)).numbers
    assert time.monotonic() - began < 20
    trials = reopened(url).trials
    ours = [trial for trial in trials if "recorder" in trial.user_attrs]
    by_batch = Counter((trial.user_attrs["recorder"], trial.user_attrs["batch"]) for trial in ours)
    n_killed = sum(n for (name, _), n in by_batch.items() if name == "killed")

    assert second.returncode == 0
    assert [trial.number for trial in trials] == list(range(len(ours) + n_plain + 3))
    assert list(numbers) == [len(trials) - 3, len(trials) - 2, len(trials) - 1]
    assert all(is_whole(trial) for trial in ours)
    assert [by_batch["second", i] for i in range(8)] == [25] * 8
    assert n_killed >= 100 * len(confirmed)
    assert "://" not in url or n_killed % 100 == 0
    assert set(firsts) <= {trial.number for trial in ours if trial.system_attrs[BATCH_ATTR][1] == 0}
    assert bare(study.trials) == bare(trials)


def test_each_trial_is_one_journal_line(tmp_path: Path) -> None:
    url = f"{tmp_path}/study.journal"
    study = new_study(url)
    n_before = len(Path(url).read_bytes().splitlines())
    insert_trials(study, replace(batch_of(20), user_attrs={"text": ["a\nb\u2028c\x85d"] * 20}))
    lines = Path(url).read_bytes().split(b"\n")
    assert len(lines) == n_before + 20 + 1
    assert all(json.loads(line)["op_code"] == 4 for line in lines[n_before:-1])
    whole = Path(url).read_bytes()
    Path(url).write_bytes(whole[:-100])

    assert recover_journal(Path(url)) is not None
    assert [trial.number for trial in reopened(url).trials] == list(range(19))
    assert whole.startswith(Path(url).read_bytes())


@pytest.mark.parametrize("url", ["sqlite", ON_SERVER], indirect=True)
@pytest.mark.parametrize("is_stored", [True, False])
@pytest.mark.processes
def test_broken_connection_in_commit_stores_a_batch_once(
    url: str, is_stored: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state of the server is unknown; the test simulates only the end of the connection."""
    study, batch = new_study(url), batch_of(3)
    insert_trials(study, batch_of(2, seed=1))
    commit = Connection.commit

    def lose(connection: Connection) -> None:
        if is_stored:
            commit(connection)
        raise OperationalError("COMMIT", None, OSError("server closed the connection unexpectedly"))

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", lose)
        with pytest.raises(OperationalError, match="closed the connection"):
            insert_trials(study, batch)

    assert list(insert_trials(study, batch).numbers) == [2, 3, 4]
    assert bare(reopened(url).trials) == bare(study.trials)
    assert len(study.trials) == 5


@pytest.mark.parametrize("url", URLS, indirect=True)
@pytest.mark.processes
def test_full_disk_leaves_the_file_unchanged(url: str) -> None:
    study, batch, file = new_study(url), batch_of(2000), Path(url.removeprefix("sqlite:///"))
    insert_trials(study, batch_of(5))
    before = file.read_bytes()
    with disk_of(len(before) + 100_000), pytest.raises(OperationalError if "://" in url else OSError):
        insert_trials(study, batch)

    assert file.read_bytes() == before
    assert len(study.trials) == len(reopened(url).trials) == 5
    assert list(insert_trials(study, batch).numbers)[:2] == [5, 6]
    assert len(reopened(url).trials) == 2005


def test_locked_or_read_only_database_raises_its_error(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db?timeout=0.05"
    study, batch = new_study(url), batch_of(3)
    insert_trials(study, batch_of(1))
    with sqlite3.connect(tmp_path / "study.db") as second:
        second.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"):
            insert_trials(study, batch)
    second.close()
    assert list(insert_trials(study, batch).numbers) == [1, 2, 3]

    for_reading = f"sqlite:///file:{tmp_path}/study.db?mode=ro&uri=true"
    with pytest.raises(OperationalError, match="readonly database"):
        insert_trials(optuna.load_study(study_name="study", storage=for_reading), batch_of(3))
    assert len(reopened(url).trials) == 4


def test_changed_optuna_record_format_falls_back_to_add_trials(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, table = JournalStorage._write_log, RDBStorage._get_prepared_new_trial  # noqa: SLF001

    def write(self: Any, op_code: int, fields: dict[str, Any]) -> None:
        journal(self, op_code, {**fields, "user_attrs": {**fields["user_attrs"], "new": 1}} if op_code == 4 else fields)

    def prepared(self: Any, study_id: int, template_trial: Any, session: Any) -> Any:
        trial = table(self, study_id, template_trial, session)
        trial._datetime_start_utc += datetime.timedelta(hours=9)  # noqa: SLF001 - local time, as in Optuna 4
        return trial

    monkeypatch.setattr(JournalStorage, "_write_log", write)
    monkeypatch.setattr(RDBStorage, "_get_prepared_new_trial", prepared)
    monkeypatch.setattr(bulk, "_verified_states", set())
    study, batch = new_study(url), replace(batch_of(4), states=[COMPLETE, FAIL, COMPLETE, COMPLETE])
    recorded = insert_trials(study, batch)

    assert recorded.note == (
        "trials are recorded one by one, which is slower: explorer has no bulk writer for the "
        f"{'tables' if '://' in url else 'journal'} of Optuna {optuna.__version__}"
    )
    assert list(recorded.numbers) == list(insert_trials(study, batch).numbers) == [0, 1, 2, 3]
    trials = reopened(url).trials
    assert [t.state for t in trials] == batch.states
    assert [t.values for t in trials] == [
        v if s == COMPLETE else None for s, v in zip(batch.states or [], batch.values.tolist(), strict=True)
    ]


class OwnBackend(JournalFileBackend):
    """User-defined backend, which may fail."""

    fails_after = 10**9

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.fails_after -= 1
        if self.fails_after < 0:
            raise OSError("no more")
        super().append_logs(logs)


def test_unsupported_storage_uses_add_trials_and_is_retried(tmp_path: Path) -> None:
    backend = OwnBackend(f"{tmp_path}/study.journal")
    study, second = (
        optuna.create_study(storage=JournalStorage(backend), directions=["minimize"] * 2) for _ in range(2)
    )
    batch = replace(batch_of(5), states=[COMPLETE, FAIL, COMPLETE, COMPLETE, FAIL])
    add_publicly(second, batch)
    backend.fails_after = 3
    with pytest.raises(OSError, match="no more"):
        insert_trials(study, batch)
    assert len(study.trials) == 3
    backend.fails_after = 100
    study.add_trial(create_trial(values=[0.0, 0.0]))
    recorded = insert_trials(study, batch)

    assert recorded.note.endswith("explorer has no bulk writer for a OwnBackend")
    assert list(recorded.numbers) == [0, 1, 2, 4, 5]
    assert bare([trial for trial in study.trials if trial.params])[:3] == bare(second.trials)[:3]
    assert [trial.state for trial in study.trials if trial.params] == batch.states


@pytest.mark.processes
def test_changed_table_schema_falls_back_to_add_trials(tmp_path: Path) -> None:
    """A trigger refuses a bulk insert: the transaction is rolled back, and the note gives the reason."""
    url = f"sqlite:///{tmp_path}/study.db"
    study = new_study(url)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute(
            "CREATE TRIGGER t BEFORE INSERT ON trials WHEN NEW.number IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    database.close()
    recorded = insert_trials(study, batch_of(3))

    assert "the tables of this database (no)" in recorded.note
    assert list(recorded.numbers) == [0, 1, 2]
    assert len(reopened(url).trials) == 3


def finished(state: TrialState) -> dict[str, Any]:
    is_complete = state == COMPLETE
    return {
        "params": {"a": 0.25, "b": 0.5}, "distributions": AB, "state": state,
        "values": [1.0, float("inf")] if is_complete else None, "constraints": {"c": -1.0} if is_complete else {},
        "user_attrs": {"explorer:measured": {"x": 1}}, "system_attrs": {"s": [1]},
    }  # fmt: skip


@pytest.mark.parametrize("state", [COMPLETE, FAIL])
@pytest.mark.parametrize("is_running", [False, True])
@pytest.mark.processes
def test_enqueued_trial_is_finished_under_its_own_number(url: str, state: TrialState, is_running: bool) -> None:
    study, plain, done = new_study(url), reopened(url), finished(state)
    plain.enqueue_trial({"a": 0.25}, user_attrs={"why": "mine"})
    if is_running:
        plain.ask()
    insert_trials(study, batch_of(1))
    trial = study.get_trials()[0]
    with pytest.raises(ValueError, match="isn't contained"):
        finish_enqueued(study, trial, **{**done, "params": {"a": 0.25, "b": 5.0}})
    assert reopened(url).trials[0].state == trial.state
    for _ in range(2):  # retry after a lost response
        finish_enqueued(study, trial, **done)
    first, second = reopened(url).trials

    assert (first.number, first.state, first.values) == (0, state, done["values"])
    assert first.params == done["params"]
    assert first.user_attrs == {"why": "mine", **done["user_attrs"]}
    assert first.constraints == done["constraints"]
    assert first.system_attrs["fixed_params"] == {"a": 0.25}
    assert first.datetime_start is not None
    assert second.state == COMPLETE


@pytest.mark.parametrize("method", ["set_trial_param", "set_trial_state_values"])
@pytest.mark.processes
def test_kill_preserves_the_attributes_of_an_enqueued_trial(
    url: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = new_study(url)
    study.enqueue_trial({"a": 0.25})
    (trial,) = study.get_trials()

    def killed(*_: object, **__: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(type(study._storage), method, killed)  # noqa: SLF001
        with pytest.raises(SystemExit):
            finish_enqueued(study, trial, **finished(COMPLETE))
    (left,) = reopened(url).trials
    assert left.state == TrialState.WAITING
    assert left.user_attrs == (finished(COMPLETE)["user_attrs"] if "://" in url else {})
    finish_enqueued(study, left, **finished(COMPLETE))

    assert [t.values for t in reopened(url).trials] == [finished(COMPLETE)["values"]]


@pytest.mark.xdist_group("postgresql")
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_retry_after_server_restart_records_once(postgres: Any, database: str, mode: str) -> None:
    study, batch = new_study(database), batch_of(7)
    insert_trials(study, batch_of(5))
    postgres.restart(mode)
    try:
        insert_trials(study, batch)
    except OperationalError:
        insert_trials(study, batch)

    assert list(insert_trials(study, batch).numbers) == list(range(5, 12))
    assert [trial.number for trial in reopened(database).trials] == list(range(12))
    assert [trial.number for trial in study.trials] == list(range(12))


@pytest.mark.xdist_group("postgresql")
@pytest.mark.processes
def test_crashed_server_has_every_confirmed_batch(postgres: Any, database: str) -> None:
    new_study(database)
    process = recorder(database, "one", n_batches=10_000, n_trials=300)
    assert process.stdout is not None
    confirmed = [process.stdout.readline()]
    time.sleep(0.2)
    postgres.restart("immediate")
    rest, problem = process.communicate(timeout=60)
    confirmed += rest.split()
    trials = reopened(database).trials
    by_batch = Counter(trial.user_attrs["batch"] for trial in trials)

    assert "OperationalError" in problem
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert set(by_batch.values()) == {300}
    # At most one batch was stored without a response to its recorder.
    assert len(confirmed) <= len(by_batch) <= len(confirmed) + 1
