"""Running a study: what every sampler finds, what is the same again, what goes on, and what plain Optuna sees."""

import datetime
import json
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from explorer.errors import Interrupted, MissingPart, UnknownName, WrongUsage
from explorer.models.assessment import assessment_of
from explorer.models.samples import paper_samples
from explorer.models.surrogate import Surrogate, fit_surrogate
from explorer.pareto.folder import read_folder, write_folder
from explorer.pareto.results import Results
from explorer.problem.columns import NUMERIC_KNOBS
from explorer.problem.study import load_study
from explorer.search.begin import Run, prepare
from explorer.search.collect import collect
from explorer.search.provenance import logged
from explorer.search.run import Execution, search
from explorer.search.samplers import batch_size, make_sampler

MakeRun = Callable[..., Run]
SAMPLERS = ["auto", "tpe", "nsga2", "nsga3", "qmc", "random", "grid"]
QUESTIONS = ["capped", "three", "union", "table"]


@pytest.mark.parametrize(
    ("question", "sampler"),
    [
        *[(question, sampler) for question in ("cnn", "mixed") for sampler in SAMPLERS],
        *[(question, sampler) for question in QUESTIONS for sampler in ("nsga2", "grid")],
        ("capped", "tpe"),
        ("table", "tpe"),
    ],
)
def test_every_sampler_proposes_designs_that_can_exist(make_run: MakeRun, question: str, sampler: str) -> None:
    run = make_run(question, sampler=sampler, trials=30)
    added = search(run)
    table = collect(run).table

    assert added == len(table["design_id"]) == 30
    assert (table["frequency_hz"] <= table["frequency_max_hz"] * (1 + 1e-9)).all()
    assert (table["domain_distance"] <= 0.5 + 1e-9).all()
    is_cool = table["power_w"] <= 22 if question == "capped" else np.ones(30, dtype=bool)
    assert table["is_feasible"].tolist() == is_cool.tolist()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_samples_are_the_first_trials(make_run: MakeRun, sampler: str) -> None:
    run = make_run("cnn", sampler=sampler, trials=12)
    search(run)
    results = collect(run)

    assert results.table["origin"].tolist() == ["sample"] * 3 + ["search"] * 9
    assert results.table["design_id"].tolist() == list(range(12))
    for name in NUMERIC_KNOBS:
        assert results.table[name][:3] == pytest.approx(results.samples[name], rel=1e-9)
    assert results.sample_labels == ("CNN1", "CNN2", "CNN3")


def test_only_samples_that_the_space_can_make_become_trials(make_run: MakeRun) -> None:
    """The table space fixes D = 0.03: of the CNN's three samples only the second has that step."""
    run = make_run("table", trials=5)
    search(run)
    table = collect(run).table

    assert table["origin"].tolist() == ["sample"] + ["search"] * 4
    assert table["pruning_ratio"][0] == 0.46


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_same_seed_gives_the_same_designs_and_another_seed_others(make_run: MakeRun, sampler: str) -> None:
    tables = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        run = make_run("cnn", sampler=sampler, seed=seed, folder=folder, trials=24)
        search(run)
        tables.append(collect(run).table)
    first, same, other = (_designs(table) for table in tables)

    assert first == same
    assert first != other


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_second_run_adds_nothing_and_a_larger_number_adds_the_difference(make_run: MakeRun, sampler: str) -> None:
    search(make_run(sampler=sampler, trials=20))

    assert search(make_run(sampler=sampler, trials=20)) == 0
    assert search(make_run(sampler=sampler, trials=10)) == 0
    assert search(make_run(sampler=sampler, trials=33)) == 13
    table = collect(make_run(sampler=sampler, trials=33)).table
    assert table["design_id"].tolist() == list(range(33))
    assert (table["origin"] == "sample").sum() == 3


@pytest.mark.parametrize("sampler", ["tpe", "qmc", "random"])
def test_a_resumed_search_proposes_no_design_twice(make_run: MakeRun, sampler: str) -> None:
    for trials in (10, 20, 30):
        search(make_run(sampler=sampler, trials=trials))
    repeated = [d for d, n in Counter(_designs(collect(make_run()).table)).items() if n > 1]

    assert repeated == []


def test_a_grid_takes_few_values_on_each_axis_and_no_design_twice(make_run: MakeRun) -> None:
    """16 trials on four axes: a lattice of two values each, of which the three samples leave 13 trials."""
    run = make_run(sampler="grid", trials=16)
    search(run)
    table = collect(run).table
    found = {name: table[name][table["origin"] == "search"] for name in NUMERIC_KNOBS}

    assert len(set(_designs(found))) == 13
    for name in ("pruning_ratio", "quant_step", "voltage_v"):
        axis = next(axis for axis in run.assessment.regions["CNN"].axes if axis.name == name)
        assert sorted(set(found[name])) == pytest.approx([axis.low, axis.high])


