"""Surrogate: targets from different tables, their domain, draws and intervals."""

from dataclasses import replace

import numpy as np
import pytest

from explorer.errors import UnknownName, WrongUsage
from explorer.models.intervals import add_intervals
from explorer.models.posterior_draws import posterior_draws, predict_draws
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import KnobColumns, with_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.columns import Columns, Float
from explorer.problem.objectives import Constants, add_objectives

FAMILY, RATIO = KnobSpec("family", "category"), KnobSpec("pruning_ratio", "number")
STEP, BATCH = KnobSpec("quant_step", "number", is_log=True), KnobSpec("batch_size", "number", is_log=True)


def samples(columns: Columns, name: str) -> Samples:
    n = len(columns["family"])
    return Samples(columns, tuple(f"{name} {i}" for i in range(n)), f"{name}.csv", name)


def accuracy_table() -> KnobColumns:
    """Return two families over ratios and steps: a cliff at D = 0.1."""
    ratio, step = (grid.ravel() for grid in np.meshgrid([0.0, 0.4, 0.8], [0.01, 0.03, 0.06, 0.1, 0.2]))
    columns: Columns = {
        "family": np.repeat(["CNN", "RNN"], 15).astype(object),
        "pruning_ratio": np.tile(ratio, 2), "quant_step": np.tile(step, 2),
    }  # fmt: skip
    columns["accuracy"] = 0.1 + 0.85 / (1 + (columns["quant_step"] / 0.1) ** 5)
    return KnobColumns(samples(columns, "accuracy"), (FAMILY, RATIO, STEP))


def energy_table(families: tuple[str, ...] = ("CNN", "RNN")) -> KnobColumns:
    """Return energy and latency over ratios and batches; no steps."""
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
def model() -> Surrogate:
    return fit_surrogate([accuracy_table(), energy_table(("CNN",))], name="parts")


def one_design(family: str = "CNN", ratio: float = 0.3) -> Columns:
    return {
        "family": np.array([family], dtype=object), "pruning_ratio": np.array([ratio]),
        "quant_step": np.array([0.03]), "batch_size": np.array([8.0]),
    }  # fmt: skip


def test_targets_are_predicted_from_their_own_tables(model: Surrogate) -> None:
    predicted = model.evaluate(one_design())

    assert model.targets == ("accuracy", "latency_s", "energy_j")
    assert predicted["accuracy"][0] == pytest.approx(0.948, abs=0.02)
    assert predicted["energy_j"][0] == pytest.approx(0.76 * 8**-0.4, rel=0.05)
    assert predicted["domain_distance"][0] == 0


def test_target_is_nan_for_a_family_missing_from_its_table(model: Surrogate) -> None:
    predicted = model.evaluate(one_design("RNN"))

    assert model.targets_of("RNN") == ("accuracy",)
    assert np.isfinite(predicted["accuracy"][0])
    assert np.isnan(predicted["energy_j"][0])
    assert np.isnan(model.draws(one_design("RNN"), n=5)["energy_j"]).all()


def test_family_missing_from_all_tables_is_rejected(model: Surrogate) -> None:
    with pytest.raises(UnknownName, match="unknown name 'GNN'"):
        model.evaluate(one_design("GNN"))


def test_domain_is_the_intersection_of_the_tables(model: Surrogate) -> None:
    assert model.domain["CNN"]["pruning_ratio"].high == 0.6
    assert model.domain["RNN"]["pruning_ratio"].high == 0.8
    assert model.evaluate(one_design(ratio=0.75))["domain_distance"][0] == pytest.approx(0.25)


def test_samples_are_the_concatenated_tables(model: Surrogate) -> None:
    assert model.samples.labels[:1] == ("accuracy 0",)
    assert model.samples.labels[-1:] == ("energy 8",)
    assert np.isnan(model.samples.columns["batch_size"][0])
    assert model.samples.targets == ("accuracy", "latency_s", "energy_j")


def test_intervals_contain_predictions_and_objectives(model: Surrogate) -> None:
    constants, designs = Constants(), one_design()
    draws = posterior_draws(model)
    columns = add_objectives(model.evaluate(designs), constants)
    bounded = add_intervals(columns, model=model, draws=draws, constants=constants)

    for name in ("accuracy", "energy_j", "latency_s", "edp_js"):
        assert bounded[f"{name}_lo"][0] <= bounded[name][0] <= bounded[f"{name}_hi"][0]
    assert all(np.all(draws[target].noise > 0) for target in model.targets)


