"""Measurements that a user states: units, intervals and names as in limits."""

import pytest

from explorer.deploy.verification.user_measurements import intervals_of_measurements, parse_measurements
from explorer.errors import UnknownName, WrongUsage
from explorer.problem.targets import Target


@pytest.mark.parametrize(
    ("text", "column", "numbers"),
    [
        ("latency_s=0.012", "latency_s", (0.012, 0.012, 0.012)),
        ("latency_s = 12 ms", "latency_s", (0.012, 0.012, 0.012)),
        ("latency_ms=12", "latency_s", (0.012, 0.012, 0.012)),
        ("latency_s=11..13 ms", "latency_s", (0.012, 0.011, 0.013)),
        ("latency_ms=11..13", "latency_s", (0.012, 0.011, 0.013)),
        ("mAP=0.46..0.48", "mAP", (0.47, 0.46, 0.48)),
        ("map=0.47", "mAP", (0.47, 0.47, 0.47)),
    ],
)
def test_values_with_units_and_intervals(text: str, column: str, numbers: tuple[float, float, float]) -> None:
    Target("mAP", "max", range=(0, 1))
    ((name, (found, method)),) = intervals_of_measurements(parse_measurements([text])).items()

    assert name == column
    assert (found.value, found.lo, found.hi) == pytest.approx(numbers)
    assert method == "as stated"


def test_numbers_of_python_are_in_si() -> None:
    found = intervals_of_measurements({"energy_j": 1.5, "power_w": (2.0, 1.9, 2.2)})

    assert found["energy_j"][0].value == 1.5
    assert found["power_w"][0].hi == 2.2


@pytest.mark.parametrize("text", ["latency_s", "=3", "latency_s=", "latency_s=fast", "latency_s=3 J", "power_w=3..2 W"])
def test_what_is_no_measurement_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage):
        intervals_of_measurements(parse_measurements([text]))


def test_an_unknown_column_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="latency"):
        intervals_of_measurements({"latancy_s": 1.0})
