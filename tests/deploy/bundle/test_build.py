"""Bundles: compressed network, device at its nearest clock, manifest and remarks."""

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
from explorer.network.graph.model import ZOO, load_network
from explorer.network.task.labelled_data import LabelledData, make_labelled_data

Write = Callable[..., Path]
ORIGINAL = (ZOO / "digits-mlp.onnx").read_bytes()


def without(*names: str) -> Callable[[dict[str, Any]], None]:
    def change(p: dict[str, Any]) -> None:
        for name in names:
            del p["design"][name]

    return change


@pytest.mark.slow
def test_network_is_compressed_at_the_chosen_r_and_d(write: Write, tmp_path: Path) -> None:
    manifest, bundle = deploy(write(), out=tmp_path / "b", model="digits-mlp")

    network, source = manifest.network, load_network("digits-mlp")
    assert network is not None
    onnx_file = (bundle.folder / "network.onnx").read_bytes()
    compression = compress_weights(source, Recipe(manifest.design.pruning_ratio or 0, manifest.design.quant_step or 0))
    assert onnx_file == compressed_onnx(source, compression)
    assert network.sha256 == sha256(onnx_file)
    assert network.source.sha256 == sha256(ORIGINAL)
    assert network.r_effective == compression.r_effective
    assert network.sizes["file"] == len(onnx_file)
    assert any("whether they are of the network 'digits-mlp' is unknown" in text for text in manifest.not_checked)


@pytest.mark.slow
def test_modelled_energy_states_basis_and_level(write: Write, tmp_path: Path) -> None:
    dram, _ = deploy(write(), out=tmp_path / "d", model="digits-mlp")
    sram, _ = deploy(write(), out=tmp_path / "s", model="digits-mlp", network=NetworkOptions(level="sram-8KiB"))

    assert dram.network is not None
    assert sram.network is not None
    dram_energy, sram_energy = dram.network.energy_mac_mem, sram.network.energy_mac_mem
    assert dram_energy is not None
    assert sram_energy is not None
    assert (dram_energy.basis, dram_energy.equation) == ("modelled", "Eq. (1)")
    assert (dram_energy.level, dram_energy.n_macs) == ("dram", 17_024)
    assert dram_energy.value > sram_energy.value > 0


@pytest.mark.slow
def test_config_map_is_immutable_and_contains_the_manifest(write: Write, tmp_path: Path) -> None:
    def strange(p: dict[str, Any]) -> None:
        p["provenance"]["note"] = "naïve \x7f\u2028\u0085 'quoted' \"text\"\n  - and: {yaml}"

    _, bundle = deploy(write(strange), out=tmp_path / "b")

    text = (bundle.folder / "manifest.json").read_text(encoding="ascii")
    config_map = yaml.safe_load((bundle.folder / "configmap.yaml").read_text(encoding="ascii"))
    assert (config_map["apiVersion"], config_map["kind"], config_map["immutable"]) == ("v1", "ConfigMap", True)
    assert config_map["data"] == {"manifest.json": text}
    assert json.loads(text)["provenance"]["note"].startswith("naïve \x7f")
    assert config_map["metadata"]["annotations"]["explorer/manifest-sha256"] == sha256(text)
    assert config_map["metadata"]["name"] == f"explorer-{sha256(text)[:16]}"


@pytest.mark.slow
def test_oversized_manifest_has_no_config_map_but_a_remark(write: Write, tmp_path: Path) -> None:
    """The manifest exceeds 1 MiB: each number of a list has its own line."""
    manifest, bundle = deploy(write(lambda p: p["provenance"].update(note=[1] * 200_000)), out=tmp_path / "b")

    assert "configmap.yaml" not in {*bundle.names, *manifest.files}
    assert re.search("no configmap.yaml: it would have .* and Kubernetes takes 1,048,576", manifest.not_checked[-1])
    assert verify(bundle.folder).is_kept


def test_design_is_evaluated_at_the_nearest_clock_of_the_device(write: Write, tmp_path: Path) -> None:
    manifest, bundle = deploy(
        write(lambda p: p["design"].update(frequency_hz=2.3e9)),
        out=tmp_path / "b",
        device="rk3588-big",
        allow_other_machine=True,
    )

    point = manifest.operating_point
    assert point is not None
    assert point.applied is not None
    assert (point.asked.frequency_hz, point.applied.frequency_hz) == (2.3e9, 2.208e9)
    assert point.applied.clocks_hz[-1] == 2.4e9
    assert manifest.applied is not None
    assert manifest.applied.predicted["latency_s"].value > manifest.predicted["latency_s"].value, "a slower clock"
    assert list(manifest.applied.objectives) == list(manifest.objectives)
    assert {"apply.sh", "undo.sh", "cap.dts"} <= set(manifest.files) & set(bundle.names)
    assert "CLOCK=2208000\n" in (bundle.folder / "apply.sh").read_text(encoding="utf-8")


