"""Operating points by slack: the table against a slow twin, the script against the table, and what is refused."""

import json
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from explorer.api import deploy, verify
from explorer.deploy.bundle.governor import select_points
from explorer.devices.device import read_device_points
from explorer.errors import ExplorerError, WrongUsage
from explorer.models.evaluation import make_problem
from explorer.models.loading import load_evaluator
from explorer.models.posterior_draws import N_DRAWS, posterior_draws, predict_draws
from explorer.problem.applicability import domain_distance, is_extrapolated
from explorer.problem.study import read_study

Write = Callable[..., Path]
DEVICE = "rk3588-big"
times = st.integers(1, 6).map(float)  # few values: ties are the hard case


@st.composite
def _tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[str]]:
    m, s = draw(st.integers(1, 7)), draw(st.integers(1, 12))
    energy = draw(hnp.arrays(np.float64, m, elements=times))
    latency = draw(hnp.arrays(np.float64, (s, m), elements=times))
    return energy, latency, draw(st.lists(st.sampled_from(["", "", "breaks a limit"]), min_size=m, max_size=m))


@given(_tables(), st.sampled_from([0.05, 0.5, 0.75, 0.9, 0.99]))
def test_with_any_slack_the_last_usable_point_takes_the_least_energy_of_all(
    table: tuple[np.ndarray, np.ndarray, list[str]], confidence: float
) -> None:
    energy, latency, excluded = table
    rows, slack = select_points(energy, latency, excluded, confidence=confidence)

    assert rows == sorted(rows, key=lambda i: slack[i])
    assert all(energy[a] > energy[b] and slack[a] < slack[b] for a, b in pairwise(rows))
    for time in np.arange(0.5, 7.0, 0.5):
        usable = [
            energy[i]
            for i in range(len(energy))
            if not excluded[i] and np.mean(latency[:, i] <= time) >= confidence - 1e-9
        ]
        picked = [energy[i] for i in rows if slack[i] <= time]
        assert picked[-1:] == ([min(usable)] if usable else [])


