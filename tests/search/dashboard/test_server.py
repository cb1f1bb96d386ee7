"""optuna-dashboard on a study: its content is correct, and no request changes the study."""

import json
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import BaseStorage, InMemoryStorage
from optuna.trial import TrialState, create_trial

from explorer.errors import WrongUsage
from explorer.search.collect import collect_results
from explorer.search.dashboard import server as dashboard
from explorer.search.dashboard.read_only_view import ReadOnly, ReadOnlyStorage, dashboard_trial
from explorer.search.dashboard.server import Dashboard, feasible_best, find_study, open_dashboard
from explorer.search.run import search
from explorer.search.session import SearchSession
from explorer.search.storage.open import JOURNAL_NAME, open_storage
from tests.search.conftest import MakeSession

N = 40


@pytest.fixture
def capped(make_session: MakeSession) -> SearchSession:
    """Finished study with a constraint that many of its designs violate."""
    session = make_session("capped", trials=N)
    search(session)
    return session


@pytest.fixture
def storage(capped: SearchSession) -> BaseStorage:
    return open_storage(None, capped.out)


@pytest.fixture
def server(storage: BaseStorage) -> Iterator[Dashboard]:
    """Dashboard on a free local port."""
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


def ask(server: Dashboard, path: str, method: str = "GET", body: Any = None) -> tuple[int, Any]:
    """Return the status and the body of a response, parsed if it is JSON."""
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


def test_dashboard_serves_metrics_plots_and_csv(server: Dashboard) -> None:
    _, studies = ask(server, "/api/studies")
    _, detail = ask(server, "/api/studies/0")
    _, table = ask(server, "/csv/0")

    assert [study["study_name"] for study in studies["study_summaries"]] == ["capped"]
    assert server.url.endswith("/dashboard/studies/0")
    assert (detail["name"], len(detail["trials"])) == ("capped", N)
    assert detail["objective_names"] == ["edp_js", "accuracy"]
    assert detail["directions"] == ["minimize", "maximize"]
    for path in ("param_importances", "plot/pareto_front", "plot/rank", "plot/edf", "plot/timeline"):
        assert ask(server, f"/api/studies/0/{path}")[0] == 200
    assert table.splitlines()[0].startswith("Number,State,edp_js,accuracy")
    assert table.count("\n") == N + 1


def test_dashboard_constraints_and_front_match_explorer(server: Dashboard, capped: SearchSession) -> None:
    """The page shows a trial as infeasible if one of its `constraints` is above 0."""
    results, (_, detail) = collect_results(capped), ask(server, "/api/studies/0")
    trials = detail["trials"]
    is_sortable = {attr["key"]: attr["sortable"] for attr in detail["union_user_attrs"]}
    limits = ["limit: domain", "limit: operating_point", "limit: power_w <= 22 W"]
    attrs = [{attr["key"]: attr["value"] for attr in trial["user_attrs"]} for trial in trials]
    is_feasible = {trial["number"]: all(c <= 0 for c in trial["constraints"]) for trial in trials}

    table = results.trials
    assert is_feasible == dict(zip(table["design_id"], table["is_feasible"], strict=True))
    assert len(set(is_feasible.values())) == 2
    assert sorted(key for key in is_sortable if key.startswith("limit")) == limits
    for trial, own in zip(trials, attrs, strict=True):
        assert sorted(float(own[key]) for key in limits) == sorted(trial["constraints"])
    names = {*limits, "power_w", "energy_j", "frequency_hz", "weighted_cost"}
    assert names <= {key for key, sortable in is_sortable.items() if sortable}
    assert [float(own["power_w"]) for own in attrs] == pytest.approx(table["power_w"].tolist())
    best = sorted(trial["number"] for trial in detail["best_trials"])
    # Optuna knows no measured rows: what only they displace is among its best trials.
    assert set(results.front_columns["design_id"].tolist()) - set(table["design_id"].tolist()) <= {-1, -2, -3}
    assert {number for number in results.front_columns["design_id"].tolist() if number >= 0} <= set(best)


def test_dashboard_writes_are_refused_with_a_reason(server: Dashboard, capped: SearchSession) -> None:
    before = (capped.out / JOURNAL_NAME).read_bytes()
    for method, path, body in (
        ("POST", "/api/trials/3/tell", {"state": "Fail"}),
        ("POST", "/api/trials/3/user-attrs", {"user_attrs": {"power_w": 1.0}}),
        ("POST", "/api/studies/0/rename", {"study_name": "other"}),
        ("POST", "/api/studies", {"study_name": "new", "directions": ["minimize"]}),
        ("DELETE", "/api/studies/0", {}),
        ("POST", "/api/studies/0/preference", {"mode": "ChooseWorst", "candidates": [1, 2], "clicked": 1}),
        ("PUT", "/api/studies/0/preference_feedback_component", {"output_type": "note"}),
        ("POST", "/api/artifacts/0/3", {"file": "data:text/plain;base64,aGk=", "filename": "x.txt"}),
    ):
        status, answer = ask(server, path, method, body)
        assert (path, status) == (path, 403)
        assert "only notes are stored" in answer["reason"]

    assert (capped.out / JOURNAL_NAME).read_bytes() == before


