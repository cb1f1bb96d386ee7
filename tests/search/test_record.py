"""Recording in bulk: the same study as Optuna's own way gives, whoever else writes and whatever fails."""

import datetime
import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
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
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from explorer.search.block import BLOCK_KEY
from explorer.search.record import Block, read_ahead, record
from explorer.search.storage import open_storage, recover_journal

HERE = Path(__file__).parent
ON_SERVER = pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql"))

Kept = tuple[BaseStorage, Callable[[], Any]]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def new_url(kind: str, folder: Path, request: pytest.FixtureRequest) -> str:
    if kind == "postgresql":
        return str(request.getfixturevalue("database"))
    return {"journal": f"{folder}/study.journal", "sqlite": f"sqlite:///{folder}/study.db"}[kind]


@pytest.fixture(params=["journal", "sqlite", ON_SERVER])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a study is kept: in each of the formats that take a block at once."""
    return new_url(request.param, tmp_path, request)


def plainly(url: str) -> Any:
    """Open a storage as a user of plain Optuna does."""
    if url.startswith("postgresql"):
        return RDBStorage(url, engine_kwargs={"poolclass": NullPool})  # a server takes a hundred connections, no more
    if "://" in url:
        return url
    return JournalStorage(JournalFileBackend(url, lock_obj=JournalFileOpenLock(url)))


def new_study(url: str, name: str = "study", n_objectives: int = 2) -> optuna.Study:
    storage = open_storage(url, Path())
    return optuna.create_study(study_name=name, storage=storage, directions=["minimize"] * n_objectives)


def reopened(url: str, name: str = "study", **options: Any) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=plainly(url), **options)


def block_of(n: int, *, seed: int = 0) -> Block:
    x = np.random.default_rng(seed).random((n, 4))
    moment = datetime.datetime.now(datetime.UTC)
    return Block(
        params={"a": x[:, 0].tolist(), "b": x[:, 1].tolist()},
        distributions={"a": FloatDistribution(0, 1), "b": FloatDistribution(0, 1)},
        values=x[:, 2:],
        constraints={"c": x[:, 0] - 0.7},
        user_attrs={"a": x[:, 0].tolist()},
        system_attrs={},
        began=moment,
        ended=moment,
    )


def bare(trials: list[FrozenTrial]) -> list[str]:
    """Return all that trials hold but their ids and their block's mark; as text, in which 1, 1.0 and True differ."""
    result = []
    for trial in trials:
        held = {key.lstrip("_"): value for key, value in trial.__dict__.items() if key != "_trial_id"}
        held["system_attrs"] = {key: value for key, value in trial.system_attrs.items() if key != BLOCK_KEY}
        for name in ("params", "distributions", "user_attrs", "system_attrs"):
            held[name] = sorted(held[name].items())
        result.append(repr(sorted(held.items())))
    return result


def publicly(study: optuna.Study, block: Block) -> None:
    """Add a block's trials as a user of plain Optuna would."""
    for i in range(block.n):
        columns = {"user_attrs": block.user_attrs, "system_attrs": block.system_attrs}
        attrs = {kind: {k: v[i] for k, v in c.items() if v[i] is not None} for kind, c in columns.items()}
        trial = create_trial(
            params={name: column[i] for name, column in block.params.items()},
            distributions=dict(block.distributions),
            values=block.values[i].tolist(),
            constraints={name: float(column[i]) for name, column in block.constraints.items()},
            **attrs,
        )
        trial.datetime_start = block.began.astimezone().replace(tzinfo=None)
        trial.datetime_complete = block.ended.astimezone().replace(tzinfo=None)
        study.add_trial(trial)


