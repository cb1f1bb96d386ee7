"""Front probabilities and the suggested next measurement, against brute force."""

from pathlib import Path

import numpy as np
import pytest

from explorer.api import load_results, load_study, run
from explorer.models.evaluation import Problem
from explorer.models.posterior_draws import N_DRAWS, Draws, posterior_draws, predict_draws
from explorer.models.response.surrogate import Surrogate
from explorer.pareto.geometry.dominance import feasible_front, to_minimization
from explorer.pareto.uncertainty import front_probability as probability_module
from explorer.pareto.uncertainty.front_probability import (
    FrontProbabilities,
    certainty_labels,
    contenders,
    front_probabilities,
)
from explorer.pareto.uncertainty.next_measurement import best_measurement, suggest_for_model
from explorer.problem.columns import KNOBS, Columns, take
from explorer.problem.objectives import add_objectives


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load_study("edp-accuracy")


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


def test_front_probability_equals_brute_force(problem: Problem, model: Surrogate, draws: Draws, table: Columns) -> None:
    p_front = front_probabilities(table, problem, model=model, draws=draws).p_front

    columns = add_objectives(predict_draws(model, draws, table, with_noise=False), problem.study.constants)
    values = np.stack([columns["edp_js"], -columns["accuracy"]], axis=-1)
    expected = np.zeros(len(p_front))
    for draw in values:
        for i, design in enumerate(draw):
            is_better = np.all(draw <= design, axis=1) & np.any(draw < design, axis=1)
            expected[i] += not is_better.any()
    np.testing.assert_allclose(p_front, expected / len(values))


def test_design_dominated_in_every_draw_has_probability_zero(problem: Problem, model: Surrogate, draws: Draws) -> None:
    """The same design at a lower clock is slower and in no objective better."""
    designs = {
        "family": np.array(["CNN"] * 2, dtype=object), "pruning_ratio": np.array([0.4, 0.4]),
        "quant_step": np.array([0.03, 0.03]), "voltage_v": np.array([0.95, 0.95]),
        "frequency_hz": np.array([2.3e9, 1.9e9]),
    }  # fmt: skip

    probabilities = front_probabilities(problem.evaluate(designs), problem, model=model, draws=draws)

    assert probabilities.p_front.tolist() == probabilities.p_evaluated.tolist() == [1.0, 0.0]
    assert certainty_labels(probabilities, is_supported=np.ones(2, dtype=bool)).tolist() == ["sure", "dominated"]


def test_infeasible_designs_have_probability_zero(model: Surrogate, draws: Draws) -> None:
    capped = load_study("power-cap")
    table = capped.sample(128)

    p = front_probabilities(table, capped, model=model, draws=draws).p_front

    assert np.all(p[table["power_w"] > 33] == 0)
    assert p.max() > 0


@pytest.mark.parametrize("study", ["edp-accuracy", "power-cap", "energy-latency-accuracy"])
def test_designs_left_out_are_dominated_by_every_rank(study: str) -> None:
    """Also where the study's constraints exclude the designs that are best without them."""
    problem = load_study(study)
    table = problem.sample(8192)
    rows, n_ranks = contenders(table, problem)
    objectives = problem.study.objectives
    values = to_minimization(problem.values(table), objectives)
    omitted = np.setdiff1d(np.flatnonzero(table["is_feasible"]), rows)

    assert n_ranks >= 3
    assert set(np.flatnonzero(feasible_front(problem.values(table), table["is_feasible"], objectives))) <= set(rows)
    assert len(omitted) > 1000
    for row in omitted[:50]:
        is_better = np.all(values <= values[row], axis=1) & np.any(values < values[row], axis=1) & table["is_feasible"]
        assert is_better.sum() >= n_ranks


def test_slightly_infeasible_designs_are_contenders() -> None:
    """In some draws they meet the constraint and dominate designs that meet it in all draws."""
    capped = load_study("power-cap")
    table = capped.sample(4096)
    rows, _ = contenders(table, capped)

    assert (~table["is_feasible"][rows]).any()


@pytest.mark.slow
def test_long_front_uses_fewer_draws_with_a_note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probability_module, "_AFFORDABLE", 20_000)
    done = run("edp-accuracy", trials=100, out=tmp_path).results
    front = done.front_columns
    notes = "; ".join(done.notes)

    assert np.isfinite(front["edp_js_lo"]).all()
    assert np.isfinite(front["edp_js_hi"]).all()
    assert f"p_front of 100 designs: computed from 200 of {N_DRAWS} posterior draws" in notes
    assert set(np.round(front["p_front"] * 200, 9) % 1) == {0.0}


@pytest.mark.slow
def test_no_note_where_all_draws_are_used(tmp_path: Path) -> None:
    notes = "; ".join(run("edp-accuracy", trials=60, out=tmp_path).results.notes)

    assert "draws" not in notes
    assert "without computation" not in notes


