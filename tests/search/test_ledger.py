"""Ledgers: one claim for one design, an end that ends once, signs of life; and plain Optuna reads all of it."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from explorer.api import load
from explorer.models.assessment import Assessment
from explorer.search.begin import Run, prepare
from explorer.search.board import Board
from explorer.search.claiming import Claims
from explorer.search.draft import Drafter
from explorer.search.encoding import Encoding, rows_of
from explorer.search.history import history_of
from explorer.search.learning import LearningSampler
from explorer.search.ledger import Ending, JournalLedger, Ledger, OpenLedger
from explorer.search.ledgers import ledger_of
from explorer.search.losses import end_lost
from explorer.search.marks import LOST_ATTR, WORKER_ATTR, Mark, at_work, mark_of
from explorer.search.next_step import Step
from explorer.search.patience import Patience
from explorer.search.trying import Trier
from explorer.search.view import View
from explorer.search.watch import BEAT_S, GRACE_S, Watch
from tests.search.measured import FINITE, make_measured

Opens = Callable[[], tuple[Run, Ledger]]
DONE = Ending(TrialState.COMPLETE, [1.0, float("inf")], {"note": "x"}, {"constraints": [0.5]})


@pytest.fixture
def meanwhile() -> list[Callable[[], object]]:
    """What happens while a design is measured."""
    return []


@pytest.fixture
def assessment(tmp_path: Path, meanwhile: list[Callable[[], object]]) -> Assessment:
    boards = make_measured(tmp_path, trials=12, space=FINITE)

    def measure(design: Mapping[str, Any]) -> Mapping[str, Any]:
        for happen in meanwhile:
            happen()
        return {"accuracy": 1 - design["quant_step"], "energy_j": design["frequency_hz"] / 1e9}

    return load(str(boards.folder / "boards.toml"), measure=measure)


@pytest.fixture(
    params=[
        "journal",
        pytest.param("postgresql", marks=pytest.mark.xdist_group("postgresql")),
        pytest.param("any storage", marks=pytest.mark.xdist_group("postgresql")),
    ]
)
def opened(request: pytest.FixtureRequest, assessment: Assessment, tmp_path: Path) -> Iterator[Opens]:
    """Open one more process's view of the same study, as it were."""
    url = None if request.param == "journal" else request.getfixturevalue("database")
    ledgers: list[Ledger] = []

    def more() -> tuple[Run, Ledger]:
        run = prepare(assessment, out=tmp_path / "out", storage_url=url)
        distributions = Encoding(assessment.regions).distributions()
        is_open = request.param == "any storage"
        ledgers.append(OpenLedger(run.study, distributions) if is_open else ledger_of(run.study, distributions))
        return run, ledgers[-1]

    yield more
    for ledger in ledgers:
        ledger.close()


def template(run: Run, params: dict[str, Any] | None = None) -> FrozenTrial:
    encoding = Encoding(run.assessment.regions)
    given = params or rows_of(encoding.encode(run.assessment.every_design()))[0]
    return optuna.trial.create_trial(
        state=TrialState.RUNNING, params=given, distributions=encoding.distributions(), user_attrs={"origin": "search"}
    )


def as_optuna_reads(run: Run) -> list[FrozenTrial]:
    again = prepare(run.assessment, out=run.out, storage_url=run.storage_url)
    return again.study.get_trials(deepcopy=False)


def test_of_many_workers_one_gets_a_design(opened: Opens) -> None:
    views = [opened() for _ in range(4)]

    def claim(view: tuple[Run, Ledger]) -> list[FrozenTrial]:
        run, ledger = view
        designs = rows_of(Encoding(run.assessment.regions).encode(run.assessment.every_design()))
        with at_work(0) as me:
            claims = Claims(me, ledger, Board(run.assessment), Patience("here", say=lambda _: None))
            made = [claims.make(template(run, params)) for params in designs]
        return [trial for trial in made if trial is not None]

    with ThreadPoolExecutor(4) as pool:
        claimed = [trial for found in pool.map(claim, views) for trial in found]

    assert len(claimed) == 12
    assert len({str(trial.params) for trial in claimed}) == 12
    running = [t for t in as_optuna_reads(views[0][0]) if t.state == TrialState.RUNNING]
    assert sorted(t.number for t in running) == sorted(t.number for t in claimed)


def test_what_is_stored_is_what_optuna_reads_and_what_others_see(opened: Opens) -> None:
    (run, ledger), (_, other) = opened(), opened()
    trial = ledger.claim(template(run), lambda _: True)
    assert trial
    other.refresh()
    assert other.trials[trial.number].params == trial.params
    assert ledger.end(trial._trial_id, DONE)
    other.refresh()
    (read,) = as_optuna_reads(run)

    for seen in (read, other.trials[0]):
        assert (seen.state, seen.values, seen.params) == (TrialState.COMPLETE, DONE.values, trial.params)
        assert seen.user_attrs == {"origin": "search", "note": "x"}
        assert seen.system_attrs == {"constraints": [0.5]}
        assert seen.distributions == trial.distributions
    assert read.datetime_start
    assert read.datetime_complete
    assert read.datetime_start <= read.datetime_complete


def test_a_trial_ends_once(opened: Opens) -> None:
    (run, ledger), (_, other) = opened(), opened()
    trial = ledger.claim(template(run), lambda _: True)
    assert trial

    assert [one.end(trial._trial_id, DONE) for one in (ledger, other, ledger)] == [True, False, False]


