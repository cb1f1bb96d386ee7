"""Luck: close designs share most of theirs, and two that look the same may still measure differently."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.api import load
from explorer.models.ground import ground_of
from explorer.models.learner import learn, with_rounded_zeros
from explorer.models.luck import Reach

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
    ground = ground_of(load("digits-cnn-live").regions)
    learned = learn(measured, ("size_bytes", "accuracy"), ground, seed=1, trials=np.full(40, 719.0))
    drawn = learned.draws(32, seed=2)({name: measured[name] for name in ("family", "pruning_ratio", "quant_step")})

    same = with_rounded_zeros(measured, learned.spread)["pruning_ratio"][:10]
    assert np.ptp(same) < 0.05  # they do look the same
    assert np.max(np.abs(np.mean(drawn["accuracy"], axis=0) - measured["accuracy"])) < 0.08
    assert max(form.evidence for form in learned.targets["accuracy"].forms) > -200


@given(st.integers(0, 2**32 - 1))
def test_luck_is_shared_most_by_the_closest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reach = Reach(np.array([0.6, 0.4]), np.array([[0.3, 0.03], [0.004, 0.004]]))
    here = rng.random((1, 2))
    away = here + rng.standard_normal(2) * np.geomspace(1e-5, 3, 30)[:, None] / 10
    alike = reach.alike(here, away)[0]

    assert np.all(np.diff(alike) <= 1e-12)
    assert np.all((alike >= 0) & (alike <= 1 + 1e-12))
    assert reach.alike(here, here)[0, 0] == pytest.approx(1.0)