def test_a_grid_is_searched_to_its_last_point_and_on(make_run: MakeRun) -> None:
    """Three axes, eight corners, no samples in the way: the ninth trial begins a finer grid."""
    search(make_run("new", sampler="grid", trials=8))
    corners = collect(make_run("new")).table
    search(make_run("new", sampler="grid", trials=12))

    assert len(set(_designs(corners))) == 8
    assert collect(make_run("new")).n_complete == 12


def test_the_sampler_may_change_between_runs_of_one_study(make_run: MakeRun) -> None:
    search(make_run(sampler="random", trials=10))
    search(make_run(sampler="tpe", trials=20))
    search(make_run(sampler="nsga2", trials=30))
    search(make_run(sampler="qmc", trials=40))

    assert collect(make_run()).n_complete == 40


def test_progress_is_told_from_the_start_to_the_end_and_the_hypervolume_only_grows(make_run: MakeRun) -> None:
    told: list[tuple[int, int, float]] = []
    run = make_run(sampler="tpe", trials=15)
    search(run, progress=lambda done, wanted, volume: told.append((done, wanted, volume)))

    assert [done for done, _, _ in told] == list(range(3, 16))  # the three samples together, then one after the other
    assert {wanted for _, wanted, _ in told} == {15}
    volumes = [volume for _, _, volume in told]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(collect(run).hypervolume, rel=1e-12)


def test_a_resumed_run_tells_the_hypervolume_of_all_its_trials(make_run: MakeRun) -> None:
    search(make_run(trials=20))
    before = collect(make_run(trials=20)).hypervolume
    told: list[float] = []
    search(make_run(trials=25), progress=lambda *now: told.append(now[-1]))

    assert told[0] == pytest.approx(before, rel=1e-12)
    assert told[-1] == pytest.approx(collect(make_run(trials=25)).hypervolume, rel=1e-12)


@pytest.mark.parametrize("question", ["cnn", "capped", "union", "three"])
def test_plain_optuna_sees_the_same_front(make_run: MakeRun, tmp_path: Path, question: str) -> None:
    run = make_run(question, sampler="nsga2", trials=40)
    search(run)
    results = collect(run)
    stored = _plain(tmp_path / "out" / "study.journal", question)

    assert [d.name.lower() for d in stored.directions] == [o.direction for o in results.objectives]
    assert stored.metric_names == [o.name for o in results.objectives]
    ours = {tuple(row) for row in results.values[results.is_front].tolist()}
    assert {tuple(trial.values) for trial in stored.best_trials} == ours


