"""Search of a predicted study: what each sampler finds, what a later run adds, and what plain Optuna reads."""

import datetime
import json
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from explorer.errors import Interrupted, WrongUsage
from explorer.models.evaluation import make_problem
from explorer.models.response.surrogate import Surrogate
from explorer.models.samples.samples import paper_samples
from explorer.pareto.geometry.dominance import feasible_front
from explorer.problem.columns import NUMERIC_KNOBS
from explorer.problem.study import read_study
from explorer.search.collect import collect_results
from explorer.search.run import Execution, search, utc_now
from explorer.search.run_log import log_run
from explorer.search.session import open_session
from tests.paper_fit import fit_to
from tests.search.conftest import MakeSession, designs_of
from tests.search.measured import plain_storage, plain_study, states

SAMPLERS = ["auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid"]
N_SAMPLES = {"cnn": 3, "capped": 3, "three": 3, "union": 10, "table": 1, "mixed": 4}  # within the space
COMPLETE = TrialState.COMPLETE


def plain(folder: Path, name: str = "cnn") -> optuna.Study:
    return plain_study(folder / "out/study.journal", name)


@pytest.mark.parametrize(
    ("name", "sampler"),
    [
        *[(name, sampler) for name in ("cnn", "mixed") for sampler in SAMPLERS],
        *[(name, sampler) for name in ("capped", "three", "union", "table") for sampler in ("nsga2", "grid")],
        ("capped", "tpe"),
        ("table", "tpe"),
    ],
)
@pytest.mark.slow
def test_every_sampler_adds_the_requested_feasible_trials(make_session: MakeSession, name: str, sampler: str) -> None:
    added = [search(make_session(name, sampler=sampler, trials=trials)) for trials in (30, 30, 10, 41)]
    table, n_samples = collect_results(make_session(name)).trials, N_SAMPLES[name]
    is_cool = table["power_w"] <= 22 if name == "capped" else np.ones(41, dtype=bool)

    assert added == [30, 0, 0, 11]
    assert table["design_id"].tolist() == list(range(41))
    assert table["origin"].tolist() == ["initial"] * n_samples + ["search"] * (41 - n_samples)
    assert (table["frequency_hz"] <= table["frequency_max_hz"] * (1 + 1e-9)).all()
    assert (table["domain_distance"] <= 0.5 + 1e-9).all()
    assert table["is_feasible"].tolist() == is_cool.tolist()


def test_samples_within_the_space_are_the_initial_design(make_session: MakeSession) -> None:
    """The space `table` fixes D = 0.03: of the three CNN samples only the second has that step."""
    for name in ("cnn", "table"):
        search(make_session(name, trials=5, folder=name))
    cnn, table = (collect_results(make_session(name, folder=name)) for name in ("cnn", "table"))

    assert cnn.sample_labels == ("CNN1", "CNN2", "CNN3")
    for name in NUMERIC_KNOBS:
        assert cnn.table[name][:3] == pytest.approx(cnn.samples[name], rel=1e-9)
    assert table.table["origin"].tolist() == ["initial"] + ["search"] * 4 + ["sample"]
    assert table.table["pruning_ratio"][0] == 0.46


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_seed_determines_the_designs(make_session: MakeSession, sampler: str) -> None:
    tables = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        search(session := make_session(sampler=sampler, seed=seed, folder=folder, trials=24))
        tables.append(designs_of(collect_results(session).trials))

    assert tables[0] == tables[1]
    assert tables[0] != tables[2]


@pytest.mark.slow
def test_resumed_search_repeats_no_design_for_any_sampler(make_session: MakeSession) -> None:
    samplers = ["random", "random", "tpe", "tpe", "qmc", "qmc", "nsga2", "random", "tpe", "qmc"]
    for i, sampler in enumerate(samplers, start=1):
        search(make_session(sampler=sampler, trials=10 * i))
    counts = Counter(designs_of(collect_results(make_session()).trials))

    assert len(counts) == 100


def test_grid_is_searched_completely_then_refined(make_session: MakeSession) -> None:
    """16 trials on four axes: two values each, 13 trials and three samples. Three axes: eight corners, then more."""
    search(session := make_session(sampler="grid", trials=16))
    table = collect_results(session).trials
    proposed = {name: table[name][table["origin"] == "search"] for name in ("family", *NUMERIC_KNOBS)}
    for trials in (8, 12):
        search(make_session("new", sampler="grid", trials=trials))
    corners = designs_of(collect_results(make_session("new")).trials)

    assert len(set(designs_of(proposed))) == 13
    for name in ("pruning_ratio", "quant_step", "voltage_v"):
        axis = next(axis for axis in session.problem.regions["CNN"].axes if axis.name == name)
        assert sorted(set(proposed[name])) == pytest.approx([axis.low, axis.high])
    assert len(set(corners[:8])) == 8
    assert len(corners) == 12