# --- the same study ---------------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
numbers = st.floats(allow_nan=False).map(lambda x: x + 0.0)  # SQLite keeps no -0.0 in a column of numbers
scalars = st.one_of(numbers, st.integers(-(2**53), 2**53), st.booleans(), words)
jsons = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))
moments = st.datetimes(
    datetime.datetime(1990, 1, 1), datetime.datetime(2037, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.builds(datetime.timezone, st.timedeltas(datetime.timedelta(hours=-12), datetime.timedelta(hours=12))),
)  # fmt: skip


@st.composite
def axes(draw: st.DrawFn, n: int) -> tuple[Any, list[Any]]:
    """A distribution of any kind, and n values of it."""
    kind = draw(st.sampled_from(["float", "log", "step", "int", "choice"]))
    if kind == "choice":
        choices = draw(st.lists(st.none() | scalars, min_size=1, max_size=4))
        distribution: Any = CategoricalDistribution(choices)
        return distribution, draw(st.lists(st.sampled_from(choices), min_size=n, max_size=n))
    if kind == "int":
        return IntDistribution(-5, 7, step=3), draw(
            st.lists(st.sampled_from([-5, -2, 1, 4, 7]), min_size=n, max_size=n)
        )
    if kind == "step":
        steps = draw(st.lists(st.integers(0, 7), min_size=n, max_size=n))
        return FloatDistribution(0.1, 0.8, step=0.1), [0.1 + 0.1 * step for step in steps]
    low = 1e-9 if kind == "log" else -1e300
    distribution = FloatDistribution(low, 1e300, log=kind == "log")
    return distribution, draw(st.lists(st.floats(low, 1e300).map(lambda x: x + 0.0), min_size=n, max_size=n))


def columns(values: st.SearchStrategy[Any], n: int) -> st.SearchStrategy[list[Any]]:
    """One column: values of one kind or of any, some perhaps absent."""
    kinds = [numbers, st.booleans(), words, values, st.none() | numbers, st.none() | values]
    return st.one_of(*(st.lists(kind, min_size=n, max_size=n) for kind in kinds))


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    n = draw(st.integers(1, 4))
    space = draw(st.dictionaries(words, axes(n), max_size=3))
    m = draw(st.integers(1, 3))
    began = draw(moments)
    floats = st.lists(numbers, min_size=m, max_size=m)
    return Block(
        params={name: values for name, (_, values) in space.items()},
        distributions={name: distribution for name, (distribution, _) in space.items()},
        values=np.array(draw(st.lists(floats, min_size=n, max_size=n))),
        constraints=draw(st.dictionaries(words, st.lists(numbers, min_size=n, max_size=n).map(np.array), max_size=2)),
        user_attrs=draw(st.dictionaries(words, columns(jsons, n), max_size=3)),
        system_attrs=draw(st.dictionaries(words, columns(jsons, n), max_size=2)),
        began=began,
        ended=began + draw(st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=2))),
    )


@pytest.fixture(scope="module", params=["memory", "journal", "sqlite", ON_SERVER])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A storage that many examples share, and how to open it anew."""
    if request.param == "memory":
        storage = InMemoryStorage()
        yield storage, lambda: storage
        return
    if request.param == "postgresql":
        with request.getfixturevalue("postgres").database() as url:
            yield open_storage(url, Path()), partial(plainly, url)
            return
    url = new_url(request.param, tmp_path_factory.mktemp("kept"), request)
    yield open_storage(url, Path()), partial(plainly, url)


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(block=blocks())
def test_a_block_is_what_add_trial_would_have_made_of_it(kept: Kept, block: Block) -> None:
    storage, anew = kept
    directions = ["minimize"] * block.values.shape[1]
    ours, theirs = (optuna.create_study(storage=storage, directions=directions) for _ in range(2))
    recorded = record(ours, block)
    publicly(theirs, block)
    ours_anew, theirs_anew = (optuna.load_study(study_name=s.study_name, storage=anew()) for s in (ours, theirs))

    assert recorded.note == ""
    assert list(recorded.numbers) == list(range(block.n))
    assert bare(ours_anew.get_trials()) == bare(theirs_anew.get_trials())
    assert bare(ours.get_trials()) == bare(ours_anew.get_trials())
    assert [t.number for t in ours_anew.best_trials] == [t.number for t in theirs_anew.best_trials]


def test_columns_may_be_arrays(url: str) -> None:
    """Numpy's own numbers are none that JSON knows."""
    block = block_of(3)
    study, other = new_study(url), new_study(url, "other")
    record(study, replace(block, params={k: np.array(v) for k, v in block.params.items()},
                          user_attrs={"a": np.array([1.0, 2.0, 3.0]), "b": np.array([True, False, True])}))  # fmt: skip
    record(
        other,
        replace(
            block_of(3),
            user_attrs={"a": [1.0, 2.0, 3.0], "b": [True, False, True]},
            began=block.began,
            ended=block.ended,
        ),
    )

    assert bare(study.trials) == bare(other.trials)


def test_an_empty_block_is_nothing(url: str) -> None:
    study = new_study(url)

    assert list(record(study, block_of(0)).numbers) == []
    assert study.trials == []


