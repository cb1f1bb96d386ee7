"""Probability of being on the front, and advice on what to measure: laws and oracles."""

from pathlib import Path

import numpy as np
import pytest

from explorer.api import load_results as results
from explorer.api import load_study as load
from explorer.api import run
from explorer.models.evaluation import Problem
from explorer.models.parametric.surrogate import Surrogate
from explorer.models.posterior_draws import Draws, posterior_draws, predict_draws
from explorer.pareto.geometry.dominance import feasible_front, to_minimization
from explorer.pareto.uncertainty import front_probability as certainty_module
from explorer.pareto.uncertainty.front_probability import FrontProbabilities, certainty, contenders, front_probabilities
from explorer.pareto.uncertainty.next_measurement import advice_for_model, best_measurement
from explorer.problem.columns import KNOBS, Columns, take
from explorer.problem.objectives import add_objectives


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load("edp-accuracy")


@pytest.fixture(scope="module")
def model(problem: Problem) -> Surrogate:
    assert isinstance(problem.evaluator, Surrogate)
    return problem.evaluator


@pytest.fixture(scope="module")
def draws(model: Surrogate) -> Draws:
    return posterior_draws(model, n=60)


@pytest.fixture(scope="module")
def table(problem: Problem) -> Columns:
    return problem.sample(128)


def test_the_probability_equals_that_of_a_slow_twin(
    problem: Problem, model: Surrogate, draws: Draws, table: Columns
) -> None:
    fast = front_probabilities(table, problem, model=model, draws=draws).p_front

    drawn = add_objectives(predict_draws(model, draws, table, with_noise=False), problem.study.weights)
    values = np.stack([drawn["edp_js"], -drawn["accuracy"]], axis=-1)
    slow = np.zeros(len(fast))
    for world in values:
        for i, one in enumerate(world):
            beaten = np.all(world <= one, axis=1) & np.any(world < one, axis=1)
            slow[i] += not beaten.any()
    np.testing.assert_allclose(fast, slow / len(values))


def test_a_design_that_another_beats_in_every_world_has_no_chance(
    problem: Problem, model: Surrogate, draws: Draws
) -> None:
    """The same design at a lower clock is slower and no better in anything."""
    fast = {
        "family": np.array(["CNN"] * 2, dtype=object), "pruning_ratio": np.array([0.4, 0.4]),
        "quant_step": np.array([0.03, 0.03]), "voltage_v": np.array([0.95, 0.95]),
        "frequency_hz": np.array([2.3e9, 1.9e9]),
    }  # fmt: skip

    odds = front_probabilities(problem.evaluate(fast), problem, model=model, draws=draws)

    assert odds.p_front.tolist() == odds.p_tried.tolist() == [1.0, 0.0]
    assert certainty(odds).tolist() == ["sure", "dominated"]


def test_infeasible_designs_have_no_chance(model: Surrogate, draws: Draws) -> None:
    capped = load("power-cap")
    table = capped.sample(128)

    p = front_probabilities(table, capped, model=model, draws=draws).p_front

    assert np.all(p[table["power_w"] > 30] == 0)
    assert p.max() > 0


@pytest.mark.parametrize("study", ["edp-accuracy", "power-cap", "energy-latency-accuracy"])
def test_every_design_of_the_front_is_a_contender_and_what_is_left_out_lies_behind_layers_of_others(study: str) -> None:
    """Also where the study's constraints shut out whatever would be best without them."""
    asked = load(study)
    table = asked.sample(8192)
    rows, n_layers = contenders(table, asked)
    objectives = asked.study.objectives
    values = to_minimization(asked.values(table), objectives)
    left = np.setdiff1d(np.flatnonzero(table["is_feasible"]), rows)

    assert n_layers >= 3
    assert set(np.flatnonzero(feasible_front(asked.values(table), table["is_feasible"], objectives))) <= set(rows)
    assert len(left) > 1000
    for one in left[:50]:
        beats = np.all(values <= values[one], axis=1) & np.any(values < values[one], axis=1) & table["is_feasible"]
        assert beats.sum() >= n_layers


def test_a_design_that_misses_a_constraint_by_little_may_be_a_contender() -> None:
    """In some worlds it meets it, and then it beats what meets it in all of them."""
    capped = load("power-cap")
    table = capped.sample(4096)
    rows, _ = contenders(table, capped)

    assert (~table["is_feasible"][rows]).any()


