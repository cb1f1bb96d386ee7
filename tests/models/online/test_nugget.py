"""Luck: close designs share most of theirs, and two that look the same may still measure differently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.api import load_problem as load
from explorer.models.online.input_space import build_input_space
from explorer.models.online.nugget import CorrelationLengths
from explorer.models.online.surrogate import fit_online, with_rounded_zeros

SPREAD = 0.11


@pytest.fixture(scope="module")
def measured() -> dict[str, np.ndarray]:
    """Return designs of a network whose sizes tell which weights rounding makes zero; some look the same by them."""
    rng = np.random.default_rng(5)
    ratio, step = rng.uniform(0, 0.9, 40), np.exp(rng.uniform(np.log(0.004), np.log(0.5), 40))
    ratio[:10], step[:10] = np.linspace(0.1, 0.9, 10), 0.5  # rounding prunes 99 % of the weights: these are one design
    kept = np.exp(-np.maximum(step / SPREAD, -np.log1p(-ratio)))
    bits = np.maximum(np.log2(2 * SPREAD * np.e / step), 1.0)
    accuracy = 0.1 + 0.86 / (1 + np.exp(20 * (ratio - 0.85)) + (step / 0.15) ** 4)
    accuracy[:10] = 0.27 + 0.02 * rng.standard_normal(10)
    return {
        "family": np.full(40, "digits-cnn", dtype=object),
        "pruning_ratio": ratio,
        "quant_step": step,
        "size_bytes": 3000 + 40_000 * kept * bits / 8,
        "accuracy": accuracy,
    }


def test_designs_that_look_the_same_may_measure_differently(measured: dict[str, np.ndarray]) -> None:
    """What was measured stays what is believed, there and elsewhere, though ten rows contradict each other."""
    ground = build_input_space(load("digits-cnn-live").regions)
    learned = fit_online(measured, ("size_bytes", "accuracy"), ground, seed=1, trials=np.full(40, 719.0))
    drawn = learned.draws(32, seed=2)({name: measured[name] for name in ("family", "pruning_ratio", "quant_step")})

    same = with_rounded_zeros(measured, learned.spread)["pruning_ratio"][:10]
    assert np.ptp(same) < 0.05  # they do look the same
    assert np.max(np.abs(np.mean(drawn["accuracy"], axis=0) - measured["accuracy"])) < 0.08
    assert max(form.evidence for form in learned.targets["accuracy"].forms) > -200


@given(st.integers(0, 2**32 - 1))
def test_luck_is_shared_most_by_the_closest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reach = CorrelationLengths(np.array([0.3, 0.03]))
    here = rng.random((1, 2))
    away = here + rng.standard_normal(2) * np.geomspace(1e-5, 3, 30)[:, None] / 10
    alike = reach.alike(here, away)[0]

    assert np.all(np.diff(alike) <= 1e-12)
    assert np.all((alike >= 0) & (alike <= 1))
    assert reach.alike(here, here)[0, 0] == 1.0


def test_weights_that_are_zero_anyway_change_nothing(measured: dict[str, np.ndarray]) -> None:
    """Whatever is pruned of what rounding makes zero: size and accuracy stay as they are, draw by draw."""
    ground = build_input_space(load("digits-cnn-live").regions)
    learned = fit_online(measured, ("size_bytes", "accuracy"), ground, seed=1, trials=np.full(40, 719.0))
    designs = {
        "family": np.full(5, "digits-cnn", dtype=object),
        "pruning_ratio": np.linspace(0, 0.8, 5),  # at this step 90 % are rounded to zero
        "quant_step": np.full(5, 0.25),
    }
    drawn = learned.draws(16, seed=3)(designs)

    for values in drawn.values():
        np.testing.assert_allclose(values, values[:, :1].repeat(5, axis=1), rtol=1e-9)


def test_what_neighbours_have_is_open_to_nobody(measured: dict[str, np.ndarray]) -> None:
    """The closer a design is to a measured one, the less is left to hope for; at it, nothing."""
    ground = build_input_space(load("digits-cnn-live").regions)
    learned = fit_online(measured, ("size_bytes", "accuracy"), ground, seed=1, trials=np.full(40, 719.0))
    row = 25
    away = np.array([0.0, 1e-4, 1e-3, 1e-2])
    designs = {
        "family": np.full(4, "digits-cnn", dtype=object),
        "pruning_ratio": np.full(4, measured["pruning_ratio"][row]),
        "quant_step": measured["quant_step"][row] * np.exp(away),
    }
    spread = np.std(learned.draws(256, seed=3)(designs)["accuracy"], axis=0)

    assert spread[0] < 0.005
    assert np.all(np.diff(spread) > 0)