def test_missing_study_is_remarked_as_not_evaluated(write: Write, tmp_path: Path) -> None:
    def moved(p: dict[str, Any]) -> None:
        p["study"] = p["provenance"]["study"]["name"] = "gone"
        p["provenance"]["study"]["file"] = "studies/gone.toml"

    manifest, bundle = deploy(write(moved), out=tmp_path / "b", device="rk3588-big", allow_other_machine=True)

    assert manifest.applied is None
    assert "not evaluated at the applied clock: studies/gone.toml" in manifest.not_checked[-1]
    assert "apply.sh" in bundle.names


def test_changed_model_is_not_used_for_evaluation(write: Write, tmp_path: Path) -> None:
    manifest, _ = deploy(
        write(lambda p: p["provenance"]["model"].update(samples_sha256="0" * 64)),
        out=tmp_path / "b",
        device="rk3588-big",
        allow_other_machine=True,
    )

    assert manifest.applied is None
    assert any("its samples changed" in text for text in manifest.not_checked)


def test_extrapolation_on_a_device_is_rejected_by_default(write: Write, tmp_path: Path) -> None:
    path = write()
    with pytest.raises(NoFeasibleDesign, match="lies outside the model's domain"):
        deploy(path, out=tmp_path / "b", device="imx8mm")

    assert not (tmp_path / "b").exists()
    manifest, _ = deploy(path, out=tmp_path / "b", device="imx8mm", allow_extrapolation=True, allow_other_machine=True)
    assert "at the applied clock the design is EXTRAPOLATED" in manifest.not_checked


def test_bundle_does_not_contain_the_path_of_a_device_file(write: Write, tmp_path: Path) -> None:
    table = tmp_path / "private" / "board.toml"
    table.parent.mkdir()
    table.write_text(
        'title = "$(reboot)\'; x"\ncontrol = "nvidia-smi"\npoints = [{ frequency = 2.3 }, { frequency = 1 }]\n'
    )

    manifest, bundle = deploy(write(), out=tmp_path / "b", device=str(table), allow_other_machine=True)

    assert manifest.operating_point is not None
    assert manifest.operating_point.applied is not None
    assert manifest.operating_point.applied.device == "board"
    assert {"apply-nvidia.sh", "undo-nvidia.sh"} <= set(bundle.names)
    assert not any("private" in (bundle.folder / name).read_text(encoding="utf-8") for name in bundle.names)
    assert "lists no voltages" in manifest.not_checked[-1]


def test_device_title_is_quoted_in_shell_scripts(write: Write, tmp_path: Path) -> None:
    table = tmp_path / "board.toml"
    table.write_text("""title = "'; touch owned; $(touch owned) `touch owned`"
points = [{ frequency = 2.3, voltage = 0.9 }]
""")
    deploy(write(), out=tmp_path / "b", device=str(table), allow_other_machine=True)
    (tmp_path / "devices/system/cpu/cpufreq").mkdir(parents=True)

    result = subprocess.run(["sh", "b/apply.sh", "--sysfs", "."], cwd=tmp_path, capture_output=True, check=False)

    assert result.returncode == 3
    assert not (tmp_path / "owned").exists()


def test_design_without_a_clock_has_no_scripts_but_a_remark(write: Write, tmp_path: Path) -> None:
    path = write(without("frequency_hz", "voltage_v", "frequency_max_hz"))

    manifest, bundle = deploy(path, out=tmp_path / "b", model="digits-mlp")

    assert manifest.operating_point is None
    assert "the study chose no clock: no script sets one" in manifest.not_checked
    assert not any(name.endswith(".sh") for name in bundle.names)
    with pytest.raises(WrongUsage, match=r"has no clock to set\n  fix: leave --device out"):
        deploy(path, out=tmp_path / "c", device="rk3588-big")


def test_own_knobs_are_in_the_manifest_without_a_network(write: Write, tmp_path: Path) -> None:
    def own(p: dict[str, Any]) -> None:
        without("pruning_ratio", "quant_step")(p)
        p["design"] |= {"weight_bits": 8, "batch": 4, "device": "H100"}

    path = write(own)
    manifest, bundle = deploy(path, out=tmp_path / "b")

    assert manifest.design.knobs == {"weight_bits": 8, "batch": 4, "device": "H100"}
    assert "batch                  4" in (bundle.folder / "README.txt").read_text(encoding="utf-8")
    with pytest.raises(
        WrongUsage, match="has no pruning_ratio and no quant_step, which compression of a network needs"
    ):
        deploy(path, out=tmp_path / "c", model="digits-mlp")