def test_of_a_long_front_every_design_has_its_p_front_and_its_intervals_and_the_notes_tell_of_fewer_draws(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(certainty_module, "_AFFORDABLE", 20_000)
    found = run("edp-accuracy", trials=100, out=tmp_path).results
    front = found.front_columns
    told = "; ".join(found.notes)

    assert np.isfinite(front["edp_js_lo"]).all()
    assert np.isfinite(front["edp_js_hi"]).all()
    assert "p_front of 100 designs rest on 200 draws of what samples allow, not on 400" in told
    assert set(np.round(front["p_front"] * 200, 9) % 1) == {0.0}


def test_where_everything_was_computed_in_all_draws_no_note_says_otherwise(tmp_path: Path) -> None:
    told = "; ".join(run("edp-accuracy", trials=60, out=tmp_path).results.notes)

    assert "draws" not in told
    assert "not computed" not in told


def test_what_was_not_computed_is_told(problem: Problem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(certainty_module, "_FEW", 1)
    found = run("edp-accuracy", trials=200, sampler="random", out=tmp_path).results
    rows, n_layers = contenders(found.table, problem)
    left = 200 - len(rows)

    assert left > 0
    assert (
        f"{left} designs cannot exist or lie behind {n_layers} or more better ones: their p_front was not computed "
        "and stands as 0"
    ) in found.notes


def test_the_words_follow_the_probabilities() -> None:
    odds = FrontProbabilities(np.array([1.0, 0.95, 0.94, 0.01, 0.0]), np.array([1.0, 1.0, 1.0, 0.05, 0.049]))

    assert certainty(odds).tolist() == ["sure", "sure", "possible", "possible", "dominated"]


def test_untried_designs_count_as_a_slow_twin_counts_them(
    problem: Problem, model: Surrogate, draws: Draws, table: Columns
) -> None:
    tried, untried = take(table, np.arange(60)), take(table, np.arange(60, len(table["family"])))
    odds = front_probabilities(tried, problem, model=model, draws=draws, others=untried)

    front = problem.values(tried)[feasible_front(problem.values(tried), tried["is_feasible"], problem.study.objectives)]
    slack = 0.01 * np.ptp(front, axis=0)
    drawn = add_objectives(predict_draws(model, draws, table, with_noise=False), problem.study.weights)
    slow = np.zeros(60)
    for world in np.stack([drawn["edp_js"], -drawn["accuracy"]], axis=-1):
        for i, one in enumerate(world[:60]):
            beaten = np.all(world[:60] <= one, axis=1) & np.any(world[:60] < one, axis=1)
            better, step = world[60:], one - slack
            beaten_by_more = np.all(better <= step, axis=1) & np.any(better < step, axis=1)
            slow[i] += not (beaten.any() or beaten_by_more.any())
    np.testing.assert_allclose(odds.p_front, slow / 60)
    assert (odds.p_front <= odds.p_tried).all()


def test_what_the_model_likes_best_is_not_sure_only_because_nothing_else_was_tried(tmp_path: Path) -> None:
    """The front of `auto` is the model's own: held against what was not tried, most of it is only possible."""
    problem = load("edp-accuracy")
    found = run("edp-accuracy", trials=100, out=tmp_path).results
    assert isinstance(problem.evaluator, Surrogate)
    own = front_probabilities(found.table, problem, model=problem.evaluator, draws=posterior_draws(problem.evaluator))

    alone = int((own.p_front[found.is_front] >= 0.95).sum())
    held = int((found.table["certainty"][found.is_front] == "sure").sum())
    assert held < 0.5 * alone


def test_advice_names_the_candidate_that_a_slow_twin_names(
    problem: Problem, model: Surrogate, draws: Draws, table: Columns
) -> None:
    front = take(table, np.arange(0, 20))
    candidates = take(table, np.arange(20, 50))
    advice = best_measurement(
        {k: candidates[k] for k in KNOBS}, {k: front[k] for k in KNOBS},
        objectives=problem.study.objectives, weights=problem.study.weights, model=model, draws=draws,
    )  # fmt: skip
    assert advice is not None

    drawn = add_objectives(predict_draws(model, draws, front, with_noise=False), problem.study.weights)
    accuracy = drawn["accuracy"]
    wanted = np.concatenate([np.log(drawn["edp_js"]), np.log(accuracy / (1 - accuracy))], axis=1)
    told = predict_draws(model, draws, candidates, with_noise=False)
    removed = []
    for c in range(30):
        linked = [told[t][:, c] for t in draws]
        linked = [np.log(x / (1 - x)) if t == "accuracy" else np.log(x) for t, x in zip(draws, linked, strict=True)]
        noise = np.diag([np.median(draws[t].noise) ** 2 for t in draws])
        own = np.cov(np.array(linked), bias=True) + noise
        share = 0.0
        for k in range(wanted.shape[1]):
            cross = np.array([np.mean((x - x.mean()) * (wanted[:, k] - wanted[:, k].mean())) for x in linked])
            share += cross @ np.linalg.solve(own, cross) / wanted[:, k].var()
        removed.append(share / wanted.shape[1])
    best = int(np.argmax(removed))
    assert advice.design["pruning_ratio"] == candidates["pruning_ratio"][best]
    assert advice.reduction == pytest.approx(removed[best], rel=1e-6)


def test_advice_on_the_paper_points_off_the_samples_ridge(model: Surrogate) -> None:
    """All samples have high R with high D; what would separate the two is one high and the other low."""
    advice = advice_for_model(model, posterior_draws(model))

    assert advice is not None
    r, d = float(str(advice.design["pruning_ratio"])), float(str(advice.design["quant_step"]))
    spans = model.domain[str(advice.design["family"])]
    middle_r, middle_d = (spans["pruning_ratio"].low + spans["pruning_ratio"].high) / 2, 0.0316
    assert (r > middle_r) != (d > middle_d)
    assert 0 < advice.reduction < 1


def test_certified_results_survive_the_folder(tmp_path: Path) -> None:
    done = run("edp-accuracy", trials=80, out=tmp_path).results
    back = results(tmp_path)

    assert back.exact is not None
    assert done.exact is not None
    assert back.exact.hypervolume == done.exact.hypervolume
    assert back.advice == done.advice
    for name in ("p_front", "accuracy_lo", "edp_js_hi"):
        np.testing.assert_array_equal(back.table[name], done.table[name])
    assert back.front_columns["certainty"].tolist() == done.front_columns["certainty"].tolist()
