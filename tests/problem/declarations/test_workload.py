"""The `[workload]` of a study file: values with units, and all faults at once."""

from collections.abc import Callable

import numpy as np
import pytest

from explorer.errors import InvalidFile
from explorer.problem.objectives import Constants, add_objectives
from explorer.problem.study import declaration_text, read_study

Write = Callable[[str], str]
PLAIN = 'space = "mine"\nobjectives = ["energy_j", "accuracy"]\n'
FULL = """\
[workload]
rate = "600 /min"
arrivals = "poisson"
deadline = "100 ms"
idle_power = "400 mW"
sleep_power = 0.02
wake_energy = "5 mJ"
battery = "10 Wh"
carbon_intensity = "300 g/kWh"
"""


def test_every_key_is_read_in_si(write_study: Write) -> None:
    workload = read_study(write_study(PLAIN + FULL)).constants.workload

    assert workload is not None
    assert (workload.period_s, workload.is_poisson, workload.deadline_s) == (pytest.approx(0.1), True, 0.1)
    assert (workload.idle_power_w, workload.sleep_power_w, workload.wake_energy_j) == (0.4, 0.02, 0.005)
    assert (workload.battery_j, workload.carbon_kg_per_j) == (36_000.0, pytest.approx(0.3 / 3.6e6))


def test_study_without_a_workload_keeps_its_declaration(write_study: Write) -> None:
    """Stored studies of earlier versions can be continued."""
    without, with_one = (read_study(write_study(PLAIN + extra)) for extra in ("", FULL))

    assert not {"workload", "original_size_bytes"} & without.declaration().keys()
    assert with_one.declaration()["workload"]["battery_j"] == 36_000.0
    assert declaration_text(with_one.declaration()) == declaration_text(
        read_study(write_study(PLAIN + FULL.replace("600 /min", "10 /s"))).declaration()
    )


def test_all_faults_are_told_at_once(write_study: Write) -> None:
    text = '[workload]\nperiod = "1 s"\nrate = 2\nwake_energy = "1 mJ"\nidle_power = "-3 W"\ndeadline = "soon"\n'
    with pytest.raises(InvalidFile) as error:
        read_study(write_study(PLAIN + text + "carbon_intensity = 300\nbatery = 3\n"))

    for part in (
        "both period and rate are given", "no sleep to wake from", "idle_power: '-3 W' is not allowed",
        "'soon' is not a number with a unit", "more than any electricity emits", "did you mean 'battery'?",
    ):  # fmt: skip
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ('idle_power = "1 W"', "neither period nor rate is given", "period = '1 s'"),
        ('period = "250 ms"\narrivals = "poisson"', "random times have no period", "rate = '4 /s'"),
        ('period = "0 s"', "greater than 0", "one inference each period"),
        ('period = "1 W"', "'W' is not a unit of s", "such as ms"),
        ('rate = "3 s"', "'s' is not a unit of /s", "/min"),
        ('period = 1\ncarbon_intensity = "300 g"', "'g' is not a unit of kg/J", "g/kWh"),
        ('period = 1\nbattery = "10 Ah"', "'Ah' is not a unit of J", "mJ"),
    ],
)
def test_invalid_value_is_a_fault_with_a_fix(write_study: Write, text: str, problem: str, fix: str) -> None:
    with pytest.raises(InvalidFile) as error:
        read_study(write_study(f"{PLAIN}[workload]\n{text}\n"))

    assert problem in str(error.value)
    assert fix in str(error.value)


@pytest.mark.parametrize(
    ("objective", "workload", "key"),
    [
        ("battery_days", "", "[workload] period, [workload] idle_power, [workload] battery"),
        ("battery_days", "[workload]\nperiod = 1\nidle_power = 0\n", "needs [workload] battery"),
        ("mean_power_w", "[workload]\nperiod = 1\n", "needs [workload] idle_power"),
        ("deadline_margin_s", "[workload]\nperiod = 1\n", "needs [workload] deadline"),
        ("compression_ratio", "[workload]\nperiod = 1\n", "needs [network] original_size"),
    ],
)
def test_missing_key_is_named(write_study: Write, objective: str, workload: str, key: str) -> None:
    study = PLAIN.replace("energy_j", objective) + workload
    limit = PLAIN + f'constraints = ["{objective} >= 1"]\n' + workload
    for text, location in ((study, "objectives"), (limit, "constraints")):
        with pytest.raises(InvalidFile) as error:
            read_study(write_study(text))
        assert f"{location}: '{objective}'" in str(error.value)
        assert key in str(error.value)


def test_stated_quantities_of_the_paper_become_columns(write_study: Write) -> None:
    """Sample 1: eq. (1) is 27 mJ, eq. (2) is 270 J, eq. (6) is 2.67."""
    text = PLAIN + '[network]\noriginal_size = "48 MB"\nn_macs = 4.2e9\nn_accesses = 1.8e9\nmac_energy = "3 pJ"\n'
    text += 'access_energy = "8 pJ"\n[training]\nepochs = 50\nbatches = 200\nenergy_per_batch = "27 mJ"\n'
    study = read_study(write_study(text))
    predicted = {"size_bytes": np.array([18e6, 24e6]), "accuracy": np.array([0.94, 0.95])}
    columns = add_objectives(predicted, study.constants)

    assert columns["compression_ratio"] == pytest.approx([48 / 18, 2.0])
    assert columns["mac_memory_energy_j"] == pytest.approx([0.027, 0.027])
    assert columns["training_energy_j"] == pytest.approx([270.0, 270.0])
    assert study.declaration()["training_energy_j"] == pytest.approx(270.0)
    assert not {"training_energy_j", "compression_ratio"} & add_objectives(predicted, Constants()).keys()


def test_half_of_equation_1_is_a_fault(write_study: Write) -> None:
    with pytest.raises(InvalidFile, match=r"n_accesses, access_energy missing: eq. \(1\) needs all of"):
        read_study(write_study(PLAIN + '[network]\nn_macs = 1e9\nmac_energy = "3 pJ"\n'))
