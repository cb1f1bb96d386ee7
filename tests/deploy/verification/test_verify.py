"""Verification of a bundle: changes are detected, predictions compared with measurements, gaps reported."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from explorer.api import deploy, verify
from explorer.deploy.bundle.write import with_checksums
from explorer.deploy.verification.check import Check, Interval, compare_intervals, make_interval
from explorer.errors import ExplorerError, InvalidFile, WrongUsage
from explorer.models.samples.samples import read_samples_csv
from explorer.network.graph.model import load_network
from explorer.network.task.labelled_data import LabelledData, make_labelled_data

Write = Callable[..., Path]
finite = st.floats(-1e6, 1e6)


@pytest.fixture(scope="session")
def promised(payload: dict[str, Any], digits: LabelledData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle of the MLP that keeps its promises, for a device; tests must not modify it."""
    folder = tmp_path_factory.mktemp("promised")
    chosen = json.loads(json.dumps(payload))
    chosen["design"] |= {"family": "digits-mlp", "accuracy": 0.95, "accuracy_lo": 0.9, "accuracy_hi": 0.99,
                       "size_bytes": 9_000.0, "size_bytes_lo": 5_000.0, "size_bytes_hi": 12_000.0,
                       "frequency_hz": 2.208e9}  # fmt: skip
    chosen["study"] = chosen["provenance"]["study"]["name"] = chosen["provenance"]["study"]["file"] = "gone"
    (folder / "chosen.json").write_text(json.dumps(chosen), encoding="utf-8")
    return deploy(
        folder / "chosen.json", out=folder / "b", model="digits-mlp", device="rk3588-big", allow_other_machine=True
    )[1].folder


@pytest.fixture
def copy(promised: Path, tmp_path: Path) -> Path:
    """Return a copy of the bundle, to be modified."""
    return Path(shutil.copytree(promised, tmp_path / "b"))