def test_applied_point_of_chosen_json_is_reused(write: Write, payload: dict[str, Any], tmp_path: Path) -> None:
    def applied(p: dict[str, Any]) -> None:
        columns = {**p["design"], "frequency_hz": 2.208e9, "latency_s": 0.25, "latency_s_lo": 0.2, "latency_s_hi": 0.3}
        p["applied"] = {"device": "rk3588-big", "bin": "", "operating_point": "2.208 GHz @ 0.9875 V", "design": columns,
                        "is_extrapolated": False}  # fmt: skip
        p["design"]["frequency_hz"] = 2.3e9

    manifest, _ = deploy(write(applied), out=tmp_path / "b", allow_other_machine=True)

    assert manifest.applied is not None
    assert manifest.applied.predicted["latency_s"].value == 0.25
    assert manifest.promise is manifest.applied


def test_faults_of_the_applied_design_are_reported(write: Write, tmp_path: Path) -> None:
    def spoil(p: dict[str, Any]) -> None:
        p["applied"] = {"device": "rk3588-big", "operating_point": "x", "is_extrapolated": False,
                        "design": {**p["design"], "accuracy": 0.1}}  # fmt: skip

    with pytest.raises(InvalidFile, match=r"\[applied.design\] accuracy: 0.1 is outside its interval"):
        deploy(write(spoil), out=tmp_path / "b")


