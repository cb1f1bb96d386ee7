"""Nugget: correlated between close designs, and never fully determined by neighbours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.api import load_study as load
from explorer.models.online.input_space import build_input_space
from explorer.models.online.nugget import CorrelationLengths
from explorer.models.online.surrogate import fit_online, with_rounded_zeros

SPREAD = 0.11


@pytest.fixture(scope="module")
def measured() -> dict[str, np.ndarray]:
    """Return designs of a network, ten of them with equal coordinates once rounding to zero counts as pruning."""
    rng = np.random.default_rng(5)
    ratio, step = rng.uniform(0, 0.9, 40), np.exp(rng.uniform(np.log(0.004), np.log(0.5), 40))
    ratio[:10], step[:10] = np.linspace(0.1, 0.9, 10), 0.5  # rounding prunes 99 % of the weights: equal designs
    density = np.exp(-np.maximum(step / SPREAD, -np.log1p(-ratio)))
    bits = np.maximum(np.log2(2 * SPREAD * np.e / step), 1.0)
    accuracy = 0.1 + 0.86 / (1 + np.exp(20 * (ratio - 0.85)) + (step / 0.15) ** 4)
    accuracy[:10] = 0.27 + 0.02 * rng.standard_normal(10)
    return {
        "family": np.full(40, "digits-cnn", dtype=object),
        "pruning_ratio": ratio,
        "quant_step": step,
        "size_bytes": 3000 + 40_000 * density * bits / 8,
        "accuracy": accuracy,
    }


def test_contradicting_rows_of_equal_designs_are_fitted(measured: dict[str, np.ndarray]) -> None:
    """Draws reproduce all measurements, although ten rows contradict each other."""
    space = build_input_space(load("digits-cnn-live").regions)
    surrogate = fit_online(measured, ("size_bytes", "accuracy"), space, seed=1, n_counted=np.full(40, 719.0))
    draws = surrogate.draws(32, seed=2)({name: measured[name] for name in ("family", "pruning_ratio", "quant_step")})

    same = with_rounded_zeros(measured, surrogate.spread)["pruning_ratio"][:10]
    assert np.ptp(same) < 0.05  # equal designs
    assert np.max(np.abs(np.mean(draws["accuracy"], axis=0) - measured["accuracy"])) < 0.08
    assert max(form.evidence for form in surrogate.targets["accuracy"].forms) > -200


@given(st.integers(0, 2**32 - 1))
def test_nugget_correlation_falls_with_distance(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = CorrelationLengths(np.array([0.3, 0.03]))
    design = rng.random((1, 2))
    others = design + rng.standard_normal(2) * np.geomspace(1e-5, 3, 30)[:, None] / 10
    correlation = lengths.correlation(design, others)[0]

    assert np.all(np.diff(correlation) <= 1e-12)
    assert np.all((correlation >= 0) & (correlation <= 1))
    assert lengths.correlation(design, design)[0, 0] == 1.0


def test_pruning_weights_that_round_to_zero_has_no_effect(measured: dict[str, np.ndarray]) -> None:
    """Size and accuracy of each draw are unchanged while only weights are pruned that rounding makes zero."""
    space = build_input_space(load("digits-cnn-live").regions)
    surrogate = fit_online(measured, ("size_bytes", "accuracy"), space, seed=1, n_counted=np.full(40, 719.0))
    designs = {
        "family": np.full(5, "digits-cnn", dtype=object),
        "pruning_ratio": np.linspace(0, 0.8, 5),  # at this step 90 % are rounded to zero
        "quant_step": np.full(5, 0.25),
    }
    draws = surrogate.draws(16, seed=3)(designs)

    for values in draws.values():
        np.testing.assert_allclose(values, values[:, :1].repeat(5, axis=1), rtol=1e-9)


def test_nugget_uncertainty_vanishes_at_a_measured_design(measured: dict[str, np.ndarray]) -> None:
    """The standard deviation falls towards a measured design."""
    space = build_input_space(load("digits-cnn-live").regions)
    surrogate = fit_online(measured, ("size_bytes", "accuracy"), space, seed=1, n_counted=np.full(40, 719.0))
    row = 25
    distances = np.array([0.0, 1e-4, 1e-3, 1e-2])
    designs = {
        "family": np.full(4, "digits-cnn", dtype=object),
        "pruning_ratio": np.full(4, measured["pruning_ratio"][row]),
        "quant_step": measured["quant_step"][row] * np.exp(distances),
    }
    spread = np.std(surrogate.draws(256, seed=3)(designs)["accuracy"], axis=0)

    assert spread[0] < 0.005
    assert np.all(np.diff(spread) > 0)
