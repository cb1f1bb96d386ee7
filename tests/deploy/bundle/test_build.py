"""A whole bundle: the compressed network, the device at its own clock, and what each is promised to be."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import helper, numpy_helper

from explorer.api import deploy, verify
from explorer.deploy.bundle.network_artifact import NetworkOptions
from explorer.deploy.verification.run_network import load_artifact
from explorer.errors import ExplorerError, InvalidFile, NoFeasibleDesign, UnknownName, WrongUsage
from explorer.io.files import sha256
from explorer.network.compression.compress import Recipe, compress_weights, compressed_onnx
from explorer.network.compression.sizes import CODECS
from explorer.network.graph.model import ZOO, load_network, shipped_networks
from explorer.network.measurement.labelled_data import LabelledData

Write = Callable[..., Path]
ORIGINAL = (ZOO / "digits-mlp.onnx").read_bytes()


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(p: dict[str, Any]) -> None:
        for name in names:
            del p["design"][name]

    return change


def test_the_network_is_compressed_at_the_chosen_ratio_and_step(write: Write, tmp_path: Path) -> None:
    made, done = deploy(write(), out=tmp_path / "b", model="digits-mlp")

    network, source = made.network, load_network("digits-mlp")
    assert network is not None
    onnx_file = (done.folder / "network.onnx").read_bytes()
    compression = compress_weights(source, Recipe(made.design.pruning_ratio or 0, made.design.quant_step or 0))
    assert onnx_file == compressed_onnx(source, compression)
    assert network.sha256 == sha256(onnx_file)
    assert network.source.sha256 == sha256(ORIGINAL)
    assert network.r_effective == compression.r_effective
    assert network.sizes["file"] == len(onnx_file)
    assert any("that they are of the network 'digits-mlp' is not known" in text for text in made.not_checked)


def test_the_modelled_energy_is_marked_as_such_with_its_table_and_level(write: Write, tmp_path: Path) -> None:
    dram, _ = deploy(write(), out=tmp_path / "d", model="digits-mlp")
    sram, _ = deploy(write(), out=tmp_path / "s", model="digits-mlp", network=NetworkOptions(level="sram-8KiB"))

    assert dram.network is not None
    assert sram.network is not None
    far, near = dram.network.energy_mac_mem, sram.network.energy_mac_mem
    assert far is not None
    assert near is not None
    assert (far.basis, far.equation, far.level, far.n_macs) == ("modelled", "Eq. (1)", "dram", 17_024)
    assert far.value > near.value > 0


def test_the_config_map_is_immutable_and_carries_the_manifest_unchanged(write: Write, tmp_path: Path) -> None:
    def strange(p: dict[str, Any]) -> None:
        p["provenance"]["note"] = "naïve \x7f\u2028\u0085 'quoted' \"text\"\n  - and: {yaml}"

    _, done = deploy(write(strange), out=tmp_path / "b")

    text = (done.folder / "manifest.json").read_text(encoding="ascii")
    said = yaml.safe_load((done.folder / "configmap.yaml").read_text(encoding="ascii"))
    assert (said["apiVersion"], said["kind"], said["immutable"]) == ("v1", "ConfigMap", True)
    assert said["data"] == {"manifest.json": text}
    assert json.loads(text)["provenance"]["note"].startswith("naïve \x7f")
    assert said["metadata"]["annotations"]["explorer/manifest-sha256"] == sha256(text)
    assert said["metadata"]["name"] == f"explorer-{sha256(text)[:16]}"


def test_a_manifest_that_kubernetes_would_not_take_has_no_config_map_and_says_so(write: Write, tmp_path: Path) -> None:
    """Beyond 1 MiB; every number of a list has a line of its own."""
    made, done = deploy(write(lambda p: p["provenance"].update(note=[1] * 200_000)), out=tmp_path / "b")

    assert "configmap.yaml" not in {*done.names, *made.files}
    assert re.search("no configmap.yaml: it would have .* and Kubernetes takes 1,048,576", made.not_checked[-1])
    assert verify(done.folder).is_kept


def test_on_a_device_its_own_nearest_clock_is_applied_and_the_design_evaluated_there(
    write: Write, tmp_path: Path
) -> None:
    made, done = deploy(
        write(lambda p: p["design"].update(frequency_hz=2.3e9)), out=tmp_path / "b", device="rk3588-big"
    )

    point = made.operating_point
    assert point is not None
    assert point.applied is not None
    assert (point.asked.frequency_hz, point.applied.frequency_hz) == (2.3e9, 2.208e9)
    assert point.applied.clocks_hz[-1] == 2.4e9
    assert made.applied is not None
    assert made.applied.predicted["latency_s"].value > made.predicted["latency_s"].value, "a slower clock"
    assert list(made.applied.objectives) == list(made.objectives)
    assert {"apply.sh", "undo.sh", "cap.dts"} <= set(made.files) & set(done.names)
    assert "CLOCK=2208000\n" in (done.folder / "apply.sh").read_text(encoding="utf-8")


def test_where_the_study_is_gone_it_is_said_that_nothing_was_evaluated_again(write: Write, tmp_path: Path) -> None:
    def moved(p: dict[str, Any]) -> None:
        p["study"] = p["provenance"]["study"]["name"] = "gone"
        p["provenance"]["study"]["file"] = "studies/gone.toml"

    made, done = deploy(write(moved), out=tmp_path / "b", device="rk3588-big")

    assert made.applied is None
    assert "not evaluated again at the applied clock: studies/gone.toml" in made.not_checked[-1]
    assert "apply.sh" in done.names


def test_where_the_model_changed_nothing_is_evaluated_with_the_new_one(write: Write, tmp_path: Path) -> None:
    made, _ = deploy(
        write(lambda p: p["provenance"]["model"].update(samples_sha256="0" * 64)),
        out=tmp_path / "b",
        device="rk3588-big",
    )

    assert made.applied is None
    assert any("its samples changed" in text for text in made.not_checked)


def test_a_device_where_the_design_extrapolates_is_refused_and_nothing_is_written(write: Write, tmp_path: Path) -> None:
    path = write()
    with pytest.raises(NoFeasibleDesign, match="lies outside the model's domain"):
        deploy(path, out=tmp_path / "b", device="imx8mm")

    assert not (tmp_path / "b").exists()
    made, _ = deploy(path, out=tmp_path / "b", device="imx8mm", allow_extrapolation=True)
    assert "at the applied clock the design is EXTRAPOLATED" in made.not_checked


def test_a_device_of_one_s_own_file_leaves_no_path_behind(write: Write, tmp_path: Path) -> None:
    table = tmp_path / "private" / "board.toml"
    table.parent.mkdir()
    table.write_text(
        'title = "$(reboot)\'; x"\ncontrol = "nvidia-smi"\npoints = [{ frequency = 2.3 }, { frequency = 1 }]\n'
    )

    made, done = deploy(write(), out=tmp_path / "b", device=str(table))

    assert made.operating_point is not None
    assert made.operating_point.applied is not None
    assert made.operating_point.applied.device == "board"
    assert {"apply-nvidia.sh", "undo-nvidia.sh"} <= set(done.names)
    assert not any("private" in (done.folder / name).read_text(encoding="utf-8") for name in done.names)
    assert "lists no voltages" in made.not_checked[-1]


def test_a_title_is_data_to_the_shell_whatever_it_says(write: Write, tmp_path: Path) -> None:
    table = tmp_path / "board.toml"
    table.write_text("""title = "'; touch owned; $(touch owned) `touch owned`"