@pytest.fixture(scope="module")
def governed(payload: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle for a device with a table of its operating points by slack."""
    folder = tmp_path_factory.mktemp("governed")
    (folder / "chosen.json").write_text(json.dumps(payload), encoding="utf-8")
    return deploy(
        folder / "chosen.json", out=folder / "b", device=DEVICE, allow_other_machine=True, governor=True, confidence=0.8
    )[1].folder


def _governor(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "governor.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_the_table_equals_a_slow_twin_of_the_model(governed: Path, payload: dict[str, Any]) -> None:
    """Point by point and draw by draw: predictions, the quantile by sorting, and dominance by comparing all pairs."""
    study = read_study("edp-accuracy")
    model = make_problem(study, load_evaluator(study)).evaluator
    draws = posterior_draws(model)  # type: ignore[arg-type]
    design, points = payload["design"], read_device_points(DEVICE, bin_name="")
    found: dict[float, tuple[float, float, float]] = {}
    for volts, hertz in zip(points.voltage_v, points.frequency_hz, strict=True):
        knobs = {"family": np.array([design["family"]], dtype=object), "voltage_v": np.array([volts]),
                 "frequency_hz": np.array([hertz]), "pruning_ratio": np.array([design["pruning_ratio"]]),
                 "quant_step": np.array([design["quant_step"]])}  # fmt: skip
        columns = model.evaluate(knobs)
        latency = sorted(predict_draws(model, draws, knobs, with_noise=True)["latency_s"][:, 0].tolist())  # type: ignore[arg-type]
        if not is_extrapolated(domain_distance(knobs, model.domain))[0] and columns["accuracy"][0] >= 0.9:
            least = next(t for t in latency if sum(u <= t for u in latency) >= 0.8 * len(latency))
            found[hertz] = (least, float(columns["energy_j"][0]), float(columns["latency_s"][0]))
    kept = {
        hertz: row for hertz, row in found.items()
        if not any(o[0] <= row[0] and o[1] <= row[1] and o != row for o in found.values())
    }  # fmt: skip
    written = _governor(governed)

    assert len(latency) == written["n_draws"] == N_DRAWS
    assert len(found) >= 3
    assert {p["frequency_hz"] for p in written["points"]} == set(kept)
    for point in written["points"]:
        assert (point["slack_s"], point["energy_j"], point["latency_s"]) == pytest.approx(kept[point["frequency_hz"]])
        assert point["rate_hz"] == pytest.approx(1 / kept[point["frequency_hz"]][0])
        assert point["latency_s_lo"] <= point["latency_s"] <= point["latency_s_hi"]
    assert {p["operating_point"] for p in (*written["points"], *written["left_out"])} == set(points.labels)


@pytest.mark.slow
def test_deadlines_hold_with_the_stated_probability_on_fresh_draws(governed: Path, payload: dict[str, Any]) -> None:
    study, design = read_study("edp-accuracy"), payload["design"]
    model = make_problem(study, load_evaluator(study)).evaluator
    draws = posterior_draws(model, n=4_000, seed=1)  # type: ignore[arg-type]
    points = _governor(governed)["points"]
    volts = [float(p["operating_point"].split("@")[1].removesuffix(" V")) for p in points]
    n = len(points)
    knobs = {"family": np.full(n, design["family"], dtype=object), "voltage_v": np.array(volts),
             "frequency_hz": np.array([p["frequency_hz"] for p in points]),
             **{name: np.full(n, design[name]) for name in ("pruning_ratio", "quant_step")}}  # fmt: skip
    latency = predict_draws(model, draws, knobs, with_noise=True)["latency_s"]  # type: ignore[arg-type]

    held = np.mean(latency <= np.array([p["slack_s"] for p in points]), axis=0)
    assert np.abs(held - 0.8).max() < 0.04  # three standard errors of the table's 1,500 draws


@pytest.mark.slow
def test_the_script_prints_the_clock_of_the_table_for_any_slack(governed: Path) -> None:
    points = _governor(governed)["points"]
    for slack in [p["slack_s"] for p in points]:
        for given_ns in (round(slack * 1e9) - 1_000, round(slack * 1e9) + 1_000, round(slack * 3e9)):
            done = subprocess.run(
                ["sh", governed / "governor.sh", str(given_ns)], capture_output=True, text=True, check=False
            )
            usable = [p for p in points if p["slack_s"] <= given_ns * 1e-9]
            if usable:
                assert int(done.stdout) == round(min(usable, key=lambda p: p["energy_j"])["frequency_hz"] / 1e3)
            else:
                fastest = points[0]["frequency_hz"] / 1e3
                assert (done.returncode, done.stdout) == (4, "")
                assert f"fix: set the fastest, {fastest:.0f} kHz" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("1.5",), ("-1",), ("1", "2"), ("x",), ("9" * 30,)])
def test_the_script_refuses_what_is_no_slack(governed: Path, words: tuple[str, ...]) -> None:
    done = subprocess.run(["sh", governed / "governor.sh", *words], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: sh governor.sh SLACK_NS" in done.stderr


@pytest.mark.slow
def test_the_readme_has_the_table_and_the_manifest_the_files(governed: Path) -> None:
    text, points = (governed / "README.txt").read_text(encoding="utf-8"), _governor(governed)["points"]
    manifest = json.loads((governed / "manifest.json").read_text(encoding="utf-8"))

    assert "probability 80 %" in text
    assert all(p["operating_point"] in text for p in points)
    assert max(map(len, text.split("by slack: ")[1].split("Files:")[0].splitlines())) <= 100
    assert {"governor.json", "governor.sh"} <= set(manifest["files"])
    assert not any("volt" in line.lower() for line in (governed / "governor.sh").read_text().splitlines()
                   if not line.startswith("#"))  # fmt: skip
    assert verify(governed).is_kept


@pytest.mark.slow
def test_a_point_that_breaks_a_limit_is_left_out_with_the_reason(governed: Path, write: Write, tmp_path: Path) -> None:
    fastest, second = _governor(governed)["points"][:2]
    cap = (fastest["energy_j"] + second["energy_j"]) / 2
    path = write(lambda p: p["rule"]["where"].append(f"energy_j <= {cap!r} J"))

    deploy(path, out=tmp_path / "b", device=DEVICE, allow_other_machine=True, governor=True, confidence=0.8)

    left_out = {p["operating_point"]: p["reason"] for p in _governor(tmp_path / "b")["left_out"]}
    assert left_out[fastest["operating_point"]].startswith("breaks energy_j <= ")


def _gone(p: dict[str, Any]) -> None:
    p["study"] = p["provenance"]["study"]["name"] = p["provenance"]["study"]["file"] = "gone"


def _without_clock(p: dict[str, Any]) -> None:
    for name in ("frequency_hz", "voltage_v"):
        del p["design"][name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "options", "error", "said"),
    [
        pytest.param(None, {}, WrongUsage, "has no table of operating points: .*", id="alpha-power law"),
        pytest.param(None, {"confidence": 1.0}, WrongUsage, r"--confidence 1 is outside \[0.01, 0.995\]", id="sure"),
        pytest.param(None, {"confidence": float("nan")}, WrongUsage, "--confidence nan is outside", id="nan"),
        pytest.param(None, {"device": "no-board"}, WrongUsage, "no device is called 'no-board'", id="device"),
        pytest.param(_without_clock, {}, WrongUsage, "has no clock: a governor has nothing to set", id="no clock"),
        pytest.param(_gone, {"device": DEVICE}, WrongUsage, "--governor needs the model of the study: gone", id="gone"),
        pytest.param(
            lambda p: p["provenance"]["model"].update(samples_sha256="0" * 64), {"device": DEVICE}, WrongUsage,
            "its samples changed", id="another model",
        ),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_made_is_refused(
    write: Write, tmp_path: Path, change: Any, options: dict[str, Any], error: type[ExplorerError], said: str
) -> None:
    with pytest.raises(error, match=said):
        deploy(write(change), out=tmp_path / "b", allow_other_machine=True, governor=True, **options)
    assert not (tmp_path / "b").exists()
