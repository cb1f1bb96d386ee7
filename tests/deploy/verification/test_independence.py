"""Verification is independent: sealed changes are found by the check that they concern, and oracles agree with it."""

import hashlib
import json
import math
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from explorer.api import deploy, verify
from explorer.deploy.bundle.network_artifact import NetworkOptions
from explorer.deploy.verification.check import Check, Interval
from explorer.errors import WrongUsage
from explorer.network.task.labelled_data import load_data
from tests.deploy.conftest import Write

CASES = Path(__file__).parents[2] / "cases/bundles"
NET, DATA = CASES / "plain.onnx", CASES / "mlp.npz"
R, D = 0.4, 0.07


def of_live_study(p: dict[str, Any]) -> None:
    """Change chosen.json to that of a study that measured the small network at R = 0.4 and D = 0.07."""
    data = load_data(str(DATA))
    p["design"] |= {"pruning_ratio": R, "quant_step": D, "accuracy": 0.9, "accuracy_lo": 0.8, "accuracy_hi": 1.0,
                    "size_bytes": 640.0, "size_bytes_lo": 500.0, "size_bytes_hi": 700.0}  # fmt: skip
    p["provenance"]["question"]["live"] = {"device": "cpu", "codec": "deflate", "per_tensor": False, "clip": None}
    p["provenance"]["model"] = {"name": str(NET), "kind": "live", "data_sha256": data.sha256,
                                "network_sha256": hashlib.sha256(NET.read_bytes()).hexdigest()}  # fmt: skip
    p["provenance"]["measurement"] = {"files": {"onnx": str(NET), "data": str(DATA)}}


@pytest.fixture
def bundle(write: Write, tmp_path: Path) -> Path:
    """Return a bundle that was deployed without naming the network or its data."""
    return deploy(write(of_live_study), out=tmp_path / "b")[1].folder


def states(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def seal(folder: Path) -> None:
    """Make all SHA-256 of a bundle agree with its files again."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["network"]["sha256"] = hashlib.sha256((folder / "network.onnx").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    names = sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def edit(folder: Path, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change a stored tensor of the bundle's network, and seal the bundle."""
    model = onnx.load(folder / "network.onnx")
    (tensor,) = (tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor).copy()), name))
    onnx.save(model, folder / "network.onnx")
    seal(folder)


def with_one_more(codes: np.ndarray) -> np.ndarray:
    index = np.unravel_index(np.abs(codes).argmax(), codes.shape)
    codes[index] -= np.sign(codes[index])
    return codes


def as_float(folder: Path) -> None:
    """Store a weight as float32 again, with the values that its codes give."""
    model = onnx.load(folder / "network.onnx")
    weight = next(t for t in model.graph.initializer if t.name == "w1/codes")
    values = numpy_helper.to_array(weight).astype(np.float32) * np.float32(D)
    nodes = [node for node in model.graph.node if not node.name.startswith("w1/")]
    kept = [t for t in model.graph.initializer if not t.name.startswith("w1/")]
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([*kept, numpy_helper.from_array(values, "w1")])
    onnx.save(model, folder / "network.onnx")
    seal(folder)