def states(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def resealed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest and recompute the checksums, like a deliberate change."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "SHA256SUMS"}
    (folder / "SHA256SUMS").write_bytes(with_checksums(files)["SHA256SUMS"])


def test_bundle_that_keeps_its_promises_passes(promised: Path, digits: LabelledData) -> None:
    verdict = verify(promised, data=digits, model="digits-mlp")

    assert verdict.is_kept
    state = states(verdict.checks)
    assert {state[name] for name in ("files", "runs", "codes", "accuracy", "size_bytes")} == {"kept"}
    assert state["latency_s"] == "not judged", "this machine is not the device"
    assert {state["energy_j"], state["power_w"]} <= {"not measured", "not judged"}


def test_measured_accuracy_equals_that_of_plain_onnxruntime(promised: Path, digits: LabelledData) -> None:
    """The reference is an onnxruntime session without explorer code."""
    verdict = verify(promised, data=digits)

    accuracy = next(check.found for check in verdict.checks if check.name == "accuracy")
    assert isinstance(accuracy, Interval)
    assert accuracy.value == _reference_accuracy(promised / "network.onnx", digits)
    assert accuracy.lo < accuracy.value < accuracy.hi


def _reference_accuracy(path: Path, data: LabelledData) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    scores = session.run(None, {name: data.inputs["x"].astype(np.float32)})[0]
    return float((scores.argmax(axis=1) == data.labels).mean())


def test_measurement_outside_the_prediction_breaks_the_promise(
    write: Write, tmp_path: Path, digits: LabelledData
) -> None:
    """The design is the paper's CNN with 93 % and 13 MB; the bundle has another network."""
    _, bundle = deploy(write(), out=tmp_path / "b", model="digits-mlp")

    verdict = verify(bundle.folder, data=digits)

    assert [check.name for check in verdict.broken] == ["size_bytes"] or "accuracy" in states(verdict.broken)
    assert verdict.broken[-1].note.startswith("below it")


@pytest.mark.parametrize(
    ("limit", "probability", "state"),
    [
        ("accuracy >= 0.5 @ 90 %", 0.97, "kept"),
        ("accuracy >= 0.999", 0.97, "broken"),
        ("accuracy >= 0.999", None, "broken"),
        ("accuracy >= 0.999", 0.25, "not judged"),
        ("size_bytes <= 1 kB", 0.6, "broken"),
        ("latency_s <= 1 ns", 0.9, "not judged"),
    ],
)
def test_a_limit_is_judged_by_the_probability_it_was_promised_with(
    copy: Path, digits: LabelledData, limit: str, probability: float | None, state: str
) -> None:
    """A latency is not judged here: this machine is not the device."""
    entry = {"constraint": limit, "probability": probability}
    resealed(copy, lambda manifest: manifest.update(limits=[entry], joint_probability=probability))

    verdict = verify(copy, data=digits)

    (found,) = (check for check in verdict.checks if check.name == f"limit of {limit.split(maxsplit=1)[0]}")
    assert found.state == state
    assert verdict.is_kept is (state != "broken")


@contextmanager
def flipped(path: Path, offset: int, bit: int) -> Iterator[None]:
    content = path.read_bytes()
    changed = bytearray(content)
    changed[offset % len(content)] ^= 1 << bit
    path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(content)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), offset=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_any_flipped_bit_of_any_file_is_detected(copy: Path, data: st.DataObject, offset: int, bit: int) -> None:
    name = data.draw(st.sampled_from(sorted(path.name for path in copy.iterdir())))

    with flipped(copy / name, offset, bit):
        verdict = verify(copy)

    assert states(verdict.checks) == {"files": "broken"}
    assert not verdict.is_kept


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda b: (b / "apply.sh").unlink(), "apply.sh is missing", id="missing"),
        pytest.param(lambda b: (b / "more.txt").touch(), "more.txt is not of this bundle", id="more"),
        pytest.param(lambda b: (b / "folder").mkdir(), "folder is not of this bundle", id="folder"),
        pytest.param(lambda b: (b / "SHA256SUMS").unlink(), "SHA256SUMS is missing or damaged", id="no-sums"),
        pytest.param(lambda b: (b / "SHA256SUMS").write_text(""), "SHA256SUMS is missing or damaged", id="empty-sums"),
        pytest.param(
            lambda b: (b / "SHA256SUMS").write_text(f"{'0' * 64}  ../chosen.json\n"), "missing or damaged", id="path"
        ),
    ],
)
def test_missing_or_extra_files_break_the_bundle(copy: Path, change: Callable[[Path], object], message: str) -> None:
    change(copy)

    (check,) = verify(copy).checks

    assert check.state == "broken"
    assert message in str(check.found)


