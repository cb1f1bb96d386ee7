"""The real optuna-dashboard on a study: what it is told is true, and nothing it does can harm the study."""

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from explorer.errors import WrongUsage
from explorer.pareto.results import Results
from explorer.search import dashboard
from explorer.search.begin import Run
from explorer.search.collect import collect
from explorer.search.dashboard import Dashboard, feasible_best, find_study, open_dashboard
from explorer.search.dashboard_view import ReadOnly, StudyView, as_shown
from explorer.search.run import search
from explorer.search.storage import JOURNAL_NAME, open_storage

MakeRun = Callable[..., Run]
N = 40


@pytest.fixture
def capped(make_run: MakeRun) -> Run:
    """A finished study with a cap that many of its designs miss."""
    run = make_run("capped", trials=N)
    search(run)
    return run


@pytest.fixture
def storage(capped: Run) -> BaseStorage:
    return open_storage(None, capped.out)


@pytest.fixture
def found(capped: Run) -> Results:
    return collect(capped)


@pytest.fixture
def server(storage: BaseStorage) -> Iterator[Dashboard]:
    """The real dashboard, answering on a free port of this machine."""
    if find_spec("optuna_dashboard") is None:
        if os.environ.get("CI"):
            pytest.fail("optuna-dashboard is not installed; continuous integration must have it (extra `dev`)")
        pytest.skip("optuna-dashboard is not installed (extra `dashboard`)")
    opened = open_dashboard(storage, "capped", host="127.0.0.1", port=0)
    thread = threading.Thread(target=opened.serve, daemon=True)
    thread.start()
    yield opened
    opened.server.shutdown()
    thread.join()
    opened.close()


def ask(server: Dashboard, path: str, *, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """Return the status and the answer of a request, JSON where it is."""
    origin = server.url.partition("/dashboard/")[0]
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(  # noqa: S310 - to this machine
        origin + path, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            text = answer.read().decode()
            return answer.status, json.loads(text) if "json" in (answer.headers["Content-Type"] or "") else text
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_the_study_is_named_with_its_metrics_and_their_directions(server: Dashboard) -> None:
    _, studies = ask(server, "/api/studies")
    _, detail = ask(server, "/api/studies/0")

    assert [study["study_name"] for study in studies["study_summaries"]] == ["capped"]
    assert server.url.endswith("/dashboard/studies/0")
    assert detail["name"] == "capped"
    assert detail["objective_names"] == ["edp_js", "accuracy"]
    assert detail["directions"] == ["minimize", "maximize"]
    assert len(detail["trials"]) == N


def test_infeasible_trials_are_told_as_infeasible_and_their_limits_by_name(server: Dashboard, found: Results) -> None:
    """The dashboard's page calls a trial infeasible where one of its `constraints` is above 0."""
    _, detail = ask(server, "/api/studies/0")
    is_feasible = {trial["number"]: all(c <= 0 for c in trial["constraints"]) for trial in detail["trials"]}
    limits = {attr["key"]: attr["sortable"] for attr in detail["union_user_attrs"] if attr["key"].startswith("limit")}

    assert is_feasible == dict(zip(found.table["design_id"], found.table["is_feasible"], strict=True))
    assert len(set(is_feasible.values())) == 2
    assert limits == {"limit: operating_point": True, "limit: domain": True, "limit: power_w <= 22 W": True}
    for trial in detail["trials"]:
        told = {attr["key"]: float(attr["value"]) for attr in trial["user_attrs"] if attr["key"] in limits}
        assert sorted(told.values()) == sorted(trial["constraints"])


def test_predictions_are_attributes_that_can_be_sorted(server: Dashboard, found: Results) -> None:
    _, detail = ask(server, "/api/studies/0")
    sortable = {attr["key"] for attr in detail["union_user_attrs"] if attr["sortable"]}
    power = [float(attr["value"]) for t in detail["trials"] for attr in t["user_attrs"] if attr["key"] == "power_w"]

    assert {"power_w", "energy_j", "frequency_hz", "weighted_cost"} <= sortable
    assert power == pytest.approx(found.table["power_w"].tolist())


def test_the_best_trials_are_the_front(server: Dashboard, found: Results) -> None:
    _, detail = ask(server, "/api/studies/0")

    best = sorted(trial["number"] for trial in detail["best_trials"])
    assert best == sorted(found.front_columns["design_id"].tolist())


def test_its_plots_and_its_csv_are_served(server: Dashboard) -> None:
    for path in ("param_importances", "plot/pareto_front", "plot/rank", "plot/edf", "plot/timeline"):
        assert ask(server, f"/api/studies/0/{path}")[0] == 200
    status, table = ask(server, "/csv/0")

    assert status == 200
    assert table.splitlines()[0].startswith("Number,State,edp_js,accuracy")
    assert table.count("\n") == N + 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/trials/3/tell", {"state": "Fail"}),
        ("POST", "/api/trials/3/user-attrs", {"user_attrs": {"power_w": 1.0}}),
        ("POST", "/api/studies/0/rename", {"study_name": "other"}),
        ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
        ("DELETE", "/api/studies/0", {}),
        ("POST", "/api/studies/0/preference", {"mode": "ChooseWorst", "candidates": [1, 2], "clicked": 1}),
        ("PUT", "/api/studies/0/preference_feedback_component", {"output_type": "note"}),
        ("POST", "/api/artifacts/0/3", {"file": "data:text/plain;base64,aGk=", "filename": "x.txt"}),
    ],
)
def test_what_would_change_the_study_is_refused_with_a_reason(
    server: Dashboard, capped: Run, method: str, path: str, body: Any
) -> None:
    before = (capped.out / JOURNAL_NAME).read_bytes()
    status, said = ask(server, path, method=method, body=body)

    assert status == 403
    assert "only notes are kept" in said["reason"]
    assert (capped.out / JOURNAL_NAME).read_bytes() == before