def test_progress_reports_trials_and_growing_hypervolume(make_session: MakeSession) -> None:
    calls: list[tuple[int, int, float]] = []
    for trials in (15, 20):
        search(make_session(sampler="tpe", trials=trials), progress=lambda *now: calls.append(now))
    done, wanted, volumes = zip(*calls, strict=True)

    # The three samples as one batch, then single trials; a resumed run starts with the stored trials.
    assert done == (*range(3, 16), *range(15, 21))
    assert wanted == (15,) * 13 + (20,) * 6
    assert list(volumes) == sorted(volumes)
    assert volumes[12] == pytest.approx(volumes[13], rel=1e-12)
    assert volumes[-1] == pytest.approx(collect_results(make_session()).hypervolume, rel=1e-12)


@pytest.mark.parametrize("name", ["cnn", "capped", "union", "three", "table"])
@pytest.mark.slow
def test_front_equals_that_of_plain_optuna(make_session: MakeSession, tmp_path: Path, name: str) -> None:
    """Feasible and non-dominated, by an independent implementation."""
    search(session := make_session(name, sampler="nsga2", trials=60))
    results, stored = collect_results(session), plain(tmp_path, name)

    assert [d.name.lower() for d in stored.directions] == [o.direction for o in results.objectives]
    assert stored.metric_names == [o.name for o in results.objectives]
    values = results.values[~results.is_measured]
    is_front = feasible_front(values, results.trials["is_feasible"], results.objectives)
    front = {tuple(row) for row in values[is_front].tolist()}
    assert {tuple(trial.values) for trial in stored.best_trials} == front != set()
    assert results.table["is_feasible"][results.is_front].all()