def test_draws_are_reproducible_and_targets_independent(model: Surrogate) -> None:
    first, second = (
        predict_draws(model, posterior_draws(model, seed=4), one_design(), with_noise=True) for _ in range(2)
    )

    np.testing.assert_array_equal(first["energy_j"], second["energy_j"])
    assert abs(np.corrcoef(np.log(first["energy_j"][:, 0]), np.log(first["latency_s"][:, 0]))[0, 1]) < 0.3


@pytest.mark.slow
def test_fewer_test_items_widen_accuracy_intervals() -> None:
    """Binomial error: 95 +- 2 correct answers of 100, but 9,500 +- 22 of 10,000."""
    table, widths = accuracy_table(), []
    for n in (100, 10_000):
        counted = replace(table.samples, n_counted=np.full(30, float(n)))
        fitted = fit_surrogate([replace(table, samples=counted)], name="counted")
        low, high = fitted.responses["accuracy"].interval(one_design())
        widths.append(float(high[0] - low[0]))

    assert widths[0] > 2 * 1.6 * 0.02 > widths[1]


def test_two_tables_with_the_same_target_are_rejected() -> None:
    with pytest.raises(WrongUsage, match=r"two tables measure latency_s[\s\S]*fix: put its rows into one table"):
        fit_surrogate([energy_table(), energy_table()], name="twice")


def test_table_without_families_has_the_family_all() -> None:
    table = energy_table(("CNN",))
    columns = {name: column for name, column in table.samples.columns.items() if name != "family"}
    model = fit_surrogate([KnobColumns(Samples(columns, table.samples.labels, "x", "x"), (RATIO, BATCH))], name="x")
    designs = {"pruning_ratio": np.array([0.3, 0.75]), "batch_size": np.array([8.0, 8.0])}

    assert model.families == ("all",)
    assert model.evaluate(designs)["domain_distance"].tolist() == pytest.approx([0.0, 0.25])


def size_table(**options: object) -> KnobColumns:
    """Return sizes of two families at two bit widths and three ratios; the CNN was also measured uncompressed."""
    bits, ratio = (grid.ravel() for grid in np.meshgrid([4.0, 8.0, 16.0], [0.0, 0.4, 0.8]))
    columns: Columns = {
        "family": np.repeat(["CNN", "RNN"], 9).astype(object), "weight_bits": np.tile(bits, 2),
        "pruning_ratio": np.tile(ratio, 2),
    }  # fmt: skip
    scale = np.where(columns["family"] == "CNN", 1e6, 3e6)
    columns["size_bytes"] = scale * (0.1 + (1 - columns["pruning_ratio"]) * columns["weight_bits"] / 16)
    keep = (columns["family"] == "CNN") | (columns["pruning_ratio"] > 0)
    rows = {name: values[keep] for name, values in columns.items()}
    table = samples(rows, "sizes")
    return KnobColumns(replace(table, **options), (FAMILY, KnobSpec("weight_bits", "number"), RATIO))  # type: ignore[arg-type]


def sizes_at_full_width(model: Surrogate) -> Columns:
    designs: Columns = {
        "family": np.array(["CNN", "RNN"], dtype=object), "weight_bits": np.array([24.0, 24.0]),
        "pruning_ratio": np.zeros(2),
    }  # fmt: skip
    return {"predicted": model.evaluate(designs)["size_bytes"], "draws": model.draws(designs, n=100)["size_bytes"]}


def test_uncompressed_row_is_the_ceiling_of_its_family() -> None:
    model = fit_surrogate([size_table()], name="sizes")
    sizes = sizes_at_full_width(model)

    assert model.ceilings == {"CNN": pytest.approx(1.1e6)}
    assert sizes["predicted"][0] <= 1.1e6 * (1 + 1e-12)
    assert (sizes["draws"][:, 0] <= 1.1e6 * (1 + 1e-12)).all()
    assert sizes["predicted"][1] > 3.3e6  # nothing states the original of the RNN


def test_stated_original_is_the_ceiling() -> None:
    model = fit_surrogate([size_table(original_bytes={"RNN": 3.3e6})], name="sizes")
    sizes = sizes_at_full_width(model)

    assert sizes["predicted"][1] <= 3.3e6
    assert (sizes["draws"][:, 1] <= 3.3e6).all()


def test_redundant_knob_is_left_out_and_noted() -> None:
    table = size_table()
    columns = {**table.samples.columns, "width": 1 - table.samples.columns["pruning_ratio"]}
    doubled = with_knobs(samples(columns, "sizes"))
    model = fit_surrogate([doubled], name="sizes")

    assert any("width is a function of pruning_ratio" in note for note in model.notes)
    assert "width" not in {knob.name for knob in model.knobs}
