"""Networks as they are exported: the zoo of the `onnx` package, and those of PyPI packages where they are installed."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from explorer.network.graph.model import load_network
from explorer.network.measurement.measure import measure_design
from explorer.network.measurement.setup import prepare_measurement
from tests.networks.exported_networks import OPTIONS, PACKAGES, ZOO, Example, data_of, own_classes, step_of

# Each takes 0.3 to 1.6 CPU s; the other six take 3 to 27 and are measured by `tests/networks/exported_networks.py`.
LIGHT = ("squeezenet", "shufflenet", "inception_v1")
MODULES = ("rapidocr_onnxruntime", "magika", "silero_vad", "nudenet", "swift_f0")


def installed() -> list[tuple[Example, Path]]:
    """Return the networks of installed packages with their paths."""
    specs = [find_spec(name) for name in MODULES]
    folders = [Path(spec.origin).parent for spec in specs if spec is not None and spec.origin]
    paths = [path for folder in folders for path in folder.rglob("*.onnx")]
    return [(one, path) for one in PACKAGES for path in paths if path.as_posix().endswith(f"/{one.path}")]


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_zoo_networks_are_measured_one_image_a_run(name: str) -> None:
    """Batch fixed at 1; the labels are the classes that onnxruntime alone reads."""
    path = ZOO / f"light_{name}.onnx"
    network = load_network(path)
    setup = prepare_measurement(network, own_classes(path), options=OPTIONS)

    assert setup.task.batch == 1
    assert setup.task.source["accuracy"].value == 1
    assert network.n_weights > 0.98 * network.n_parameters
    assert measure_design(setup, pruning_ratio=0.0, quant_step=step_of(network), cache={})["error"] == ""


# The packages are no dependencies: `tests/networks/exported_networks.py` measures their networks from wheels.
if INSTALLED := installed():

    @pytest.mark.slow
    @pytest.mark.parametrize(("example", "path"), INSTALLED, ids=lambda one: Path(getattr(one, "path", one)).stem)
    def test_networks_of_packages_are_measured_by_their_task_modules(
        example: Example, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SOURCE_NETWORK", str(path))
        network = load_network(path)
        setup = prepare_measurement(network, data_of(example, path), options=OPTIONS)
        row = measure_design(setup, pruning_ratio=0.0, quant_step=step_of(network), cache={})

        assert setup.task.source["accuracy"].value > (0.6 if "accuracy" in example.quality else 0.99)
        assert 0 <= row["accuracy"] <= 1
