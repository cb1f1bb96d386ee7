"""Accuracy of compressed networks that the fit has not seen: inside its 90 % interval at least 8 times of 10."""

import numpy as np
import pytest

from explorer.models.responses import Responses, measured
from explorer.models.samples import read_samples
from explorer.models.store import fit_samples
from explorer.network.bench import Conditions, prepare
from explorer.network.data import load_data
from explorer.network.measure import measure_design
from explorer.network.network import ZOO, load_network

NETWORKS = ("digits-cnn", "digits-gru", "digits-mlp", "digits-transformer")


@pytest.fixture(scope="module")
def model() -> Responses:
    """The project's own surface: 49 designs of each network."""
    fitted = fit_samples([measured(read_samples(ZOO / "digits-surface.csv"))], name="surface")
    assert isinstance(fitted, Responses)
    return fitted


@pytest.mark.parametrize("name", NETWORKS)
def test_measured_accuracy_lies_inside_at_least_eight_intervals_of_ten(model: Responses, name: str) -> None:
    rng = np.random.default_rng(7)
    designs = {
        "family": np.full(10, name, dtype=object),
        "pruning_ratio": rng.uniform(0, 0.9, 10),
        "quant_step": np.exp(rng.uniform(np.log(0.002), np.log(0.3), 10)),
    }
    bench, cache = prepare(load_network(name), load_data("digits"), conditions=Conditions(energy="none")), {}
    pairs = zip(designs["pruning_ratio"].tolist(), designs["quant_step"].tolist(), strict=True)
    truth = np.array([measure_design(bench, pruning_ratio=r, quant_step=d, cache=cache)["accuracy"] for r, d in pairs])
    low, high = model.responses["accuracy"].interval(designs)

    assert int(np.sum((low <= truth) & (truth <= high))) >= 8