@pytest.mark.slow
def test_dashboard_notes_are_stored_without_effect_on_a_search(server: Dashboard, make_session: MakeSession) -> None:
    for path in ("/api/studies/0/note", "/api/studies/0/3/note"):
        assert ask(server, path, "PUT", {"version": 1, "body": "look **here**"})[0] == 204
    for folder, trials in (("out", N + 10), ("without", N), ("without", N + 10)):
        search(make_session("capped", trials=trials, folder=folder))
    _, detail = ask(server, "/api/studies/0")
    with_notes, without = (collect_results(make_session("capped", folder=folder)) for folder in ("out", "without"))

    assert detail["note"] == {"version": 1, "body": "look **here**"}
    assert detail["trials"][3]["note"]["body"] == "look **here**"
    assert len(detail["trials"]) == N + 10  # trials of a concurrent run are shown
    assert with_notes.values.tolist() == without.values.tolist()


def test_unsupported_dashboard_or_study_is_refused(
    server: Dashboard, storage: BaseStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = server.server.server_port
    for name, own_port, message in (
        ("capped", port, rf"cannot listen on 127.0.0.1:{port}: (.|\n)*fix: choose another port"),
        ("caped", 0, r"has no study 'caped'(.|\n)*did you mean 'capped'"),
    ):
        with pytest.raises(WrongUsage, match=message):
            open_dashboard(storage, name, host="127.0.0.1", port=own_port)
    # Another version without the replaced function would show infeasible trials as the best.
    monkeypatch.setattr(dashboard, "_BEST", "renamed_in_a_later_version")
    with pytest.raises(WrongUsage, match=r"infeasible trials among the best(.|\n)*optuna-dashboard<"):
        open_dashboard(storage, "capped", host="127.0.0.1", port=0)


def test_view_shows_constraints_once_and_refuses_writes(storage: BaseStorage) -> None:
    view = ReadOnlyStorage(storage, 0)
    stored = storage.get_all_trials(0, deepcopy=False)
    before = [(dict(t.system_attrs), dict(t.user_attrs)) for t in stored]
    trials = view.get_all_trials(0, deepcopy=False)
    for write in (name for name in BaseStorage.__abstractmethods__ if name.startswith(("create", "delete", "set"))):
        for key in ("study:metric_names", "dashboard:preference"):
            with pytest.raises(ReadOnly, match="only notes"):
                getattr(view, write)(0, key, None)

    assert [(t.system_attrs, t.user_attrs) for t in storage.get_all_trials(0, deepcopy=False)] == before
    assert all("constraints" in trial.system_attrs for trial in trials)
    assert view.get_trial(trials[5]._trial_id).system_attrs == trials[5].system_attrs  # noqa: SLF001
    assert all(sorted(dashboard_trial(t).constraints.values()) == sorted(t.constraints.values()) for t in stored)
    unconstrained = create_trial(values=[1.0])
    assert dashboard_trial(unconstrained) is unconstrained


def test_view_hides_the_other_studies_of_the_storage() -> None:
    storage = InMemoryStorage()
    for name in ("one", "two"):
        optuna.create_study(storage=storage, study_name=name)
    view = ReadOnlyStorage(storage, 1)

    assert [study.study_name for study in view.get_all_studies()] == ["two"]
    assert view.get_study_id_from_name("two") == 1
    with pytest.raises(KeyError):
        view.get_all_trials(0)
    with pytest.raises(KeyError):
        view.get_study_id_from_name("one")


def test_best_trials_are_feasible_and_match_optuna(storage: BaseStorage) -> None:
    study = optuna.load_study(study_name="capped", storage=storage)
    trials = [
        create_trial(values=[0.0, 9.0], constraints={"cap": 1.0}),
        create_trial(values=[1.0, 2.0], constraints={"cap": 0.0}),
        create_trial(values=[2.0, 1.0], constraints={"cap": -1.0}),
        create_trial(state=TrialState.FAIL),
    ]

    assert feasible_best(trials, study.directions) == [trials[1]]
    assert feasible_best(trials[-1:], study.directions) == []
    best = {trial.number for trial in feasible_best(study.trials, study.directions)}
    assert best == {trial.number for trial in study.best_trials}


def test_study_is_located_by_folder_or_storage(make_session: MakeSession, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    for session in (make_session(trials=3, folder="any-name"), make_session(trials=3, url=url)):
        search(session)

    assert find_study(tmp_path / "any-name", None)[1] == "cnn"
    stored, name = find_study(tmp_path / "cnn", url)
    assert [study.study_name for study in stored.get_all_studies()] == [name] == ["cnn"]


@pytest.mark.parametrize("url", ["sqlite:///{}/none.db", "{}/none.journal", "journal://{}/none.journal", None])
def test_missing_storage_is_not_created(tmp_path: Path, url: str | None) -> None:
    with pytest.raises(WrongUsage, match=r"(contains no trials|in another storage)(.|\n)*fix: (.|\n)*--storage"):
        find_study(tmp_path, url and url.format(tmp_path))

    assert not list(tmp_path.iterdir())