def test_plain_optuna_reads_constraints_and_all_columns(make_session: MakeSession, tmp_path: Path) -> None:
    search(session := make_session("capped", trials=12))
    table = collect_results(session).trials
    for i, trial in enumerate(plain(tmp_path, "capped").trials):
        assert set(trial.constraints) == {"operating_point", "domain", "power_w <= 22 W"}
        assert (trial.constraints["power_w <= 22 W"] <= 0) == (table["power_w"][i] <= 22)
        everything = {**trial.user_attrs, **trial.params}
        for name in (*NUMERIC_KNOBS, "accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "weighted_cost"):
            assert everything[name] == pytest.approx(table[name][i], rel=1e-12), name
        assert everything["is_feasible"] == table["is_feasible"][i]


def test_only_complete_trials_of_other_writers_count(make_session: MakeSession, tmp_path: Path) -> None:
    search(make_session(trials=5))
    stored = plain(tmp_path)
    first = stored.trials[0]
    stored.add_trial(create_trial(params=first.params, distributions=first.distributions, values=first.values))
    stored.add_trial(create_trial(values=[1.0, 0.5]))  # without parameters
    stored.tell(stored.ask(), state=TrialState.FAIL)

    assert collect_results(make_session()).n_complete == 6
    assert search(make_session(trials=9)) == 3
    assert collect_results(make_session()).n_complete == 9


@pytest.mark.parametrize("storage", ["{}/shared.journal", "sqlite:///{}/shared.db"])
@pytest.mark.slow
def test_two_studies_share_a_storage_without_mixing(make_session: MakeSession, tmp_path: Path, storage: str) -> None:
    url = storage.format(tmp_path)
    added = [search(make_session(name, trials=n, url=url)) for name, n in (("cnn", 8), ("capped", 6), ("cnn", 12))]

    assert added == [8, 6, 4]
    assert [collect_results(make_session(name, url=url)).n_complete for name in ("cnn", "capped")] == [12, 6]
    assert [len(plain_study(url, name).trials) for name in ("cnn", "capped")] == [12, 6]
    assert not (tmp_path / "out").exists()


def test_changed_declaration_is_refused_with_both_fixes(
    make_session: MakeSession, tmp_path: Path, model: Surrogate
) -> None:
    search(session := make_session("capped", trials=5))
    before = (tmp_path / "out/study.journal").read_bytes()
    path = tmp_path / "capped.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("22 W", "20 W"), encoding="utf-8")
    changed = open_session(make_problem(read_study(str(path)), model), out=tmp_path / "out")
    columns = {name: values.copy() for name, values in paper_samples().columns.items()}
    columns["energy_j"] *= np.linspace(1.0, 1.1, 10)
    changed_model = fit_to(replace(paper_samples(), columns=columns, sha256="changed_model"))

    message = r'constraints: \["power_w <= 22 W"\] -> \["power_w <= 20 W"\](.|\n)*fix: restore the declaration.*--out'
    for refuse in (search, collect_results):
        with pytest.raises(WrongUsage, match=message):
            refuse(changed)
    with pytest.raises(WrongUsage, match=r"the declaration has changed .*model"):
        search(open_session(replace(session.problem, evaluator=changed_model), out=tmp_path / "out"))
    assert (tmp_path / "out/study.journal").read_bytes().startswith(before)
    assert len(plain(tmp_path, "capped").trials) == 5


def test_study_not_created_by_explorer_is_refused(make_session: MakeSession, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    storage = plain_storage(tmp_path / "out/study.journal")
    foreign = optuna.create_study(study_name="cnn", storage=storage, directions=["minimize", "maximize"])
    foreign.add_trial(create_trial(values=[1.0, 2.0]))
    with pytest.raises(WrongUsage, match="explorer did not create"):
        search(make_session())

    assert len(plain(tmp_path).trials) == 1


def test_run_log_has_sampler_seed_and_times(make_session: MakeSession) -> None:
    times = iter(datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in range(1, 9))
    for trials, sampler in ((5, "random"), (5, "random"), (9, "tpe")):
        session = make_session(trials=trials, sampler=sampler, seed=3)
        with log_run(session, clock=lambda: next(times), execution={}):
            search(session)
    origin = collect_results(session).provenance

    runs = [(one["sampler"], one["seed"], one["from"], one["to"]) for one in origin["runs"]]
    assert runs == [("random", 3, 0, 5), ("tpe", 3, 5, 9)]
    assert origin["began"] == "2026-01-01T00:00:00+00:00"
    assert origin["storage"].endswith("study.journal")
    assert json.loads(json.dumps(origin, allow_nan=False)) == origin


def test_stopped_run_stores_and_logs_every_finished_trial(make_session: MakeSession, tmp_path: Path) -> None:
    session, answers = make_session(sampler="tpe"), iter([False] * 4 + [True])  # after the three samples
    message = r"stopped after 7 of 30 trials(.|\n)*run the same command again"
    with pytest.raises(Interrupted, match=message) as caught, log_run(session, clock=utc_now, execution={}):
        search(session, should_stop=lambda: next(answers))

    assert caught.value.exit_code == 130
    assert states(plain(tmp_path).trials) == {COMPLETE: 7}
    assert [(one["from"], one["to"]) for one in collect_results(session).provenance["runs"]] == [(0, 7)]
    assert search(make_session(sampler="tpe")) == 23


def test_ctrl_c_ends_the_run_after_the_running_batch(make_session: MakeSession, tmp_path: Path) -> None:
    def press(done: int, wanted: int, best_hypervolume: float) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped after 5 of 30"):
        search(make_session(sampler="tpe"), progress=press)

    assert signal.getsignal(signal.SIGINT) is before
    assert states(plain(tmp_path).trials) == {COMPLETE: 5}


class Broken:
    """Evaluator whose n-th call fails, like an unplugged meter."""

    def __init__(self, inner: Any, fail_at: int, error: BaseException) -> None:
        self._inner, self._left, self._error = inner, fail_at, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def evaluate(self, designs: Any) -> Any:
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._inner.evaluate(designs)


@pytest.mark.parametrize("error", [RuntimeError("unplugged"), KeyboardInterrupt()], ids=["a bug", "Ctrl-C twice"])
def test_error_within_a_batch_leaves_no_trial_running(
    make_session: MakeSession, tmp_path: Path, error: BaseException
) -> None:
    session = make_session(sampler="tpe", trials=10)
    # Called for a study without trials, then for four designs.
    broken = replace(session.problem, evaluator=Broken(session.problem.evaluator, 5, error))
    with pytest.raises(type(error)):
        search(replace(session, problem=broken))

    assert states(plain(tmp_path).trials) == {COMPLETE: 4}


def test_unsearched_study_has_no_designs(make_session: MakeSession) -> None:
    results = collect_results(make_session())

    assert (results.n_complete, results.hypervolume) == (0, 0)
    assert results.is_front.tolist() == [True] * 3  # the rows that were measured before any search
    assert results.is_measured.all()


def test_every_design_dominates_the_computed_reference_point(make_session: MakeSession) -> None:
    search(session := make_session("three", trials=40))
    signs = np.array([o.sign for o in session.problem.study.objectives])

    assert (collect_results(session).values * signs < np.array(session.reference) * signs).all()
    assert make_session("three", seed=9).reference == session.reference


def test_unused_workers_of_a_predicted_study_give_a_note(make_session: MakeSession) -> None:
    messages: list[str] = []

    assert search(make_session(trials=5), execution=Execution(workers=8), notify=messages.append) == 5
    assert messages == ["note: designs are predicted in this process; workers are used by measured studies only"]