@pytest.mark.slow
def test_designs_without_computed_p_front_are_noted(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(probability_module, "_FEW", 1)
    done = run("edp-accuracy", trials=200, sampler="random", out=tmp_path).results
    rows, n_ranks = contenders(done.table, problem)
    n_omitted = 200 - len(rows)

    assert n_omitted > 0
    assert (
        f"p_front of {n_omitted} designs: set to 0 without computation (impossible, or dominated by {n_ranks} or "
        "more designs)"
    ) in done.notes


def test_certainty_follows_the_probabilities() -> None:
    probabilities = FrontProbabilities(np.array([1.0, 0.95, 0.94, 0.01, 0.0]), np.array([1.0, 1.0, 1.0, 0.05, 0.049]))

    labels = certainty_labels(probabilities, is_supported=np.ones(5, dtype=bool))
    assert labels.tolist() == ["sure", "sure", "possible", "possible", "dominated"]


def test_untried_designs_dominate_beyond_the_tolerance_only(
    problem: Problem, model: Surrogate, draws: Draws, table: Columns
) -> None:
    evaluated, untried = take(table, np.arange(60)), take(table, np.arange(60, len(table["family"])))
    probabilities = front_probabilities(evaluated, problem, model=model, draws=draws, untried=untried)

    front = problem.values(evaluated)[
        feasible_front(problem.values(evaluated), evaluated["is_feasible"], problem.study.objectives)
    ]
    slack = 0.01 * np.ptp(front, axis=0)
    columns = add_objectives(predict_draws(model, draws, table, with_noise=False), problem.study.constants)
    expected = np.zeros(60)
    for draw in np.stack([columns["edp_js"], -columns["accuracy"]], axis=-1):
        for i, design in enumerate(draw[:60]):
            is_better = np.all(draw[:60] <= design, axis=1) & np.any(draw[:60] < design, axis=1)
            rivals, shifted = draw[60:], design - slack
            is_better_rival = np.all(rivals <= shifted, axis=1) & np.any(rivals < shifted, axis=1)
            expected[i] += not (is_better.any() or is_better_rival.any())
    np.testing.assert_allclose(probabilities.p_front, expected / 60)
    assert (probabilities.p_front <= probabilities.p_evaluated).all()


@pytest.mark.slow
def test_untried_designs_reduce_the_probability_of_the_front(tmp_path: Path) -> None:
    """The sampler `auto` proposes the predicted front: compared with untried designs, most of it is only possible."""
    problem = load_study("edp-accuracy")
    done = run("edp-accuracy", trials=100, out=tmp_path).results
    assert isinstance(problem.evaluator, Surrogate)
    probabilities = front_probabilities(
        done.table, problem, model=problem.evaluator, draws=posterior_draws(problem.evaluator)
    )

    alone, among_untried = probabilities.p_front, done.table["p_front"]
    front = done.is_front & ~done.is_measured
    assert (among_untried[front] <= alone[front] + 0.05).all(), "more than the error of 400 draws"
    assert among_untried[front].mean() < 0.7 * alone[front].mean()


def test_best_measurement_equals_brute_force(problem: Problem, model: Surrogate, draws: Draws, table: Columns) -> None:
    front = take(table, np.arange(0, 20))
    candidates = take(table, np.arange(20, 50))
    advice = best_measurement(
        {k: candidates[k] for k in KNOBS}, {k: front[k] for k in KNOBS},
        objectives=problem.study.objectives, constants=problem.study.constants, model=model, draws=draws,
    )  # fmt: skip
    assert advice is not None

    columns = add_objectives(predict_draws(model, draws, front, with_noise=False), problem.study.constants)
    accuracy = columns["accuracy"]
    on_front = np.concatenate([np.log(columns["edp_js"]), np.log(accuracy / (1 - accuracy))], axis=1)
    measured = predict_draws(model, draws, candidates, with_noise=False)
    removed = []
    for c in range(30):
        linked = [measured[t][:, c] for t in draws]
        linked = [np.log(x / (1 - x)) if t == "accuracy" else np.log(x) for t, x in zip(draws, linked, strict=True)]
        noise = np.diag([np.median(draws[t].noise) ** 2 for t in draws])
        own = np.cov(np.array(linked), bias=True) + noise
        share = 0.0
        for k in range(on_front.shape[1]):
            cross = np.array([np.mean((x - x.mean()) * (on_front[:, k] - on_front[:, k].mean())) for x in linked])
            share += cross @ np.linalg.solve(own, cross) / on_front[:, k].var()
        removed.append(share / on_front.shape[1])
    best = int(np.argmax(removed))
    assert advice.design["pruning_ratio"] == candidates["pruning_ratio"][best]
    assert advice.reduction == pytest.approx(removed[best], rel=1e-6)


@pytest.mark.slow
def test_suggested_measurement_separates_pruning_and_quantization(model: Surrogate) -> None:
    """All samples combine high R with high D: a design with one high and the other low separates their effects."""
    advice = suggest_for_model(model, posterior_draws(model))

    assert advice is not None
    r, d = float(str(advice.design["pruning_ratio"])), float(str(advice.design["quant_step"]))
    spans = model.domain[str(advice.design["family"])]
    middle_r, middle_d = (spans["pruning_ratio"].low + spans["pruning_ratio"].high) / 2, 0.0316
    assert (r > middle_r) != (d > middle_d)
    assert 0 < advice.reduction < 1


@pytest.mark.slow
def test_uncertainty_survives_the_result_folder(tmp_path: Path) -> None:
    done = run("edp-accuracy", trials=80, out=tmp_path).results
    read = load_results(tmp_path)

    assert read.exact is not None
    assert done.exact is not None
    assert read.exact.hypervolume == done.exact.hypervolume
    assert read.advice == done.advice
    for name in ("p_front", "accuracy_lo", "edp_js_hi"):
        np.testing.assert_array_equal(read.table[name], done.table[name])
    assert read.front_columns["certainty"].tolist() == done.front_columns["certainty"].tolist()
