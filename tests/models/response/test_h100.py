"""Accuracy of fits on H100 measurements: each width held out in turn, with weights and fit repeated."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import explorer.models
from explorer.models.diagnostics.redundancy import duplicated_knobs
from explorer.models.diagnostics.residuals import residual_warnings
from explorer.models.diagnostics.table_checks import target_warnings
from explorer.models.response.averaging import fit_response
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float, take

FAMILY, RATIO = KnobSpec("family", "category"), KnobSpec("pruning_ratio", "number")
ENERGY_KNOBS = (FAMILY, RATIO, KnobSpec("precision", "category"), KnobSpec("batch_size", "number", is_log=True))
ACCURACY_KNOBS = (FAMILY, RATIO, KnobSpec("quant_step", "number", is_log=True))
TEXT = {"family", "precision", "device", "clock_limited"}


@cache
def h100(name: str) -> Columns:
    """Return `h100_energy` or `h100_accuracy`, every column, in the file's order."""
    path = Path(explorer.models.__file__).parent / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        column: np.array([row[column] for row in rows], dtype=object if column in TEXT else np.float64)
        for column in rows[0]
    }


@cache
def predict_held_out(name: str, target: str) -> tuple[Float, Float, Float]:
    """Return each row's prediction and interval by a model fitted without the rows of its width."""
    table = h100(name)
    knobs = ACCURACY_KNOBS if target == "accuracy" else ENERGY_KNOBS
    middle, low, high = (np.empty(len(table[target])) for _ in range(3))
    for width in np.unique(table["width"]):
        out = table["width"] == width
        train, test = take(table, ~out), take(table, out)
        response = fit_response(target, train, train[target], knobs=knobs)
        middle[out] = response.predict(test)
        low[out], high[out] = response.interval(test)
    return middle, low, high


@pytest.mark.parametrize(("target", "max_error"), [("energy_j", 0.11), ("latency_s", 0.08)])
@pytest.mark.slow
def test_held_out_width_is_predicted_better_than_by_a_line(target: str, max_error: float) -> None:
    """A line in the remaining weights for each of the 36 groups, by relative least squares, is 11.1 and 8.2 % off."""
    table, (middle, _, _) = h100("h100_energy"), predict_held_out("h100_energy", target)
    first = table["repeat"] == 0
    error = np.abs(middle / table[target] - 1)[first].mean()
    by_line = _line_error({name: column[first] for name, column in table.items()}, target)

    assert error <= max_error
    assert error < by_line


@pytest.mark.parametrize("target", ["energy_j", "latency_s"])
@pytest.mark.slow
def test_intervals_cover_held_out_widths(target: str) -> None:
    _, low, high = predict_held_out("h100_energy", target)
    truth = h100("h100_energy")[target]

    assert 0.85 <= np.mean((low <= truth) & (truth <= high)) <= 0.99


@pytest.mark.slow
def test_accuracy_error_of_held_out_widths_is_bounded() -> None:
    table, (middle, low, high) = h100("h100_accuracy"), predict_held_out("h100_accuracy", "accuracy")
    gap = np.abs(middle - table["accuracy"])

    assert gap.mean() <= 0.05
    assert gap[table["quant_step"] <= 0.05].mean() <= 0.015
    assert 0.85 <= np.mean((low <= table["accuracy"]) & (table["accuracy"] <= high)) <= 0.99


@pytest.mark.slow
def test_cliff_form_beats_smooth_forms_on_held_out_steps() -> None:
    table = h100("h100_accuracy")
    response = fit_response("accuracy", table, table["accuracy"], knobs=ACCURACY_KNOBS)
    by_name = {candidate.name: candidate for candidate in response.candidates}

    cliffs = [c for c in response.candidates if "cliff" in c.name]

    assert sum(c.weight for c in cliffs) > 0.9
    assert by_name["curved in log-odds + Gaussian process"].between > 2 * min(c.between for c in cliffs)


def test_warnings_on_the_h100_tables() -> None:
    table = h100("h100_energy")
    bits = KnobSpec("weight_bits", "number")

    assert duplicated_knobs(table, knobs=(*ENERGY_KNOBS, bits)) == {"weight_bits": "precision"}
    assert duplicated_knobs(table, knobs=ENERGY_KNOBS) == {}
    accuracy = h100("h100_accuracy")
    warnings = target_warnings("accuracy", accuracy, accuracy["accuracy"], knobs=ACCURACY_KNOBS)
    (cliff,) = [warning for warning in warnings if warning.kind == "cliff" and "quant_step" in warning.text]
    assert "0.05" in cliff.text
    assert "0.2" in cliff.text


@pytest.mark.slow
def test_power_limited_network_is_reported_as_an_outlier() -> None:
    """CNN, fp32, batch 128, full width: rows 3 and 4 of the file, at 1.95 and 1.935 GHz under the 700 W limit."""
    table = h100("h100_energy")
    rows = fit_response("energy_j", table, table["energy_j"], knobs=ENERGY_KNOBS).held_out
    warnings = residual_warnings("energy_j", rows.values, rows.middle, rows.sd, design_index=rows.design)
    (outlier,) = [warning for warning in warnings if warning.kind == "outlier"]

    assert "rows 3, 4 (" in outlier.text


def _line_error(table: Columns, target: str) -> float:
    names = ("family", "precision", "batch_size")
    group = np.array(["/".join(str(table[name][i]) for name in names) for i in range(len(table[target]))])
    gaps = []
    for i in range(len(group)):
        train = (group == group[i]) & (table["width"] != table["width"][i])
        remaining, values = 1 - table["pruning_ratio"][train], table[target][train]
        line = np.polyfit(remaining, values, 1, w=1 / values)
        gaps.append(abs(np.polyval(line, 1 - table["pruning_ratio"][i]) / table[target][i] - 1))
    return float(np.mean(gaps))


def test_readme_exponents_match_the_tables() -> None:
    """Energy and latency against remaining weights, per family and arithmetic, with a level for each batch."""
    table = h100("h100_energy")
    ranges = {}
    for target in ("energy_j", "latency_s"):
        for precision in ("fp32", "fp16"):
            exponents = []
            for family in ("CNN", "DNN", "RNN", "Transformer"):
                rows = (table["family"] == family) & (table["precision"] == precision)
                batch = [(table["batch_size"][rows] == size).astype(float) for size in (16, 128, 1024)]
                design = np.stack([np.log(1 - table["pruning_ratio"][rows]), *batch], axis=1)
                exponents.append(np.linalg.lstsq(design, np.log(table[target][rows]), rcond=None)[0][0])
            ranges[target, precision] = (min(exponents), max(exponents))

    assert ranges["energy_j", "fp32"] == pytest.approx((0.70, 1.05), abs=0.01)
    assert ranges["energy_j", "fp16"] == pytest.approx((0.35, 0.78), abs=0.01)
    assert ranges["latency_s", "fp32"] == pytest.approx((0.55, 0.94), abs=0.01)
    assert ranges["latency_s", "fp16"] == pytest.approx((0.16, 0.48), abs=0.01)