def change_reference(kind: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        runs = dict(np.load(folder / "reference.npz"))
        name = next(name for name in runs if f"/{kind}/" in name)
        np.savez(folder / "reference.npz", **{**runs, name: runs[name] * np.float32(1.01)})  # type: ignore[arg-type]
        seal(folder)

    return change


@pytest.mark.parametrize(
    ("change", "broken", "with_source"),
    [
        pytest.param(lambda b: edit(b, "w1/codes", with_one_more), {"outputs"}, {"codes", "outputs"}, id="code"),
        pytest.param(lambda b: edit(b, "w2/codes", lambda c: c[::-1]), {"outputs"}, {"codes", "outputs"}, id="weights"),
        pytest.param(
            lambda b: edit(b, "w1/step", lambda d: d * np.float32(1.02)), {"codes", "outputs"}, {"codes", "outputs"},
            id="scale",
        ),
        pytest.param(as_float, {"codes"}, {"codes"}, id="float"),
        pytest.param(change_reference("outputs"), {"outputs"}, {"outputs"}, id="outputs"),
        pytest.param(change_reference("inputs"), {"outputs"}, {"outputs"}, id="inputs"),
        pytest.param(seal, set(), set(), id="nothing"),
    ],
)  # fmt: skip
def test_a_sealed_change_is_found_by_its_check(
    bundle: Path, change: Callable[[Path], None], broken: set[str], with_source: set[str]
) -> None:
    """All checksums are made to agree; no data is given. The source network tells wrong codes from other ones."""
    change(bundle)

    assert set(states(verify(bundle).broken)) - {"size_bytes"} == broken
    assert set(states(verify(bundle, model=NET).broken)) - {"size_bytes"} == with_source


def test_stored_outputs_are_those_of_plain_onnxruntime(bundle: Path) -> None:
    """The program in README.txt runs as it stands, and finds no difference."""
    program = "\n".join(
        line.removeprefix("    ")
        for line in (bundle / "README.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("    ")
    )
    printed: list[tuple[Any, ...]] = []
    exec(  # noqa: S102 - the text is what a user copies
        program.replace('"reference.npz"', repr(str(bundle / "reference.npz")))
        .replace('"network.onnx"', repr(str(bundle / "network.onnx"))),
        {"print": lambda *words: printed.append(words)},
    )  # fmt: skip

    assert len(printed) == 8
    assert max(difference for _, _, difference in printed) <= 1e-4


def oracle(folder: Path, data: Mapping[str, Any], codes: str) -> dict[str, float]:
    """Return accuracy and sizes of a bundle by onnx, onnxruntime, numpy and zlib alone."""
    path = folder / "network.onnx"
    session = onnxruntime.InferenceSession(str(path))
    (x,) = session.get_inputs()
    scores = session.run(None, {x.name: data["x"].astype(np.float32)})[0]
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}
    kept = [array for name, array in stored.items() if name.endswith(codes)]
    technical = (codes, "/step", "_scale", "_zero_point")
    others = [array for name, array in stored.items() if not name.endswith(technical)]
    n_others = sum(array.nbytes for array in others)
    weights = [*kept, *(array for array in others if sum(length > 1 for length in array.shape) > 1)]
    bits = 0.0
    for array in kept:
        shares = np.unique(array, return_counts=True)[1] / array.size
        bits -= array.size * float((shares * np.log2(shares)).sum())
    return {
        "accuracy": float((scores.argmax(1) == data["y"]).mean()),
        "file": path.stat().st_size,
        "deflate": len(zlib.compress(path.read_bytes(), 6)),
        "dense": n_others + sum(math.ceil(a.size * (8 if a.dtype == np.int8 else 16) / 8) for a in kept),
        "entropy": n_others + math.ceil(bits / 8),
        "zeros": sum(int((a == 0).sum()) for a in weights) / sum(a.size for a in weights),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "digits-transformer"])
@pytest.mark.parametrize("is_int8", [False, True])
def test_a_bundle_equals_an_evaluation_without_explorer(write: Write, tmp_path: Path, name: str, is_int8: bool) -> None:
    """Accuracy, size by every codec and the share of zeros, of float and int8 bundles."""
    digits = load_data("digits")
    options = NetworkOptions(calibration=digits if is_int8 else None)
    path = write(lambda p: p["design"].update(pruning_ratio=0.5, quant_step=0.02))
    manifest, written = deploy(path, out=tmp_path / "b", model=name, network=options)
    truth = oracle(written.folder, {"x": digits.inputs["x"], "y": digits.labels}, "_quantized" if is_int8 else "/codes")

    verdict = verify(written.folder, data=digits, energy=False)

    network = manifest.network
    assert network is not None
    found = {check.name: check.found for check in verdict.checks}
    assert isinstance(found["accuracy"], Interval)
    assert found["accuracy"].value == truth["accuracy"]
    assert {codec: network.sizes[codec] for codec in ("file", "deflate")} == {k: truth[k] for k in ("file", "deflate")}
    if not is_int8:  # the oracle does not tell int8 weights from int8 constants
        assert network.sizes == {codec: truth[codec] for codec in network.sizes}
        assert network.r_effective == pytest.approx(truth["zeros"], abs=1e-12)
    assert states(verdict.checks)["outputs"] == "kept"


def test_an_older_bundle_is_verified_as_before(tmp_path: Path) -> None:
    """It has DequantizeLinear nodes, and neither stored outputs nor session options."""
    folder = shutil.copytree(CASES / "schema1", tmp_path / "old")

    verdict = verify(folder, data=str(DATA), model=NET, energy=False)

    assert {name: state for name, state in states(verdict.checks).items() if name != "latency_s"} == {
        "files": "kept", "runs": "kept", "codes": "kept", "accuracy": "kept", "size_bytes": "kept",
        "limit of accuracy": "kept",
    }  # fmt: skip
    edit(folder, "w1/codes", with_one_more)
    assert "codes" in states(verify(folder, model=NET).broken)