def test_plain_optuna_sees_constraints_and_the_whole_configuration(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("capped", trials=12)
    search(run)
    table = collect(run).table
    for i, trial in enumerate(_plain(tmp_path / "out" / "study.journal", "capped").trials):
        assert set(trial.constraints) == {"operating_point", "domain", "power_w <= 22 W"}
        assert (trial.constraints["power_w <= 22 W"] <= 0) == (table["power_w"][i] <= 22)
        everything = {**trial.user_attrs, **trial.params}
        for name in (*NUMERIC_KNOBS, "accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "weighted_cost"):
            assert everything[name] == pytest.approx(table[name][i], rel=1e-12), name
        assert everything["is_feasible"] == table["is_feasible"][i]


def test_plain_optuna_can_add_trials_that_we_count(make_run: MakeRun, tmp_path: Path) -> None:
    search(make_run(trials=10))
    stored = _plain(tmp_path / "out" / "study.journal", "cnn")
    stored.add_trial(
        optuna.trial.create_trial(
            params=stored.trials[0].params, distributions=stored.trials[0].distributions, values=stored.trials[0].values
        )
    )

    assert collect(make_run()).n_complete == 11


def test_sqlite_works_as_a_storage(make_run: MakeRun, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    assert search(make_run(trials=8, url=url)) == 8
    assert search(make_run(trials=12, url=url)) == 4

    stored = optuna.load_study(study_name="cnn", storage=url)
    assert len(stored.trials) == 12
    assert not (tmp_path / "out").exists()


def test_two_studies_share_a_storage_without_mixing(make_run: MakeRun, tmp_path: Path) -> None:
    shared = str(tmp_path / "shared.journal")
    search(make_run("cnn", trials=8, url=shared))
    search(make_run("capped", trials=6, url=shared))

    assert collect(make_run("cnn", url=shared)).n_complete == 8
    assert collect(make_run("capped", url=shared)).n_complete == 6


def test_a_changed_question_is_refused_with_what_changed_and_both_ways_out(
    make_run: MakeRun, tmp_path: Path, model: Surrogate
) -> None:
    search(make_run("capped", trials=5))
    path = tmp_path / "capped.toml"
    path.write_text(path.read_text(encoding="utf-8").replace("22 W", "20 W"), encoding="utf-8")
    changed = prepare(assessment_of(load_study(str(path)), model), out=tmp_path / "out")
    before = (tmp_path / "out" / "study.journal").read_bytes()

    told = r'constraints: \["power_w <= 22 W"\] -> \["power_w <= 20 W"\](.|\n)*fix: put the declaration back.*--out DIR'
    for refuse in (search, collect):
        with pytest.raises(WrongUsage, match=told):
            refuse(changed)
    after = (tmp_path / "out" / "study.journal").read_bytes()
    assert before == after[: len(before)]
    assert len(_plain(tmp_path / "out" / "study.journal", "capped").trials) == 5


def test_other_samples_are_another_question(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(trials=5)
    search(run)
    columns = {name: values.copy() for name, values in paper_samples().columns.items()}
    columns["energy_j"] *= np.linspace(1.0, 1.1, 10)
    other = fit_surrogate(replace(paper_samples(), columns=columns, sha256="other"), name="paper")
    with pytest.raises(WrongUsage, match=r"the question has changed .*model"):
        search(prepare(replace(run.assessment, evaluator=other), out=tmp_path / "out"))


def test_a_study_that_explorer_did_not_begin_is_left_alone(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    foreign = _plain(tmp_path / "out" / "study.journal", "cnn", create=True)
    foreign.add_trial(optuna.trial.create_trial(values=[1.0, 2.0]))
    with pytest.raises(WrongUsage, match="explorer did not begin"):
        search(make_run())

    assert len(_plain(tmp_path / "out" / "study.journal", "cnn").trials) == 1


def test_a_stop_between_batches_keeps_everything_told_and_leaves_nothing_running(
    make_run: MakeRun, tmp_path: Path
) -> None:
    answers = iter([False] * 4 + [True])  # after the three samples
    with pytest.raises(Interrupted, match=r"stopped after 7 of 30 trials(.|\n)*run the same command again") as caught:
        search(make_run(sampler="tpe"), should_stop=lambda: next(answers))

    assert caught.value.exit_code == 130
    assert _states(tmp_path, "cnn") == {TrialState.COMPLETE: 7}
    assert search(make_run(sampler="tpe")) == 23


def test_ctrl_c_ends_the_run_after_the_batch_at_hand(make_run: MakeRun, tmp_path: Path) -> None:
    def press(done: int, wanted: int, best_hypervolume: float) -> None:
        if done == 5:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="stopped after 5 of 30"):
        search(make_run(sampler="tpe"), progress=press)

    assert signal.getsignal(signal.SIGINT) is before
    assert _states(tmp_path, "cnn") == {TrialState.COMPLETE: 5}


class _Broken:
    """An evaluator whose n-th call fails, as a meter that is unplugged does."""

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
def test_whatever_stops_a_batch_leaves_no_trial_running(
    make_run: MakeRun, tmp_path: Path, error: BaseException
) -> None:
    run = make_run("cnn", sampler="tpe", trials=10)
    # Asked for a study without trials, and for four designs: then it breaks.
    broken = replace(run.assessment, evaluator=_Broken(run.assessment.evaluator, 5, error))
    with pytest.raises(type(error)):
        search(replace(run, assessment=broken))

    assert _states(tmp_path, "cnn") == {TrialState.COMPLETE: 4}


def test_failed_trials_do_not_count_and_do_not_show(make_run: MakeRun, tmp_path: Path) -> None:
    search(make_run(trials=5))
    stored = _plain(tmp_path / "out" / "study.journal", "cnn")
    stored.tell(stored.ask(), state=TrialState.FAIL)

    assert search(make_run(trials=8)) == 3
    assert collect(make_run()).n_complete == 8


def test_every_run_is_logged_with_its_sampler_seed_and_times(make_run: MakeRun) -> None:
    times = iter(datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in range(1, 9))
    for trials, sampler in ((5, "random"), (5, "random"), (9, "tpe")):
        run = make_run(trials=trials, sampler=sampler, seed=3)
        with logged(run, clock=lambda: next(times), execution={}):
            search(run)
    origin = collect(run).provenance

    assert [(r["sampler"], r["seed"], r["from"], r["to"]) for r in origin["runs"]] == [
        ("random", 3, 0, 5),
        ("tpe", 3, 5, 9),
    ]
    assert origin["began"] == "2026-01-01T00:00:00+00:00"
    assert origin["storage"].endswith("study.journal")
    assert json.loads(json.dumps(origin, allow_nan=False)) == origin


def test_an_interrupted_run_is_logged_too(make_run: MakeRun) -> None:
    run = make_run(sampler="tpe")
    answers = iter([False] * 4 + [True])
    with pytest.raises(Interrupted, match="stopped after 7"), logged(run, clock=_noon, execution={}):
        search(run, should_stop=lambda: next(answers))

    assert [(r["from"], r["to"]) for r in collect(run).provenance["runs"]] == [(0, 7)]


@pytest.mark.parametrize("question", ["cnn", "capped", "union", "table"])
def test_the_front_of_a_run_holds_only_feasible_designs_that_nothing_dominates(
    make_run: MakeRun, question: str
) -> None:
    run = make_run(question, trials=60)
    search(run)
    results = collect(run)
    values = results.values * np.array([o.sign for o in results.objectives])
    feasible = results.table["is_feasible"]

    assert results.is_front.any()
    for i in np.flatnonzero(results.is_front):
        assert feasible[i]
        beats = (values <= values[i]).all(axis=1) & (values < values[i]).any(axis=1) & feasible
        assert not beats.any()


def test_the_results_of_a_run_survive_their_folder(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("capped", trials=20)
    with logged(run, clock=_noon, execution={}):
        search(run)
    results = collect(run)
    write_folder(results, tmp_path / "out")
    again = read_folder(tmp_path / "out")

    assert isinstance(again, Results)
    assert again.provenance == results.provenance
    assert again.notes == results.notes
    for name, values in results.table.items():
        assert again.table[name].tolist() == values.tolist(), name


def test_a_study_nobody_has_searched_has_no_designs(make_run: MakeRun) -> None:
    results = collect(make_run())

    assert results.n_complete == 0
    assert results.hypervolume == 0
    assert not results.is_front.any()


def test_without_a_declared_reference_point_one_is_computed_that_every_design_beats(make_run: MakeRun) -> None:
    run = make_run("three", trials=40)
    search(run)
    results = collect(run)
    signs = np.array([o.sign for o in results.objectives])

    assert (results.values * signs < np.array(run.reference) * signs).all()
    assert make_run("three", seed=9).reference == run.reference


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed: the gp sampler works")
def test_gp_without_torch_names_the_line_that_installs_it(make_run: MakeRun) -> None:
    with pytest.raises(MissingPart, match=r"torch is not installed(.|\n)*pip install 'explorer\[gp\]'") as caught:
        search(make_run(sampler="gp"))

    assert caught.value.exit_code == 5


def test_an_unknown_sampler_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"unknown name 'nsga4'\n  fix: did you mean 'nsga"):
        make_sampler("nsga4", seed=0, done=0, trials=1, distributions={})


def test_samplers_that_learn_from_every_trial_are_asked_one_by_one() -> None:
    assert {name: batch_size(name) for name in ("tpe", "gp", "nsga2", "nsga3")} == {
        "tpe": 1,
        "gp": 1,
        "nsga2": 50,
        "nsga3": 50,
    }


@pytest.mark.parametrize("workers", [0, -1, 1000])
def test_a_number_of_workers_that_cannot_be_is_refused(workers: int) -> None:
    with pytest.raises(WrongUsage, match=rf"workers = {workers} is outside \[1, 256\]"):
        Execution(workers=workers)


def test_predicted_designs_need_no_workers_and_it_is_said(make_run: MakeRun) -> None:
    told: list[str] = []

    assert search(make_run(trials=5), execution=Execution(workers=8), notify=told.append) == 5
    assert told == ["note: designs are predicted, by the thousand, in this process: workers are for measured studies"]


def _noon() -> datetime.datetime:
    return datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


def _designs(table: Any) -> list[tuple[float, ...]]:
    family = table.get("family", np.zeros(len(table["voltage_v"])))
    return list(zip(family.tolist(), *[table[name].tolist() for name in NUMERIC_KNOBS], strict=True))


def _plain(path: Path, name: str, *, create: bool = False) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))
    if create:
        return optuna.create_study(study_name=name, storage=storage, directions=["minimize", "maximize"])
    return optuna.load_study(study_name=name, storage=storage)


def _states(folder: Path, name: str) -> dict[TrialState, int]:
    trials = _plain(folder / "out" / "study.journal", name).trials
    return dict(Counter(trial.state for trial in trials if trial.state != TrialState.WAITING))
