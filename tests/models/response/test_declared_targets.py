"""Fits of declared targets: the link follows from the range, and known uncertainty of values counts."""

import math

import numpy as np
import pytest

from explorer.io.csv_text import CsvTable
from explorer.models.response.averaging import fit_response
from explorer.models.response.response import Response
from explorer.models.samples.deviations import known_deviations
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import paper_samples
from explorer.problem.targets import Target

KNOBS = (KnobSpec("batch", "number"),)
BATCH = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
SCATTER = np.array([0.3, -0.2, 0.1, 0.4, -0.5, 0.2, -0.1, -0.2])


def fitted(name: str, values: np.ndarray, deviations: np.ndarray | None = None) -> Response:
    return fit_response(name, {"batch": BATCH}, values, knobs=KNOBS, deviations=deviations)


def predicted(name: str, values: np.ndarray) -> np.ndarray:
    return fitted(name, values).predict({"batch": np.array([1.5, 4.5, 7.5])})


@pytest.mark.slow
def test_values_of_any_sign_may_be_shifted() -> None:
    """An open range has no link: PSNR plus 40 dB is predicted 40 dB higher."""
    Target("psnr", "max", "dB", (-math.inf, math.inf))
    values = -2.0 + 0.7 * BATCH + SCATTER

    assert predicted("psnr", values + 40) == pytest.approx(predicted("psnr", values) + 40, rel=1e-6)


@pytest.mark.slow
def test_positive_values_may_be_scaled() -> None:
    Target("tokens", "max", "tokens/s")
    values = 20 * BATCH**0.5 * np.exp(0.05 * SCATTER)

    assert predicted("tokens", values * 1000) == pytest.approx(predicted("tokens", values) * 1000, rel=1e-6)


@pytest.mark.slow
def test_a_share_may_be_written_in_percent() -> None:
    Target("iou", "max", "", (0, 1))
    Target("iou_percent", "max", "", (0, 100))
    values = 0.8 - 0.02 * BATCH + 0.01 * SCATTER

    assert predicted("iou_percent", values * 100) == pytest.approx(predicted("iou", values) * 100, rel=1e-6)


@pytest.mark.slow
def test_known_uncertainty_of_the_values_widens_the_intervals() -> None:
    Target("iou", "max", "", (0, 1), "given")
    values = 0.8 - 0.02 * BATCH
    new = {"batch": np.array([4.5])}
    width = {
        sd: float(np.diff(fitted("iou", values, np.full(8, sd)).interval(new), axis=0)[0, 0])
        for sd in (0.0, 0.02, 0.05)
    }

    assert width[0.05] > width[0.02] > width[0.0]
    assert width[0.05] > 2 * 1.645 * 0.05  # a new measurement scatters as those that were given


def test_a_zero_of_positive_values_is_a_fault_that_names_the_range() -> None:
    Target("wer")
    with pytest.raises(Exception, match="a value is not positive") as error:
        fitted("wer", np.arange(8.0))

    assert "[targets.wer] range" in str(error.value)


def test_deviations_of_measured_intervals_of_and_of_counts() -> None:
    Target("iou", "max", "", (0, 1), "given")
    Target("top5", "max", "", (0, 1), "counts")
    header = ["iou", "iou_lo", "iou_hi", "top5", "n_right", "n_samples"]
    rows = [["0.5", "0.4", "0.6", "0.9", "90", "100"], ["0.5", "", "", "0.9", "", ""]]
    columns = {"iou": np.array([0.5, 0.5]), "top5": np.array([0.9, 0.9])}

    found = known_deviations(CsvTable(header, rows, [2, 3], ""), columns)

    assert found["iou"] == pytest.approx([0.2 / (2 * 1.6449), 0.0], abs=1e-4)
    assert found["top5"] == pytest.approx([0.03, 0.0])


@pytest.mark.slow
def test_a_quality_is_modelled_as_accuracy_is() -> None:
    """The paper's accuracies under another name: the same forms, weights and predictions."""
    Target("top5", "max", "", (0, 1))
    table = paper_samples().columns
    knobs = tuple(KnobSpec(name, "number") for name in ("pruning_ratio", "quant_step"))
    designs = {knob.name: table[knob.name] for knob in knobs}

    own, built_in = (fit_response(name, designs, table["accuracy"], knobs=knobs) for name in ("top5", "accuracy"))

    assert [form.name for form in own.candidates] == [form.name for form in built_in.candidates]
    assert own.predict(designs) == pytest.approx(built_in.predict(designs), rel=1e-12)


@pytest.mark.slow
def test_values_of_any_sign_may_be_in_another_unit() -> None:
    Target("gain", "max", "dB", (-math.inf, math.inf))
    values = -2.0 + 0.7 * BATCH + SCATTER

    assert predicted("gain", values * 50) == pytest.approx(predicted("gain", values) * 50, rel=1e-3)