@pytest.mark.parametrize("sampler", [partial(NSGAIISampler, population_size=6), partial(TPESampler, multivariate=True)])
def test_plain_optuna_opens_continues_and_plots_what_was_recorded(
    url: str, sampler: Callable[..., optuna.samplers.BaseSampler]
) -> None:
    block = block_of(20)
    record(new_study(url), block)
    study = reopened(url, sampler=sampler(seed=0))
    study.optimize(lambda trial: (trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)), n_trials=8)
    figure = optuna.visualization.plot_pareto_front(study)

    assert [trial.number for trial in study.trials] == list(range(28))
    assert all(trial.state == TrialState.COMPLETE for trial in reopened(url).trials)
    assert sum(len(trace.x) for trace in figure.data) == 28
    is_feasible = [block.constraints["c"][t.number] <= 0 for t in study.best_trials if t.number < 20]
    assert all(is_feasible)


def test_numbers_go_on_after_trials_of_others_and_before_theirs(url: str) -> None:
    study, other = new_study(url), reopened(url)
    other.add_trial(create_trial(values=[1.0, 2.0]))
    first = record(study, block_of(3))
    other.add_trial(create_trial(values=[1.0, 2.0]))
    other.ask()
    second = record(study, block_of(2, seed=1))

    assert list(first.numbers) == [1, 2, 3]
    assert list(second.numbers) == [6, 7]
    assert [t.number for t in other.get_trials()] == list(range(8))
    assert bare(study.get_trials()) == bare(reopened(url).get_trials())


def test_a_trial_that_was_running_is_seen_to_end_after_a_block(url: str) -> None:
    """What is known of a block's trials must not hide that older ones change."""
    study = new_study(url)
    running = study.ask({"a": FloatDistribution(0, 1)})
    record(study, block_of(3))
    assert [t.state for t in study.get_trials()].count(TrialState.RUNNING) == 1
    reopened(url).tell(running.number, [1.0, 2.0])

    assert [t.state for t in study.get_trials()] == [TrialState.COMPLETE] * 4


def test_several_studies_in_one_storage_keep_their_own_numbers(url: str) -> None:
    one, two = new_study(url, "one"), new_study(url, "two")

    assert list(record(one, block_of(2)).numbers) == [0, 1]
    assert list(record(two, block_of(3)).numbers) == [0, 1, 2]
    assert list(record(one, block_of(2)).numbers) == [2, 3]
    assert len(reopened(url, "two").trials) == 3


@pytest.mark.parametrize("kind", ["sqlite", ON_SERVER])
def test_trials_of_any_kind_read_ahead_are_what_optuna_reads(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = new_url(kind, tmp_path, request)
    new_study(url, "other").add_trial(create_trial(values=[1.0, 2.0]))
    study = optuna.create_study(study_name="study", storage=plainly(url))
    study.enqueue_trial({"x": 1})

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_int("x", 0, 9)
        trial.suggest_categorical("c", [None, "ä", True])
        trial.set_user_attr("whole", {"a": [x, None, float("inf")]})
        for step, value in enumerate([0.5, float("inf"), float("nan")]):
            trial.report(value, step)
        if trial.number == 1:
            raise optuna.TrialPruned
        return float("-inf") if trial.number == 2 else x

    study.optimize(objective, n_trials=4)
    study.optimize(lambda _: 1 / 0, n_trials=1, catch=(ZeroDivisionError,))
    running = study.ask()
    study.enqueue_trial({"x": 2})
    ahead, plain = reopened(url), reopened(url)
    read_ahead(ahead)

    assert bare(ahead.trials) == bare(plain.trials)
    study.tell(running, 0.5)
    study.add_trial(create_trial(value=3.0))
    read_ahead(ahead)
    assert bare(ahead.trials) == bare(reopened(url).trials)
    assert [trial.state.name for trial in ahead.trials] == [
        "COMPLETE", "PRUNED", "COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "WAITING", "COMPLETE"
    ]  # fmt: skip


def test_reading_ahead_does_nothing_where_nothing_is_gained(tmp_path: Path) -> None:
    study = new_study(f"{tmp_path}/study.journal")
    record(study, block_of(2))
    read_ahead(study)

    assert len(study.trials) == 2


# --- what Optuna refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"params": {"a": [0.5, 1.5], "b": [0.1, 0.2]}}, "1.5 of parameter 'a' isn't contained", id="range"
        ),
        pytest.param({"params": {"a": [0.5, "x"], "b": [0.1, 0.2]}}, "could not convert string to float", id="text"),
        pytest.param(
            {"params": {"a": [0.5, 0.6]}}, "parameters .* and distributions .* differ", id="parameter missing"
        ),
        pytest.param({"params": {"a": [0.5], "b": [0.1, 0.2]}}, "'a' has 1 values for 2 trials", id="too few"),
        pytest.param({"values": np.array([[1.0, 2.0], [np.nan, 1.0]])}, "should not contain NaN", id="NaN"),
        pytest.param({"values": np.array([[1.0], [2.0]])}, r"shape \(2, 1\), but the study has 2", id="objectives"),
        pytest.param({"constraints": {"c": np.array([0.0, np.nan])}}, "NaN is not allowed", id="constraint"),
    ],
)
def test_a_trial_that_optuna_refuses_is_refused_and_nothing_recorded(url: str, change: Any, message: str) -> None:
    study = new_study(url)
    with pytest.raises(ValueError, match=message):
        record(study, replace(block_of(2), **change))

    assert reopened(url).trials == []


