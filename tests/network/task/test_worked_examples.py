"""The worked examples of TASKS.md: their scores on the shipped networks equal those in plain onnxruntime."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnxruntime
import pytest

from explorer.network.graph.model import ZOO, load_network
from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
from explorer.network.task.labelled_data import load_data
from explorer.problem.targets import Target
from tests.network.conftest import NAMES
from tests.readme import ROOT, blocks

TEXT = (ROOT / "explorer/network/TASKS.md").read_text(encoding="utf-8")
MODULES = {block.file: block.text for block in blocks(TEXT) if block.file}
# Qualities after training; another processor may round some outputs differently.
EXAMPLES = {
    "scene-detector": ("detector.py", {"mAP": 0.951}),
    "spoken-words": ("spotter.py", {"F1": 0.979, "false_alarms": 0.0043}),
    "diabetes": ("regression.py", {"MAE": 45.99}),
    "python-text": ("perplexity.py", {"perplexity": 5.424}),
}


@pytest.fixture
def module() -> Callable[[str], ModuleType]:
    """Return a function that executes a module of the page."""

    def execute(name: str) -> ModuleType:
        made = ModuleType(name.removesuffix(".py"))
        exec(compile(MODULES[name], name, "exec"), made.__dict__)  # noqa: S102 - our own documentation
        return made

    return execute


def plain_run(network: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that runs a shipped network in a session of onnxruntime alone, all samples at once."""
    session = onnxruntime.InferenceSession(ZOO / f"{network}.onnx", providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda feeds: dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("network", EXAMPLES)
def test_measured_quality_of_an_example_is_that_in_plain_onnxruntime(
    network: str, module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    file, stated = EXAMPLES[network]
    (tmp_path / file).write_text(MODULES[file], encoding="utf-8")
    targets = tuple(Target(name, "max", interval="bootstrap") for name in stated)
    options = MeasurementOptions(energy="none", latency=False, targets=targets)
    setup = prepare_measurement(load_network(network), load_data(f"python:{tmp_path / file}"), options=options)
    x, y = module(file).data()
    returned = module(file).score(
        plain_run(network), {"x": x.astype(np.int64 if x.dtype == np.int64 else np.float32)}, y
    )
    expected = returned if isinstance(returned, dict) else dict.fromkeys(stated, returned)

    for name, quality in setup.task.source.items():
        assert quality.value == pytest.approx(float(np.mean(expected[name])), rel=1e-4)
        assert quality.value == pytest.approx(stated[name], rel=0.02)
        assert quality.lo <= quality.value <= quality.hi


def test_networks_of_examples_are_the_other_shipped_ones() -> None:
    assert {path.stem for path in ZOO.glob("*.onnx")} == {*NAMES, *EXAMPLES}
    assert {path.stem for path in ZOO.glob("*.npz")} == {"digits", *EXAMPLES}


def test_mean_average_precision_is_1_for_the_true_boxes_and_falls_with_each_fault(
    module: Callable[[str], ModuleType],
) -> None:
    detector = module("detector.py")
    box, other = [0.0, 0, 8, 8], [16.0, 16, 24, 24]
    y = [np.array([[*box, 3]]), np.array([[*other, 5], [*box, 3]])]

    def score(boxes: list[Any], scores: list[Any]) -> float:
        """Score two images of three cells each; only classes 3 and 5 have scores."""
        filled = np.zeros((2, 3, 10), dtype=np.float32)
        filled[..., [3, 5]] = scores
        outputs = {"boxes": np.array(boxes, dtype=np.float32), "scores": filled}
        return float(detector.score(lambda _: outputs, {"x": np.zeros((2, 4, 4), dtype=np.uint8)}, y))

    true = [[box, other, box], [box, other, box]]
    assert score(true, [[[0.9, 0], [0, 0], [0, 0]], [[0.8, 0], [0, 0.9], [0, 0]]]) == 1
    assert score(true, [[[0.9, 0], [0, 0], [0.5, 0]], [[0.8, 0], [0, 0.9], [0, 0]]]) == 1  # suppressed
    assert score(true, [[[0.9, 0], [0, 0], [0, 0]], [[0.8, 0], [0, 0], [0, 0]]]) == 0.5  # class 5 is missed
    # The best detection of class 3 is wrong: precision 1/2 and 2/3 at recall 1/2 and 1.
    assert score(true, [[[0.8, 0], [0.95, 0], [0, 0]], [[0.9, 0], [0, 0.9], [0, 0]]]) == pytest.approx((2 / 3 + 1) / 2)
