"""Small tables once answered with false certainty; their right answers are in `tests/cases/models/README.md`."""

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import explorer
from explorer.api.studies import Outcome

CASES = Path(__file__).parents[1] / "cases" / "models"
KNOBS = ["family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz"]
EXTRAPOLATED = 0.5  # distance to the samples beyond which a prediction is marked

pytestmark = pytest.mark.slow


def case(name: str) -> pd.DataFrame:
    return pd.read_csv(CASES / name)


def run_case(name: str, out: Path) -> Outcome:
    return explorer.run(CASES / name, out=out)


def texts_of(summary: Mapping[str, Any]) -> list[str]:
    """Return every statement of a fit on what its samples do not show."""
    rows = [*summary.get("identifiability", ()), *summary.get("collinear", ()), *summary.get("warnings", ())]
    return [row["text"] if isinstance(row, Mapping) else str(row) for row in rows]


def kinds_of(summary: Mapping[str, Any]) -> set[str]:
    return {row["kind"] for row in summary["warnings"] if isinstance(row, Mapping)}


def sweep(samples: pd.DataFrame, out: Path) -> Outcome:
    """Search the measured clocks of a sweep, and only these."""
    ghz = (samples["frequency_hz"] / 1e9).round(9).tolist()
    space = {
        "family": "network",
        "axes": {"frequency": {"values": ghz, "unit": "GHz"}},
        "operating_points": {"law": "none"},
    }
    problem = explorer.study(samples=samples, space=space, objectives=["energy_j", "latency_s"], name="sweep")
    return explorer.run(problem, out=out, trials=100)


@pytest.fixture(scope="module")
def same_rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Return the two studies of the same ten rows, with D as a step and as bits."""
    return {
        kind: run_case(f"same_rows_{kind}.toml", tmp_path_factory.mktemp("same_rows") / kind)
        for kind in ("step", "bits")
    }


def as_other(designs: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return designs with D as the other study has it: 5.32, 6.06 and 6.64 bits are the steps 0.05, 0.03 and 0.02."""
    bits = {0.05: 5.32, 0.03: 6.06, 0.02: 6.64}
    knobs = ["family", "pruning_ratio", "voltage_v", "frequency_hz"]
    if kind == "step":
        return designs[knobs].assign(weight_bits=designs["quant_step"].round(6).map(bits))
    return designs[knobs].assign(quant_step=designs["weight_bits"].map({b: d for d, b in bits.items()}))


@pytest.mark.parametrize("kind", ["step", "bits"])
def test_fronts_of_the_same_rows_agree_within_intervals(same_rows: dict[str, Outcome], kind: str) -> None:
    models = {"step": "paper", "bits": str(CASES / "same_rows_bits.csv")}
    other = models["bits" if kind == "step" else "step"]
    front = same_rows[kind].results.front()
    predicted = explorer.predict(other, as_other(front, kind))

    for target in ("accuracy", "latency_s", "energy_j"):
        is_overlapping = (front[f"{target}_lo"].to_numpy() <= predicted[f"{target}_hi"].to_numpy()) & (
            predicted[f"{target}_lo"].to_numpy() <= front[f"{target}_hi"].to_numpy()
        )
        assert is_overlapping.all(), f"{target}: {is_overlapping.mean():.0%} of the front"


@pytest.mark.parametrize("kind", ["step", "bits"])
def test_no_sure_direction_of_voltage_from_the_same_rows(same_rows: dict[str, Outcome], kind: str) -> None:
    results = same_rows[kind].results
    sure = results.frame().query("certainty == 'sure'")
    front = results.front()
    signs = set()
    for row in np.linspace(0, len(front) - 1, 5).astype(int):
        design = int(front["design_id"].iloc[row])
        rates = explorer.explain(results, design=design, study=CASES / f"same_rows_{kind}.toml").rates["edp_js"]
        signs |= {rate.sign for move, rate in rates.items() if "operating_point" in move or "voltage" in move}

    assert len(set(sure["voltage_v"])) != 1, sure["voltage_v"].value_counts().to_dict()
    assert signs == {"?"}


@pytest.mark.parametrize("kind", ["step", "bits"])
def test_report_of_the_same_rows_names_voltage_against_compression(same_rows: dict[str, Outcome], kind: str) -> None:
    outcome = same_rows[kind]
    texts = [*texts_of(outcome.results.model_check), *outcome.results.notes]
    page = html.unescape((outcome.out / "report.html").read_text(encoding="utf-8"))
    named = [
        t for t in texts
        if re.search(r"voltage|\bV\b", t) and re.search(r"compress|prun|step|bits", t)
        and re.search(r"not identif|cannot be separated|hardly separated|not separate", t)
    ]  # fmt: skip

    assert named, texts
    assert any(text[:60] in page for text in named)


def test_every_separating_row_is_within_its_interval() -> None:
    rows = case("separating_rows.csv")
    fitted = explorer.fit(CASES / "separating_rows.csv")
    predicted = fitted.predict(rows[KNOBS])

    for target in ("accuracy", "latency_s", "energy_j", "power_w"):
        truth = rows[target].to_numpy()
        is_inside = (predicted[f"{target}_lo"] <= truth) & (truth <= predicted[f"{target}_hi"])
        assert (is_inside | np.isnan(truth)).all(), f"{target}: rows {np.flatnonzero(~is_inside & np.isfinite(truth))}"


def test_leave_one_out_energy_of_the_separating_rows() -> None:
    assert explorer.fit(CASES / "separating_rows.csv").summary["targets"]["energy_j"]["loo_mape"] <= 0.045