def test_an_attribute_that_is_not_json_is_refused_and_nothing_recorded(url: str) -> None:
    study = new_study(url)
    with pytest.raises(TypeError, match="not JSON serializable"):
        record(study, replace(block_of(2), user_attrs={"x": [1.0, object()]}))

    assert reopened(url).trials == []


@pytest.mark.parametrize("kind", ["sqlite", ON_SERVER])
def test_a_database_refuses_another_kind_of_distribution(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = new_url(kind, tmp_path, request)
    study = new_study(url)
    record(study, block_of(2))
    other = replace(block_of(2), distributions={"a": IntDistribution(0, 1), "b": FloatDistribution(0, 1)},
                    params={"a": [0, 1], "b": [0.0, 1.0]})  # fmt: skip
    with pytest.raises(ValueError, match="Cannot set different distribution kind"):
        record(study, other)

    assert len(reopened(url).trials) == 2


def test_a_deleted_study_takes_no_block(url: str) -> None:
    study = new_study(url)
    optuna.delete_study(study_name="study", storage=plainly(url))
    with pytest.raises(KeyError, match="Record does not exist"):
        record(study, block_of(2))


@pytest.mark.parametrize("lock", [JournalFileOpenLock, JournalFileSymlinkLock])
def test_optunas_own_journal_takes_a_block_at_once(tmp_path: Path, lock: Any) -> None:
    url = f"{tmp_path}/study.journal"
    storage = JournalStorage(JournalFileBackend(url, lock_obj=lock(url)))
    study = optuna.create_study(study_name="study", storage=storage, directions=["minimize"] * 2)
    recorded = record(study, block_of(3))

    assert recorded.note == ""
    assert bare(reopened(url).trials) == bare(study.trials)
    assert [file.name for file in tmp_path.iterdir()] == ["study.journal"]


# --- several at once, and killed --------------------------------------------------------------------------------------


def recorder(url: str, token: str, *, n_blocks: int, n_trials: int) -> "subprocess.Popen[str]":
    command = [sys.executable, str(HERE / "recorder.py"), url, "study", token, str(n_blocks), str(n_trials)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parent.parent)


def is_whole(trial: FrozenTrial) -> bool:
    """Tell whether all that a recorder gave a trial is there."""
    a, b = trial.params["a"], trial.params["b"]
    system = {key: value for key, value in trial.system_attrs.items() if key != BLOCK_KEY}
    return (
        trial.state == TrialState.COMPLETE
        and trial.values == [a, b]
        and trial.user_attrs["a"] == a
        and {"recorder", "block"} < trial.user_attrs.keys()
        and system == {"b": b, "constraints:c": a - b}
    )


def test_two_recorders_and_plain_optuna_at_once_lose_nothing(url: str) -> None:
    study = new_study(url)
    recorders = [recorder(url, token, n_blocks=8, n_trials=25) for token in ("one", "two")]
    plain, n_plain = reopened(url), 0
    while any(process.poll() is None for process in recorders):
        plain.add_trial(create_trial(values=[0.0, 0.0]))
        n_plain += 1
    firsts = [int(line) for process in recorders for line in process.communicate()[0].split()]
    trials = reopened(url).trials
    ours = [trial for trial in trials if trial.params]

    assert [process.returncode for process in recorders] == [0, 0]
    assert [trial.number for trial in trials] == list(range(400 + n_plain))
    assert len(ours) == 400
    assert all(is_whole(trial) for trial in ours)
    by_block = Counter((trial.user_attrs["recorder"], trial.user_attrs["block"]) for trial in ours)
    assert by_block == {(token, i): 25 for token in ("one", "two") for i in range(8)}
    assert sorted(firsts) == [trial.number for trial in ours if BLOCK_KEY in trial.system_attrs]
    assert bare(study.trials) == bare(trials)


@pytest.mark.parametrize("delay_s", [0.0, 0.03, 0.11])
def test_a_recorder_killed_at_any_moment_leaves_whole_trials_only(url: str, delay_s: float) -> None:
    study = new_study(url)
    process = recorder(url, "killed", n_blocks=10_000, n_trials=500)
    assert process.stdout is not None
    told = [int(process.stdout.readline())]
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in process.communicate()[0].split("\n") if line]
    # Others go on at once: they neither wait for the dead one's lock nor write behind half a line.
    began = time.monotonic()
    block = block_of(3)
    numbers = record(study, block).numbers
    assert time.monotonic() - began < 20
    trials = reopened(url).trials
    killed = [trial for trial in trials if "recorder" in trial.user_attrs]

    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert all(is_whole(trial) for trial in killed)
    assert len(killed) >= 500 * len(told)
    if "://" in url:
        assert len(killed) % 500 == 0
    assert list(numbers) == list(range(len(killed), len(killed) + 3))


