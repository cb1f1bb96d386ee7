"""Untrusted chosen.json: all faults at once, and only deployable designs."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from explorer.deploy.bundle.selected import ensure_deployable, read_selected_design
from explorer.errors import InvalidFile, NoFeasibleDesign

Write = Callable[..., Path]


def test_chosen_json_round_trips(write: Write, payload: dict[str, Any]) -> None:
    selected = read_selected_design(write())

    assert selected.file.design.columns == payload["design"]
    assert selected.file.rule.where == ("accuracy >= 0.9",)
    assert not selected.is_extrapolated
    ensure_deployable(selected, allow_extrapolation=False)


def test_all_invalid_values_are_reported_at_once(write: Write) -> None:
    def spoil(p: dict[str, Any]) -> None:
        p["colour"] = "blue"
        p["design"] |= {"pruning_ratio": 1.5, "quant_step": math.nan, "energy_j": math.inf, "note": [1]}
        p["provenance"]["study"]["sha256"] = "abc"
        p["provenance"]["question"]["objectives"] = ["beauty", "edp_js"]
        del p["provenance"]["model"]

    with pytest.raises(InvalidFile) as caught:
        read_selected_design(write(spoil))

    faults = {fault.where: fault.what for fault in caught.value.faults}
    assert len(caught.value.faults) == 8
    assert faults["[design] pruning_ratio"] == "1.5 is outside [0, 1)"
    assert "finite" in faults["[design] quant_step"]
    assert "not finite" in faults["[design] energy_j"]
    assert "single value" in faults["[design] note"]
    assert "[provenance] study.sha256" in faults
    assert "'beauty' is not an objective" in faults["[provenance] question.objectives, item 1"]


def test_all_contradicting_values_are_reported_at_once(write: Write) -> None:
    def spoil(p: dict[str, Any]) -> None:
        p["design"] |= {"accuracy": 0.2, "power_w": "lots", "frequency_hz": 3e9, "frequency_max_hz": 2e9}
        del p["design"]["edp_js"], p["design"]["domain_distance"]

    with pytest.raises(InvalidFile) as caught:
        read_selected_design(write(spoil))

    faults = {fault.where: fault.what for fault in caught.value.faults}
    assert faults.keys() == {
        f"[design] {n}" for n in ("accuracy", "power_w", "frequency_hz", "edp_js", "domain_distance")
    }
    assert faults["[design] frequency_hz"] == "3 GHz is impossible: its voltage allows at most 2 GHz"
    assert "is outside its interval" in faults["[design] accuracy"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(lambda p: p["provenance"].update(x={"y": [math.nan]}), "not finite", id="deep-nan"),
        pytest.param(lambda p: p.update(runner_up={"energy_j": -math.inf}), "not finite", id="runner-up"),
        pytest.param(lambda p: p["rule"].update(text="\x1b[2J"), "cannot be printed", id="control"),
        pytest.param(lambda p: p.update(study="a\nb"), "cannot be printed", id="newline"),
        pytest.param(lambda p: p["design"].update(design_id=-1), "design_id", id="negative"),
        pytest.param(lambda p: p.update(is_extrapolated="perhaps"), "is_extrapolated", id="flag"),
        pytest.param(lambda p: p["provenance"].update(x=" " * 1_000_001), "keep it under 1,000,000 bytes", id="size"),
    ],
)
def test_invalid_chosen_json_is_rejected(
    write: Write, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(InvalidFile, match=message):
        read_selected_design(write(change))


def test_deeply_nested_json_is_rejected(write: Write) -> None:
    nested: Any = 0
    for _ in range(300):
        nested = [nested]

    with pytest.raises(InvalidFile, match="nested too deeply"):
        read_selected_design(write(lambda p: p["provenance"].update(x=nested)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda p: p.update(is_extrapolated=True), id="flag"),
        pytest.param(lambda p: p["design"].update(domain_distance=0.6), id="distance"),
    ],
)
def test_extrapolation_is_detected_by_flag_or_distance(
    write: Write, change: Callable[[dict[str, Any]], object]
) -> None:
    selected = read_selected_design(write(change))

    with pytest.raises(NoFeasibleDesign, match=r"extrapolations\n  fix: .*--allow-extrapolation"):
        ensure_deployable(selected, allow_extrapolation=False)
    ensure_deployable(selected, allow_extrapolation=True)


def test_infeasible_design_is_never_deployable(write: Write) -> None:
    selected = read_selected_design(write(lambda p: p["design"].update(is_feasible=False)))

    with pytest.raises(NoFeasibleDesign, match="does not meet the constraints"):
        ensure_deployable(selected, allow_extrapolation=True)