def test_least_energy_of_a_sweep_is_its_measured_minimum(tmp_path: Path) -> None:
    """Measured without noise: 0.4698 J at 0.9 GHz, 0.5383 J at 1.3 GHz."""
    results = sweep(case("interior.csv"), tmp_path).results
    best = explorer.choose(results, minimize="energy_j").design

    assert 0.8e9 * 0.999 <= best["frequency_hz"] <= 1.0e9 * 1.001
    assert best["energy_j"] == pytest.approx(0.4698, rel=0.02)


def test_no_label_contradicts_a_row_of_the_sweep(tmp_path: Path) -> None:
    """Rows from 0.9 GHz on are the front: each is faster than those below it and takes more energy."""
    rows = case("interior.csv")
    frame = sweep(rows, tmp_path).results.frame()
    measured = rows["energy_j"].to_numpy()
    is_front = rows["frequency_hz"].to_numpy() >= 0.899e9
    is_beyond = frame["frequency_hz"].to_numpy() >= 0.899e9

    assert is_front.sum() == 5
    assert (np.diff(measured[is_front]) > 0).all()
    assert not (frame["certainty"][is_beyond] == "dominated").any()
    assert not (frame["certainty"][~is_beyond] == "sure").any()


def test_least_energy_of_the_u_curve_is_within_one_step(tmp_path: Path) -> None:
    """Measured: 10.2 J at 0.8 GHz, 9.2 J at 1.2 GHz, 9.6 J at 1.6 GHz; nothing is sure at another clock."""
    results = run_case("u_curve.toml", tmp_path).results
    best = explorer.choose(results, minimize="energy_j").design
    frame = results.frame()
    at_minimum = frame[np.isclose(frame["frequency_hz"], 1.2e9) & frame["is_feasible"].astype(bool)]

    assert 0.8e9 <= best["frequency_hz"] <= 1.6e9
    assert len(at_minimum)
    assert not (at_minimum["certainty"] == "dominated").all()
    assert not ((frame["certainty"] == "sure") & (frame["frequency_hz"] < 0.9e9)).any()


def test_disagreeing_repeats_warn_of_a_hidden_factor() -> None:
    fitted = explorer.fit(CASES / "hidden_switch.csv", knobs=["scheme", "backend", "gptq"])
    quality = fitted.summary["targets"]["accuracy"]

    assert "hidden_factor" in kinds_of(fitted.summary)
    # A third of the rows is at 0.001, the others at 0.53 to 0.75: no model without the switch is closer than that.
    assert quality["loo_mae"] >= 0.15


def test_two_bits_of_an_unmeasured_scheme_are_extrapolated(tmp_path: Path) -> None:
    rows = case("empty_corner.csv")
    space = {
        "family": "network",
        "axes": {"bits_per_weight": {"range": [2.0042, 16.0005]}, "scheme": {"choices": ["iq", "k", "plain"]}},
        "operating_points": {"law": "none"},
    }
    problem = explorer.study(
        samples=rows, space=space, objectives=["latency_s", "size_bytes"], name="corner",
        knobs=["bits_per_weight", "scheme"],
    )  # fmt: skip
    results = explorer.run(problem, out=tmp_path, trials=200).results
    frame = results.frame()
    is_empty = ((frame["scheme"] == "plain") & (frame["bits_per_weight"] < 4)).to_numpy()
    chosen = explorer.choose(results, minimize="size_bytes").design
    two_bits = pd.DataFrame({"bits_per_weight": [2.1, 2.1], "scheme": ["plain", "iq"]})
    plain, iq = explorer.fit(rows, knobs=["bits_per_weight", "scheme"]).predict(two_bits)["domain_distance"]

    assert iq <= EXTRAPOLATED < plain
    assert (frame["domain_distance"][is_empty] > EXTRAPOLATED).all()
    assert not (frame["certainty"][is_empty] == "sure").any()
    assert chosen["scheme"] != "plain"


def test_between_two_clusters_a_prediction_is_marked_or_covers() -> None:
    truth = case("two_clusters_truth.csv")
    fitted = explorer.fit(CASES / "two_clusters.csv", knobs=["batch"])
    predicted = fitted.predict(truth[["pruning_ratio", "batch"]])
    is_marked = predicted["domain_distance"].to_numpy() > EXTRAPOLATED
    true = truth["true_energy_j"].to_numpy()
    is_inside = (predicted["energy_j_lo"].to_numpy() <= true) & (true <= predicted["energy_j_hi"].to_numpy())

    assert (is_marked | is_inside).mean() >= 0.85
    # Within a cluster nothing is marked.
    inside = explorer.predict(fitted, case("two_clusters.csv")[["pruning_ratio", "batch"]])
    assert (inside["domain_distance"] <= EXTRAPOLATED).all()


def test_one_factor_at_a_time_separates_every_knob() -> None:
    fitted = explorer.fit(CASES / "one_factor_at_a_time.csv")

    assert not fitted.summary.get("collinear", [])
    assert not [t for t in texts_of(fitted.summary) if re.search(r"one line|separate effects|not separate", t)]


def test_no_design_outside_the_samples_is_sure(tmp_path: Path) -> None:
    frame = run_case("wide_domain.toml", tmp_path).results.frame()
    is_outside = frame["domain_distance"].to_numpy() > EXTRAPOLATED

    assert is_outside.any()
    assert not (frame["certainty"][is_outside] == "sure").any()


def test_an_outlier_in_a_quiet_table_leaves_intervals_narrow() -> None:
    """Folds without the outlier learned less noise than the whole table: their variance once became negative."""
    fitted = explorer.fit(CASES / "one_outlier.csv")

    assert fitted.summary["targets"]["latency_s"]["mean_half_width"] < 0.03