def test_half_a_line_at_the_end_can_be_cut_off_and_the_rest_is_read(tmp_path: Path) -> None:
    url = f"{tmp_path}/study.journal"
    record(new_study(url), block_of(50))
    whole = Path(url).read_bytes()
    Path(url).write_bytes(whole[:-100])
    assert recover_journal(Path(url)) is not None

    trials = reopened(url).trials
    assert [trial.number for trial in trials] == list(range(49))
    assert whole.startswith(Path(url).read_bytes())


def test_each_trial_is_one_line_of_a_journal(tmp_path: Path) -> None:
    url = f"{tmp_path}/study.journal"
    study = new_study(url)
    n_before = len(Path(url).read_bytes().splitlines())
    record(study, replace(block_of(20), user_attrs={"text": ["a\nb\u2028c\x85d"] * 20}))
    lines = Path(url).read_bytes().split(b"\n")

    assert len(lines) == n_before + 20 + 1
    assert all(json.loads(line)["op_code"] == 4 for line in lines[n_before:-1])


# --- once, however often ----------------------------------------------------------------------------------------------


def test_a_block_that_is_recorded_again_is_found(url: str) -> None:
    study = new_study(url)
    record(study, block_of(2))
    block = block_of(3, seed=1)
    first = record(study, block)
    record(study, block_of(2, seed=2))

    assert list(record(study, block).numbers) == list(first.numbers) == [2, 3, 4]
    assert len(reopened(url).trials) == 7


@pytest.mark.parametrize("kind", ["sqlite", ON_SERVER])
@pytest.mark.parametrize("is_stored", [True, False])
def test_a_connection_lost_in_commit_stores_a_block_once(
    kind: str, is_stored: bool, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the server got as far as storing it, nobody can tell; only the connection's end is staged."""
    from sqlalchemy import Connection

    url = new_url(kind, tmp_path, request)
    study, block = new_study(url), block_of(3)
    record(study, block_of(2, seed=1))
    commit = Connection.commit

    def lose(connection: Connection) -> None:
        if is_stored:
            commit(connection)
        raise OperationalError("COMMIT", None, OSError("server closed the connection unexpectedly"))

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "commit", lose)
        with pytest.raises(OperationalError, match="closed the connection"):
            record(study, block)

    assert list(record(study, block).numbers) == [2, 3, 4]
    assert bare(reopened(url).trials) == bare(study.trials)
    assert len(study.trials) == 5


# --- full, locked, not to be written ----------------------------------------------------------------------------------

FULL = """
import resource, sys, pathlib
sys.path.insert(0, sys.argv[2])
import test_record as t
study, block = t.new_study(sys.argv[1]), t.block_of(2000)
t.record(study, t.block_of(5))
file = pathlib.Path(sys.argv[1].removeprefix("sqlite:///"))
before = file.read_bytes()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100_000, hard))
try:
    t.record(study, block)
except (OSError, t.OperationalError) as error:
    print(type(error).__name__, file.read_bytes() == before, len(study.trials), len(t.reopened(sys.argv[1]).trials))
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
print(list(t.record(study, block).numbers)[:2], len(t.reopened(sys.argv[1]).trials))
"""


