"""Declared targets: one vocabulary for columns, targets, objectives and limits, in every process that needs it."""

import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import UnknownName, WrongUsage
from explorer.models.forms.forms import link, unlink
from explorer.problem.columns import COLUMNS, TARGETS, column_of, is_allowed, is_free_name, knobs_of
from explorer.problem.constraints import parse_constraint
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives, direction_of, needs_of
from explorer.problem.targets import Target, check_target_name, declared_target, target_from_json, targets_json


def test_a_declared_target_is_a_column_a_target_and_an_objective() -> None:
    with pytest.raises(UnknownName):
        parse_constraint("mAP >= 0.4")
    Target("mAP", "max", range=(0, 1))

    assert COLUMNS["mAP"].kind == "prediction"
    assert [*COLUMNS].index("mAP") == [*COLUMNS].index("throughput_ops") + 1
    assert "mAP" in TARGETS
    assert [*TARGETS][-1] == "mAP"
    assert OBJECTIVES["mAP"].direction == "maximize"
    assert direction_of("mAP_lo") == "maximize"
    assert needs_of("mAP_worst") == ("mAP",)
    assert not is_free_name("mAP")
    assert parse_constraint("mAP_lo >= 0.4").column == "mAP_lo"
    assert parse_constraint("map >= 0.4 @ 90 %").compared == "mAP_p10"


def test_a_declared_target_is_no_knob_of_a_table() -> None:
    table = {"family": np.array(["a"], dtype=object), "perplexity": np.array([9.0]), "batch": np.array([1.0])}

    assert knobs_of(table) == ["family", "perplexity", "batch"]
    Target("perplexity")

    assert knobs_of(table) == ["family", "batch"]


@pytest.mark.parametrize(
    ("unit", "symbol", "text"),
    [("MB", "B", "400 MB"), ("ms", "s", "400 Ms"), ("tokens/s", "tokens/s", "4e+08 tokens/s"), ("", "", "4e+08")],
)
def test_values_of_a_known_unit_are_in_si_and_others_in_their_own(unit: str, symbol: str, text: str) -> None:
    Target("vram", unit=unit)

    assert column_of("vram").symbol == symbol
    assert column_of("vram").text(4e8) == text
    assert parse_constraint(f"vram <= {4e8:.0f} {symbol}").limit == 4e8


def test_a_limit_may_be_in_the_declared_unit() -> None:
    Target("vram", unit="MB")
    Target("speed", "max", "tokens/s")

    assert parse_constraint("vram <= 400 MB").limit == 4e8
    assert parse_constraint("speed >= 20 tokens/s").text == "speed >= 20 tokens/s"


@given(
    st.floats(0.001, 0.999),
    st.sampled_from([(0.0, 1.0), (0.0, 100.0), (-1.0, 1.0), (0.0, math.inf), (-math.inf, math.inf)]),
)
def test_the_link_has_an_inverse_within_the_range(share: float, ends: tuple[float, float]) -> None:
    Target("quality", range=ends)
    low, high = ends
    value = np.array([low + share * (high - low) if math.isfinite(low) and math.isfinite(high) else share * 1e3])

    assert unlink("quality", link("quality", value)) == pytest.approx(value, rel=1e-9)


def test_values_outside_the_range_are_not_allowed() -> None:
    Target("mAP", "max", range=(0, 1))
    Target("gain", range=(-math.inf, math.inf))
    values = np.array([-0.1, 0.0, 1.0, 1.1, np.nan])

    assert is_allowed("mAP", values).tolist() == [False, True, True, False, False]
    assert is_allowed("gain", values).tolist() == [True, True, True, True, False]


def test_a_target_crosses_to_another_process_with_its_object() -> None:
    payload = pickle.dumps(Target("mAP", "max", range=(0, 1)))
    program = (
        "import pickle, sys; from explorer.problem.columns import COLUMNS, TARGETS\n"
        "assert 'mAP' not in COLUMNS; pickle.loads(sys.stdin.buffer.read()); assert 'mAP' in TARGETS\n"
        "print(COLUMNS['mAP'].kind)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=payload, capture_output=True, check=True)

    assert done.stdout.split() == [b"prediction"]


def test_json_holds_a_target_with_open_ends() -> None:
    target = Target("perplexity", "min", "", (1.0, math.inf), "bootstrap")
    (stored,) = targets_json(["accuracy", "perplexity", "perplexity"])

    assert stored["range"] == [1.0, None]
    assert target_from_json(stored) == target == declared_target("perplexity")


@pytest.mark.parametrize(
    "change", [{"name": "accuracy"}, {"name": "mAP_lo"}, {"name": "a b"}, {"direction": "up"}, {"interval": "eval"}]
)
def test_json_of_another_kind_is_refused(change: dict[str, str]) -> None:
    stored = Target("mAP").to_json()

    with pytest.raises(ValueError, match="is not the declaration of a target"):
        target_from_json({**stored, **change})


@pytest.mark.parametrize("name", ["energy_j", "mAP_worst", "mAP@0.5", "1st", ""])
def test_names_that_cannot_be_targets(name: str) -> None:
    with pytest.raises(WrongUsage, match="cannot be the name of a target"):
        check_target_name(name, taken=COLUMNS)


def test_derived_columns_leave_declared_targets_as_they_are() -> None:
    Target("wer", range=(0, 1))
    table = {"wer": np.array([0.1, np.nan]), "energy_j": np.array([1.0, 2.0]), "latency_s": np.array([1.0, 2.0])}

    derived = add_objectives(table, Constants())

    assert derived["wer"] is table["wer"]
    assert derived["edp_js"].tolist() == [1.0, 4.0]
