"""Held-back samples: stratified, reproducible, disjoint from the search, and counted apart from it."""

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.network.graph.model import Network
from explorer.network.measurement.measure import measure_design
from explorer.network.measurement.provenance import provenance
from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
from explorer.network.task.accuracy import wilson_interval
from explorer.network.task.holdout import held_back_samples, holdout_mask
from explorer.network.task.labelled_data import LabelledData, load_data, make_labelled_data

labels = st.lists(st.integers(0, 6), min_size=2, max_size=120)
shares = st.floats(0.01, 0.99)


def _data(y: "list[int] | np.ndarray", *, salt: int = 0) -> LabelledData:
    return make_labelled_data({"x": np.arange(len(y)) + salt, "y": np.asarray(y)}, source="d.npz")


def _split_mix_64(seed: int, n: int) -> list[int]:
    """Return n integers of SplitMix64 by Python's own integers: a slow twin."""
    state, keys = seed, []
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        keys.append(z ^ (z >> 31))
    return keys


@given(labels, shares)
def test_every_class_gives_its_share_within_one_sample(y: list[int], share: float) -> None:
    mask = holdout_mask(_data(y), share)
    n_held = min(max(round(share * len(y)), 1), len(y) - 1)

    assert mask.sum() == n_held
    for each in set(y):
        of_class = np.asarray(y) == each
        assert abs(mask[of_class].sum() - share * of_class.sum()) <= 1 + 1e-9


@given(labels, st.sampled_from(["1/5", "3/10", "1/2", "9/10"]))
def test_the_split_equals_its_slow_twin(y: list[int], text: str) -> None:
    share = Fraction(text)
    data, classes = _data(y), sorted(set(y))
    keys = _split_mix_64(int(data.sha256[:16], 16), len(y) + len(classes))
    n_held = min(max(round(float(share) * len(y)), 1), len(y) - 1)
    quota = {c: int(share * y.count(c)) for c in classes}
    left = sorted(classes, key=lambda c: (-(share * y.count(c) - quota[c]), keys[len(y) + classes.index(c)]))
    for c in left[: n_held - sum(quota.values())]:
        quota[c] += 1
    expected = {
        i for c in classes for i in sorted((i for i in range(len(y)) if y[i] == c), key=keys.__getitem__)[: quota[c]]
    }

    assert set(np.flatnonzero(holdout_mask(data, float(share))).tolist()) == expected


def test_the_split_depends_on_the_data_alone(digits: LabelledData) -> None:
    again = replace(load_data("digits"), source="elsewhere.npz")
    other = make_labelled_data({"x": digits.inputs["x"] + 1, "y": digits.labels}, source="digits.npz")

    assert np.array_equal(holdout_mask(digits, 0.3), holdout_mask(again, 0.3))
    assert not np.array_equal(holdout_mask(digits, 0.3), holdout_mask(other, 0.3))


def test_samples_are_held_back_equally_often() -> None:
    """Over 2,000 data sets each of 40 samples is held back in a quarter of them: within five standard deviations."""
    y = np.repeat([0, 1, 2, 3], 10)
    n_held = np.sum([holdout_mask(_data(y, salt=i), 0.25) for i in range(2_000)], axis=0)

    assert np.abs(n_held - 500).max() < 5 * np.sqrt(2_000 * 0.25 * 0.75)


def test_one_sample_cannot_be_split() -> None:
    with pytest.raises(InvalidFile, match="none can be held back"):
        holdout_mask(_data([3]), 0.3)


def test_accuracy_of_the_search_and_of_the_held_back_samples_are_of_disjoint_parts(
    zoo: Mapping[str, Network], digits: LabelledData
) -> None:
    """Each part counts as a measurement of its own samples alone does; together they are the whole."""
    plain = MeasurementOptions(energy="none", latency=False)
    held = MeasurementOptions(energy="none", latency=False, holdout=0.3)
    design = {"pruning_ratio": 0.5, "quant_step": 0.3}
    mask = holdout_mask(digits, 0.3)
    rest = make_labelled_data({"x": digits.inputs["x"][~mask], "y": digits.labels[~mask]}, source="rest.npz")

    split = measure_design(prepare_measurement(zoo["digits-mlp"], digits, options=held), **design, cache={})
    whole, searched, back = (
        measure_design(prepare_measurement(zoo["digits-mlp"], data, options=plain), **design, cache={})
        for data in (digits, rest, held_back_samples(digits, 0.3))
    )

    assert (split["n_samples"], split["n_samples_holdout"]) == (503, 216)
    for name in ("accuracy", "accuracy_lo", "accuracy_hi", "n_right", "n_samples", "n_lost", "n_gained"):
        assert split[name] == searched[name]
    assert split["n_right_holdout"] == back["n_right"]
    assert split["n_right"] + split["n_right_holdout"] == whole["n_right"]
    low, high = wilson_interval(back["n_right"], 216)
    assert (split["accuracy_holdout_lo"], split["accuracy_holdout_hi"]) == (low, high)
    assert "accuracy_holdout" not in whole


def test_provenance_states_the_split_only_where_there_is_one(zoo: Mapping[str, Network], digits: LabelledData) -> None:
    options = [MeasurementOptions(energy="none", latency=False, holdout=share) for share in (0.0, 0.3)]
    plain, held = (
        provenance(prepare_measurement(zoo["digits-mlp"], digits, options=one), when="")["data"] for one in options
    )

    assert plain == {"source": "digits.npz", "sha256": digits.sha256, "n_samples": 719}
    assert held["holdout"]["share"] == 0.3
    assert held["holdout"]["n_samples"] == 216
    assert "stratified by class" in held["holdout"]["split"]
