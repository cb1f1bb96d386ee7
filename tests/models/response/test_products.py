"""Energy, power and latency: one of them is derived where E = P T holds, and a warning note elsewhere."""

import numpy as np
import pytest

from explorer.models.intervals import add_intervals
from explorer.models.posterior_draws import posterior_draws, predict_draws
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.products import is_product, mismatch_text, product_ratio
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import Samples
from explorer.problem.columns import Columns
from explorer.problem.objectives import Constants

N = 40


def measured(*, noise: float = 0.03, digits: int | None = None) -> Columns:
    """Return rows as an edge board gives them: energy is mean power times mean latency."""
    rng = np.random.default_rng(0)
    ratio, side = rng.choice([0.0, 0.25, 0.5, 0.75], N), rng.choice([96.0, 128.0, 160.0, 192.0, 224.0], N)
    work = (1 - ratio) ** 0.7 * (side / 224) ** 1.8
    latency = (0.004 + 0.03 * work) * np.exp(noise * rng.standard_normal(N))
    power = (6 + 2 * work**0.3) * np.exp(noise / 3 * rng.standard_normal(N))
    columns: Columns = {
        "family": np.full(N, "mobilenet", dtype=object), "pruning_ratio": ratio, "resolution_px": side,
        "latency_s": latency, "power_w": power, "energy_j": latency * power,
    }  # fmt: skip
    if digits is not None:
        for name in ("latency_s", "power_w", "energy_j"):
            columns[name] = np.array([float(f"{value:.{digits}g}") for value in columns[name]])
    return columns


def fitted(columns: Columns) -> Surrogate:
    samples = Samples(columns, tuple(f"row {i}" for i in range(len(columns["family"]))), "board.csv", "0")
    return fit_surrogate([with_knobs(samples)], name="board")


@pytest.fixture(scope="module")
def board() -> Surrogate:
    return fitted(measured())


def new_designs() -> Columns:
    ratio, side = (grid.ravel() for grid in np.meshgrid([0.1, 0.4, 0.6], [110.0, 150.0, 200.0]))
    return {"family": np.full(9, "mobilenet", dtype=object), "pruning_ratio": ratio, "resolution_px": side}


@pytest.mark.slow
def test_one_target_is_derived_and_the_other_two_are_modelled(board: Surrogate) -> None:
    assert board.product is not None
    assert set(board.responses) == {"latency_s", "energy_j", "power_w"} - {board.product.target}
    assert board.targets == ("latency_s", "energy_j", "power_w")
    assert set(board.product.powers) == set(board.responses)


@pytest.mark.slow
def test_energy_is_power_times_latency_in_predictions_and_every_draw(board: Surrogate) -> None:
    designs = new_designs()
    predicted = board.evaluate(designs)
    np.testing.assert_allclose(predicted["energy_j"], predicted["power_w"] * predicted["latency_s"], rtol=1e-12)
    for with_noise in (False, True):
        draws = predict_draws(board, posterior_draws(board, n=200), designs, with_noise=with_noise)
        np.testing.assert_allclose(draws["energy_j"], draws["power_w"] * draws["latency_s"], rtol=1e-12)


@pytest.mark.slow
def test_derived_target_has_intervals(board: Surrogate) -> None:
    columns = board.evaluate(new_designs())
    bounded = add_intervals(columns, model=board, draws=posterior_draws(board), constants=Constants())
    truth = (1 - new_designs()["pruning_ratio"]) ** 0.7 * (new_designs()["resolution_px"] / 224) ** 1.8
    energy = (0.004 + 0.03 * truth) * (6 + 2 * truth**0.3)

    assert np.all(bounded["energy_j_lo"] < bounded["energy_j_hi"])
    assert np.mean((bounded["energy_j_lo"] <= energy) & (energy <= bounded["energy_j_hi"])) >= 0.8


def test_columns_rounded_to_three_digits_belong_together() -> None:
    assert is_product(measured(digits=3))
    assert mismatch_text(measured(digits=3)) == ""


def test_papers_columns_do_not_belong_together(model: Surrogate) -> None:
    """Tables 1 and 2: E / (P T) is 6 to 10.8."""
    columns = model.samples.columns
    ratio = product_ratio(columns)

    assert model.product is None
    assert (ratio.min(), ratio.max()) == pytest.approx((6.0, 10.8), abs=0.05)
    (note,) = [note for note in model.notes if "E / (P T)" in note]
    assert note.startswith("energy_j is not power_w x latency_s in these samples (E / (P T) is 6 to 10.8)")
    assert "no limit on another" in note


def test_few_rows_and_missing_columns_derive_nothing() -> None:
    columns = measured()
    without = {name: values for name, values in columns.items() if name != "power_w"}
    few = {name: values[:2] for name, values in columns.items()}

    assert not is_product(without)
    assert not is_product(few)
    assert mismatch_text(without) == mismatch_text(few) == ""


def test_power_measured_in_few_rows_derives_nothing() -> None:
    """Deriving energy from power would lose the rows without power."""
    columns = measured()
    columns["power_w"][: N // 2] = np.nan

    assert not is_product(columns)
