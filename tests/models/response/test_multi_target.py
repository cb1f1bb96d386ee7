"""Several responses as one model: parts from different tables, and what intervals and certainty need of them."""

import json
from dataclasses import replace

import numpy as np
import pytest

from explorer.errors import UnknownName, WrongUsage
from explorer.models.intervals import add_intervals
from explorer.models.model_files.response import responses_from_json, responses_to_json
from explorer.models.posterior_draws import posterior_draws, predict_draws
from explorer.models.response.input_scaling import KnobSpec
from explorer.models.response.multi_target import KnobColumns, MultiResponse, fit_responses
from explorer.models.samples.samples import Samples
from explorer.problem.columns import Columns, Float
from explorer.problem.objectives import CostWeights, add_objectives

FAMILY, RATIO = KnobSpec("family", "category"), KnobSpec("pruning_ratio", "number")
STEP, BATCH = KnobSpec("quant_step", "number", is_log=True), KnobSpec("batch_size", "number", is_log=True)


def samples(columns: Columns, name: str) -> Samples:
    n = len(columns["family"])
    return Samples(columns, tuple(f"{name} {i}" for i in range(n)), f"{name}.csv", name)


def accuracy_table() -> KnobColumns:
    """Two families over ratios and steps: a cliff at D = .1."""
    ratio, step = (grid.ravel() for grid in np.meshgrid([0.0, 0.4, 0.8], [0.01, 0.03, 0.06, 0.1, 0.2]))
    columns: Columns = {
        "family": np.repeat(["CNN", "RNN"], 15).astype(object),
        "pruning_ratio": np.tile(ratio, 2), "quant_step": np.tile(step, 2),
    }  # fmt: skip
    columns["accuracy"] = 0.1 + 0.85 / (1 + (columns["quant_step"] / 0.1) ** 5)
    return KnobColumns(samples(columns, "accuracy"), (FAMILY, RATIO, STEP))


def energy_table(families: tuple[str, ...] = ("CNN", "RNN")) -> KnobColumns:
    """Energy and latency over ratios and batches; no steps."""
    ratio, batch = (grid.ravel() for grid in np.meshgrid([0.0, 0.3, 0.6], [1.0, 8.0, 64.0]))
    k = len(families)
    columns: Columns = {
        "family": np.repeat(families, 9).astype(object),
        "pruning_ratio": np.tile(ratio, k), "batch_size": np.tile(batch, k),
    }  # fmt: skip
    work: Float = 0.2 + 0.8 * (1 - columns["pruning_ratio"])
    columns["energy_j"] = work * columns["batch_size"] ** -0.4
    columns["latency_s"] = 1e-3 * work * columns["batch_size"] ** 0.5
    return KnobColumns(samples(columns, "energy"), (FAMILY, RATIO, BATCH))


@pytest.fixture(scope="module")
def model() -> MultiResponse:
    return fit_responses([accuracy_table(), energy_table(("CNN",))], name="parts")


def asked(family: str = "CNN", ratio: float = 0.3) -> Columns:
    return {
        "family": np.array([family], dtype=object), "pruning_ratio": np.array([ratio]),
        "quant_step": np.array([0.03]), "batch_size": np.array([8.0]),
    }  # fmt: skip


def test_accuracy_comes_from_one_table_and_energy_from_another(model: MultiResponse) -> None:
    predicted = model.evaluate(asked())

    assert model.targets == ("accuracy", "latency_s", "energy_j")
    assert predicted["accuracy"][0] == pytest.approx(0.948, abs=0.02)
    assert predicted["energy_j"][0] == pytest.approx(0.76 * 8**-0.4, rel=0.05)
    assert predicted["domain_distance"][0] == 0


def test_a_family_that_one_table_lacks_has_no_such_target(model: MultiResponse) -> None:
    predicted = model.evaluate(asked("RNN"))

    assert model.targets_of("RNN") == ("accuracy",)
    assert np.isfinite(predicted["accuracy"][0])
    assert np.isnan(predicted["energy_j"][0])
    assert np.isnan(model.draws(asked("RNN"), n=5)["energy_j"]).all()