def test_the_study_names_network_data_and_options(write: Write, tmp_path: Path) -> None:
    def change(p: dict[str, Any]) -> None:
        of_live_study(p)
        p["provenance"]["question"]["live"] |= {"codec": "dense", "per_tensor": True}

    manifest, _ = deploy(write(change), out=tmp_path / "b")

    network = manifest.network
    assert network is not None
    assert network.reference is not None
    assert (network.size_codec, network.per_tensor, network.source.name) == ("dense", True, "plain")
    assert network.reference.inputs == "8 samples of mlp.npz"
    assert network.session is not None
    assert "no option is needed" in network.session.note
    assert deploy(write(change), out=tmp_path / "c", without_network=True)[0].network is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            lambda p: p["provenance"]["model"].update(name="gone/net.onnx"),
            r"gone/net.onnx: the network of study .* is not there any more\n  fix: name it with --model", id="gone",
        ),
        pytest.param(
            lambda p: p["provenance"]["model"].update(network_sha256="0" * 64),
            r"is not the network that study .* measured: its SHA-256 is \w{12}..., not 000000000000", id="other",
        ),
    ],
)  # fmt: skip
def test_a_network_that_was_not_measured_is_refused(
    write: Write, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    def both(p: dict[str, Any]) -> None:
        of_live_study(p)
        change(p)

    with pytest.raises(WrongUsage, match=message):
        deploy(write(both), out=tmp_path / "b")
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("python:./task.py", "is Python code"),
        ("gone.npz", "gone.npz was not found"),
        (str(CASES / "mlp2.npz"), "was not"),
    ],
)
def test_data_that_cannot_be_used_is_replaced_by_random_numbers(
    write: Write, tmp_path: Path, data: str, message: str
) -> None:
    """Code is never run because a file names it."""
    (tmp_path / "task.py").write_text("open('ran', 'w')", encoding="utf-8")

    def change(p: dict[str, Any]) -> None:
        of_live_study(p)
        p["provenance"]["measurement"]["files"]["data"] = data

    manifest, bundle = deploy(write(change), out=tmp_path / "b")

    assert manifest.network is not None
    assert manifest.network.reference is not None
    assert manifest.network.reference.inputs == "seeded random numbers"
    assert any(message in text for text in manifest.not_checked)
    assert states(verify(bundle.folder).checks)["outputs"] == "kept"
    assert not (tmp_path / "ran").exists()


SCORE = """
import numpy as np

def data():
    stored = np.load({path!r})
    return stored["x"], stored["y"]

def score(run, inputs, y):
    logits = run(inputs)["logits"]
    logits = logits - logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
    return {{"nll": loss, "margin": float(np.median(np.sort(logits, 1)[:, -1] - np.sort(logits, 1)[:, -2]))}}
"""


def test_promised_targets_are_scored_as_plain_numpy_scores_them(write: Write, tmp_path: Path) -> None:
    """A score for each sample, and one for the set; both with bootstrap intervals, and a row of samples."""
    (tmp_path / "task.py").write_text(SCORE.format(path=str(DATA)), encoding="utf-8")
    data = load_data(f"python:{tmp_path / 'task.py'}")

    def change(p: dict[str, Any]) -> None:
        of_live_study(p)
        p["provenance"]["question"]["targets"] = [
            {"name": name, "direction": "min", "unit": "", "range": [None, None], "interval": "bootstrap"}
            for name in ("nll", "margin")
        ]
        for name in ("accuracy", "accuracy_lo", "accuracy_hi"):
            del p["design"][name]
        p["design"] |= {
            "nll": 0.5,
            "nll_lo": 0.01,
            "nll_hi": 9.0,
            "margin": 99.0,
            "margin_lo": 98.0,
            "margin_hi": 100.0,
        }
        p["provenance"]["question"]["objectives"] = ["nll", "size_bytes"]

    _, bundle = deploy(write(change), out=tmp_path / "b", network=NetworkOptions(data=data))
    verdict = verify(bundle.folder, data=data, samples=tmp_path / "samples.csv", energy=False)

    arrays = dict(np.load(DATA))
    logits = onnxruntime.InferenceSession(str(bundle.folder / "network.onnx")).run(None, {"x": arrays["x"]})[0]
    shares = np.exp(logits.astype(float))
    loss = -np.log(shares[np.arange(200), arrays["y"]] / shares.sum(1))
    ordered = np.sort(logits, 1)
    truth = {"nll": loss.mean(), "margin": np.median(ordered[:, -1] - ordered[:, -2])}
    found = {check.name: check for check in verdict.checks}
    for name, value in truth.items():
        interval = found[name].found
        assert isinstance(interval, Interval)
        assert interval.value == pytest.approx(value, rel=1e-5)
        assert interval.lo < interval.value < interval.hi
    assert (found["nll"].state, found["margin"].state) == ("kept", "broken")
    assert "bootstrap" in found["nll"].note
    header, row = (tmp_path / "samples.csv").read_text(encoding="utf-8").splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert float(cells["nll"]) == pytest.approx(truth["nll"], rel=1e-5)
    assert float(cells["margin_lo"]) < truth["margin"]
    assert cells["accuracy"] == ""