def test_notes_are_kept_and_the_search_goes_on_as_without_them(
    server: Dashboard, capped: Run, make_run: MakeRun
) -> None:
    for path in ("/api/studies/0/note", "/api/studies/0/3/note"):
        assert ask(server, path, method="PUT", body={"version": 1, "body": "look **here**"})[0] == 204
    _, detail = ask(server, "/api/studies/0")

    assert detail["note"] == {"version": 1, "body": "look **here**"}
    assert detail["trials"][3]["note"]["body"] == "look **here**"
    for run in (make_run("capped", trials=N + 10), make_run("capped", trials=N, folder="without")):
        search(run)
    search(make_run("capped", trials=N + 10, folder="without"))
    with_notes, without = (collect(make_run("capped", folder=folder)) for folder in ("out", "without"))
    assert with_notes.values.tolist() == without.values.tolist()


def test_a_run_that_goes_on_is_seen(server: Dashboard, make_run: MakeRun) -> None:
    search(make_run("capped", trials=N + 5))

    assert len(ask(server, "/api/studies/0")[1]["trials"]) == N + 5


def test_a_port_in_use_is_told(server: Dashboard, storage: BaseStorage) -> None:
    port = server.server.server_port
    with pytest.raises(WrongUsage, match=rf"cannot listen on 127.0.0.1:{port}: (.|\n)*fix: choose another port"):
        open_dashboard(storage, "capped", host="127.0.0.1", port=port)


