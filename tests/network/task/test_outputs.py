"""Read output: one rule for shapes and types, the best of several, and doubts that are told."""

from typing import Any

import numpy as np
import pytest

from explorer.errors import MeasurementFailed
from explorer.network.task.outputs import ClassReading, choose_output, read_rule

LABELS = np.arange(40) % 4
SCORES = np.eye(4, dtype=np.float32)[LABELS]
WRONG = np.eye(4, dtype=np.float32)[(LABELS + 1) % 4]


def read(name: str = "", labels: Any = LABELS, ignored: Any = None, **outputs: Any) -> Any:
    return choose_output(outputs, ignored or {}, labels, name=name, source="d.npz")


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        pytest.param(SCORES, LABELS, id="scores"),
        pytest.param(SCORES[:, :, None, None], LABELS, id="trailing axes"),
        pytest.param(SCORES[:, None], LABELS, id="inner axis"),
        pytest.param((SCORES * 100).astype(np.uint8), LABELS, id="quantized scores"),
        pytest.param(LABELS, LABELS, id="classes"),
        pytest.param(LABELS[:, None].astype(np.int32), LABELS, id="classes in a column"),
        pytest.param(LABELS.astype(str).astype(object), LABELS.astype(str), id="names"),
        pytest.param((LABELS % 2).astype(np.float32), LABELS % 2, id="probabilities"),
        pytest.param((LABELS % 2 - 0.4).astype(np.float16)[:, None], LABELS % 2, id="logits"),
    ],
)
def test_every_form_of_classes_is_read(values: Any, labels: Any) -> None:
    assert read(labels=labels, y=values).is_correct.all()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((40, 3, 4)), r"\(n, 3, 4\) float64 has no class for each sample"),
        (np.zeros((40, 5), dtype=np.int64), r"\(n, 5\) int64 has no class"),
        (np.zeros(40), "is one value for each sample, for the classes 0 and 1; the labels have 3"),
        (LABELS.astype(str), "has names, the labels are numbers"),
    ],
)
def test_what_gives_no_classes_has_a_reason(values: Any, reason: str) -> None:
    with pytest.raises(MeasurementFailed, match=f"no output gives classes for 40 samples: 'y' .*{reason}"):
        read(y=values)


def test_the_output_that_gives_most_labels_is_read_and_others_are_named() -> None:
    found = read(
        first=WRONG, second=SCORES, third=np.ones((40, 9, 9)), ignored={"map": "is a sequence of maps (ZipMap)"}
    )

    assert found.reading.name == "second"
    assert found.notes[0] == "read: output 'second' (n, 4), the largest of 4 values is the class"
    assert "'first' (n, 4): 0 of 40 right" in found.notes[1]
    assert "'map' is a sequence of maps (ZipMap)" in found.notes[2]
    assert not found.warnings


def test_outputs_that_are_equally_good_are_a_warning() -> None:
    """Each is wrong in another sample. The first one is read."""
    first, second = SCORES.copy(), SCORES.copy()
    first[0], second[1] = first[1], second[2]
    found = read(first=first, second=second)

    assert found.reading.name == "first"
    assert "output 'second' gives 39 of 40 labels, 'first' 39: these samples do not tell" in found.warnings[0]
    assert not read(first=first, same=first).warnings


@pytest.mark.parametrize("labels", [(LABELS + 2) % 4, np.zeros(40, dtype=int)])
def test_a_network_no_better_than_one_class_is_a_warning(labels: Any) -> None:
    (warning,) = read(labels=labels, y=np.where(np.arange(40)[:, None] < 10, SCORES, WRONG)).warnings

    assert "is no better than always class 0" in warning


def test_an_output_of_nan_is_not_read_where_there_is_another() -> None:
    broken = np.full_like(SCORES, np.nan)

    assert read(first=broken, second=SCORES).reading.name == "second"
    with pytest.raises(MeasurementFailed, match="output 'first' is NaN or infinite for 40 of 40 samples"):
        read(first=broken)
    with pytest.raises(MeasurementFailed, match="output 'first' is NaN"):
        read("first", first=broken, second=SCORES)


def test_the_threshold_of_the_source_is_that_of_every_version() -> None:
    rule = read_rule("p", np.array([0.2, 0.9], dtype=np.float32), np.array([0, 1]))

    assert isinstance(rule, ClassReading)
    assert rule.classes(np.array([-3, 0.4, 0.6, 7], dtype=np.float32)).tolist() == [0, 0, 1, 1]