def test_link_in_place_of_a_file_is_a_changed_file(copy: Path) -> None:
    (copy / "README.txt").rename(copy.parent / "elsewhere.txt")
    (copy / "README.txt").symlink_to(copy.parent / "elsewhere.txt")

    assert "README.txt was changed" in str(verify(copy).checks[0].found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda m: m["design"].update(quant_step=0.031), "has scale 0.03", id="step"),
        pytest.param(lambda m: m["network"].update(r_effective=0.9), "R_eff is 0.4", id="zeros"),
        pytest.param(lambda m: m["network"].update(sha256="0" * 64), "not the one of the manifest", id="file"),
    ],
)
def test_wrong_codes_are_detected_with_valid_checksums(
    copy: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    resealed(copy, change)

    codes = next(check for check in verify(copy).checks if check.name == "codes")

    assert codes.state == "broken"
    assert message in str(codes.found)


def test_source_network_reveals_wrong_codes(promised: Path, copy: Path) -> None:
    other_source = verify(promised, model="digits-cnn")
    resealed(copy, lambda m: m["design"].update(pruning_ratio=0.2))
    other_ratio = verify(copy, model="digits-mlp")

    assert "the source network of the bundle is not" in str(next(c.found for c in other_source.broken))
    assert "differ from Eq. (5)" in str(next(c.found for c in other_ratio.broken))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda m: m.update(schema="explorer.deploy/9"), "must be 'explorer.deploy/1'", id="schema"),
        pytest.param(lambda m: m["predicted"]["accuracy"].update(value="high"), "'high' is not allowed", id="text"),
        pytest.param(lambda m: m["network"].update(file="../../etc/passwd"), "file", id="path"),
        pytest.param(lambda m: m["network"].update(file="gone.onnx"), "'gone.onnx' is not in the bundle", id="gone"),
    ],
)
def test_damaged_manifest_is_an_invalid_file(
    copy: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    resealed(copy, change)

    with pytest.raises(InvalidFile, match=message) as caught:
        verify(copy)
    assert caught.value.exit_code == 3


def test_network_that_does_not_load_is_a_broken_promise(copy: Path) -> None:
    (copy / "network.onnx").write_bytes(b"hello")
    resealed(copy, dict)

    runs = next(check for check in verify(copy).checks if check.name == "runs")

    assert runs.state == "broken"
    assert "not an ONNX file" in str(runs.found)


def test_nan_outputs_are_a_broken_promise(write: Write, tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Log", ["z"], ["y"])]
    weights = numpy_helper.from_array(np.eye(3, 2, dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "log", [value("x", 1, ["n", 3])], [value("y", 1, ["n", 2])], [weights])
    net = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (tmp_path / "log.onnx").write_bytes(net.SerializeToString())
    _, bundle = deploy(write(), out=tmp_path / "b", model=tmp_path / "log.onnx")
    negative = make_labelled_data(
        {"x": np.full((4, 3), -1.0, dtype=np.float32), "y": np.zeros(4, dtype=int)}, source="negative"
    )

    verdict = verify(bundle.folder, data=negative)

    assert states(verdict.checks)["runs"] == "broken"
    assert "NaN or infinite for 4 of 4 samples" in str(verdict.broken[0].found)
    assert verdict.broken[0].note.startswith("check the network and the scale of its inputs")


def test_mismatched_labels_are_a_fault_of_the_data(promised: Path, digits: LabelledData) -> None:
    shifted = make_labelled_data({"x": digits.inputs["x"], "y": digits.labels + 5}, source="shifted")

    with pytest.raises(InvalidFile, match="the network has 10 classes"):
        verify(promised, data=shifted)


def test_without_data_nothing_is_measured_or_broken(promised: Path) -> None:
    verdict = verify(promised)

    assert verdict.is_kept
    assert states(verdict.checks)["accuracy"] == "not measured"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"samples": "x.csv"}, "--samples needs --data", id="samples"),
        pytest.param({"data": "digitz"}, "did you mean 'digits'", id="data"),
    ],
)
def test_invalid_options_are_rejected(promised: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        verify(promised, **options)


def test_folder_without_a_bundle_is_reported(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match="is not a bundle"):
        verify(tmp_path)
    with pytest.raises(WrongUsage, match="no such folder"):
        verify(tmp_path / "b")


def sysfs(root: Path, *, lowest: int, highest: int) -> Path:
    folder = root / "devices/system/cpu/cpufreq/policy4"
    folder.mkdir(parents=True)
    clocks = "1200000 1416000 1608000 1800000 2016000 2208000 2400000 \n"
    for name, text in (("scaling_available_frequencies", clocks), ("scaling_min_freq", f"{lowest}\n"),
                       ("scaling_max_freq", f"{highest}\n")):  # fmt: skip
        (folder / name).write_text(text, encoding="ascii")
    return root


def test_clock_and_latency_are_judged_on_the_device(promised: Path, digits: LabelledData, tmp_path: Path) -> None:
    loose = verify(promised, data=digits, sysfs=sysfs(tmp_path / "loose", lowest=1_200_000, highest=2_400_000))
    pinned = verify(promised, data=digits, sysfs=sysfs(tmp_path / "pinned", lowest=2_208_000, highest=2_208_000))

    assert states(loose.broken) == {"clock": "broken"}
    assert loose.broken[0].note == "sh apply.sh --apply sets it"
    assert states(pinned.checks)["clock"] == "kept"
    assert states(pinned.checks)["latency_s"] == "broken", (
        "the paper's CNN takes a tenth of a second, the MLP microseconds"
    )


def test_measurements_are_appended_as_a_samples_row(promised: Path, digits: LabelledData, tmp_path: Path) -> None:
    path = tmp_path / "more.csv"

    first = verify(promised, data=digits, samples=path, energy=False)
    before = path.read_bytes()
    verify(promised, data=digits, samples=path, energy=False)

    assert first.samples == path
    assert path.read_bytes().startswith(before)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 2
    assert rows[0]["family"] == "digits-mlp"
    assert float(rows[0]["pruning_ratio"]) == 0.46
    assert int(rows[0]["size_bytes"]) == int(rows[0]["size_deflate_bytes"])
    assert rows[0]["energy_j"] == ""
    samples = read_samples_csv(path)
    assert samples.columns["accuracy"].tolist() == [float(row["accuracy"]) for row in rows]


def test_latency_of_another_machine_is_left_empty(promised: Path, digits: LabelledData, tmp_path: Path) -> None:
    path = tmp_path / "with-clocks.csv"
    path.write_text("family,frequency_hz,latency_s,accuracy,colour", encoding="utf-8")

    verify(promised, data=digits, samples=path, energy=False)

    (row,) = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    assert (float(row["frequency_hz"]), row["latency_s"], row["colour"]) == (2.208e9, "", "")
    assert 0.9 < float(row["accuracy"]) < 1


def test_wrong_network_adds_no_samples_row(copy: Path, digits: LabelledData, tmp_path: Path) -> None:
    path = tmp_path / "more.csv"
    resealed(copy, lambda m: m["design"].update(quant_step=0.031))

    assert verify(copy, data=digits, samples=path).samples is None
    assert not path.exists()


@pytest.mark.parametrize("text", ["x,y\n1,2\n", '"a\n', "\xff"])
def test_invalid_samples_table_is_rejected_unchanged(promised: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.csv"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(ExplorerError) as caught:
        verify(promised, data="digits", samples=path)
    assert caught.value.exit_code == 3
    assert path.read_bytes() == text.encode("latin-1")


@given(a=st.tuples(finite, finite), b=st.tuples(finite, finite))
def test_promise_is_broken_iff_intervals_are_disjoint(a: tuple[float, float], b: tuple[float, float]) -> None:
    (lo, hi), (low, high) = sorted(a), sorted(b)
    check = compare_intervals("accuracy", Interval(lo, lo, hi), Interval(low, low, high))

    slack = 1e-9 * max(abs(lo), abs(low))
    assert (check.state == "broken") == (max(lo, low) > min(hi, high) + slack)


def test_value_without_an_interval_is_its_interval() -> None:
    assert compare_intervals("accuracy", make_interval(0.9), make_interval(0.9)).state == "kept"
    assert compare_intervals("accuracy", make_interval(0.9), make_interval(0.91)).note == "above it"
    assert compare_intervals("accuracy", None, make_interval(0.9)).state == "not promised"
    assert compare_intervals("accuracy", make_interval(0.9), None).state == "not measured"


def test_stored_weights_equal_the_compressed_weights(promised: Path) -> None:
    from explorer.network.compression.compress import Recipe, compress_weights
    from explorer.network.graph.loading import read_network_file
    from tests.network.conftest import codes_of

    stored = codes_of(read_network_file(promised / "network.onnx").model)
    expected = compress_weights(load_network("digits-mlp"), Recipe(0.46, 0.03)).tensors

    assert stored.keys() == expected.keys()
    for name, tensor in expected.items():
        assert np.array_equal(stored[name].codes, tensor.codes)
        assert f"int{stored[name].bits}" == tensor.container
        assert (stored[name].step, stored[name].zero) == (np.float32(0.03), 0)


def test_verdict_repeats_that_the_numbers_are_of_another_machine(promised: Path) -> None:
    verdict = verify(promised)

    (text,) = verdict.warnings
    assert text.startswith("numbers of another machine: the samples were measured on the paper's accelerator")
    assert verdict.to_json()["warnings"] == [text]