def test_device_that_was_not_measured_is_rejected_by_default(write: Write, tmp_path: Path) -> None:
    with pytest.raises(NoFeasibleDesign, match=r"not on rk3588-big(.|\n)*fix: .*--allow-other-machine"):
        deploy(write(), out=tmp_path / "b", device="rk3588-big")

    assert not (tmp_path / "b").exists()
    manifest, bundle = deploy(write(), out=tmp_path / "b", device="rk3588-big", allow_other_machine=True)
    assert manifest.machine == "the paper's accelerator"
    assert [text.partition(":")[0] for text in manifest.warnings] == ["numbers of another machine"]
    assert "WARNING: numbers of another machine" in (bundle.folder / "README.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(("machine", "n_warnings"), [("rk3588-big", 0), ("", 1)])
def test_measured_device_and_unstated_machine_are_accepted(
    write: Write, tmp_path: Path, machine: str, n_warnings: int
) -> None:
    manifest, _ = deploy(write(lambda p: p.update(machine=machine)), out=tmp_path / "b", device="rk3588-big")

    assert len(manifest.warnings) == n_warnings


def test_search_over_a_device_that_was_not_measured_is_rejected(write: Write, tmp_path: Path) -> None:
    def searched(p: dict[str, Any]) -> None:
        p |= {"is_other_machine": True, "warnings": ["numbers of another machine: a, not b"]}

    with pytest.raises(NoFeasibleDesign, match="numbers of another machine: a, not b"):
        deploy(write(searched), out=tmp_path / "b")
    assert deploy(write(searched), out=tmp_path / "b", allow_other_machine=True)[0].warnings


def measured_live(**options: Any) -> Callable[[dict[str, Any]], None]:
    """Return a change of chosen.json to that of a study that measured the MLP with these options."""

    def change(p: dict[str, Any]) -> None:
        p["design"] |= {"pruning_ratio": 0.5, "quant_step": 0.05}
        p["provenance"]["question"]["live"] = {"device": "cpu", **options}
        p["provenance"]["model"]["network_sha256"] = sha256(ORIGINAL)

    return change


def test_compression_follows_the_options_of_a_live_study(write: Write, tmp_path: Path) -> None:
    """The bundle must have the network that the study measured."""
    path = write(measured_live(codec="dense", per_tensor=True, clip="int4"))

    manifest, bundle = deploy(path, out=tmp_path / "b", model="digits-mlp")

    source, network = load_network("digits-mlp"), manifest.network
    assert network is not None
    recipe = Recipe(0.5, 0.05, per_tensor=True, clip_to="int4")
    assert (bundle.folder / "network.onnx").read_bytes() == compressed_onnx(source, compress_weights(source, recipe))
    assert (network.size_codec, network.per_tensor, network.clip) == ("dense", True, "int4")
    assert states(bundle.folder)["codes"] == "kept"
    page = (bundle.folder / "README.txt").read_text(encoding="utf-8")
    assert "pruned               share R of each tensor" in page
    assert "Measured by the study" in page
    assert "predictions of a model" not in page


def test_options_override_those_of_the_study(write: Write, tmp_path: Path) -> None:
    path = write(measured_live(codec="dense", clip="int4"))
    options = NetworkOptions(codec="file", clip_to="int8")

    manifest, _ = deploy(path, out=tmp_path / "b", model="digits-mlp", network=options)

    assert manifest.network is not None
    assert (manifest.network.size_codec, manifest.network.clip, manifest.network.per_tensor) == ("file", "int8", False)


def test_network_other_than_the_measured_one_is_a_warning(write: Write, tmp_path: Path) -> None:
    manifest, _ = deploy(write(measured_live()), out=tmp_path / "b", model="digits-cnn")

    (text,) = manifest.warnings
    assert text.startswith("numbers of another network: the study measured one with SHA-256")


@pytest.mark.parametrize("name", ["digits-cnn", "digits-gru", "digits-mlp", "digits-transformer"])
def test_full_int8_bundle_has_equal_codes_and_int8_operators(
    write: Write, tmp_path: Path, name: str, digits: LabelledData
) -> None:
    """Norms and biases become integers of other steps: they are not weights of Eq. (5)."""
    options = NetworkOptions(calibration=digits)

    manifest, bundle = deploy(write(measured_live()), out=tmp_path / "b", model=name, network=options)

    network = manifest.network
    assert network is not None
    assert (network.activations, network.calibration_sha256) == ("int8", digits.sha256)
    assert network.container == "int8"
    loaded = load_artifact(bundle.folder / "network.onnx", step=manifest.design.quant_step)
    assert loaded.sizes == network.sizes
    assert states(bundle.folder, model=name)["codes"] == "kept"
    operators = {node.op_type for node in onnx.load(bundle.folder / "network.onnx").graph.node}
    assert "QuantizeLinear" in operators
    assert any("activations are int8" in text for text in manifest.not_checked)


def states(folder: Path, *, model: str = "digits-mlp") -> dict[str, str]:
    return {check.name: check.state for check in verify(folder, model=model).checks}


def _dynamic_length() -> onnx.ModelProto:
    weights = numpy_helper.from_array(np.eye(3, 2, dtype=np.float32), "w")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "open",
        [value("x", 1, ["n", "t", 3])], [value("y", 1, ["n", "t", 2])], [weights],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def test_a_dynamic_length_is_that_of_the_data(write: Write, tmp_path: Path) -> None:
    """Without data the network is not run: Eq. (1) and the stored outputs are missing, and both are remarked."""
    (tmp_path / "net.onnx").write_bytes(_dynamic_length().SerializeToString())
    data = make_labelled_data({"x": np.ones((4, 5, 3), np.float32), "y": np.zeros(4, int)}, source="long.npz")

    without, _ = deploy(write(), out=tmp_path / "a", model=tmp_path / "net.onnx")
    with_data, bundle = deploy(
        write(), out=tmp_path / "b", model=tmp_path / "net.onnx", network=NetworkOptions(data=data)
    )

    assert without.network is not None
    assert with_data.network is not None
    assert (without.network.energy_mac_mem, without.network.reference) == (None, None)
    missing = [text for text in without.not_checked if "dynamic length" in text]
    assert [text.partition(":")[0] for text in missing] == ["Eq. (1) was not computed", "no outputs are stored"]
    assert with_data.network.energy_mac_mem is not None
    assert with_data.network.energy_mac_mem.n_macs == 5 * 3 * 2
    assert with_data.network.reference is not None
    assert with_data.network.reference.inputs == "4 samples of long.npz"
    assert states(bundle.folder, model=str(tmp_path / "net.onnx"))["outputs"] == "kept"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        pytest.param({"model": "digits-cnm"}, UnknownName, "did you mean 'digits-cnn'", id="network"),
        pytest.param({"model": "no/such.onnx"}, WrongUsage, "no such file", id="file"),
        pytest.param({"model": "text.onnx"}, InvalidFile, "is not an ONNX file", id="not-onnx"),
        pytest.param({"device": "rk3399-bug"}, WrongUsage, "rk3399-big", id="device"),
        pytest.param({"device": "h6"}, InvalidFile, "has 3 speed bins", id="bins"),
        pytest.param({"bin_name": "speed0"}, WrongUsage, "--bin needs --device", id="bin"),
        pytest.param({"network": NetworkOptions(clip_to="int8")}, WrongUsage, "name it with --model", id="no network"),
        pytest.param(
            {"model": "digits-mlp", "network": NetworkOptions(level="moon")},
            UnknownName,
            "unknown name 'moon'",
            id="level",
        ),
    ],
)
def test_invalid_deployment_is_rejected_and_writes_nothing(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any],
    error: type[ExplorerError], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("hello", encoding="ascii")
    path = write()
    before = sorted(tmp_path.iterdir())

    with pytest.raises(error, match=message):
        deploy(path, out=tmp_path / "b", **options)

    assert sorted(tmp_path.iterdir()) == before