def test_a_family_that_no_table_has_is_refused(model: MultiResponse) -> None:
    with pytest.raises(UnknownName, match="unknown name 'GNN'"):
        model.evaluate(asked("GNN"))


def test_the_domain_is_where_all_tables_have_samples(model: MultiResponse) -> None:
    assert model.domain["CNN"]["pruning_ratio"].high == 0.6
    assert model.domain["RNN"]["pruning_ratio"].high == 0.8
    assert model.evaluate(asked(ratio=0.75))["domain_distance"][0] == pytest.approx(0.25)


def test_the_samples_are_all_tables_one_below_the_other(model: MultiResponse) -> None:
    assert model.samples.labels[:1] == ("accuracy 0",)
    assert model.samples.labels[-1:] == ("energy 8",)
    assert np.isnan(model.samples.columns["batch_size"][0])
    assert model.samples.targets == ("accuracy", "latency_s", "energy_j")


def test_intervals_of_predictions_and_of_objectives_stand_around_them(model: MultiResponse) -> None:
    """The functions that serve the paper's model serve this one."""
    weights, designs = CostWeights(), asked()
    draws = posterior_draws(model)
    columns = add_objectives(model.evaluate(designs), weights)
    bounded = add_intervals(columns, model=model, draws=draws, weights=weights)

    for name in ("accuracy", "energy_j", "latency_s", "edp_js"):
        assert bounded[f"{name}_lo"][0] <= bounded[name][0] <= bounded[f"{name}_hi"][0]
    assert all(np.all(draws[target].noise > 0) for target in model.targets)


def test_the_same_seed_gives_the_same_draws_and_targets_draw_on_their_own(model: MultiResponse) -> None:
    first, again = (predict_draws(model, posterior_draws(model, seed=4), asked(), with_noise=True) for _ in range(2))

    np.testing.assert_array_equal(first["energy_j"], again["energy_j"])
    assert abs(np.corrcoef(np.log(first["energy_j"][:, 0]), np.log(first["latency_s"][:, 0]))[0, 1]) < 0.3


def test_a_model_is_the_same_after_a_trip_to_a_file(model: MultiResponse) -> None:
    data = json.loads(json.dumps(responses_to_json(model), allow_nan=False))
    back = responses_from_json(data, path=model.name)

    np.testing.assert_array_equal(back.evaluate(asked())["energy_j"], model.evaluate(asked())["energy_j"])
    assert back.samples.labels == model.samples.labels
    assert responses_to_json(back) == responses_to_json(model)


def test_accuracies_counted_on_few_samples_have_wider_intervals() -> None:
    """Of 100 answers, 95 +- 2 are right by chance alone; of 10,000, 9,500 +- 22."""
    table, widths = accuracy_table(), []
    for n in (100, 10_000):
        counted = replace(table.samples, trials=np.full(30, float(n)))
        fitted = fit_responses([replace(table, samples=counted)], name="counted")
        low, high = fitted.responses["accuracy"].interval(asked())
        widths.append(float(high[0] - low[0]))

    assert widths[0] > 2 * 1.6 * 0.02 > widths[1]


def test_two_tables_of_one_target_are_refused() -> None:
    with pytest.raises(WrongUsage, match=r"two tables measure latency_s[\s\S]*fix: put its rows into one table"):
        fit_responses([energy_table(), energy_table()], name="twice")


def test_a_table_without_families_is_one_family_called_all() -> None:
    table = energy_table(("CNN",))
    columns = {name: column for name, column in table.samples.columns.items() if name != "family"}
    model = fit_responses([KnobColumns(Samples(columns, table.samples.labels, "x", "x"), (RATIO, BATCH))], name="x")
    designs = {"pruning_ratio": np.array([0.3, 0.9]), "batch_size": np.array([8.0, 8.0])}

    assert model.families == ("all",)
    assert model.evaluate(designs)["domain_distance"].tolist() == pytest.approx([0.0, 0.5])