@pytest.mark.parametrize(("kind", "error"), [("journal", "OSError"), ("sqlite", "OperationalError")])
def test_a_full_disk_leaves_the_file_as_it_was(
    kind: str, error: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    command = [sys.executable, "-c", FULL, new_url(kind, tmp_path, request), str(HERE)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent.parent, timeout=120)

    assert done.stdout.splitlines() == [f"{error} True 5 5", "[5, 6] 2005"]


def test_a_locked_database_says_so_and_takes_the_block_later(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db?timeout=0.05"
    study, block = new_study(url), block_of(3)
    with sqlite3.connect(tmp_path / "study.db") as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"):
            record(study, block)
    other.close()

    assert list(record(study, block).numbers) == [0, 1, 2]
    assert len(reopened(url).trials) == 3


def test_a_database_that_may_only_be_read_says_so(tmp_path: Path) -> None:
    record(new_study(f"sqlite:///{tmp_path}/study.db"), block_of(2))
    url = f"sqlite:///file:{tmp_path}/study.db?mode=ro&uri=true"
    study = optuna.load_study(study_name="study", storage=url)
    with pytest.raises(OperationalError, match="readonly database"):
        record(study, block_of(3))

    assert len(study.trials) == 2


# --- what is not known ------------------------------------------------------------------------------------------------


@pytest.fixture
def otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Optuna whose storages write something more with each trial."""
    journal, table = JournalStorage._write_log, RDBStorage._get_prepared_new_trial  # noqa: SLF001

    def more(self: Any, op_code: int, extra_fields: dict[str, Any]) -> None:
        journal(self, op_code, {**extra_fields, "tags": []} if op_code == 4 else extra_fields)

    def prepared(self: Any, study_id: int, template_trial: Any, session: Any) -> Any:
        trial = table(self, study_id, template_trial, session)
        trial._datetime_start_utc += datetime.timedelta(hours=9)  # noqa: SLF001 - local time, as in Optuna 4
        return trial

    monkeypatch.setattr(JournalStorage, "_write_log", more)
    monkeypatch.setattr(RDBStorage, "_get_prepared_new_trial", prepared)


@pytest.mark.usefixtures("otherwise")
def test_an_optuna_that_writes_otherwise_takes_trials_one_by_one_with_a_note(
    url: str,
) -> None:
    block = block_of(4)
    study = new_study(url)
    recorded = record(study, block)

    assert recorded.note == (
        "trials are recorded one by one, which takes longer: explorer does not know how the installed Optuna "
        + ("stores a trial in a database" if "://" in url else "writes a trial into a journal")
    )
    assert list(recorded.numbers) == [0, 1, 2, 3]
    assert list(record(study, block).numbers) == [0, 1, 2, 3]
    trials = reopened(url).trials
    assert [t.values for t in trials] == block.values.tolist()
    assert len(trials) == 4


class OwnBackend(JournalFileBackend):
    """A backend of the user's own, which may fail."""

    fails_after = 10**9

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.fails_after -= 1
        if self.fails_after < 0:
            raise OSError("no more")
        super().append_logs(logs)


def test_another_storage_takes_trials_one_by_one_and_a_retry_adds_what_is_missing(tmp_path: Path) -> None:
    backend = OwnBackend(f"{tmp_path}/study.journal")
    study = optuna.create_study(storage=JournalStorage(backend), directions=["minimize"] * 2)
    other = optuna.create_study(storage=JournalStorage(backend), directions=["minimize"] * 2)
    block = block_of(5)
    publicly(other, block)
    backend.fails_after = 3
    with pytest.raises(OSError, match="no more"):
        record(study, block)
    assert len(study.trials) == 3
    backend.fails_after = 100
    study.add_trial(create_trial(values=[0.0, 0.0]))
    recorded = record(study, block)

    assert recorded.note.endswith("explorer does not know a OwnBackend")
    assert list(recorded.numbers) == [0, 1, 2, 4, 5]
    assert [t.values for t in study.trials if t.params] == block.values.tolist()


def test_tables_of_another_shape_take_trials_one_by_one(tmp_path: Path) -> None:
    """A column that must not be empty, for instance: the block is taken back, and the reason told."""
    url = f"sqlite:///{tmp_path}/study.db"
    study = new_study(url)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute(
            "CREATE TRIGGER t BEFORE INSERT ON trials WHEN NEW.number IS NOT NULL BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    database.close()
    recorded = record(study, block_of(3))

    assert "the tables of this database (no)" in recorded.note
    assert list(recorded.numbers) == [0, 1, 2]
    assert len(reopened(url).trials) == 3