points = [{ frequency = 2.3, voltage = 0.9 }]
""")
    deploy(write(), out=tmp_path / "b", device=str(table))
    (tmp_path / "devices/system/cpu/cpufreq").mkdir(parents=True)

    said = subprocess.run(["sh", "b/apply.sh", "--sysfs", "."], cwd=tmp_path, capture_output=True, check=False)

    assert said.returncode == 3
    assert not (tmp_path / "owned").exists()


def test_a_design_without_a_clock_gets_no_script_and_says_so(write: Write, tmp_path: Path) -> None:
    path = write(without("frequency_hz", "voltage_v", "frequency_max_hz"))

    made, done = deploy(path, out=tmp_path / "b", model="digits-mlp")

    assert made.operating_point is None
    assert "the study chose no clock: there is no script to set one" in made.not_checked
    assert not any(name.endswith(".sh") for name in done.names)
    with pytest.raises(WrongUsage, match=r"has no clock to set\n  fix: leave --device out"):
        deploy(path, out=tmp_path / "c", device="rk3588-big")


def test_knobs_of_the_study_s_own_are_kept_and_those_of_no_network_need_none(write: Write, tmp_path: Path) -> None:
    def own(p: dict[str, Any]) -> None:
        without("pruning_ratio", "quant_step")(p)
        p["design"] |= {"weight_bits": 8, "batch": 4, "device": "H100"}

    path = write(own)
    made, done = deploy(path, out=tmp_path / "b")

    assert made.design.knobs == {"weight_bits": 8, "batch": 4, "device": "H100"}
    assert "batch                  4" in (done.folder / "README.txt").read_text(encoding="utf-8")
    with pytest.raises(WrongUsage, match="does not say pruning_ratio and quant_step: nothing tells how to compress"):
        deploy(path, out=tmp_path / "c", model="digits-mlp")


def test_what_choose_applied_to_a_device_is_taken_as_it_is(
    write: Write, payload: dict[str, Any], tmp_path: Path
) -> None:
    def applied(p: dict[str, Any]) -> None:
        there = {**p["design"], "frequency_hz": 2.208e9, "latency_s": 0.25, "latency_s_lo": 0.2, "latency_s_hi": 0.3}
        p["applied"] = {"device": "rk3588-big", "bin": "", "operating_point": "2.208 GHz @ 0.9875 V", "design": there,
                        "is_extrapolated": False}  # fmt: skip
        p["design"]["frequency_hz"] = 2.3e9

    made, _ = deploy(write(applied), out=tmp_path / "b")

    assert made.applied is not None
    assert made.applied.predicted["latency_s"].value == 0.25
    assert made.promise is made.applied


def test_faults_of_what_was_applied_are_told_too(write: Write, tmp_path: Path) -> None:
    def spoil(p: dict[str, Any]) -> None:
        p["applied"] = {"device": "rk3588-big", "operating_point": "x", "is_extrapolated": False,
                        "design": {**p["design"], "accuracy": 0.1}}  # fmt: skip

    with pytest.raises(InvalidFile, match=r"\[applied.design\] accuracy: 0.1 lies outside its own interval"):
        deploy(write(spoil), out=tmp_path / "b")


def measured_live(**how: Any) -> Callable[[dict[str, Any]], None]:
    """Change a configuration to one of a study that measured the MLP in some way."""

    def change(p: dict[str, Any]) -> None:
        p["design"] |= {"pruning_ratio": 0.5, "quant_step": 0.05}
        p["provenance"]["question"]["live"] = {"device": "cpu", **how}
        p["provenance"]["model"]["network_sha256"] = sha256(ORIGINAL)

    return change


def test_a_network_is_compressed_as_its_live_study_measured_it(write: Write, tmp_path: Path) -> None:
    """Otherwise the bundle would hold another network than the one that was chosen."""
    path = write(measured_live(codec="dense", per_tensor=True, clip="int4"))

    made, done = deploy(path, out=tmp_path / "b", model="digits-mlp")

    source, network = load_network("digits-mlp"), made.network
    assert network is not None
    recipe = Recipe(0.5, 0.05, per_tensor=True, clip_to="int4")
    assert (done.folder / "network.onnx").read_bytes() == compressed_onnx(source, compress_weights(source, recipe))
    assert (network.size_codec, network.per_tensor, network.clip) == ("dense", True, "int4")
    assert states(done.folder)["codes"] == "kept"
    page = (done.folder / "README.txt").read_text(encoding="utf-8")
    assert "pruned               each tensor by R alone" in page
    assert "Measured by the study" in page
    assert "predictions of a model" not in page


def test_what_is_asked_for_goes_before_what_the_study_did(write: Write, tmp_path: Path) -> None:
    path = write(measured_live(codec="dense", clip="int4"))
    options = NetworkOptions(codec="file", clip_to="int8")

    made, _ = deploy(path, out=tmp_path / "b", model="digits-mlp", network=options)

    assert made.network is not None
    assert (made.network.size_codec, made.network.clip, made.network.per_tensor) == ("file", "int8", False)


def test_another_network_than_the_study_measured_is_told(write: Write, tmp_path: Path) -> None:
    made, _ = deploy(write(measured_live()), out=tmp_path / "b", model="digits-cnn")

    assert any("the study measured another network than 'digits-cnn'" in text for text in made.not_checked)


@pytest.mark.parametrize("name", shipped_networks())
def test_full_int8_ships_the_same_codes_and_computes_in_int8(
    write: Write, tmp_path: Path, name: str, digits: LabelledData
) -> None:
    """Other constants (norms, biases) become integers of other steps there: they are no weights of Eq. (5)."""
    options = NetworkOptions(calibration=digits)

    made, done = deploy(write(measured_live()), out=tmp_path / "b", model=name, network=options)

    network = made.network
    assert network is not None
    assert (network.activations, network.calibration_sha256) == ("int8", digits.sha256)
    assert network.container == "int8"
    loaded = load_artifact(done.folder / "network.onnx", is_int8=True)
    assert {codec: loaded.sizes.of(codec) for codec in CODECS} == network.sizes
    assert states(done.folder, model=name)["codes"] == "kept"
    operators = {node.op_type for node in onnx.load(done.folder / "network.onnx").graph.node}
    assert "QuantizeLinear" in operators
    assert any("activations are int8" in text for text in made.not_checked)


def states(folder: Path, *, model: str = "digits-mlp") -> dict[str, str]:
    return {check.name: check.state for check in verify(folder, model=model).checks}


def _open_length() -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.eye(3, 2, dtype=np.float32), "w")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "open",
        [value("x", 1, ["n", "t", 3])], [value("y", 1, ["n", "t", 2])], [weights],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_where_an_input_s_length_is_open_no_energy_is_made_up(write: Write, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(_open_length().SerializeToString())

    made, _ = deploy(write(), out=tmp_path / "b", model=tmp_path / "net.onnx")

    assert made.network is not None
    assert made.network.energy_mac_mem is None
    assert "Eq. (1) was not computed: an input of the network leaves a length open" in made.not_checked


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        pytest.param({"model": "digits-cnm"}, UnknownName, "did you mean 'digits-cnn'", id="network"),
        pytest.param({"model": "no/such.onnx"}, WrongUsage, "no such file", id="file"),
        pytest.param({"model": "text.onnx"}, InvalidFile, "is not an ONNX file", id="not-onnx"),
        pytest.param({"device": "rk3399-bug"}, WrongUsage, "rk3399-big", id="device"),
        pytest.param({"device": "h6"}, InvalidFile, "has 3 speed bins", id="bins"),
        pytest.param({"bin_name": "speed0"}, WrongUsage, "--bin stands without --device", id="bin"),
        pytest.param({"network": NetworkOptions(clip_to="int8")}, WrongUsage, "name it with --model", id="no network"),
        pytest.param(
            {"model": "digits-mlp", "network": NetworkOptions(level="moon")},
            UnknownName,
            "unknown name 'moon'",
            id="level",
        ),
    ],
)
def test_what_cannot_be_shipped_is_refused_and_nothing_is_written(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any],
    error: type[ExplorerError], said: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("hello", encoding="ascii")
    path = write()
    before = sorted(tmp_path.iterdir())

    with pytest.raises(error, match=said):
        deploy(path, out=tmp_path / "b", **options)

    assert sorted(tmp_path.iterdir()) == before
