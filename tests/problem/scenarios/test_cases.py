"""Scenarios: what a change means, which cases a scenario has, and the faults of its declaration."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.problem.columns import column_of
from explorer.problem.constraints import parse_constraint
from explorer.problem.objectives import Constants
from explorer.problem.scenarios.cases import Case, resolve_cases
from explorer.problem.scenarios.changes import Change, parse_changes, relative_changes
from explorer.problem.scenarios.declared import DeclaredScenarios, Values, nominal_limit, worst_case_limit
from explorer.problem.study import Study, declaration_text, read_study

KNOBS = {name: column_of(name) for name in ("pruning_ratio", "voltage_v", "frequency_hz", "batch")}
TARGETS = ("accuracy", "latency_s", "energy_j", "power_w")


@dataclass(frozen=True, slots=True)
class Rest:
    idle_power_w: float
    battery_j: float
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class WithRest(Constants):
    rest: Rest | None = None


def resolve(constants: Constants | None = None, **scenarios: dict[str, Values]) -> tuple[tuple[Case, ...], list[Fault]]:
    declared = DeclaredScenarios(tuple((name, tuple(table.items())) for name, table in scenarios.items()))
    return resolve_cases(declared, knobs=KNOBS, targets=TARGETS, constants=constants or Constants())


@pytest.mark.parametrize(
    ("text", "amounts"),
    [("-3 %", [-0.03]), ("+20%", [0.2]), ("1 %", [-0.01, 0.01]), ("+-2.5 %", [-0.025, 0.025]), ("±2 %", [-0.02, 0.02]),
     ("0 %", [0.0]), (" - 3 %", [-0.03])],
)  # fmt: skip
def test_signed_change_has_one_end_and_a_tolerance_two(text: str, amounts: list[float]) -> None:
    assert [change.amount for change in relative_changes(text)] == amounts


@given(st.floats(0, 99), st.floats(1e-9, 1e9))
def test_relative_change_scales_values(percent: float, value: float) -> None:
    ends = [change.apply(np.array([value]))[0] for change in relative_changes(f"{percent:.6f} %")]

    assert ends[0] == pytest.approx(value * (1 - percent / 100), rel=1e-5)
    assert ends[0] + ends[-1] == pytest.approx(2 * value)


@pytest.mark.parametrize("text", ["-100 %", "120 %", "three %", "%", "1e2 %"])
def test_change_that_leaves_nothing_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        relative_changes(text)


def test_value_with_a_unit_is_set_and_a_signed_one_refused() -> None:
    volts = column_of("voltage_v")

    assert [*parse_changes("900 mV", volts), *parse_changes(0.8, volts)] == [Change(0.9, False), Change(0.8, False)]
    for ambiguous in ("+0.1 V", "- 0.1 V", "+-1 V"):
        with pytest.raises(WrongUsage, match="sign"):
            [*parse_changes(ambiguous, volts)]


def test_keys_of_one_scenario_are_combined_and_scenarios_are_not() -> None:
    cases, faults = resolve(supply={"voltage": ("3 %",), "clock": ("1 %", "0 %")}, hot={"energy_j": ("+10 %",)})

    assert not faults
    assert [case.scenario for case in cases] == ["supply"] * 6 + ["hot"]
    pairs = {tuple(change.amount for _, change in case.knobs) for case in cases[:6]}
    assert pairs == {(v, f) for v in (-0.03, 0.03) for f in (-0.01, 0.01, 0.0)}
    assert cases[0].text == "supply (voltage_v -3 %, frequency_hz -1 %)"


def test_batch_of_a_list_is_set_to_each_value() -> None:
    cases, faults = resolve(load={"batch": (1, 8.0)})

    assert not faults
    assert [case.perturb({"batch": np.array([4.0, 2.0])})["batch"].tolist() for case in cases] == [[1, 1], [8, 8]]


@given(*[st.none() | st.floats(0.5, 2.0)] * 3)
def test_factors_keep_the_product_of_power_and_latency(
    energy: float | None, power: float | None, latency: float | None
) -> None:
    named = {"energy_j": energy, "power_w": power, "latency_s": latency}
    given_ = tuple((name, factor) for name, factor in named.items() if factor is not None)
    scaled = Case("s", (), (), given_, Constants()).scale(
        {"energy_j": np.array([6.0]), "power_w": np.array([2.0]), "latency_s": np.array([1.5])}
    )
    ratio = scaled["energy_j"][0] / (scaled["power_w"][0] * scaled["latency_s"][0])

    for name, factor in given_:
        assert scaled[name][0] == pytest.approx(factor * {"energy_j": 6.0, "power_w": 2.0, "latency_s": 1.5}[name])
    if len(given_) < 3:
        assert ratio == pytest.approx(2.0)  # as without factors


def test_constants_of_nested_tables_are_scaled_by_name() -> None:
    constants = WithRest(rest=Rest(idle_power_w=0.4, battery_j=36_000.0))
    cases, faults = resolve(constants, cold={"battery": ("-20 %",), "idle_power": ("+50 %",)})
    (case,) = cases

    assert not faults
    assert isinstance(case.constants, WithRest)
    assert case.constants.rest == Rest(idle_power_w=pytest.approx(0.6), battery_j=pytest.approx(28_800.0))
    assert constants.rest == Rest(0.4, 36_000.0)


def test_all_faults_are_reported_with_their_fixes() -> None:
    _, faults = resolve(
        a={"voltge": ("-3 %",), "edp_js": ("+3 %",), "clock": ("1 %",), "frequency": ("1 %",), "accuracy": (0.9,)},
        b={"size_bytes": ("+3 %",), "alpha": ("+3 %",), "power_w": ("+2 W",)},
    )
    told = {fault.where: (fault.what, fault.fix) for fault in faults}

    assert told["[scenario.a] voltge"][1] == "did you mean 'voltage'?"
    assert told["[scenario.a] edp_js"][1] == "change energy_j and latency_s instead"
    assert told["[scenario.a] frequency"][0] == "'frequency_hz' is changed twice"
    assert "predicted" in told["[scenario.a] accuracy"][0]
    assert "neither a knob" in told["[scenario.b] size_bytes"][0]  # this model does not predict it
    assert "neither a knob" in told["[scenario.b] alpha"][0]  # a weight is chosen, it does not deviate
    assert "sign" in told["[scenario.b] power_w"][0]
    assert len(faults) == 7


def test_more_than_64_cases_are_refused() -> None:
    many = tuple(float(i) for i in range(1, 10))
    _, faults = resolve(a={"batch": many, "voltage": ("1 %", "2 %", "3 %", "4 %")})

    assert [fault.what for fault in faults] == ["72 combinations of changes, at most 64 are evaluated"]


@pytest.mark.parametrize(
    ("text", "worst"),
    [
        ("power_w <= 22 W", "power_w_worst <= 22 W"),
        ("accuracy >= 0.9 @ 90 %", "accuracy_worst >= 0.9 @ 90 %"),
        ("power_w_hi <= 22 W", "power_w_worst_hi <= 22 W"),
        ("energy_j >= 1 J", "energy_j_best >= 1 J"),
        ("voltage_v <= 1 V", "voltage_v <= 1 V"),
        ("power_w_worst <= 22 W", "power_w_worst <= 22 W"),
    ],
)
def test_limit_holds_in_the_worst_case_of_its_sense(text: str, worst: str) -> None:
    limit = parse_constraint(text)

    assert worst_case_limit(limit).text == worst
    assert parse_constraint(worst) == worst_case_limit(limit)
    if "worst" not in text:
        assert nominal_limit(worst_case_limit(limit)) == limit


PLAIN = 'space = "mine"\nobjectives = ["edp_js", "accuracy"]\nconstraints = ["power_w <= 22 W"]\n'
DROOP = '[scenario.droop]\nvoltage = "-3 %"\n'


@pytest.fixture
def read(write_study: Callable[[str], str]) -> Callable[[str], Study]:
    return lambda text: read_study(write_study(text))


def test_limits_hold_in_every_scenario_unless_nominal(read: Callable[[str], Study]) -> None:
    worst, nominal = read(PLAIN + DROOP), read(PLAIN + '[scenario]\nmode = "nominal"\n' + DROOP)

    assert [c.text for c in worst.constraints] == ["power_w_worst <= 22 W"]
    assert [c.text for c in nominal.constraints] == ["power_w <= 22 W"]


def test_declaration_has_scenarios_only_where_given(read: Callable[[str], Study]) -> None:
    plain, droop = read(PLAIN), read(PLAIN + DROOP)

    assert "scenario" not in declaration_text(plain.declaration())
    assert droop.declaration()["scenario"] == {"mode": "worst", "droop": {"voltage": ["-3 %"]}}


def test_faults_of_a_scenario_are_told_with_their_keys(read: Callable[[str], Study]) -> None:
    with pytest.raises(InvalidFile) as raised:
        read(PLAIN + '[scenario]\nmode = "best"\n[scenario.a]\nvoltage = "-120 %"\nfrequency = []\npower_w = true\n')

    wheres = [fault.where for fault in raised.value.faults]
    assert wheres == ["[scenario] mode", "[scenario] a.voltage", "[scenario] a.frequency", "[scenario] a.power_w"]


def test_a_scenario_without_a_change_is_refused(read: Callable[[str], Study]) -> None:
    with pytest.raises(InvalidFile, match="changes nothing"):
        read(PLAIN + "[scenario.idle]\n")
