"""Energy meters on a simulated powercap tree: sums of domains, wrap-around, and missing meters."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.devices.meters import NvmlMeter, RaplMeter, energy_meter, measure_energy, nvml_meter, rapl_meter

RANGE_UJ = 262_143_328_850


def domain(root: Path, folder: str, *, name: str, energy_uj: int = 1_000_000, range_uj: int = RANGE_UJ) -> Path:
    path = root / folder
    path.mkdir(parents=True)
    (path / "name").write_text(f"{name}\n")
    (path / "max_energy_range_uj").write_text(f"{range_uj}\n")
    (path / "energy_uj").write_text(f"{energy_uj}\n")
    return path / "energy_uj"


@pytest.fixture
def powercap(tmp_path: Path) -> Path:
    """Return the powercap tree of a two-socket machine."""
    domain(tmp_path, "intel-rapl:0", name="package-0", energy_uj=5_000_000)
    domain(tmp_path, "intel-rapl:0:0", name="core", energy_uj=1_000_000_000)
    domain(tmp_path, "intel-rapl:0:1", name="dram", energy_uj=2_000_000)
    domain(tmp_path, "intel-rapl:1", name="package-1", energy_uj=3_000_000)
    domain(tmp_path, "intel-rapl:2", name="psys", energy_uj=9_000_000_000)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def clock_of(step: float) -> Callable[[], float]:
    def ticks() -> Iterator[float]:
        now = 0.0
        while True:
            yield now
            now += step

    ticking = ticks()
    return lambda: next(ticking)


def test_packages_and_dram_are_added_up_once(powercap: Path) -> None:
    """Cores are part of their package, and psys counts the packages again."""
    meter = rapl_meter(powercap)

    assert meter is not None
    assert meter.name == "RAPL package-0, dram, package-1"
    assert sorted(meter.read()) == [2.0, 3.0, 5.0]


@given(before=st.integers(0, RANGE_UJ), spent=st.integers(0, RANGE_UJ - 1))
def test_counter_wrap_around_loses_no_energy(before: int, spent: int) -> None:
    meter = RaplMeter("RAPL", (Path("unread"),), (RANGE_UJ * 1e-6,))
    after = (before + spent) % RANGE_UJ

    assert meter.elapsed((before * 1e-6,), (after * 1e-6,)) == pytest.approx(spent * 1e-6, abs=1e-3)


def test_counters_wrap_independently() -> None:
    meter = RaplMeter("RAPL", (Path("a"), Path("b")), (100.0, 50.0))

    assert meter.elapsed((90.0, 10.0), (20.0, 30.0)) == pytest.approx(30 + 20)
    assert meter.elapsed((10.0, 40.0), (20.0, 5.0)) == pytest.approx(10 + 15)


def test_unreadable_counters_give_no_meter(tmp_path: Path) -> None:
    assert rapl_meter(tmp_path / "nowhere") is None
    assert rapl_meter(tmp_path) is None
    path = domain(tmp_path, "intel-rapl:0", name="package-0")
    assert rapl_meter(tmp_path) is not None
    path.write_text("not a number\n")
    assert rapl_meter(tmp_path) is None
    path.unlink()
    assert rapl_meter(tmp_path) is None


def test_dram_alone_gives_no_meter(tmp_path: Path) -> None:
    domain(tmp_path, "intel-rapl:0:0", name="dram")

    assert rapl_meter(tmp_path) is None


def test_meter_of_the_cpu_is_rapl(powercap: Path) -> None:
    meter = energy_meter("cpu", root=powercap)

    assert meter is not None
    assert meter.name.startswith("RAPL")


def test_missing_gpu_driver_gives_no_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is the same without the driver and without nvidia-ml-py."""
    pynvml = pytest.importorskip("pynvml")

    def no_driver() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)

    assert nvml_meter() is None
    assert energy_meter("cuda") is None


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("", 0), ("2", 2), ("1,0", 1), ("GPU-8a1f,GPU-77", "GPU-8a1f"), ("-1", None), ("none", None)],
)
def test_metered_gpu_is_the_first_one_visible_to_cuda(
    monkeypatch: pytest.MonkeyPatch, visible: str, expected: int | str | None
) -> None:
    """NVML numbers all GPUs of the machine, CUDA only those in CUDA_VISIBLE_DEVICES."""
    pynvml = pytest.importorskip("pynvml")
    handles: list[int | str] = []

    def by_index(index: int) -> int:
        if index < 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        handles.append(index)
        return index

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", by_index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: handles.append(uuid) or uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetTotalEnergyConsumption", lambda _: 1000)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda handle: f"card {handle}")
    meter = nvml_meter(visible)

    assert handles == ([] if expected is None else [expected])
    assert (meter.name if meter else None) == (None if expected is None else f"NVML card {expected}")


def test_window_has_complete_runs_for_at_least_two_seconds(powercap: Path) -> None:
    meter = rapl_meter(powercap)
    assert meter is not None
    counter = meter.counters[0]

    def run() -> None:
        counter.write_text(str(int(counter.read_text()) + 500_000))

    window = measure_energy(meter, run, clock=clock_of(0.25), seconds=0.1)

    assert window is not None
    assert window.seconds >= 2
    assert window.joules == pytest.approx(0.5 * window.n_runs)
    assert window.n_runs == 7  # the clock is read once before and once after each run


def test_constant_counter_gives_no_measurement(powercap: Path) -> None:
    meter = rapl_meter(powercap)
    assert meter is not None

    assert measure_energy(meter, lambda: None, clock=clock_of(1.0)) is None


def test_nvml_counter_is_in_millijoule() -> None:
    readings = iter([1_000, 6_000])
    meter = NvmlMeter("NVML test", lambda: next(readings))

    window = measure_energy(meter, lambda: None, clock=clock_of(0.5))

    assert window is not None
    assert window.joules == pytest.approx(5.0)