def test_an_enqueued_trial_is_taken_by_one(opened: Opens) -> None:
    (run, ledger), (_, other) = opened(), opened()
    run.study.enqueue_trial({"mode": "eco"})
    ledger.refresh()
    other.refresh()
    with at_work(0) as me, at_work(1) as rival:
        assert ledger.take_waiting(ledger.trials[0], me)
        assert not other.take_waiting(other.trials[0], rival)
    ledger.add_params(ledger.trials[0], template(run).params)
    (read,) = as_optuna_reads(run)

    assert read.state == TrialState.RUNNING
    assert read.params == template(run).params
    assert read.system_attrs[WORKER_ATTR]["worker"] == me.worker


def test_a_worker_on_another_machine_is_lost_after_a_minute_of_silence(opened: Opens) -> None:
    """Not before, and not while it gives signs of life; whose clock is right does not matter."""
    (run, ledger), (_, theirs) = opened(), opened()
    view = View(run, patience=Patience("here", say=lambda _: None), progress=None)
    with closing(view.ledger), at_work(1) as me:
        far = Mark("far", 0, "far-node", "another kernel", 1, 1, "claim")
        made = template(run)
        made.system_attrs = {WORKER_ATTR: far.as_json()}
        trial = theirs.claim(made, lambda _: True)
        assert trial
        now = 0.0
        watch, said = Watch(ledger, clock=lambda: now), list[str]()

        def pass_by(seconds: float, *, is_alive: bool) -> bool:
            nonlocal now
            for i in range(round(seconds / BEAT_S)):
                now += BEAT_S
                if is_alive:
                    theirs.beat(trial._trial_id, round(now) * 1000 + i)
                watch.tick()
            view.look()
            return end_lost(view, me=me, watch=watch, say=said.append)

        assert not pass_by(3 * GRACE_S, is_alive=True)
        assert not pass_by(GRACE_S - BEAT_S, is_alive=False)
        assert pass_by(4 * BEAT_S, is_alive=False)
        view.look()

        assert LOST_ATTR in view.ledger.trials[0].system_attrs
        assert [dict(params) for _, params in view.board.to_repeat] == [trial.params]
        assert said == [f"trial 0: {far} is gone (no sign of life for 75 s); its design is tried again"]


def test_a_measurement_whose_trial_was_taken_for_lost_is_kept_once(
    opened: Opens, meanwhile: list[Callable[[], object]]
) -> None:
    """A machine that slept: when it wakes up its trial is over, but what it measured counts."""
    (run, _), (_, other) = opened(), opened()
    view, said = View(run, patience=Patience("here", say=lambda _: None), progress=None), list[str]()
    silent = Ending(TrialState.FAIL, system_attrs={LOST_ATTR: "silent"})
    meanwhile += [other.refresh, lambda: other.end(other.trials[0]._trial_id, silent)]
    with closing(view.ledger), at_work(0) as me:
        view.look()
        assert Trier(view, me, watch=Watch(view.ledger), say=said.append).try_design(Step(template(run).params))
    trials = as_optuna_reads(run)

    assert [trial.state for trial in trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert trials[0].params == trials[1].params
    assert said == ["trial 0 was taken for lost while it was measured; its measurement is kept all the same"]


def test_samplers_see_what_others_are_measuring(opened: Opens) -> None:
    run, ledger = opened()
    _, other = opened()
    _measure(run, ledger, n_done=4, n_at_work=7)
    other.refresh()
    history = history_of(other.trials, run.assessment, own=11)

    assert len(history.done.keys) == len(history.values) == 4
    assert len(history.pending.keys) == 7


def test_the_learning_sampler_proposes_what_nobody_measures(assessment: Assessment, tmp_path: Path) -> None:
    """Of twelve designs four are measured and seven are at work."""
    run = prepare(assessment, out=tmp_path / "out")
    distributions = Encoding(assessment.regions).distributions()
    ledger = ledger_of(run.study, distributions)
    rows = _measure(run, ledger, n_done=4, n_at_work=7)
    ledger.refresh()
    sampler = LearningSampler(assessment, reference=run.reference, seed=3)

    assert Drafter(run.study, sampler, distributions).propose(ledger.trials, number=11).params == rows[11]
    assert not sampler.fallbacks


def _measure(run: Run, ledger: Ledger, *, n_done: int, n_at_work: int) -> list[dict[str, Any]]:
    """Try the first of all designs; return all of them."""
    rows = rows_of(Encoding(run.assessment.regions).encode(run.assessment.every_design()))
    for i, params in enumerate(rows[: n_done + n_at_work]):
        trial = ledger.claim(template(run, params), lambda _: True)
        assert trial
        if i < n_done:
            ledger.end(trial._trial_id, Ending(TrialState.COMPLETE, [0.1 * i + 0.1, 0.1 * i + 0.1]))
    return rows


def test_a_journal_of_ours_is_written_in_one_go(assessment: Assessment, tmp_path: Path) -> None:
    run = prepare(assessment, out=tmp_path / "out")
    ledger = ledger_of(run.study, Encoding(assessment.regions).distributions())
    trial = ledger.claim(template(run), lambda _: True)
    assert isinstance(ledger, JournalLedger)
    assert trial
    journal = tmp_path / "out" / "study.journal"
    before = journal.read_bytes()
    ledger.end(trial._trial_id, DONE)
    after = journal.read_bytes()

    assert after.startswith(before)
    assert after[len(before) :].count(b"\n") == 3


def test_the_mark_of_a_process_that_has_ended_says_so() -> None:
    with at_work(0) as me:
        assert me.is_gone is False
        assert mark_of(optuna.trial.create_trial(state=TrialState.RUNNING)) is None
    assert me.is_gone is True
