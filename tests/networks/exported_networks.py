"""Measure networks as they are exported: those in PyPI packages and the light zoo of the `onnx` package; one table.

    pip download --no-deps -d wheels rapidocr-onnxruntime magika silero-vad nudenet swift-f0
    python tests/networks/exported_networks.py wheels

The modules in `tasks/` say how each is fed and scored. Where there are no labels, the source network's own answers are
the labels: it scores 1, and a compressed version what is left of that. The zoo's weights are constants or random.
"""

import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from explorer.errors import ExplorerError
from explorer.network.graph.model import Network, load_network
from explorer.network.measurement.measure import measure_design
from explorer.network.measurement.setup import MeasurementOptions, prepare_measurement
from explorer.network.task.labelled_data import LabelledData, load_data, make_labelled_data

TASKS = Path(__file__).parent / "tasks"
ZOO = Path(onnx.__file__).parent / "backend/test/data/light"
OPTIONS = MeasurementOptions(energy="none", latency=False)
MAX_BYTES = 100_000_000
LABELS = "its own classes on 4 random images"


@dataclass(frozen=True, slots=True)
class Example:
    """An exported network and how it is measured.

    Args:
        path: ends the network's path, in a wheel or in the zoo.
        task: name of the task module; empty: the network's own classes of random images are the labels.
        quality: what is scored, for the table.
        needed: what the user had to write or choose, for the table.
    """

    path: str
    task: str = ""
    quality: str = LABELS
    needed: str = "nothing: batch fixed at 1"


WINDOWS = Example("", "voice_activity", "windows decided as by the source", "module: loop over windows, state, sr")
PACKAGES = (
    Example("ch_ppocr_mobile_v2.0_cls_infer.onnx", "ocr_direction", "accuracy, 64 lines of handwritten digits",
            "module with data() for the true classes"),
    Example("ch_PP-OCRv4_det_infer.onnx", "ocr_detection", "overlap with the source's text areas",
            "module: map to area"),
    Example("ch_PP-OCRv4_rec_infer.onnx", "ocr_recognition", "equal characters with the source's reading",
            "module: CTC decoding"),
    Example("standard_v3_3/model.onnx", "file_types", "accuracy, files by suffix",
            "module with data(): bytes to tokens"),
    *(Example(name, *(getattr(WINDOWS, field) for field in ("task", "quality", "needed"))) for name in (
        "silero_vad.onnx", "silero_vad_16k_op15.onnx", "silero_vad_half.onnx", "silero_vad_op18_ifless.onnx",
        "silero_vad_openvino_16k.onnx")),
    Example("silero_vad_16k_sequence.onnx", "voice_activity", "windows decided as by the source",
            "module: all windows in one run, states h and c"),
    Example("320n.onnx", "detection_anchors", "IoU with the source's 20 best boxes", "module: boxes at anchors"),
    Example("swift_f0/model.onnx", "pitch", "frames within 50 cents of the true pitch",
            "module: scalars fmin, fmax; batch 1"),
)  # fmt: skip


def zoo_paths() -> list[Path]:
    """Return the paths of the zoo's networks, small ones first."""
    return sorted(ZOO.glob("light_*.onnx"), key=lambda path: path.stat().st_size)


def own_classes(path: Path, *, n: int = 4) -> LabelledData:
    """Return random images, and the classes that onnxruntime alone reads from the network, one image a run."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    x = np.random.default_rng(0).random((n, *entry.shape[1:]), dtype=np.float32)
    classes = [int(np.argmax(session.run(None, {entry.name: image[None]})[0])) for image in x]
    return make_labelled_data({"x": x, "y": np.array(classes)}, source="own classes")


def data_of(example: Example, path: Path) -> LabelledData:
    """Return the labelled data of an example; a task module reads the source's path from the environment."""
    if not example.task:
        return own_classes(path)
    os.environ["SOURCE_NETWORK"] = str(path)
    return load_data(f"python:{TASKS / example.task}.py")


def step_of(network: Network) -> float:
    """Return a step of equation (5) that gives a tensor of median scale 65 levels; no code exceeds int16."""
    largest = [np.abs(weight.values).max() for weight in network.weights]
    return float(max(np.median(largest) / 32, np.max(largest) / 32_000))


def table_row(example: Example, path: Path) -> list[str]:
    """Return the row of a network: name, reached share, batch, output, qualities of the source and compressed."""
    name, start = path.stem, time.process_time()
    if name == "model":
        name = f"{path.relative_to(tempfile.gettempdir()).parts[1].partition('-')[0]} {name}"
    try:
        network = load_network(path)
    except ExplorerError as error:
        return [name, "no", *["-"] * 5, first_line(error)]
    share = f"{network.n_weights:,} of {network.n_parameters:,} ({network.n_weights / network.n_parameters:.0%})"
    try:
        setup = prepare_measurement(network, data_of(example, path), options=OPTIONS)
        (quality,) = setup.task.source.values()
        row = measure_design(setup, pruning_ratio=0.0, quant_step=step_of(network), cache={})
    except ExplorerError as error:
        return [name, "yes", share, *["-"] * 4, first_line(error)]
    print(f"{name}: {time.process_time() - start:.1f} CPU s", file=sys.stderr)
    compressed = f"{row['accuracy']:.3f} at {network.n_bytes / row['size_bytes']:.1f}x"
    batch = str(setup.task.batch) if setup.task.output else "the module's"
    return [name, "yes", share, batch, setup.task.output or "the module's", f"{quality.value:.3f} (n = {quality.n})",
            compressed, f"{example.quality}; {example.needed}"]  # fmt: skip


def first_line(error: ExplorerError) -> str:
    """Return the first line of an error."""
    return str(error).splitlines()[0]


def example_of(path: Path) -> Example:
    """Return the example of a network."""
    known = [example for example in PACKAGES if path.as_posix().endswith(f"/{example.path}")]
    return known[0] if known else Example(path.name)


def unpacked(wheels: Path, folder: Path) -> Iterator[Path]:
    """Yield the networks of the wheels, with the JSON files beside them, written to a folder."""
    for wheel in sorted(wheels.glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                path = Path(entry.filename)
                if path.suffix in {".onnx", ".json"} and entry.file_size < MAX_BYTES:
                    written = folder / wheel.stem / "/".join(path.parts[-3:])
                    written.parent.mkdir(parents=True, exist_ok=True)
                    written.write_bytes(archive.read(entry))
                    if path.suffix == ".onnx":
                        yield written


def main(wheels: Path) -> None:
    """Print the table of all networks; a network without an example is a row as well."""
    titles = ["network", "loads", "weights reached", "batch", "output", "source", "one D, R = 0", "quality; needed"]
    print("| " + " | ".join(titles) + " |\n|" + "---|" * len(titles))
    with tempfile.TemporaryDirectory() as folder:
        for path in [*unpacked(wheels, Path(folder)), *zoo_paths()]:
            print("| " + " | ".join(table_row(example_of(path), path)) + " |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
