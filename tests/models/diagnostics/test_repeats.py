"""Repeats of a design: a missing factor is distinguished from a hang and from ordinary noise."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.models.diagnostics.table_checks import target_warnings
from explorer.models.diagnostics.warnings import ModelWarning
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float

CLOCK = KnobSpec("frequency_hz", "number", is_log=True)
SCHEME, BACKEND, GPTQ = (KnobSpec(name, "category") for name in ("scheme", "backend", "gptq"))
BITS, BATCH = KnobSpec("weight_bits", "number"), KnobSpec("batch", "number", is_log=True)


def table_with_a_hidden_switch() -> tuple[Columns, Float]:
    """Return 144 quantized networks; every second row with GPTQ failed, and no column says which."""
    rows = []
    for bits, scheme, backend in itertools.product((4, 6, 8), range(4), range(4)):
        good = {4: 0.55, 6: 0.68, 8: 0.73}[bits] + 0.01 * scheme - 0.005 * backend
        rows += [(bits, scheme, backend, "no", good), (bits, scheme, backend, "yes", good + 0.015)]
        rows += [(bits, scheme, backend, "yes", 0.001 + 0.0001 * backend)]
    bits, scheme, backend, gptq, accuracy = zip(*rows, strict=True)
    names = np.array(["a", "b", "c", "d"], dtype=object)
    designs = {"weight_bits": np.array(bits, dtype=np.float64), "scheme": names[list(scheme)]}
    designs |= {"backend": names[list(backend)], "gptq": np.array(gptq, dtype=object)}
    return designs, np.array(accuracy)


def kinds(warnings: tuple[ModelWarning, ...]) -> list[str]:
    return [warning.kind for warning in warnings]


@pytest.mark.parametrize("knobs", [(SCHEME, BACKEND, GPTQ), (BITS, SCHEME, BACKEND, GPTQ)])
def test_accuracies_of_a_hidden_switch_indicate_a_missing_factor(knobs: tuple[KnobSpec, ...]) -> None:
    designs, accuracy = table_with_a_hidden_switch()
    (warning,) = target_warnings("accuracy", designs, accuracy, knobs=knobs)

    assert warning.kind == "hidden_factor"
    assert "0.77 (0.001 and 0.775), rows " in warning.text
    assert "a factor is missing from the knobs. Declare the column that sets them apart" in warning.text


def test_ignored_column_that_explains_the_repeats_is_named() -> None:
    """Two backends whose latencies differ by 30 %, beside a column that explains nothing."""
    rng = np.random.default_rng(0)
    clock, backend = np.repeat([0.5e9, 1e9, 1.5e9, 2e9], 4), np.tile(["a", "a", "b", "b"], 4).astype(object)
    latency = 1e8 / clock * np.where(backend == "b", 1.3, 1.0) * np.exp(0.02 * rng.standard_normal(16))
    ignored = {"operator": np.tile(["x", "y"], 8).astype(object), "backend": backend, "site": np.full(16, "s")}
    (warning,) = target_warnings("latency_s", {"frequency_hz": clock}, latency, knobs=(CLOCK,), ignored=ignored)

    assert warning.kind == "hidden_factor"
    assert "Columns in which they differ: backend (" in warning.text
    assert "operator" not in warning.text
    assert "site" not in warning.text


@given(seed=st.integers(0, 1000), ratio=st.floats(1.3, 2.5), noise=st.floats(0.001, 0.02))
@settings(max_examples=20, deadline=None)
def test_two_clusters_of_repeats_indicate_a_missing_factor(seed: int, ratio: float, noise: float) -> None:
    """20 pairs; no ignored column is at hand, and no pair differs by the factor of a hang."""
    rng = np.random.default_rng(seed)
    clock = np.repeat(np.geomspace(0.4e9, 2e9, 20), 2)
    latency = 1e8 / clock * np.tile([1.0, ratio], 20) * np.exp(noise * rng.standard_normal(40))

    assert "hidden_factor" in kinds(target_warnings("latency_s", {"frequency_hz": clock}, latency, knobs=(CLOCK,)))


def test_much_slower_repeat_is_reported_as_a_hang() -> None:
    designs = {"frequency_hz": np.array([1e9, 1e9, 1e9, 2e9])}
    warnings = target_warnings("latency_s", designs, np.array([0.1, 0.11, 1.0, 0.05]), knobs=(CLOCK,))

    assert warnings == (
        ModelWarning(
            "outlier", "latency_s is several times that of its repeat in row 4 (10.0 times): possibly a hang; remove it"
        ),
    )


def test_failed_repeat_of_an_accuracy_is_an_outlier() -> None:
    designs = {"frequency_hz": np.repeat([1e9, 2e9], 6)}
    accuracy = np.array([0.9, 0.91, 0.9, 0.89, 0.9, 0.91, 0.88, 0.88, 0.1, 0.87, 0.88, 0.89])
    (warning,) = target_warnings("accuracy", designs, accuracy, knobs=(CLOCK,))

    assert warning.kind == "outlier"
    assert "row 10 (0.1 against 0.89)" in warning.text


def test_many_differing_repeats_indicate_a_missing_factor() -> None:
    designs = {"frequency_hz": np.full(12, 1e9)}
    values = np.array([1.0, 5.0, 9.0, 1.1, 7.0, 4.0, 1.2, 1.0, 3.5, 8.0, 1.1, 6.0])
    (warning,) = target_warnings("latency_s", designs, values, knobs=(CLOCK,))

    assert warning.kind == "hidden_factor"
    assert warning.text.startswith("latency_s: repeats of one design differ by up to 9.0 times, rows 2 and 4: a factor")


def test_few_designs_with_wide_repeats_are_outliers() -> None:
    rng = np.random.default_rng(0)
    latency = np.exp(0.01 * rng.standard_normal(60))
    latency[11] *= 1.8
    designs = {"frequency_hz": np.repeat(np.geomspace(0.5e9, 2e9, 30), 2)}
    (warning,) = target_warnings("latency_s", designs, latency, knobs=(CLOCK,))

    assert warning.kind == "outlier"
    assert "rows 12 and 13" in warning.text


@pytest.mark.slow
@pytest.mark.parametrize("n_repeats", [2, 3, 6])
@pytest.mark.parametrize("noise", [0.01, 0.05, 0.2])
def test_noisy_repeats_raise_no_alarm(noise: float, n_repeats: int) -> None:
    """At most 2 % of 200 tables of a clock and a batch."""
    rng, n_alarms = np.random.default_rng(0), 0
    clock, batch = (a.ravel() for a in np.meshgrid(np.geomspace(0.4e9, 2e9, 5), 2.0 ** np.arange(4)))
    designs = {"frequency_hz": np.repeat(clock, n_repeats), "batch": np.repeat(batch, n_repeats)}
    latency = 1e8 / designs["frequency_hz"] * designs["batch"] ** 0.6
    for _ in range(200):
        values = latency * np.exp(noise * rng.standard_normal(len(latency)))
        n_alarms += bool(target_warnings("latency_s", designs, values, knobs=(CLOCK, BATCH)))

    assert n_alarms <= 4


@pytest.mark.slow
@pytest.mark.parametrize("n_repeats", [2, 5])
@pytest.mark.parametrize("n_items", [50, 200, 1000])
def test_counted_accuracies_raise_no_alarm(n_items: int, n_repeats: int) -> None:
    """At most 2 % of 200 tables of binomial counts."""
    rng, n_alarms = np.random.default_rng(0), 0
    ratio = np.repeat(np.linspace(0.1, 0.8, 12), n_repeats)
    for _ in range(200):
        accuracy = rng.binomial(n_items, 0.95 - 0.3 * ratio**2) / n_items
        warnings = target_warnings(
            "accuracy", {"pruning_ratio": ratio}, accuracy, knobs=(KnobSpec("pruning_ratio", "number"),)
        )
        n_alarms += bool({"hidden_factor", "outlier"} & {*kinds(warnings)})

    assert n_alarms <= 4
