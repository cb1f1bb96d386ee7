"""Operating points (V, f): the clocks that a supply voltage allows, by the alpha-power law or by a table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
# A clock within this relative distance of its limit counts as equal to it: far below the resolution of any meter, far
# above the rounding error of one multiplication (1e-16).
RELATIVE_TOLERANCE = 1e-9
# Column of the power that the device's table states for a point: not a prediction.
POINT_POWER = "point_power_w"


@dataclass(frozen=True, slots=True)
class AlphaPowerLaw:
    """Alpha-power law of the maximum clock: f_max(V) = K (V - V_th)^a / V.

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
        """Return the lowest voltage that allows a clock, in volt; NaN if it exceeds `below`."""
        if self.frequency_max(below) < frequency:
            return float("nan")
        low, high = self.threshold_v, below
        # f_max rises with V (the sign of its derivative is that of (a - 1) V + V_th), so bisection converges.
        for _ in range(200):
            middle = 0.5 * (low + high)
            if self.frequency_max(middle) < frequency:
                low = middle
            else:
                high = middle
        return high


@dataclass(frozen=True, slots=True)
class OperatingPoints:
    """Table of a device's operating points, shape (m,) each, in rising order of the clock.

    Args:
        voltage_v: their voltages; empty if the device exposes none.
        frequency_hz: their clocks.
        power_w: the power that the device's table states for each; empty if it states none.
    """

    voltage_v: tuple[float, ...]
    frequency_hz: tuple[float, ...]
    power_w: tuple[float, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """Label of each point: '1.8 GHz @ 0.7 V'."""
        clocks = [f"{f / 1e9:.10g} GHz" for f in self.frequency_hz]
        if not self.voltage_v:
            return tuple(clocks)
        return tuple(f"{clock} @ {v:.10g} V" for clock, v in zip(clocks, self.voltage_v, strict=True))

    @property
    def columns(self) -> dict[str, tuple[float, ...]]:
        """Columns that the choice of a point sets: its clock, and its voltage and stated power if any."""
        columns = {"voltage_v": self.voltage_v, "frequency_hz": self.frequency_hz, POINT_POWER: self.power_w}
        return {name: values for name, values in columns.items() if values}

    def rows(self, index: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> "OperatingPoints":
        """Return the points at some indices."""
        columns = (self.voltage_v, self.frequency_hz, self.power_w)
        return OperatingPoints(*(tuple(values[i] for i in index.tolist() if values) for values in columns))

    def nearest(self, frequency: ArrayLike) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
        """Return the index of the point whose clock is nearest to each frequency by ratio, same shape."""
        gap = np.log(np.asarray(frequency, dtype=np.float64)[..., None]) - np.log(np.asarray(self.frequency_hz))
        return np.asarray(np.argmin(np.abs(gap), axis=-1))

    def frequency_max(self, voltage: ArrayLike | None) -> Float:
        """Return the highest listed clock that each voltage allows, in hertz, same shape; 0 if none.

        Without voltages it is the highest listed clock.
        """
        if not self.voltage_v or voltage is None:
            return np.asarray(max(self.frequency_hz))
        volts = np.asarray(voltage, dtype=np.float64)
        fits = np.asarray(self.voltage_v) <= volts[..., None] * (1 + RELATIVE_TOLERANCE)
        return np.asarray(np.max(np.where(fits, np.asarray(self.frequency_hz), 0.0), axis=-1))

    def excess(self, voltage: ArrayLike | None, frequency: ArrayLike) -> Float:
        """Return the relative distance of each (V, f) to the nearest listed point, same shape; 0 at a listed point."""
        distance = np.abs(np.asarray(frequency, dtype=np.float64)[..., None] / np.asarray(self.frequency_hz) - 1)
        if self.voltage_v and voltage is not None:
            distance = distance + np.abs(
                np.asarray(voltage, dtype=np.float64)[..., None] / np.asarray(self.voltage_v) - 1
            )
        return np.asarray(np.min(distance, axis=-1))


def operating_excess(law: AlphaPowerLaw | OperatingPoints, voltage: ArrayLike | None, frequency: ArrayLike) -> Float:
    """Return the relative infeasibility of each (V, f), same shape; at most 0 if the point exists.

    By law: f / f_max(V) - 1. By table: the distance to the nearest listed point.
    """
    if isinstance(law, OperatingPoints):
        excess = law.excess(voltage, frequency)
    else:
        reachable = np.maximum(law.frequency_max(0.0 if voltage is None else voltage), 1e-3)
        excess = np.asarray(frequency, dtype=np.float64) / reachable - 1
    return np.where(np.abs(excess) <= RELATIVE_TOLERANCE, 0.0, excess)
