"""The shipped mobile network: weights of unequal scale, which one step for all of them ruins."""

from collections.abc import Mapping

import numpy as np

from explorer.network.graph.model import Network
from explorer.network.measurement.measure import measure_design
from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
from explorer.network.task.labelled_data import LabelledData

QUICK = MeasurementOptions(energy="none", latency=False)


def spans(network: Network) -> float:
    largest = [np.abs(weight.values).max() for weight in network.weights]
    return float(max(largest) / min(largest))


def test_largest_weights_of_the_mobile_tensors_span_100_to_1(zoo: Mapping[str, Network]) -> None:
    assert spans(zoo["digits-mobile"]) > 100
    assert spans(zoo["digits-cnn"]) < 20


def test_one_step_ruins_the_mobile_network_at_an_eighth_of_its_size(
    zoo: Mapping[str, Network], digits: LabelledData
) -> None:
    for name, step, is_ruined in (("digits-mobile", 0.2, True), ("digits-cnn", 0.04, False)):
        setup = prepare_measurement(zoo[name], digits, options=QUICK)
        row = measure_design(setup, pruning_ratio=0, quant_step=step, cache={})

        assert 7.5 < zoo[name].n_bytes / row["size_bytes"] < 11
        assert (row["accuracy"] < 0.3) == is_ruined
        assert (row["accuracy"] > 0.97) != is_ruined
