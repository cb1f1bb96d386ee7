"""Questions about one column: answered from the model itself, never worse than a finished design."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import explorer
from explorer.api import choose, load_results, load_study, run
from explorer.deploy.bundle.selected import ensure_deployable, read_selected_design
from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.models.evaluation import Problem
from explorer.pareto.decision.question import answer_from_designs
from explorer.pareto.decision.rules import choose_design
from explorer.pareto.results.folder import write_folder
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.constraints import parse_constraint
from explorer.problem.objectives import objective_of

pytestmark = pytest.mark.slow  # each loads the model

COLUMNS = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "edp_js")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("asked") / "power-cap"
    run("power-cap", trials=60, out=out)
    return out


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return load_results(folder)


@pytest.fixture(scope="module")
def problem() -> Problem:
    return load_study("power-cap")


@pytest.mark.parametrize(("name", "n_questions"), [("power-cap", 80), ("edp-accuracy", 80), ("all-families", 40)])
def test_random_questions_are_answered_as_by_a_dense_scan(name: str, n_questions: int, tmp_path: Path) -> None:
    """200 in all: never worse than a finished trial, and within 1e-3 of 2^17 Sobol designs and all corners."""
    problem, rng = load_study(name), np.random.default_rng(0)
    table = run(problem, trials=80, out=tmp_path).results
    scan = problem.sample(2**17)
    usable = scan["is_feasible"] & ~is_extrapolated(scan["domain_distance"])
    for _ in range(n_questions):
        column, *limited = rng.choice(COLUMNS, 3, replace=False).tolist()
        at = int(rng.choice(np.flatnonzero(usable)))
        limits = [
            parse_constraint(f"{one} {'<=' if objective_of(one).sign > 0 else '>='} {float(scan[one][at])!r}")
            for one in limited
        ]
        answer = answer_from_designs(table, column, limits, problem=problem, is_inside=True)
        chosen = choose_design(table, answer, conditions=limits, allow_extrapolation=False)
        value, sign = float(chosen.design[column]), objective_of(column).sign

        designs = {k: np.array([chosen.design[k]]) for k in scan if k in chosen.design}
        assert all(limit.violation(designs)[0] <= 0 for limit in limits)
        met = np.logical_and.reduce([usable, *(limit.violation(scan) <= 0 for limit in limits)])
        best = float((sign * scan[column][met]).min())
        assert sign * value <= best + 1e-3 * abs(best)
        trials = table.trials
        met = np.logical_and.reduce([trials["is_feasible"], *(limit.violation(trials) <= 0 for limit in limits)])
        met &= ~is_extrapolated(trials["domain_distance"])
        if met.any():
            assert sign * value <= float((sign * trials[column][met]).min())


def test_the_answer_is_better_than_the_front_and_says_so(folder: Path, results: Results) -> None:
    choice = choose(folder, minimize="power_w")

    assert choice.design["power_w"] < 0.9 * results.front_columns["power_w"].min()
    assert choice.is_solved
    assert choice.design["origin"] == "solved"
    assert choice.design["design_id"] == results.table["design_id"].max() + 1
    assert "not a trial of the search" in choice.record["notes"][0]
    assert choice.runner_up is not None
    assert choice.runner_up["design_id"] in results.table["design_id"]


def test_best_and_minimize_are_the_same_and_repeatable(folder: Path, tmp_path: Path) -> None:
    first, second = choose(folder, minimize="latency_s"), choose(folder, best="latency")

    texts = [one.save(tmp_path / f"{i}.json").read_bytes() for i, one in enumerate((first, second))]
    assert texts[0] == texts[1]


def test_more_is_better_where_it_is_known(folder: Path, results: Results) -> None:
    for column in ("accuracy", "throughput_ops"):
        assert choose(folder, best=column).design[column] >= results.trials[column][results.trials["is_feasible"]].max()


def test_a_finished_design_at_the_optimum_is_chosen_itself(folder: Path, results: Results, problem: Problem) -> None:
    solved = choose(folder, minimize="power_w")
    row = {name: np.array([solved.design[name]], dtype=results.table[name].dtype) for name in results.table}
    row["origin"] = np.array(["search"], dtype=object)
    with_it = replace(results, table={k: np.concatenate([v, row[k]]) for k, v in results.table.items()})

    choice = choose(with_it, minimize="power_w", study=problem)

    assert not choice.is_solved
    assert choice.design["design_id"] == solved.design["design_id"]


def test_a_solved_design_is_annotated_and_deployable(folder: Path, tmp_path: Path) -> None:
    choice = choose(folder, minimize="power_w", where=["accuracy >= 0.93"])
    selected = read_selected_design(choice.save(tmp_path / "chosen.json"))

    ensure_deployable(selected, allow_extrapolation=False)
    assert selected.file.is_solved
    assert choice.design["power_w_lo"] < choice.design["power_w"] < choice.design["power_w_hi"]
    assert choice.design["nearest_sample"]
    assert choice.design["domain_distance"] <= 0.5 + 1e-9
    assert json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))["design"]["origin"] == "solved"


def test_extrapolations_are_asked_for(problem: Problem, results: Results) -> None:
    wide = replace(problem, regions={k: replace(v, widen=np.inf) for k, v in problem.regions.items()})
    inside = answer_from_designs(results, "power_w", [], problem=wide, is_inside=True)

    assert not is_extrapolated(inside.candidates["domain_distance"][-1:]).any()


def test_results_without_their_study_answer_from_finished_designs(results: Results, tmp_path: Path) -> None:
    origin = {**results.provenance["study"], "file": "gone.toml", "name": "gone", "sha256": "0" * 64}
    moved = replace(results, study="gone", provenance={**results.provenance, "study": origin})
    write_folder(moved, tmp_path / "moved")

    choice = choose(tmp_path / "moved", minimize="power_w")

    usable = results.table["is_feasible"] & ~results.is_superseded
    assert choice.design["power_w"] == results.table["power_w"][usable].min()
    assert not choice.is_solved
    assert "cannot be loaded again" in choice.record["notes"][0]
    assert "finished feasible designs" in choice.record["notes"][0]


def test_a_model_that_changed_since_the_run_is_not_asked(results: Results, folder: Path) -> None:
    other = {**results.provenance["model"], "samples_sha256": "0" * 64}
    changed = replace(results, provenance={**results.provenance, "model": other})

    choice = choose(changed, minimize="power_w")

    assert not choice.is_solved
    assert "is not that of the run" in choice.record["notes"][0]


def test_a_study_that_declares_another_problem_is_not_asked(results: Results) -> None:
    question = {**results.provenance["question"], "constraints": []}

    choice = choose(replace(results, provenance={**results.provenance, "question": question}), minimize="power_w")

    assert "declares another problem" in choice.record["notes"][0]


def test_columns_of_finished_designs_only_are_answered_from_these(folder: Path, results: Results) -> None:
    choice = choose(folder, best="p_front")

    usable = results.table["is_feasible"] & ~results.is_superseded & ~is_extrapolated(results.table["domain_distance"])
    assert choice.design["p_front"] == np.nanmax(results.table["p_front"][usable])
    assert "p_front is known of finished designs only" in choice.record["notes"][0]


def test_conditions_that_nothing_meets_name_the_closest_design_of_the_model(folder: Path) -> None:
    with pytest.raises(NoFeasibleDesign, match=r"closest design of the model: latency_s .* power_w .* accuracy"):
        choose(folder, minimize="latency", where=["power <= 8", "accuracy >= 0.96"])


def test_a_condition_read_otherwise_is_noted(folder: Path) -> None:
    choice = choose(folder, minimize="energy", where=["latency_ms <= 130"])

    assert choice.design["latency_s"] <= 0.13
    assert choice.record["rule"]["where"] == ["latency_s <= 130 ms"]
    assert choice.record["notes"][0] == "'latency_ms <= 130' is read as latency_s <= 130 ms"


def test_the_front_alone_answers_where_it_is_asked(folder: Path, results: Results) -> None:
    choice = choose(folder, minimize="power_w", front_only=True)

    assert choice.design["power_w"] == results.front_columns["power_w"].min()


def test_measured_designs_are_all_searched(tmp_path: Path) -> None:
    lines = [f"CNN,{0.1 * i},{0.9 - 0.02 * i},{5 - i * (9 - i) / 5},{1 + (i - 6) ** 2}" for i in range(10)]
    (tmp_path / "rows.csv").write_text(
        "\n".join(["family,pruning_ratio,accuracy,energy_j,power_w", *lines]), encoding="utf-8"
    )
    (tmp_path / "rows.toml").write_text(
        'model = { table = "rows.csv" }\nobjectives = ["energy_j", "accuracy"]\n', encoding="utf-8"
    )
    found = run(tmp_path / "rows.toml", out=tmp_path / "out")

    choice = choose(tmp_path / "out", minimize="power_w")

    assert choice.design["power_w"] == 1.0
    assert found.results.front_columns["power_w"].min() > 1.0


def test_two_rules_are_refused() -> None:
    with pytest.raises(WrongUsage, match="minimize and best given"):
        explorer.choose("power-cap", minimize="power_w", best="accuracy")