def test_a_dashboard_that_finds_its_best_trials_elsewhere_is_refused(
    server: Dashboard, storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown by another version, infeasible trials would be called best: better to say so."""
    monkeypatch.setattr(dashboard, "_BEST", "renamed_in_a_later_version")
    with pytest.raises(WrongUsage, match=r"infeasible trials among the best(.|\n)*explorer\[dashboard\]"):
        open_dashboard(storage, "capped", host="127.0.0.1", port=0)


def test_the_view_leaves_the_stored_trials_as_they_are(storage: BaseStorage) -> None:
    view = StudyView(storage, 0)
    before = [(dict(t.system_attrs), dict(t.user_attrs)) for t in storage.get_all_trials(0, deepcopy=False)]
    shown = view.get_all_trials(0, deepcopy=False)

    assert [(t.system_attrs, t.user_attrs) for t in storage.get_all_trials(0, deepcopy=False)] == before
    assert all("constraints" in trial.system_attrs for trial in shown)
    assert view.get_trial(shown[5]._trial_id).system_attrs == shown[5].system_attrs  # noqa: SLF001


def test_in_the_view_no_violation_counts_twice(storage: BaseStorage) -> None:
    for trial in storage.get_all_trials(0, deepcopy=False):
        assert sorted(as_shown(trial).constraints.values()) == sorted(trial.constraints.values())


def test_a_trial_without_constraints_is_shown_as_it_is() -> None:
    trial = create_trial(values=[1.0])

    assert as_shown(trial) is trial


@pytest.mark.parametrize(
    "write",
    [
        lambda view: view.create_new_study([optuna.study.StudyDirection.MINIMIZE], study_name="x"),
        lambda view: view.delete_study(0),
        lambda view: view.set_study_user_attr(0, "explorer:runs", []),
        lambda view: view.set_study_system_attr(0, "study:metric_names", ["a", "b"]),
        lambda view: view.set_study_system_attr(0, "dashboard:preference", "x"),
        lambda view: view.create_new_trial(0, template_trial=None),
        lambda view: view.set_trial_state_values(3, TrialState.FAIL, values=None),
        lambda view: view.set_trial_user_attr(3, "power_w", 1.0),
        lambda view: view.set_trial_system_attr(3, "constraints", [0.0]),
        lambda view: view.set_trial_param(3, "x", 1.0, None),
        lambda view: view.set_trial_intermediate_value(3, 0, 1.0),
    ],
)
def test_the_view_itself_refuses_every_write_but_notes(storage: BaseStorage, write: Callable[[Any], None]) -> None:
    with pytest.raises(ReadOnly, match="only notes"):
        write(StudyView(storage, 0))


def test_other_studies_of_the_storage_are_not_shown() -> None:
    storage = InMemoryStorage()
    for name in ("one", "two"):
        optuna.create_study(storage=storage, study_name=name)
    view = StudyView(storage, 1)

    assert [study.study_name for study in view.get_all_studies()] == ["two"]
    assert view.get_study_id_from_name("two") == 1
    with pytest.raises(KeyError):
        view.get_all_trials(0)
    with pytest.raises(KeyError):
        view.get_study_id_from_name("one")


def test_infeasible_trials_neither_are_the_best_nor_hide_them() -> None:
    minimize = [optuna.study.StudyDirection.MINIMIZE, optuna.study.StudyDirection.MAXIMIZE]
    trials = [
        create_trial(values=[0.0, 9.0], constraints={"cap": 1.0}),
        create_trial(values=[1.0, 2.0], constraints={"cap": 0.0}),
        create_trial(values=[2.0, 1.0], constraints={"cap": -1.0}),
        create_trial(state=TrialState.FAIL),
    ]

    assert feasible_best(trials, minimize) == [trials[1]]
    assert feasible_best(trials[-1:], minimize) == []


def test_the_best_trials_are_those_of_optuna(storage: BaseStorage) -> None:
    study = optuna.load_study(study_name="capped", storage=storage)
    best = feasible_best(study.trials, study.directions)

    assert np.unique(numbers(best)).tolist() == np.unique(numbers(study.best_trials)).tolist()


def numbers(trials: list[FrozenTrial]) -> list[int]:
    return [trial.number for trial in trials]


def test_a_study_is_found_in_its_folder_or_where_it_is_said_to_be(make_run: MakeRun, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    for run in (make_run("cnn", trials=3, folder="any-name"), make_run("cnn", trials=3, url=url)):
        search(run)

    assert find_study(tmp_path / "any-name", None)[1] == "cnn"
    stored, name = find_study(tmp_path / "cnn", url)
    assert [study.study_name for study in stored.get_all_studies()] == [name] == ["cnn"]


@pytest.mark.parametrize("url", ["sqlite:///{}/none.db", "{}/none.journal", "journal://{}/none.journal", None])
def test_looking_never_begins_a_storage(tmp_path: Path, url: str | None) -> None:
    with pytest.raises(WrongUsage, match=r"kept (there|elsewhere)(.|\n)*fix: (.|\n)*--storage"):
        find_study(tmp_path, url and url.format(tmp_path))

    assert not list(tmp_path.iterdir())


def test_a_study_that_the_storage_lacks_is_told_with_the_nearest(storage: BaseStorage, capped: Run) -> None:
    assert capped.study.study_name == "capped"
    with pytest.raises(WrongUsage, match=r"holds no study 'caped'(.|\n)*did you mean 'capped'"):
        open_dashboard(storage, "caped", host="127.0.0.1", port=0)
