"""Coverage of 90 % intervals for the measured accuracy of compressed networks outside the samples."""

import numpy as np
import pytest

from explorer.models.loading import fit_samples
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import read_samples_csv
from explorer.network.graph.model import ZOO, load_network
from explorer.network.measurement.measure import measure_design
from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
from explorer.network.task.labelled_data import load_data
from explorer.problem.columns import Columns

NETWORKS = ("digits-cnn", "digits-gru", "digits-mlp", "digits-transformer")
SEEDS = range(10)


@pytest.fixture(scope="module")
def model() -> Surrogate:
    """Return the fit of the bundled surface: 49 designs of each network."""
    return fit_samples([with_knobs(read_samples_csv(ZOO / "digits-surface.csv"))], name="surface")


def random_designs(name: str, seed: int) -> Columns:
    rng = np.random.default_rng(seed)
    return {
        "family": np.full(10, name, dtype=object),
        "pruning_ratio": rng.uniform(0, 0.9, 10),
        "quant_step": np.exp(rng.uniform(np.log(0.002), np.log(0.3), 10)),
    }


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.slow
def test_intervals_cover_measured_accuracy_of_new_designs(model: Surrogate, name: str) -> None:
    """Ten sets of ten designs. With true 90 % intervals, one set of fourteen has fewer than eight inside."""
    conditions = MeasurementOptions(energy="none", latency=False)
    bench, cache = prepare_measurement(load_network(name), load_data("digits"), options=conditions), {}
    inside = []
    for designs in (random_designs(name, seed) for seed in SEEDS):
        pairs = zip(designs["pruning_ratio"].tolist(), designs["quant_step"].tolist(), strict=True)
        measured = [measure_design(bench, pruning_ratio=r, quant_step=d, cache=cache)["accuracy"] for r, d in pairs]
        low, high = model.responses["accuracy"].interval(designs)
        inside.append(int(np.sum((low <= measured) & (measured <= high))))

    assert sum(n >= 8 for n in inside) >= 9, inside
    assert sum(inside) >= 85, inside
