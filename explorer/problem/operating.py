"""Operating points: which clock a supply voltage can carry, by law or by table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from explorer.problem.columns import Float

# A clock within this relative distance of its limit counts as reaching it: it is far below any meter's resolution
# and far above the rounding of one multiplication.
RELATIVE_TOLERANCE = 1e-9


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
    """A device's table of operating points, shape (m,) each, in rising order of the clock."""

    voltage_v: tuple[float, ...]
    frequency_hz: tuple[float, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """One name for each point: '1.8 GHz @ 0.7 V'."""
        pairs = zip(self.frequency_hz, self.voltage_v, strict=True)
        return tuple(f"{f / 1e9:.10g} GHz @ {v:.10g} V" for f, v in pairs)

    def frequency_max(self, voltage: ArrayLike) -> Float:
        """Return the highest listed clock that each voltage carries, same shape; 0 where there is none."""
        volts = np.asarray(voltage, dtype=np.float64)
        fits = np.asarray(self.voltage_v) <= volts[..., None] * (1 + RELATIVE_TOLERANCE)
        return np.asarray(np.max(np.where(fits, np.asarray(self.frequency_hz), 0.0), axis=-1))

    def excess(self, voltage: ArrayLike, frequency: ArrayLike) -> Float:
        """Return how far each (V, f) is from the nearest listed point, relative, same shape; 0 where it is listed."""
        v, f = np.asarray(voltage, dtype=np.float64)[..., None], np.asarray(frequency, dtype=np.float64)[..., None]
        distance = np.abs(v / np.asarray(self.voltage_v) - 1) + np.abs(f / np.asarray(self.frequency_hz) - 1)
        return np.asarray(np.min(distance, axis=-1))


def operating_excess(law: AlphaPowerLaw | OperatingPoints, voltage: ArrayLike, frequency: ArrayLike) -> Float:
    """Return by how much (V, f) cannot exist, relative, same shape: at most 0 where it can.

    By law: f / f_max(V) - 1. By table: distance to the nearest listed point.
    """
    if isinstance(law, OperatingPoints):
        excess = law.excess(voltage, frequency)
    else:
        reachable = np.maximum(law.frequency_max(voltage), 1e-3)
        excess = np.asarray(frequency, dtype=np.float64) / reachable - 1
    return np.where(np.abs(excess) <= RELATIVE_TOLERANCE, 0.0, excess)
