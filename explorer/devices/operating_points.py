"""Operating points: which clock a supply voltage can carry, by law or by table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
# A clock within this relative distance of its limit counts as reaching it: it is far below any meter's resolution
# and far above the rounding of one multiplication.
RELATIVE_TOLERANCE = 1e-9
# The column of a point's own power, as the device's table states it: no prediction.
POINT_POWER = "point_power_w"


@dataclass(frozen=True, slots=True)
class AlphaPowerLaw:
    """The alpha-power law of a chip's speed: f_max(V) = K (V - V_th)^a / V.

    Source: T. Sakurai and A. R. Newton, "Alpha-power law MOSFET model and its applications to CMOS inverter delay",
    IEEE JSSC 25(2), 1990: gate delay is proportional to V / (V - V_th)^a.

    Args:
        constant: K, in hertz times volt to the power 1 - a, more than 0.
        threshold_v: threshold voltage V_th, in volt, at least 0.
        exponent: velocity saturation index a, from 1 to 2.
    """

    constant: float
    threshold_v: float
    exponent: float

    def frequency_max(self, voltage: ArrayLike) -> Float:
        """Return the highest clock in hertz at each voltage in volt, same shape; 0 at or below the threshold."""
        volts = np.asarray(voltage, dtype=np.float64)
        drive = np.maximum(volts - self.threshold_v, 0.0)
        return np.asarray(self.constant * drive**self.exponent / np.maximum(volts, 1e-12))

    def voltage_min(self, frequency: float, *, below: float) -> float:
        """Return the lowest voltage up to `below` that carries a clock; NaN where even `below` does not."""
        if self.frequency_max(below) < frequency:
            return float("nan")
        low, high = self.threshold_v, below
        # f_max rises with V (its derivative's sign is that of (a - 1) V + V_th), so bisection cannot miss.
        for _ in range(200):
            middle = 0.5 * (low + high)
            if self.frequency_max(middle) < frequency:
                low = middle
            else:
                high = middle
        return high


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """A device's table of operating points, shape (m,) each, in rising order of the clock.

    Args:
        voltage_v: their voltages; empty where the device shows none.
        frequency_hz: their clocks.
        power_w: the power that the device's table states for each; empty where it states none.
    """

    voltage_v: tuple[float, ...]
    frequency_hz: tuple[float, ...]
    power_w: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """One name for each point: '1.8 GHz @ 0.7 V'."""
        clocks = [f"{f / 1e9:.10g} GHz" for f in self.frequency_hz]
        if not self.voltage_v:
            return tuple(clocks)
        return tuple(f"{clock} @ {v:.10g} V" for clock, v in zip(clocks, self.voltage_v, strict=True))

    @property
    def columns(self) -> dict[str, tuple[float, ...]]:
        """What choosing a point decides: its clock, and its voltage and stated power where they are known."""
        told = {"voltage_v": self.voltage_v, "frequency_hz": self.frequency_hz, POINT_POWER: self.power_w}
        return {name: values for name, values in told.items() if values}

    def rows(self, which: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> "OperatingPoints":
        """Return some of the points, by index."""
        kept = (tuple(values[i] for i in which.tolist() if values) for values in
                (self.voltage_v, self.frequency_hz, self.power_w))  # fmt: skip
        return OperatingPoints(*kept)

    def nearest(self, frequency: ArrayLike) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
        """Return the index of the point whose clock is nearest to each frequency, by ratio, same shape."""
        gap = np.log(np.asarray(frequency, dtype=np.float64)[..., None]) - np.log(np.asarray(self.frequency_hz))
        return np.asarray(np.argmin(np.abs(gap), axis=-1))

    def frequency_max(self, voltage: ArrayLike | None) -> Float:
        """Return the highest listed clock that each voltage carries, same shape; 0 where there is none.

        Without voltages it is the highest clock listed.
        """
        if not self.voltage_v or voltage is None:
            return np.asarray(max(self.frequency_hz))
        volts = np.asarray(voltage, dtype=np.float64)
        fits = np.asarray(self.voltage_v) <= volts[..., None] * (1 + RELATIVE_TOLERANCE)
        return np.asarray(np.max(np.where(fits, np.asarray(self.frequency_hz), 0.0), axis=-1))

    def excess(self, voltage: ArrayLike | None, frequency: ArrayLike) -> Float:
        """Return how far each (V, f) is from the nearest listed point, relative, same shape; 0 where it is listed."""
        distance = np.abs(np.asarray(frequency, dtype=np.float64)[..., None] / np.asarray(self.frequency_hz) - 1)
        if self.voltage_v and voltage is not None:
            distance = distance + np.abs(
                np.asarray(voltage, dtype=np.float64)[..., None] / np.asarray(self.voltage_v) - 1
            )
        return np.asarray(np.min(distance, axis=-1))


def operating_excess(law: AlphaPowerLaw | OperatingPoints, voltage: ArrayLike | None, frequency: ArrayLike) -> Float:
    """Return by how much (V, f) cannot exist, relative, same shape: at most 0 where it can.

    By law: f / f_max(V) - 1. By table: distance to the nearest listed point.
    """
    if isinstance(law, OperatingPoints):
        excess = law.excess(voltage, frequency)
    else:
        reachable = np.maximum(law.frequency_max(0.0 if voltage is None else voltage), 1e-3)
        excess = np.asarray(frequency, dtype=np.float64) / reachable - 1
    return np.where(np.abs(excess) <= RELATIVE_TOLERANCE, 0.0, excess)
